//! Bad luck that breaks a promise and is not mended: `tests/open/LAW.SEED.toml`. Each is run, so that none is forgotten or stays
//! here when it is mended.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::path::{Path, PathBuf};

use landfall_sim::mutant::Mutants;
use landfall_sim::options::Plan;
use landfall_sim::seeds::guarded;

/// As many are open. A promise that breaks anew is mended, not added.
const RUNS_MAX: usize = 0;

#[test]
fn what_breaks_a_promise_is_known_by_its_law() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|kind| kind == "toml")).collect();
    files.sort();
    assert!((0..=RUNS_MAX).contains(&files.len()), "{} runs are open", files.len());
    for path in files {
        let plan: Plan = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let law = path.file_name().and_then(|name| name.to_str()?.split('.').next()).unwrap();
        let violations = guarded(&plan, Mutants::NONE, false).violations;
        assert!(
            violations.iter().any(|violation| violation.law == law),
            "{} keeps {law} by now: move it to tests/regressions under a name that says what happens in it",
            path.display()
        );
    }
}
