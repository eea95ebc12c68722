//! What must be right before anything starts. Each check says what it looked at, what is wrong, why that matters and what
//! to do.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::plan::{Plan, Target};
use landfall_proto::report::{Reason, Space, TaskKind};
use rustix::fs::{Access, access, statvfs};
use serde::Serialize;

use crate::driver::{self, Failure};

/// Free space that every run needs at its destination and in its own directory, in bytes.
const FREE_BYTES_MIN: u64 = 16 << 20;

/// A file system or server that does not answer for so long is taken for unreachable.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// `source`, `tool`, `credentials`, `destination`, `space`, `staging`, `alone` or `repository`.
    pub name: String,
    pub ok: bool,
    /// Absent where it is right.
    pub reason: Option<Reason>,
    /// What was looked at and how it is.
    pub what: String,
    /// Why it matters; empty where all is well.
    pub why: String,
    /// What to do; empty where nothing is to be done.
    pub fix: String,
}

impl CheckResult {
    pub(crate) fn good(name: &str, what: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: true,
            reason: None,
            what: what.into(),
            why: String::new(),
            fix: String::new(),
        }
    }

    pub(crate) fn bad(name: &str, reason: Reason, what: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: false,
            reason: Some(reason),
            what: what.into(),
            why: reason.cause().to_owned(),
            fix: reason.fix().to_owned(),
        }
    }

    /// All right for this time, and worth a look.
    pub(crate) fn doubtful(name: &str, what: impl Into<String>, fix: &str) -> Self {
        Self { fix: fix.to_owned(), ..Self::good(name, what) }
    }

    pub(crate) fn of(name: &str, result: Result<String, Failure>) -> Self {
        match result {
            Ok(what) => Self::good(name, what),
            Err(failure) => Self::bad(name, failure.reason, failure.message),
        }
    }
}

/// The failure that these checks amount to: the first reason, and all that is wrong.
pub(super) fn failure(checks: &[CheckResult]) -> Option<Failure> {
    let bad: Vec<&CheckResult> = checks.iter().filter(|check| !check.ok).collect();
    let reason = bad.first()?.reason.unwrap_or(Reason::Unknown);
    let message = bad.iter().map(|check| check.what.as_str()).collect::<Vec<_>>().join(" ");
    Some(Failure::new(reason, message))
}

/// Looks at sources, tool, destination and space. `directory` is where the run keeps its receipt, where one is known;
/// `known` says that a repository has been seen at this target before.
pub(crate) async fn look(
    plan: &Plan,
    target: &Target,
    task: TaskKind,
    exe: &Path,
    directory: Option<&Path>,
    known: bool,
) -> Vec<CheckResult> {
    let mut checks = vec![CheckResult::of("tool", tool(driver::program(plan, task, exe)))];
    if task == TaskKind::Backup {
        for source in &plan.sources {
            let path = PathBuf::from(source);
            let missing = format!("The source `{source}` does not answer.");
            checks.push(CheckResult::of(
                "source",
                patiently(Reason::SourceUnreadable, missing, move || look_at_source(&path)).await,
            ));
        }
    }
    let silent = format!("The destination `{}` does not answer.", shown(target));
    if let Some(url) = driver::remote(target) {
        checks.push(CheckResult::of("destination", connect(url).await));
    } else {
        let (location, create, writes) =
            (PathBuf::from(&target.location), may_create(target, known), task == TaskKind::Backup);
        let looked = patiently(Reason::Network, silent.clone(), move || destination(&location, create, writes)).await;
        let present = looked.is_ok();
        checks.push(CheckResult::of("destination", looked));
        if present && writes {
            let (location, percent) = (PathBuf::from(&target.location), target.free_percent_min);
            checks.push(CheckResult::of(
                "space",
                patiently(Reason::Network, silent, move || space(&location, percent)).await,
            ));
        }
    }
    if let Some(directory) = directory {
        let directory = directory.to_owned();
        let silent = "The agent's own directory does not answer.".to_owned();
        checks.push(CheckResult::of("staging", patiently(Reason::NoSpace, silent, move || space(&directory, 0)).await));
    }
    checks
}

/// Whether a repository may be made at the target. Where one was seen before, an empty place is a disk that is not mounted.
pub(crate) fn may_create(target: &Target, known: bool) -> bool {
    !known && target.create
}

/// The target's location without passwords.
pub(crate) fn shown(target: &Target) -> String {
    crate::edge::redact::Redactor::default().redact(&target.location)
}

/// A look at a file system that may hang for ever, as network file systems do. The thread that hangs is left behind.
pub(crate) async fn patiently<T: Send + 'static>(
    reason: Reason,
    silent: String,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_PATIENCE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Failure::new(Reason::Internal, "A look at the file system was broken off.")),
        Err(_) => Err(Failure::new(reason, silent)),
    }
}

fn look_at_source(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let opened = fs::metadata(path).and_then(|metadata| match (metadata.is_dir(), metadata.is_file()) {
        (true, _) => fs::read_dir(path).map(drop),
        (false, true) => File::open(path).map(drop),
        (false, false) => Ok(()),
    });
    match opened {
        Ok(()) => Ok(format!("The source `{shown}` can be read.")),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Failure::new(Reason::SourceMissing, format!("The source `{shown}` does not exist.")))
        }
        Err(error) => {
            Err(Failure::new(Reason::SourceUnreadable, format!("The source `{shown}` cannot be read: {error}.")))
        }
    }
}

fn tool(program: Option<PathBuf>) -> Result<String, Failure> {
    let Some(path) = program else {
        return Ok("The plan names no program for this task.".to_owned());
    };
    let usable = path.is_file() && access(&path, Access::EXEC_OK).is_ok();
    if usable {
        Ok(format!("The program `{}` can be run.", path.display()))
    } else {
        Err(Failure::new(
            Reason::ToolMissing,
            format!("The program `{}` is not there or cannot be run.", path.display()),
        ))
    }
}

fn destination(location: &Path, create: bool, writes: bool) -> Result<String, Failure> {
    let shown = location.display();
    let existing = match fs::metadata(location) {
        Ok(metadata) if metadata.is_dir() => location,
        Ok(_) => {
            return Err(Failure::new(Reason::NoRepository, format!("The destination `{shown}` is not a directory.")));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::new(
                Reason::Permission,
                format!("The destination `{shown}` cannot be looked at: {error}."),
            ));
        }
        Err(error) if create && error.kind() == io::ErrorKind::NotFound => nearest(location),
        Err(error) => {
            return Err(Failure::new(
                Reason::NoRepository,
                format!("The destination `{shown}` is not there: {error}."),
            ));
        }
    };
    if writes {
        access(existing, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            Failure::new(
                Reason::ReadOnly,
                format!("The destination `{shown}` cannot be written: {}.", io::Error::from(error)),
            )
        })?;
    }
    Ok(format!("The destination `{shown}` is there."))
}

fn space(location: &Path, percent_min: u8) -> Result<String, Failure> {
    let place = nearest(location);
    let shown = place.display();
    let figures = statvfs(place).map_err(|error| {
        Failure::new(Reason::Network, format!("The free space at `{shown}` is not known: {}.", io::Error::from(error)))
    })?;
    let space = Space {
        free_bytes: figures.f_bavail.saturating_mul(figures.f_frsize),
        total_bytes: figures.f_blocks.saturating_mul(figures.f_frsize),
    };
    // Some file systems do not tell their size; they are given the benefit of the doubt.
    let enough = space.total_bytes == 0 || (space.free_percent() >= percent_min && space.free_bytes >= FREE_BYTES_MIN);
    let what = format!(
        "`{shown}` has {} MiB free of {} MiB ({} %)",
        space.free_bytes >> 20,
        space.total_bytes >> 20,
        space.free_percent()
    );
    if enough {
        Ok(format!("{what}."))
    } else {
        Err(Failure::new(
            Reason::NoSpace,
            format!("{what}; {percent_min} % and {} MiB are wanted.", FREE_BYTES_MIN >> 20),
        ))
    }
}

/// The path itself or the closest directory above it that exists.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"))
}

async fn connect(address: Option<(String, u16)>) -> Result<String, Failure> {
    let Some((host, port)) = address else {
        return Err(Failure::new(Reason::Network, "The destination's URL names no host."));
    };
    let refused = |error: String| {
        Failure::new(Reason::Network, format!("The destination {host}:{port} cannot be reached: {error}."))
    };
    match tokio::time::timeout(ANSWER_PATIENCE, tokio::net::TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(format!("The destination {host}:{port} answers.")),
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(_) => Err(refused("no answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_and_a_file_as_destination_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(look_at_source(&file).is_ok());
        assert_eq!(look_at_source(&directory.path().join("gone")).unwrap_err().reason, Reason::SourceMissing);
        assert_eq!(destination(&file, true, true).unwrap_err().reason, Reason::NoRepository);
        assert_eq!(destination(&directory.path().join("gone"), false, true).unwrap_err().reason, Reason::NoRepository);
        assert!(destination(&directory.path().join("gone/deeper"), true, true).is_ok());
    }

    #[test]
    fn too_little_space_is_told_in_figures() {
        let failure = space(Path::new("/proc/self"), 100);
        assert!(failure.is_ok(), "a file system without a size is not judged");
        let directory = tempfile::tempdir().unwrap();
        assert!(space(directory.path(), 0).is_ok());
        let failure = space(directory.path(), 101).unwrap_err();
        assert_eq!(failure.reason, Reason::NoSpace);
        assert!(failure.message.contains("101 %"), "{}", failure.message);
    }
}
