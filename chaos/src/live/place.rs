//! The folder of one story: everything its processes read and write, kept and named when the test fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use walkdir::WalkDir;

/// Lines of each log that are shown when the test fails.
const TAIL_LINES: usize = 12;

/// A temporary folder. Removed at its end, unless the test fails: then its path and the ends of all logs are printed.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    is_kept: bool,
}

impl Place {
    pub fn new(story: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("landfall-{story}-"))
            .tempdir()
            .expect("the temporary folder can be written");
        let place = Self { folder, is_kept: false };
        // An agent that runs as another user has to pass through it.
        fs::set_permissions(place.root(), fs::Permissions::from_mode(0o755))
            .expect("a folder that was just made is ours");
        place.folder("log");
        place
    }

    /// Keeps the folder also where all goes well.
    pub const fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder; nothing is made there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A folder that exists afterwards.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{} can be made: {error}", path.display()));
        path
    }

    /// A file with this text, and the folders above it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{} can be made: {error}", folder.display()));
        }
        fs::write(&path, text).unwrap_or_else(|error| panic!("{} can be written: {error}", path.display()));
        path
    }

    /// A file that only its owner may read, as services want their secrets.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file that was just written is ours");
        path
    }

    /// A program for `sh`.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(&format!("scripts/{name}"), &format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file that was just written is ours");
        path
    }

    pub fn log_of(&self, process: &str) -> PathBuf {
        self.path("log").join(format!("{process}.log"))
    }

    fn tell(&self) {
        eprintln!("\nthe run's folder is kept: {}", self.root().display());
        let Ok(entries) = fs::read_dir(self.path("log")) else { return };
        let mut logs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        logs.sort();
        for log in logs {
            eprintln!("--- the end of {}", log.display());
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
                eprintln!("    {line}");
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("LANDFALL_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            self.tell();
        } else if self.is_kept {
            self.folder.disable_cleanup(true);
        }
    }
}

/// Copies a folder with everything below it, sockets and locks excepted.
pub fn copy_folder(from: &Path, to: &Path) {
    for entry in WalkDir::new(from).into_iter().flatten() {
        let below = entry.path().strip_prefix(from).expect("it was found there");
        let target = to.join(below);
        let done = match entry.file_type() {
            kind if kind.is_dir() => fs::create_dir_all(&target),
            kind if kind.is_file() => fs::copy(entry.path(), &target).map(|_| ()),
            _ => Ok(()),
        };
        done.unwrap_or_else(|error| panic!("{} can be copied: {error}", entry.path().display()));
    }
}
