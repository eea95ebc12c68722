//! Whether everything has come to rest after the faults, and what has not.

use landfall_proto::envelope::Epoch;

use super::World;

impl World {
    /// What still moves; empty at rest.
    pub fn unrest(&self) -> Vec<String> {
        let mut unrest = Vec::new();
        let last_seq = self.bus.log().map_or(0, crate::bus::Log::last_seq);
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut leaders = 0;
        for seat in &self.seats {
            let holder = &seat.coordinator.holder;
            let Some(process) = &seat.coordinator.process else {
                unrest.push(format!("{holder} is down"));
                continue;
            };
            if process.mesh.cursor().seq != last_seq {
                unrest.push(format!("{holder} has folded {} of {last_seq} messages", process.mesh.cursor().seq));
            }
            if process.publisher.waiting() > 0 || process.mesh.in_flight() > 0 {
                let (waiting, flying) = (process.publisher.waiting(), process.mesh.in_flight());
                unrest.push(format!("{holder} has {waiting} facts to publish and {flying} on their way"));
            }
            let open = process.mesh.rounds().values().filter(|round| round.verdict.is_none()).count();
            if open > 0 && process.mesh.leads() {
                unrest.push(format!("{holder} has {open} open rounds"));
            }
            leaders += usize::from(process.mesh.leads());
            epochs.push(process.mesh.epoch());
        }
        if leaders != 1 {
            unrest.push(format!("{leaders} coordinators lead"));
        }
        if epochs.windows(2).any(|pair| pair[0] != pair[1]) {
            unrest.push(format!("coordinators hold different epochs: {epochs:?}"));
        }
        self.nodes_unrest(&mut unrest);
        unrest
    }

    fn nodes_unrest(&self, unrest: &mut Vec<String>) {
        let leader = self.leader().and_then(|seat| self.seats[seat].coordinator.process.as_ref());
        for node in self.nodes.iter().filter(|node| !node.is_copy) {
            let id = &node.id;
            if !node.is_up() || !node.link.is_connected {
                unrest.push(format!("{id} is down or cut off"));
                continue;
            }
            if !node.host.is_at_rest() || node.host.outbox_len() > 0 {
                unrest.push(format!("{id} has work, or {} facts that it keeps", node.host.outbox_len()));
            }
            let sync = leader.and_then(|process| process.mesh.sync_for(id));
            match (sync, &node.last_beat) {
                (Some(sync), Some(beat)) if sync.incarnation == beat.incarnation => {
                    if sync.durable_below != beat.next_seq {
                        let (below, next) = (sync.durable_below, beat.next_seq);
                        unrest.push(format!("{id} has written {next} facts, the leader has {below} of them"));
                    }
                }
                (Some(_) | None, Some(_) | None) => unrest.push(format!("the leader does not hear {id}")),
            }
        }
    }
}
