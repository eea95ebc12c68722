//! The ends of faults that lasted, copies of machines, and the mending of nodes when all bad weather is over.

use landfall_proto::time::{Duration, after};

use super::World;
use super::event::{Client, Ending, Event};
use crate::bus::{Link, Store};
use crate::host::{self, Host};
use crate::node::{Behaviour, HostFault, Node, RepositoryFault, ToolKind};

impl World {
    pub(super) fn end(&mut self, ending: Ending) {
        let now = self.now;
        match ending {
            Ending::Link { client, what } => self.mend_link(client, what),
            Ending::SinksWork => self.sinks_fail = false,
            Ending::BusGoesOn => self.resume_bus(),
            Ending::BusHasRoom => {
                if self.bus.store != Store::Sound {
                    self.kill_bus(Duration::from_secs(1));
                }
            }
            Ending::BusClock => self.bus.skew_ms = 0,
            Ending::SeatGoesOn(seat) => self.resume_seat(seat),
            Ending::SeatClock(seat) => self.seats[seat].coordinator.skew_ms = 0,
            Ending::NodeDisk(index) => self.mend_node(index, HostFault::DiskFull(false)),
            Ending::NodeClock(index) => self.mend_node(index, HostFault::ClockRight),
            Ending::NodeTired(index) => self.mend_node(index, HostFault::Tired(false)),
            Ending::NodeTool(index) => {
                let behaviour = self.fair_tool();
                self.mend_node(index, HostFault::Tool(behaviour));
            }
            Ending::NodeRollsBack(index) => {
                if self.healed_at.is_some() || self.nodes[index].is_copy {
                    return;
                }
                let was_up = self.nodes[index].is_up();
                self.nodes[index].host.fault(now, HostFault::RollBack);
                self.hits.hit("node-rolled-back");
                if was_up {
                    self.node_died(index, host::Power::Machine, Duration::from_secs(10));
                }
            }
            Ending::NodeOutbox(index) => self.mend_node(index, HostFault::OutboxKeeps(None)),
            Ending::SeatDisk(seat) => self.seats[seat].coordinator.ledger.is_full = false,
            Ending::BusIsSure => self.bus.is_unsure = false,
            Ending::NodeCopyEnds(index) => self.end_copy(index),
            Ending::Repository(index) => {
                let id = self.repositories.ids().nth(index).cloned();
                if let Some(id) = id {
                    self.repositories.fault(&id, RepositoryFault::Full(false));
                    self.repositories.fault(&id, RepositoryFault::Unreachable(false));
                    self.unreachable = 0;
                }
            }
        }
    }

    /// How a tool works in fair weather: each node its own pace.
    pub(super) fn fair_tool(&mut self) -> Behaviour {
        let most = self.options.tool_takes.as_ms().max(1000);
        Behaviour {
            kind: ToolKind::Ok,
            transfer: Duration::from_ms(self.dice.between(500, most)),
            outlives_agent: false,
        }
    }

    fn mend_node(&mut self, index: usize, fault: HostFault) {
        self.nodes[index].host.fault(self.now, fault);
        self.wake_node(index);
    }

    /// A copy of the machine's disk starts elsewhere, under the same identity.
    pub(super) fn copy_node(&mut self, index: usize, lasts: Duration) {
        let original = &self.nodes[index];
        if original.is_copy || self.nodes.len() > 2 * usize::try_from(self.options.nodes).unwrap_or(1) {
            return;
        }
        // Coordinators are numbered behind nodes on the bus, but a client's number is never kept across events.
        let host: Host = original.host.clone_machine(self.dice.number());
        let id = original.id.clone();
        let node = Node::new(host, Link::new(self.options.delay_us), true);
        let copy = self.nodes.len();
        self.nodes.push(node);
        self.by_id.entry(id).or_default().push(copy);
        self.hits.hit("node-duplicated");
        self.queue.put(after(self.now, Duration::from_secs(2)), Event::NodeBoots(copy));
        self.queue.put(after(self.now, lasts), Event::Ends(Ending::NodeCopyEnds(copy)));
    }

    /// The copy is switched off for good.
    fn end_copy(&mut self, index: usize) {
        let now = self.now;
        if self.nodes[index].is_up() {
            self.nodes[index].host.kill(now, host::Power::Machine);
        }
        self.drop_link(Client::Node(index));
        self.nodes[index].life += 1;
        self.nodes[index].is_off = true;
        let id = self.nodes[index].id.clone();
        if let Some(all) = self.by_id.get_mut(&id) {
            all.retain(|known| *known != index);
        }
        self.note(|| format!("the copy of {id} is switched off"));
    }

    /// Disks have room, clocks are right, tools work, copies are off, and whoever is down starts.
    pub(super) fn heal_nodes(&mut self) {
        self.repositories.heal();
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_copy {
                self.end_copy(index);
                continue;
            }
            let behaviour = self.fair_tool();
            // A death that was planned and never came to its place does not come any more.
            let never = HostFault::KillAfter { boundaries: u32::MAX, power: host::Power::Process };
            let tired = HostFault::Tired(false);
            let outbox = HostFault::OutboxKeeps(None);
            for fault in
                [HostFault::DiskFull(false), HostFault::ClockRight, HostFault::Tool(behaviour), tired, never, outbox]
            {
                self.mend_node(index, fault);
            }
            self.queue.put(after(self.now, Duration::from_secs(3)), Event::NodeBoots(index));
        }
    }
}
