//! One run from beginning to end: faults, then healing, then rest, then judgement.

use landfall::audit::Violation;
use landfall_proto::time::{Duration, Timestamp};

use crate::hits::Hits;
use crate::law;
use crate::mutant::Mutants;
use crate::options::Plan;
use crate::world::World;

/// While everything comes to rest it is looked at so often.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Rest has to last for so long.
pub(crate) const REST: Duration = Duration::from_secs(20);

/// How one run went.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub violations: Vec<Violation>,
    /// Core steps of all agents and coordinators.
    pub steps: u64,
    pub events: u64,
    pub hits: Hits,
    pub trace: Vec<String>,
    /// How much virtual time passed.
    pub passed: Duration,
    /// How long after the end of the faults everything had come to rest.
    pub rested_after: Option<Duration>,
    pub messages: usize,
}

impl Outcome {
    /// A run that ended in a panic; nothing else is known of it.
    pub fn of_panic(violation: Violation) -> Self {
        Self {
            violations: vec![violation],
            steps: 0,
            events: 0,
            hits: Hits::default(),
            trace: Vec::new(),
            passed: Duration::from_ms(0),
            rested_after: None,
            messages: 0,
        }
    }
}

/// Runs a plan and judges it.
pub fn run(plan: &Plan, mutants: Mutants, is_traced: bool) -> Outcome {
    let mut world = World::new(plan.options.clone(), plan.faults.clone(), mutants, is_traced);
    world.start();
    world.run_for(plan.options.busy);
    world.heal();
    let healed_at = world.now();
    let until = landfall_proto::time::after(healed_at, plan.options.patience);
    let rested_after = come_to_rest(&mut world, healed_at, until);
    judge(world, rested_after)
}

fn come_to_rest(world: &mut World, healed_at: Timestamp, until: Timestamp) -> Option<Duration> {
    while world.now() < until {
        world.run_for(LOOK_EVERY);
        if world.unrest().is_empty() {
            world.run_for(REST);
            if world.unrest().is_empty() {
                return Some(landfall_proto::time::between(healed_at, world.now()));
            }
        }
    }
    None
}

pub(crate) fn judge(mut world: World, rested_after: Option<Duration>) -> Outcome {
    let mut violations = Vec::new();
    if rested_after.is_none() {
        let evidence = world.unrest();
        let what = format!("not at rest {} after the faults had ended", world.options.patience);
        violations.push(Violation { law: law::AT_REST, what, evidence, at: None });
    }
    violations.extend(law::check(&world.history()));
    world.count_from_log();
    Outcome {
        violations,
        steps: world.core_steps(),
        events: world.events,
        passed: world.passed(),
        messages: world.messages(),
        hits: world.hits,
        trace: world.trace.into_lines(),
        rested_after,
    }
}
