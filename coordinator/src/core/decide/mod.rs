//! What follows from the state: one small decider for each kind of matter, looked at only when it is due.

mod open;
mod rounds;
mod runs;

use std::collections::BTreeSet;

use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::NodeId;
use landfall_proto::time::Timestamp;

use super::agenda::Matter;
use super::alert;
use super::leader;
use super::log_alerts;
use super::mesh::Mesh;
use super::monitor_alerts;
use super::permits::{self, Turns};
use super::policy::Policy;
use super::space;
use super::together;

pub(super) use open::{NewRound, expected_of, opened};

/// Decisions of one step at most. What is left over is due at the next step.
pub const DECISIONS_MAX: usize = 1000;

/// What looking at one matter led to.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) facts: Vec<CoordinatorFact>,
    /// When time alone can change the answer.
    pub(super) again_at: Option<Timestamp>,
    /// Nodes that need not be looked at in the queue before they are heard.
    pub(super) away: BTreeSet<NodeId>,
}

impl Look {
    pub(super) const fn decided(facts: Vec<CoordinatorFact>, again_at: Option<Timestamp>) -> Self {
        Self { facts, again_at, away: BTreeSet::new() }
    }

    /// Nothing follows at this moment.
    pub(super) const fn wait(again_at: Option<Timestamp>) -> Self {
        Self::decided(Vec::new(), again_at)
    }
}

/// Looks at everything that is due and hands out what follows from it.
pub(super) fn decide(mesh: &mut Mesh, policy: &Policy, now: Timestamp, facts: &mut Vec<CoordinatorFact>) {
    if let Some(claim) = leader::claim(mesh, now) {
        mesh.process.claimed_at = Some(now);
        mesh.hand_out(claim.into(), None, facts);
        return;
    }
    if !mesh.leads() || mesh.owes_an_era() {
        return;
    }
    let mut decided = 0;
    while decided < DECISIONS_MAX
        && let Some(matter) = mesh.agenda.take_first()
    {
        let look = look(mesh, policy, now, &matter);
        decided += look.facts.len();
        mesh.agenda.wake(matter, look.again_at);
        look.away.iter().for_each(|node| mesh.set_away(node, true));
        for fact in look.facts {
            mesh.hand_out(fact, None, facts);
        }
    }
}

/// Everything that would be decided if all of the state were looked at: empty in a mesh that is at rest.
pub fn everything(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Vec<CoordinatorFact> {
    mesh.matters().iter().flat_map(|matter| look(mesh, policy, now, matter).facts).collect()
}

fn look(mesh: &Mesh, policy: &Policy, now: Timestamp, matter: &Matter) -> Look {
    match matter {
        Matter::Slots(name) => open::due_slot(mesh, policy, now, name),
        Matter::Stray(round) => open::stray(mesh, policy, now, *round),
        Matter::Round(round) => rounds::look(mesh, policy, now, *round),
        Matter::Run(run) => runs::look(mesh, now, *run),
        Matter::Queue => {
            let Turns { dispatched, again_at, away } = permits::dispatch(mesh, policy, now, DECISIONS_MAX);
            Look { facts: dispatched.into_iter().map(CoordinatorFact::from).collect(), again_at, away }
        }
        // The commands of a leader are sent again by `command`, and reminders by `tell`, which decide nothing.
        Matter::Command(_) | Matter::Reminder(_) => Look::default(),
        Matter::Failures => together::look(mesh, policy, now),
        Matter::RoutineAlerts(name) => alert::about_routine(mesh, policy, now, name),
        Matter::NodeAlerts(node) => alert::about_node(mesh, policy, now, node),
        Matter::Mesh => log_alerts::look(mesh, policy, now),
        Matter::Monitors => monitor_alerts::look(mesh, policy, now),
        Matter::Spaces => space::look(mesh, policy, now),
    }
}
