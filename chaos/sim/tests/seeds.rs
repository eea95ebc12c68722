//! A few seeds in bad weather: every promise is kept.

use landfall_sim::generate::Wishes;
use landfall_sim::mutant::Mutants;
use landfall_sim::seeds::run_all;

#[test]
fn thirty_seeds_of_bad_luck_break_no_promise() {
    let summary = run_all(0..30, Wishes::default(), 2, Mutants::NONE, |_| {});
    assert_eq!(summary.runs, 30);
    assert!(summary.faults > 30, "{} faults are too few to say anything", summary.faults);
    assert!(summary.failures.is_empty(), "{:#?}", summary.failures);
}
