//! The engine and restic cut the same file at the same places, so each finds the other one's chunks in a shared repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rustic_backend::BackendOptions;
use rustic_cdc::{Polynom64, Rabin64, RollingHash64};
use rustic_core::repofile::SnapshotSummary;
use rustic_core::{BackupOptions, Credentials, PathList, Repository, RepositoryOptions, SnapshotOptions};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";

/// No chunk of the restic format is smaller, except a file's last one.
const CHUNK_MIN: usize = 512 * 1024;
/// A cut is where these bits of the fingerprint are zero: once in a mebibyte.
const SPLIT_MASK: u64 = (1 << 20) - 1;
const WINDOW: usize = 64;

/// How far behind the smallest size a cut is forced: in the first 64 places the window still reaches into what came before
/// the engine handed over to the fingerprint.
const FORCED: [usize; 8] = [0, 1, 2, 31, 62, 63, 64, 200];

struct Stage {
    folder: TempDir,
    random: TestRng,
}

impl Stage {
    fn new() -> Self {
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let stage = Self { folder: tempfile::tempdir().expect("a temporary folder"), random };
        fs::create_dir(stage.source()).expect("created");
        stage.restic(&["init"]);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).expect("it exists").join(name)
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn noise(&mut self, bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        self.random.fill_bytes(&mut noise);
        noise
    }

    /// What restic prints.
    fn restic(&self, arguments: &[&str]) -> String {
        let program = std::env::var("LANDFALL_RESTIC").unwrap_or_else(|_| "restic".into());
        let output = Command::new(program)
            .args(["--no-cache", "-r"])
            .arg(self.path("repository"))
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .output()
            .expect("restic runs; deploy/tools.sh restic fetches it");
        assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The chunks that restic added.
    fn restic_backup(&self, source: &Path) -> u64 {
        let said = self.restic(&["backup", "--json", &source.display().to_string()]);
        let summary = said.lines().last().unwrap_or_default().to_owned();
        number(&summary, "\"data_blobs\":", 10)
    }

    /// What the engine added.
    fn engine_backup(&self, source: &Path) -> SnapshotSummary {
        let location = format!("local:{}", self.path("repository").display());
        let backends = BackendOptions::default().repository(location).to_backends().expect("a local path");
        let repository = Repository::new(&RepositoryOptions::default().no_cache(true), &backends)
            .and_then(|repository| repository.open(&Credentials::password(PASSWORD)))
            .and_then(Repository::to_indexed_ids)
            .expect("restic's repository opens");
        let snapshot = SnapshotOptions::default().to_snapshot().expect("a snapshot");
        let paths = PathList::from_iter(Some(source));
        let saved = repository.backup(&BackupOptions::default(), &paths, snapshot).expect("saved");
        saved.summary.expect("the engine counts")
    }

    /// The polynomial that restic drew for this repository.
    fn polynom(&self) -> Polynom64 {
        number(&self.restic(&["cat", "config"]), "\"chunker_polynomial\":", 16)
    }

    /// 64 bytes whose fingerprint makes a cut.
    fn cut(&mut self, polynom: Polynom64) -> Vec<u8> {
        let mut rabin = Rabin64::new_with_polynom(6, &polynom);
        loop {
            let noise = self.noise(1 << 20);
            rabin.reset();
            let end = noise.iter().enumerate().position(|(index, byte)| {
                rabin.slide(*byte);
                index >= WINDOW && rabin.hash & SPLIT_MASK == 0
            });
            if let Some(end) = end {
                return noise[end + 1 - WINDOW..=end].to_vec();
            }
        }
    }
}

/// The number behind `key` in a text of JSON, quoted or not.
fn number(text: &str, key: &str, radix: u32) -> u64 {
    let rest = text.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', '"'])).unwrap_or_default();
    let end = rest.find(|sign: char| !sign.is_digit(radix)).unwrap_or(rest.len());
    u64::from_str_radix(&rest[..end], radix).unwrap_or_else(|error| panic!("{key} in {text}: {error}"))
}

#[test]
fn the_engine_adds_nothing_to_what_restic_saved() {
    let mut stage = Stage::new();
    let polynom = stage.polynom();
    let mut forced = Vec::new();
    for behind in FORCED {
        let cut = stage.cut(polynom);
        forced.extend(stage.noise(CHUNK_MIN + behind - WINDOW));
        forced.extend(cut);
    }
    let files: [(&str, Vec<u8>); 7] = [
        ("forced", forced),
        ("noise", stage.noise(24 << 20)),
        ("zeros", vec![0; 3 << 20]),
        ("smallest", stage.noise(CHUNK_MIN)),
        ("one-less", stage.noise(CHUNK_MIN - 1)),
        ("one-more", stage.noise(CHUNK_MIN + 1)),
        ("small", stage.noise(1000)),
    ];
    for (name, content) in &files {
        fs::write(stage.source().join(name), content).expect("written");
    }
    let forced = stage.restic_backup(&stage.source().join("forced"));
    assert_eq!(forced, FORCED.len() as u64, "restic cuts where the fingerprint says, at the smallest size too");
    let others = stage.restic_backup(&stage.source());
    assert!(others > 15, "{others} chunks of restic's");

    let added = stage.engine_backup(&stage.source());
    assert_eq!((added.data_blobs, added.data_added_files), (0, 0), "the engine found every chunk there");
    assert_eq!(added.total_files_processed, files.len() as u64);
}

#[test]
fn restic_adds_nothing_to_what_the_engine_saved() {
    let mut stage = Stage::new();
    let noise = stage.noise(24 << 20);
    fs::write(stage.source().join("noise"), noise).expect("written");
    let added = stage.engine_backup(&stage.source());
    assert!(added.data_blobs > 10, "{} chunks of ours", added.data_blobs);
    assert_eq!(stage.restic_backup(&stage.source()), 0, "restic found every chunk there");
}
