//! A failing run made small: faults are dropped as long as the same promise stays broken.

use crate::mutant::Mutants;
use crate::options::Plan;
use crate::seeds::guarded;

/// Runs that are spent on one failure at most.
const RUNS_MAX: usize = 200;

/// The plan with as few faults as were found to break the same law. Drops halves first, then single faults.
pub fn minimise(plan: &Plan, law: &str, mutants: Mutants) -> Plan {
    let mut best = plan.clone();
    let mut runs = 0;
    let mut piece = best.faults.len().div_ceil(2);
    while piece > 0 && runs < RUNS_MAX {
        let mut from = 0;
        let mut has_shrunk = false;
        while from < best.faults.len() && runs < RUNS_MAX {
            let mut smaller = best.clone();
            let end = (from + piece).min(smaller.faults.len());
            smaller.faults.drain(from..end);
            runs += 1;
            if breaks(&smaller, law, mutants) {
                best = smaller;
                has_shrunk = true;
            } else {
                from += piece;
            }
        }
        // A fault that seemed needed may not be once others are gone.
        piece = if has_shrunk && piece == 1 { 1 } else { piece / 2 };
    }
    best
}

fn breaks(plan: &Plan, law: &str, mutants: Mutants) -> bool {
    guarded(plan, mutants, false).violations.iter().any(|violation| violation.law == law)
}
