//! The log folded again by the core itself, from its first message, by a coordinator that nobody else knows.

use landfall_proto::id::Incarnation;
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::history::{Entry, History};
use crate::core::{Input, Logged, Mesh, Policy, step};

/// A longer log is not folded again: an audit has to end while somebody waits for it.
pub(super) const MESSAGES_MAX: usize = 200_000;

/// A coordinator that only reads.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) mesh: Mesh,
    policy: Policy,
    now: Timestamp,
}

impl Reader {
    pub(super) fn new(history: &History) -> Self {
        let (cluster, holder) = ("audit".parse(), "audit".parse());
        let mesh = Mesh::new(
            cluster.expect("the reader's cluster name is a name"),
            holder.expect("the reader's own name is a name"),
            Incarnation(Uuid::nil()),
        );
        Self { mesh, policy: history.policy.clone(), now: history.ended_at.unwrap_or_default() }
    }

    /// The same reader, built again from its records.
    pub(super) fn restored(&self, records: crate::core::Records) -> Self {
        let me = self.mesh.me().clone();
        let mesh = Mesh::restore(me.cluster, me.holder, me.incarnation, records);
        Self { mesh, policy: self.policy.clone(), now: self.now }
    }

    /// Folds one message, at the place where it stands or at another one.
    pub(super) fn read(&mut self, entry: &Entry, seq: u64) {
        let envelope = entry.envelope.clone();
        let logged = match &entry.topic {
            Topic::NodeFact(node) => Logged::from_node(node.clone(), envelope),
            Topic::CoordinatorFact(holder) => Logged::from_coordinator(holder.clone(), envelope),
            Topic::Command(_)
            | Topic::Sync(_)
            | Topic::Beacon
            | Topic::Beat(_)
            | Topic::Live(..)
            | Topic::Out(..)
            | Topic::Control(_) => return,
        };
        let position = landfall_proto::envelope::Position { seq, ..entry.position };
        step(&mut self.mesh, &self.policy, self.now, Input::Logged(position, logged));
    }
}
