//! Every planted bug, run over seeds until its law sees it.

use std::io::Write;

use crate::generate::{Wishes, plan};
use crate::mutant::steer::steered;
use crate::mutant::{Mutant, Mutants};
use crate::seeds::guarded;

/// A bug that no law has seen after so many seeds has survived.
pub const SEEDS_MAX: u64 = 300;

/// How one mutant fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub mutant: Mutant,
    /// The seed whose run was caught; absent where it survived.
    pub caught_by: Option<u64>,
    pub seeds: u64,
    /// Core steps of all runs.
    pub steps: u64,
    /// What the law said.
    pub said: String,
}

/// Runs one mutant over seeds from 0 until its own law sees it, and would not have without it.
pub fn trial(mutant: Mutant, wishes: Wishes) -> Trial {
    let mut trial = Trial { mutant, caught_by: None, seeds: 0, steps: 0, said: String::new() };
    for seed in 0..SEEDS_MAX {
        let plan = steered(mutant, plan(seed, wishes));
        let outcome = guarded(&plan, Mutants::of(mutant), false);
        trial.seeds += 1;
        trial.steps += outcome.steps;
        let Some(violation) = outcome.violations.iter().find(|violation| violation.law == mutant.law()) else {
            continue;
        };
        let sound = guarded(&plan, Mutants::NONE, false);
        trial.steps += sound.steps;
        if sound.violations.iter().all(|violation| violation.law != mutant.law()) {
            trial.caught_by = Some(seed);
            trial.said.clone_from(&violation.what);
            break;
        }
    }
    trial
}

/// Tries every mutant, or those that are named, and prints a line for each. True where none survived.
pub fn all(names: &[String], wishes: Wishes, jobs: usize, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mutants: Vec<Mutant> = if names.is_empty() {
        Mutant::ALL.to_vec()
    } else {
        let named = names.iter().map(|name| {
            Mutant::named(name).ok_or_else(|| {
                let known: Vec<&str> = Mutant::ALL.into_iter().map(Mutant::name).collect();
                anyhow::anyhow!("there is no mutant {name:?}; there are {}", known.join(", "))
            })
        });
        named.collect::<anyhow::Result<_>>()?
    };
    writeln!(out, "{:<24} {:<26} {:>6} {:>6} {:>10}", "MUTANT", "LAW", "SEEDS", "SEED", "STEPS")?;
    let mut survived = Vec::new();
    for trials in mutants.chunks(jobs.max(1)) {
        let trials: Vec<Trial> = std::thread::scope(|scope| {
            let running: Vec<_> = trials.iter().map(|mutant| scope.spawn(move || trial(*mutant, wishes))).collect();
            running.into_iter().map(|handle| handle.join().expect("a trial catches its panics itself")).collect()
        });
        for trial in trials {
            let (mutant, seed) =
                (trial.mutant, trial.caught_by.map_or_else(|| "-".to_owned(), |seed| seed.to_string()));
            writeln!(out, "{mutant:<24} {:<26} {:>6} {seed:>6} {:>10}", mutant.law(), trial.seeds, trial.steps)?;
            if trial.caught_by.is_some() {
                writeln!(out, "    {}", trial.said)?;
            } else {
                survived.push(mutant.name());
                writeln!(out, "    SURVIVED: {}", mutant.what())?;
            }
            out.flush()?;
        }
    }
    if survived.is_empty() {
        writeln!(out, "{} mutants, none survived", mutants.len())?;
    } else {
        writeln!(out, "{} of {} mutants survived: {}", survived.len(), mutants.len(), survived.join(", "))?;
    }
    Ok(survived.is_empty())
}
