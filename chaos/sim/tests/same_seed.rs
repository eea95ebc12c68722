//! One seed is one run: whoever runs it again sees the same, line by line.

use landfall_sim::generate::{Wishes, plan};
use landfall_sim::mutant::Mutants;
use landfall_sim::options::Plan;
use landfall_sim::run::run;

const FAIR: Wishes = Wishes { nodes: None, coordinators: None, is_fair: true };

#[test]
fn the_same_seed_twice_is_the_same_trace_byte_by_byte() {
    for seed in [3, 14, 41] {
        let plan = plan(seed, Wishes::default());
        let (first, second) = (run(&plan, Mutants::NONE, true), run(&plan, Mutants::NONE, true));
        assert!(first.trace.len() > 40, "seed {seed} has a trace of {} lines", first.trace.len());
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!((first.steps, first.hits), (second.steps, second.hits), "seed {seed}");
    }
}

#[test]
fn watching_a_run_changes_nothing_in_it() {
    let plan = plan(5, Wishes::default());
    let (watched, unwatched) = (run(&plan, Mutants::NONE, true), run(&plan, Mutants::NONE, false));
    assert_eq!((watched.steps, watched.messages), (unwatched.steps, unwatched.messages));
    assert!(unwatched.trace.is_empty());
}

#[test]
fn a_run_that_was_written_down_is_the_same_run() {
    for seed in 0..200 {
        let plan = plan(seed, Wishes::default());
        let text = toml::to_string(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    assert_ne!(plan(1, Wishes::default()), plan(2, Wishes::default()));
}

#[test]
fn in_fair_weather_every_promise_is_kept_and_everything_comes_to_rest() {
    for seed in 0..10 {
        let outcome = run(&plan(seed, FAIR), Mutants::NONE, false);
        assert_eq!(outcome.violations, Vec::new(), "seed {seed}");
        assert!(outcome.rested_after.is_some(), "seed {seed}");
    }
}
