//! How each piece of bad luck is brought about, and how it ends.

use std::sync::Arc;

use jiff::SignedDuration;
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, after};

use super::event::{Client, Disturbance, Ending, Event};
use super::{World, bed};
use crate::bus::Store;
use crate::coordinator::{Boundary, Power};
use crate::fault::{
    AgentBoundary, BusFault, CoordinatorFault, Fault, IllWill, LineFault, NodeFault, RepositoryTrouble, SpoolTrouble,
    ToolTrouble,
};
use crate::host;
use crate::node::{Behaviour, HostFault, RepositoryFault, ToolKind};

impl World {
    pub(super) fn begin(&mut self, index: usize) {
        if self.healed_at.is_some() {
            return;
        }
        let Some(planned) = self.faults.get(index) else { return };
        let fault = planned.fault.clone();
        self.suffer(&fault);
    }

    /// Bad luck, now.
    pub fn suffer(&mut self, fault: &Fault) {
        self.note(|| format!("bad luck: {}", fault.line()));
        match fault {
            Fault::Node(fault) => self.suffer_node(fault),
            Fault::Coordinator(fault) => self.suffer_coordinator(fault),
            Fault::Bus(fault) => self.suffer_bus(fault),
            Fault::Line(fault) => self.suffer_line(fault),
            Fault::Will(fault) => self.suffer_will(fault),
        }
    }

    fn suffer_will(&mut self, fault: &IllWill) {
        match fault {
            IllWill::Duplicated { count } => self.duplicate(*count),
            IllWill::RequestsLate { node, count, by } => {
                let id = self.nodes[self.node(*node)].id.clone();
                self.late_requests.insert(id, (*count, *by));
            }
            IllWill::RequestReplayed { node } => self.replay_command(*node, true),
            IllWill::RequestUnsigned { node } => self.replay_command(*node, false),
            IllWill::Poisoned { poison, node } => self.poison(*poison, *node),
            IllWill::OperatorStarts { node } => self.operator_starts(*node),
            IllWill::OperatorCancels => self.operator_cancels(),
        }
    }

    fn later(&mut self, lasts: Duration, ending: Ending) {
        self.queue.put(after(self.now, lasts), Event::Ends(ending));
    }

    fn suffer_node(&mut self, fault: &NodeFault) {
        let now = self.now;
        match fault {
            NodeFault::AgentKilled { node, boundary, power, away } => {
                self.kill_agent(self.node(*node), *boundary, *power, *away);
            }
            NodeFault::AgentDiskFull { node, lasts } => {
                let index = self.node(*node);
                self.nodes[index].host.fault(now, HostFault::DiskFull(true));
                self.later(*lasts, Ending::NodeDisk(index));
            }
            NodeFault::AgentSpoolLost { node, trouble } => {
                let index = self.node(*node);
                self.kill_node(index, host::Power::Machine, Duration::from_secs(15));
                let fault = match trouble {
                    SpoolTrouble::Rotten => HostFault::Rot,
                    SpoolTrouble::Gone => HostFault::SpoolLost,
                    SpoolTrouble::Everything => HostFault::StateLost,
                };
                self.nodes[index].host.fault(now, fault);
                self.hits.hit(match trouble {
                    SpoolTrouble::Rotten | SpoolTrouble::Gone => "agent-spool-lost",
                    SpoolTrouble::Everything => "agent-state-lost",
                });
            }
            NodeFault::OutboxFull { node, keeps, lasts } => self.fill_outbox(self.node(*node), *keeps, *lasts),
            NodeFault::AgentStopped { node, away } => {
                let index = self.node(*node);
                self.nodes[index].away = *away;
                self.nodes[index].host.fault(now, HostFault::Drain);
                self.hits.hit("agent-stopped");
                self.wake_node(index);
            }
            NodeFault::NodeTired { node, lasts } => {
                let index = self.node(*node);
                self.nodes[index].host.fault(now, HostFault::Tired(true));
                self.hits.hit("node-tired");
                self.wake_node(index);
                self.later(*lasts, Ending::NodeTired(index));
            }
            NodeFault::NodeRolledBack { node, after } => {
                let index = self.node(*node);
                self.nodes[index].host.fault(now, HostFault::Copy);
                self.later(*after, Ending::NodeRollsBack(index));
            }
            NodeFault::NodeDuplicated { node, lasts } => self.copy_node(self.node(*node), *lasts),
            NodeFault::NodeClock { node, step_ms, lasts } => {
                let index = self.node(*node);
                self.nodes[index].host.fault(now, HostFault::ClockStep(SignedDuration::from_millis(*step_ms)));
                self.hits.hit("node-clock-stepped");
                self.wake_node(index);
                self.later(*lasts, Ending::NodeClock(index));
            }
            NodeFault::PlanChanged { node } => {
                let index = self.node(*node);
                self.nodes[index].definition += 1;
                let definition = self.nodes[index].definition;
                let repository = u32::try_from(index).unwrap_or(0) % self.options.repositories.max(1);
                let catalog = Arc::new(bed::catalog(&self.options, repository, definition));
                self.nodes[index].host.fault(now, HostFault::Plans(catalog));
                self.wake_node(index);
            }
            NodeFault::Tool { node, trouble, lasts } => {
                let index = self.node(*node);
                let behaviour = self.behaviour(*trouble);
                self.nodes[index].host.fault(now, HostFault::Tool(behaviour));
                self.later(*lasts, Ending::NodeTool(index));
            }
            NodeFault::Repository { repository, trouble, lasts } => self.spoil(*repository, *trouble, *lasts),
        }
    }

    fn fill_outbox(&mut self, index: usize, keeps: u32, lasts: Duration) {
        self.nodes[index].host.fault(self.now, HostFault::OutboxKeeps(Some(u64::from(keeps))));
        self.later(lasts, Ending::NodeOutbox(index));
        let client = u32::try_from(index).unwrap_or(0);
        self.suffer_line(&LineFault::Cut { client, to_bus: true, from_bus: true, lasts });
    }

    fn behaviour(&mut self, trouble: ToolTrouble) -> Behaviour {
        let fair = self.fair_tool();
        let kind = match trouble {
            ToolTrouble::Hangs => ToolKind::Hang,
            ToolTrouble::Fails => ToolKind::Fails(Reason::Network),
            ToolTrouble::FailsOnce => ToolKind::FailsAtFirst { reason: Reason::Network, times: 1 },
            ToolTrouble::Lies => ToolKind::Lies,
            ToolTrouble::Partial => ToolKind::Partial,
            ToolTrouble::Unread => ToolKind::Unread(3),
            ToolTrouble::Crashes => ToolKind::Crashes,
            ToolTrouble::Slow | ToolTrouble::Outlives => ToolKind::Ok,
        };
        let slow = Duration::from_ms(self.options.slot_every.as_ms() * 5 / 4);
        let transfer = if trouble == ToolTrouble::Slow { slow } else { fair.transfer };
        Behaviour { kind, transfer, outlives_agent: trouble == ToolTrouble::Outlives }
    }

    fn spoil(&mut self, repository: u32, trouble: RepositoryTrouble, lasts: Duration) {
        let ids: Vec<_> = self.repositories.ids().cloned().collect();
        let index = usize::try_from(repository).unwrap_or(0) % ids.len().max(1);
        let Some(id) = ids.get(index) else { return };
        let fault = match trouble {
            RepositoryTrouble::Locked => RepositoryFault::ForeignLock { until: after(self.now, lasts) },
            RepositoryTrouble::Full => RepositoryFault::Full(true),
            RepositoryTrouble::Unreachable => RepositoryFault::Unreachable(true),
            RepositoryTrouble::Robbed => RepositoryFault::Remove { which: repository },
            RepositoryTrouble::Rotten => RepositoryFault::Rot { which: repository },
        };
        let had_any = self.repositories.trace().get(id).is_some_and(|trace| !trace.snapshots.is_empty());
        self.unreachable += u32::from(trouble == RepositoryTrouble::Unreachable);
        self.repositories.fault(id, fault);
        // The others count when a tool meets them.
        match trouble {
            RepositoryTrouble::Robbed if had_any => self.hits.hit("repository-robbed"),
            RepositoryTrouble::Rotten if had_any => self.hits.hit("repository-rotten"),
            RepositoryTrouble::Robbed
            | RepositoryTrouble::Rotten
            | RepositoryTrouble::Locked
            | RepositoryTrouble::Full
            | RepositoryTrouble::Unreachable => {}
        }
        self.later(lasts, Ending::Repository(index));
    }

    fn kill_agent(&mut self, index: usize, boundary: AgentBoundary, power: Power, away: Duration) {
        let power = match power {
            Power::Process => host::Power::Process,
            Power::Machine => host::Power::Machine,
        };
        self.nodes[index].away = away;
        let fault = match boundary {
            AgentBoundary::Anywhere => return self.kill_node(index, power, away),
            AgentBoundary::At(place) => HostFault::KillAt { place: place.into(), power },
            AgentBoundary::Effect { boundaries } => HostFault::KillAfter { boundaries, power },
        };
        self.nodes[index].host.fault(self.now, fault);
    }

    fn suffer_coordinator(&mut self, fault: &CoordinatorFault) {
        match fault {
            CoordinatorFault::CoordinatorKilled { coordinator, boundary, power, away } => {
                let seat = self.seat(*coordinator);
                match boundary {
                    None => self.kill_seat(seat, *power, *away),
                    Some(boundary) => self.seats[seat].coordinator.trap = Some((*boundary, *power)),
                }
            }
            CoordinatorFault::CoordinatorsGone { away } => {
                for seat in 0..self.seats.len() {
                    self.kill_seat(seat, Power::Process, *away);
                }
            }
            CoordinatorFault::LeaderKilled { power, away } => {
                if let Some(seat) = self.leader() {
                    self.kill_seat(seat, *power, *away);
                }
            }
            CoordinatorFault::CoordinatorLedgerLost { coordinator, away } => {
                let seat = self.seat(*coordinator);
                self.kill_seat(seat, Power::Machine, *away);
                self.seats[seat].coordinator.ledger.lose();
                self.hits.hit("coordinator-ledger-lost");
            }
            CoordinatorFault::CoordinatorDiskFull { coordinator, lasts } => {
                let seat = self.seat(*coordinator);
                self.seats[seat].coordinator.ledger.is_full = true;
                self.later(*lasts, Ending::SeatDisk(seat));
            }
            CoordinatorFault::CoordinatorPaused { coordinator, lasts } => {
                self.pause_seat(self.seat(*coordinator), *lasts)
            }
            CoordinatorFault::LeaderPaused { lasts } => {
                if let Some(seat) = self.leader() {
                    self.pause_seat(seat, *lasts);
                }
            }
            CoordinatorFault::CoordinatorClock { coordinator, step_ms, lasts } => {
                let seat = self.seat(*coordinator);
                self.seats[seat].coordinator.skew_ms = *step_ms;
                self.hits.hit("coordinator-clock-wrong");
                self.later(*lasts, Ending::SeatClock(seat));
            }
            CoordinatorFault::SinksFail { lasts } => {
                self.sinks_fail = true;
                self.later(*lasts, Ending::SinksWork);
            }
        }
    }

    fn pause_seat(&mut self, seat: usize, lasts: Duration) {
        if !self.seats[seat].coordinator.is_up() || self.seats[seat].coordinator.is_paused {
            return;
        }
        self.seats[seat].coordinator.is_paused = true;
        self.seats[seat].led_when_paused = self.seats[seat].coordinator.leads();
        self.later(lasts, Ending::SeatGoesOn(seat));
    }

    /// The trap in a coordinator was sprung.
    pub(super) fn sprung(&mut self, seat: usize, boundary: Boundary, power: Power) {
        self.hits.hit(match boundary {
            Boundary::Decided => "coordinator-killed-decided",
            Boundary::Published => "coordinator-killed-published",
            Boundary::Committed => "coordinator-killed-committed",
            Boundary::HalfActed => "coordinator-killed-half-acted",
            Boundary::Acted => "coordinator-killed-acted",
            Boundary::Durable => "coordinator-killed-durable",
        });
        let away = Duration::from_ms(self.dice.between(200, 20_000));
        self.kill_seat(seat, power, away);
    }

    fn suffer_bus(&mut self, fault: &BusFault) {
        match fault {
            BusFault::BusKilled { away } => self.kill_bus(*away),
            BusFault::BusTorn { messages, away } => {
                self.kill_bus(*away);
                let lost = self.bus.tear(usize::try_from(*messages).unwrap_or(0));
                self.judge_lost();
                self.note(|| format!("the log loses its last {lost} messages"));
                if lost > 0 {
                    self.hits.hit("bus-tail-torn");
                }
            }
            BusFault::BusWiped { away } => {
                self.kill_bus(*away);
                let lost = self.bus.wipe();
                self.judge_lost();
                self.note(|| format!("the log is lost with {lost} messages"));
                if lost > 0 {
                    self.hits.hit("bus-wiped");
                }
            }
            BusFault::LogRecreated => {
                if self.bus.wipe() > 0 {
                    self.hits.hit("log-recreated");
                }
                self.judge_lost();
                // Its consumers are deleted with it.
                self.seats.iter_mut().for_each(|seat| seat.coordinator.lost_consumer());
                self.bus.ensure_log(self.now);
            }
            BusFault::LogUnsure { lasts } => {
                self.bus.is_unsure = true;
                self.later(*lasts, Ending::BusIsSure);
            }
            BusFault::BusSoftFull { lasts } => self.fill(Store::SoftFull, *lasts),
            BusFault::BusHardFull { lasts } => self.fill(Store::HardFull, *lasts),
            BusFault::BusPaused { lasts } => {
                self.pause_bus();
                self.later(*lasts, Ending::BusGoesOn);
            }
            BusFault::BusClock { step_ms, lasts } => {
                self.bus.skew_ms = *step_ms;
                self.hits.hit("bus-clock-stepped");
                self.later(*lasts, Ending::BusClock);
            }
            BusFault::AcksEmpty { count } => self.bus.acks_to_empty += count,
            BusFault::IdsForgotten => {
                if self.bus.forget_ids() > 0 {
                    self.hits.hit("ids-forgotten");
                }
            }
        }
    }

    /// Only a restart makes a full store take facts again: that is how it ends.
    fn fill(&mut self, store: Store, lasts: Duration) {
        self.bus.store = store;
        self.later(lasts, Ending::BusHasRoom);
    }

    fn suffer_line(&mut self, fault: &LineFault) {
        let (client, what, lasts) = match fault {
            LineFault::AcksLost { client, count } => {
                let client = self.client(usize::try_from(*client).unwrap_or(0));
                self.link(client).acks_to_lose += count;
                return;
            }
            LineFault::AcksLate { client, count } => {
                let client = self.client(usize::try_from(*client).unwrap_or(0));
                self.link(client).acks_to_delay += count;
                return;
            }
            LineFault::Reordered { client, lasts } => (client, Disturbance::Order, lasts),
            LineFault::WordsLost { client, lasts, .. } => (client, Disturbance::Loss, lasts),
            LineFault::Doubled { client, lasts, .. } => (client, Disturbance::Doubling, lasts),
            LineFault::Slow { client, lasts, .. } => (client, Disturbance::Delay, lasts),
            LineFault::Cut { client, to_bus, from_bus, lasts } => {
                (client, Disturbance::Cut { to_bus: *to_bus, from_bus: *from_bus }, lasts)
            }
        };
        let client = self.client(usize::try_from(*client).unwrap_or(0));
        self.disturb(client, what, fault);
        self.later(*lasts, Ending::Link { client, what });
    }

    fn disturb(&mut self, client: Client, what: Disturbance, fault: &LineFault) {
        let link = self.link(client);
        match what {
            Disturbance::Cut { to_bus, from_bus } => {
                link.to_bus.is_cut |= to_bus;
                link.from_bus.is_cut |= from_bus;
                if to_bus && from_bus {
                    self.hits.hit("cut");
                }
                self.line_broke(client);
            }
            Disturbance::Order => {
                link.to_bus.is_unordered = true;
                link.from_bus.is_unordered = true;
                self.hits.hit("reordered");
            }
            Disturbance::Loss => {
                if let LineFault::WordsLost { percent, .. } = fault {
                    link.to_bus.loss_percent = *percent;
                    link.from_bus.loss_percent = *percent;
                }
            }
            Disturbance::Doubling => {
                if let LineFault::Doubled { percent, .. } = fault {
                    link.to_bus.twice_percent = *percent;
                }
            }
            Disturbance::Delay => {
                if let LineFault::Slow { delay, .. } = fault {
                    let us = delay.as_ms() * 1000;
                    link.to_bus.delay_us = (us / 2, us);
                    link.from_bus.delay_us = (us / 2, us);
                }
            }
        }
    }
}
