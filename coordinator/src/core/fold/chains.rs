//! Keeping the index of broken chains: what a result, or an announcement, means for the routines that build on others.

use landfall_proto::id::{NodeId, RoutineName};

use crate::core::agenda::Matter;
use crate::core::chain;
use crate::core::mesh::Mesh;

impl Mesh {
    /// Judges a routine's chain on a node anew, and the chains of those that build on it.
    pub(super) fn judge_chains(&mut self, id: &NodeId, changed: &RoutineName) {
        self.judge(id, |name, base| name == changed || base == changed);
    }

    /// As [`Self::judge_chains`], for everything that the node has announced.
    pub(super) fn judge_all_chains(&mut self, id: &NodeId) {
        for routine in self.routines.values_mut() {
            routine.unbased.remove(id);
        }
        self.judge(id, |_, _| true);
    }

    fn judge(&mut self, id: &NodeId, is_wanted: impl Fn(&RoutineName, &RoutineName) -> bool) {
        let Some(node) = self.nodes.get(id) else { return };
        let chained = node.routines.iter().filter_map(|(name, known)| Some((name, known.plan.builds_on.as_ref()?)));
        let chained = chained.filter(|(name, base)| is_wanted(name, base));
        let judged: Vec<(RoutineName, bool)> =
            chained.map(|(name, _)| (name.clone(), chain::broken_on(node, name).is_some())).collect();
        for (name, is_broken) in judged {
            let Some(routine) = self.routines.get_mut(&name) else { continue };
            if is_broken {
                routine.unbased.insert(id.clone());
            } else {
                routine.unbased.remove(id);
            }
            self.agenda.mark(Matter::RoutineAlerts(name));
        }
    }
}
