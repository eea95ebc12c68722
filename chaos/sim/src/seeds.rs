//! Many seeds at once: each in a world of its own, on as many threads as there are jobs, told in the order of the seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use landfall::audit::Violation;

use crate::generate::{Wishes, plan};
use crate::hits::Hits;
use crate::mutant::Mutants;
use crate::run::{Outcome, run};

/// No core ever panics, whatever it is handed.
pub const NO_PANIC: &str = "no-panic";

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Summary {
    pub runs: u64,
    pub steps: u64,
    pub events: u64,
    pub messages: u64,
    pub faults: u64,
    /// Virtual time, in seconds.
    pub passed_secs: u64,
    pub hits: Hits,
    /// Seeds whose run broke a promise, and which.
    pub failures: Vec<(u64, Vec<Violation>)>,
}

/// Runs every seed of the range, and calls `each` in their order.
pub fn run_all(range: Range<u64>, wishes: Wishes, jobs: usize, mutants: Mutants, mut each: impl FnMut(u64)) -> Summary {
    let next = AtomicU64::new(range.start);
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        let (sender, outcomes) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (sender, next, end) = (sender.clone(), &next, range.end);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= end || sender.send((seed, one(seed, wishes, mutants))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = range.start;
        for (seed, outcome) in outcomes {
            early.insert(seed, outcome);
            while let Some((faults, outcome)) = early.remove(&due) {
                summary.add(due, faults, outcome);
                each(due);
                due += 1;
            }
        }
    });
    summary
}

/// A core that panics has broken the first promise of all.
fn one(seed: u64, wishes: Wishes, mutants: Mutants) -> (usize, Outcome) {
    let plan = plan(seed, wishes);
    (plan.faults.len(), guarded(&plan, mutants, false))
}

/// Runs a plan; a panic of a core becomes a violation.
pub fn guarded(plan: &crate::options::Plan, mutants: Mutants, is_traced: bool) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(plan, mutants, is_traced))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("a core panicked: {}", text.unwrap_or_else(|| "without a word".to_owned()));
        let violation = Violation { law: NO_PANIC, what, evidence: Vec::new(), at: None };
        Outcome::of_panic(violation)
    })
}

impl Summary {
    fn add(&mut self, seed: u64, faults: usize, outcome: Outcome) {
        self.runs += 1;
        self.steps += outcome.steps;
        self.events += outcome.events;
        self.messages += outcome.messages as u64;
        self.faults += faults as u64;
        self.passed_secs += outcome.passed.as_ms() / 1000;
        self.hits.merge(&outcome.hits);
        if !outcome.violations.is_empty() {
            self.failures.push((seed, outcome.violations));
        }
    }
}
