//! Bad luck that once broke a promise: every written run is run again, and keeps them all.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::path::{Path, PathBuf};

use landfall_sim::mutant::Mutants;
use landfall_sim::options::Plan;
use landfall_sim::seeds::guarded;

/// As many runs were kept; none of them is ever taken away.
const RUNS_MIN: usize = 40;

#[test]
fn what_once_broke_a_promise_breaks_none_any_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= RUNS_MIN, "{} runs are too few", files.len());
    let mut broken = Vec::new();
    for path in files {
        let plan: Plan = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let violations = guarded(&plan, Mutants::NONE, false).violations;
        broken.extend(violations.into_iter().map(|violation| (path.clone(), violation)));
    }
    assert!(broken.is_empty(), "cargo sim replay FILE --trace shows how\n{broken:#?}");
}
