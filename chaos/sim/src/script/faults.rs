//! The bad luck that stories name, in words.

use anyhow::Context;
use landfall_proto::report::Reason;
use landfall_proto::time::Duration;
use serde::de::DeserializeOwned;

use super::scene::number;
use super::stage::Stage;
use crate::coordinator::{Boundary, Power};
use crate::fault::{
    AgentBoundary, AgentPlace, BusFault, CoordinatorFault, Fault, IllWill, LineFault, NodeFault, Poison,
    RepositoryTrouble, SpoolTrouble,
};
use crate::node::{Behaviour, HostFault, ToolKind};

impl Stage {
    /// Verbs of bad luck; false where it is none.
    pub(super) fn befall(&mut self, words: &[&str]) -> anyhow::Result<bool> {
        if let ["tool", node, rest @ ..] = words {
            self.tool(node, rest)?;
            return Ok(true);
        }
        let mut fault = None;
        for kind in [Self::of_process, Self::of_disk, Self::of_repository, Self::of_line, Self::of_will] {
            fault = kind(self, words)?;
            if fault.is_some() {
                break;
            }
        }
        let Some(fault) = fault else { return Ok(false) };
        self.world()?.suffer(&fault);
        Ok(true)
    }

    /// Processes and machines that end, stand still, or show the wrong time.
    fn of_process(&mut self, words: &[&str]) -> anyhow::Result<Option<Fault>> {
        let power = |word: &str| if word == "kill" { Power::Process } else { Power::Machine };
        Ok(Some(match words {
            ["kill", "bus", "for", away] => Fault::Bus(BusFault::BusKilled { away: time(away)? }),
            ["kill", "coordinators", "for", away] => {
                Fault::Coordinator(CoordinatorFault::CoordinatorsGone { away: time(away)? })
            }
            [word @ ("kill" | "power-off"), who, "for", away] => {
                let (power, away) = (power(word), time(away)?);
                self.killed(who, power, None, away)?
            }
            [word @ ("kill" | "power-off"), who, "at", place, "for", away] => {
                let (power, away) = (power(word), time(away)?);
                self.killed(who, power, Some(place), away)?
            }
            ["stop", node, "for", away] => {
                Fault::Node(NodeFault::AgentStopped { node: self.node_number(node)?, away: time(away)? })
            }
            ["freeze", "bus", "for", lasts] => Fault::Bus(BusFault::BusPaused { lasts: time(lasts)? }),
            ["freeze", who, "for", lasts] => {
                let coordinator = self.seat_number(who)?;
                Fault::Coordinator(CoordinatorFault::CoordinatorPaused { coordinator, lasts: time(lasts)? })
            }
            ["clock", "bus", step, "for", lasts] => {
                Fault::Bus(BusFault::BusClock { step_ms: step_ms(step)?, lasts: time(lasts)? })
            }
            ["clock", who, step, "for", lasts] => {
                let (step_ms, lasts) = (step_ms(step)?, time(lasts)?);
                match self.node(who) {
                    Ok(_) => Fault::Node(NodeFault::NodeClock { node: self.node_number(who)?, step_ms, lasts }),
                    Err(_) => {
                        let coordinator = self.seat_number(who)?;
                        Fault::Coordinator(CoordinatorFault::CoordinatorClock { coordinator, step_ms, lasts })
                    }
                }
            }
            ["sinks", "fail", "for", lasts] => Fault::Coordinator(CoordinatorFault::SinksFail { lasts: time(lasts)? }),
            _ => return Ok(None),
        }))
    }

    fn killed(&mut self, who: &str, power: Power, place: Option<&str>, away: Duration) -> anyhow::Result<Fault> {
        if self.node(who).is_ok() {
            let boundary = match place {
                None => AgentBoundary::Anywhere,
                Some(place) => AgentBoundary::At(named::<AgentPlace>(place)?),
            };
            return Ok(Fault::Node(NodeFault::AgentKilled { node: self.node_number(who)?, boundary, power, away }));
        }
        let coordinator = self.seat_number(who)?;
        let boundary = place.map(named::<Boundary>).transpose()?;
        Ok(Fault::Coordinator(CoordinatorFault::CoordinatorKilled { coordinator, boundary, power, away }))
    }

    /// What is lost, full, rotten, copied or set back.
    fn of_disk(&mut self, words: &[&str]) -> anyhow::Result<Option<Fault>> {
        let spool = |trouble| move |node| Fault::Node(NodeFault::AgentSpoolLost { node, trouble });
        Ok(Some(match words {
            ["wipe", "bus", "for", away] => Fault::Bus(BusFault::BusWiped { away: time(away)? }),
            ["tear", messages, "messages", "for", away] => {
                Fault::Bus(BusFault::BusTorn { messages: number(messages)?, away: time(away)? })
            }
            ["recreate", "log"] => Fault::Bus(BusFault::LogRecreated),
            ["confirm", "nothing", count] => Fault::Bus(BusFault::AcksEmpty { count: number(count)? }),
            ["doubt", "log", "for", lasts] => Fault::Bus(BusFault::LogUnsure { lasts: time(lasts)? }),
            ["forget", "ids"] => Fault::Bus(BusFault::IdsForgotten),
            ["fill", "bus", "softly", "for", lasts] => Fault::Bus(BusFault::BusSoftFull { lasts: time(lasts)? }),
            ["fill", "bus", "for", lasts] => Fault::Bus(BusFault::BusHardFull { lasts: time(lasts)? }),
            ["fill", node, "for", lasts] if node.starts_with("node") => {
                Fault::Node(NodeFault::AgentDiskFull { node: self.node_number(node)?, lasts: time(lasts)? })
            }
            ["fill", "outbox", node, "beyond", keeps, "facts", "for", lasts] => {
                let (node, keeps) = (self.node_number(node)?, number(keeps)?);
                Fault::Node(NodeFault::OutboxFull { node, keeps, lasts: time(lasts)? })
            }
            ["fill", "ledger", who, "for", lasts] => {
                let coordinator = self.seat_number(who)?;
                Fault::Coordinator(CoordinatorFault::CoordinatorDiskFull { coordinator, lasts: time(lasts)? })
            }
            ["rot", "spool", node] => spool(SpoolTrouble::Rotten)(self.node_number(node)?),
            ["lose", "spool", node] => spool(SpoolTrouble::Gone)(self.node_number(node)?),
            ["lose", "state", node] => spool(SpoolTrouble::Everything)(self.node_number(node)?),
            ["lose", "ledger", who, "for", away] => {
                let coordinator = self.seat_number(who)?;
                Fault::Coordinator(CoordinatorFault::CoordinatorLedgerLost { coordinator, away: time(away)? })
            }
            ["clone", node, "for", lasts] => {
                Fault::Node(NodeFault::NodeDuplicated { node: self.node_number(node)?, lasts: time(lasts)? })
            }
            ["roll", "back", node, "after", wait] => {
                Fault::Node(NodeFault::NodeRolledBack { node: self.node_number(node)?, after: time(wait)? })
            }
            _ => return Ok(None),
        }))
    }

    /// Repositories: the only one, unless a number from 1 says which.
    fn of_repository(&mut self, words: &[&str]) -> anyhow::Result<Option<Fault>> {
        use RepositoryTrouble::{Full, Locked, Robbed, Rotten, Unreachable};
        let (trouble, lasts, which) = match words {
            ["fill", "repository", "for", lasts] => (Full, time(lasts)?, 0),
            ["lock", "repository", "for", lasts] => (Locked, time(lasts)?, 0),
            ["unplug", "repository", "for", lasts] => (Unreachable, time(lasts)?, 0),
            ["rot", "snapshot", which] => (Rotten, Duration::from_secs(1), number(which)?.saturating_sub(1)),
            ["remove", "snapshot", which] => (Robbed, Duration::from_secs(1), number(which)?.saturating_sub(1)),
            _ => return Ok(None),
        };
        Ok(Some(Fault::Node(NodeFault::Repository { repository: which, trouble, lasts })))
    }

    fn of_line(&mut self, words: &[&str]) -> anyhow::Result<Option<Fault>> {
        Ok(Some(Fault::Line(match words {
            ["cut", who, "for", lasts] => self.cut(who, (true, true), lasts)?,
            ["cut", who, "to", "bus", "for", lasts] => self.cut(who, (true, false), lasts)?,
            ["cut", who, "from", "bus", "for", lasts] => self.cut(who, (false, true), lasts)?,
            ["lose", "acks", who, count] => {
                LineFault::AcksLost { client: self.client_number(who)?, count: number(count)? }
            }
            ["reorder", who, "for", lasts] => {
                LineFault::Reordered { client: self.client_number(who)?, lasts: time(lasts)? }
            }
            ["double", who, "for", lasts] => {
                LineFault::Doubled { client: self.client_number(who)?, percent: 100, lasts: time(lasts)? }
            }
            ["slow", who, delay, "for", lasts] => {
                LineFault::Slow { client: self.client_number(who)?, delay: time(delay)?, lasts: time(lasts)? }
            }
            _ => return Ok(None),
        })))
    }

    fn cut(&mut self, who: &str, (to_bus, from_bus): (bool, bool), lasts: &str) -> anyhow::Result<LineFault> {
        Ok(LineFault::Cut { client: self.client_number(who)?, to_bus, from_bus, lasts: time(lasts)? })
    }

    fn of_will(&mut self, words: &[&str]) -> anyhow::Result<Option<Fault>> {
        Ok(Some(match words {
            ["poison", kind, node] => {
                let poison = named::<Poison>(kind)?;
                Fault::Will(IllWill::Poisoned { poison, node: self.node_number(node)? })
            }
            ["replay", "command", node] => Fault::Will(IllWill::RequestReplayed { node: self.node_number(node)? }),
            ["forge", "command", node] => Fault::Will(IllWill::RequestUnsigned { node: self.node_number(node)? }),
            ["delay", "commands", node, count, "by", by] => {
                let node = self.node_number(node)?;
                Fault::Will(IllWill::RequestsLate { node, count: number(count)?, by: time(by)? })
            }
            ["repeat", count, "facts"] => Fault::Will(IllWill::Duplicated { count: number(count)? }),
            ["change", "plan", node] => Fault::Node(NodeFault::PlanChanged { node: self.node_number(node)? }),
            ["tire", node, "for", lasts] => {
                Fault::Node(NodeFault::NodeTired { node: self.node_number(node)?, lasts: time(lasts)? })
            }
            _ => return Ok(None),
        }))
    }

    /// How a node's tool behaves from now on; `well` ends it.
    fn tool(&mut self, node: &str, words: &[&str]) -> anyhow::Result<()> {
        let index = self.node(node)?;
        let world = self.world()?;
        let mut behaviour = Behaviour { transfer: world.options.tool_takes, ..Behaviour::default() };
        behaviour.kind = match words {
            ["works", "well"] => ToolKind::Ok,
            ["takes", transfer] => {
                behaviour.transfer = time(transfer)?;
                ToolKind::Ok
            }
            ["outlives", "its", "agent"] => {
                behaviour.outlives_agent = true;
                ToolKind::Ok
            }
            ["hangs"] => ToolKind::Hang,
            ["lies"] => ToolKind::Lies,
            ["leaves", "a", "part"] => ToolKind::Partial,
            ["cannot", "read", count, "files"] => ToolKind::Unread(number(count)?),
            ["crashes"] => ToolKind::Crashes,
            ["fails", "with", reason] => ToolKind::Fails(named::<Reason>(reason)?),
            ["fails", times, "times", "with", reason] => {
                ToolKind::FailsAtFirst { reason: named::<Reason>(reason)?, times: number(times)? }
            }
            _ => anyhow::bail!("tools work well, take a time, hang, lie, crash or fail; not {:?}", words.join(" ")),
        };
        let now = world.now();
        world.nodes[index].host.fault(now, HostFault::Tool(behaviour));
        Ok(())
    }

    fn node_number(&mut self, name: &str) -> anyhow::Result<u32> {
        Ok(u32::try_from(self.node(name)?)?)
    }

    fn seat_number(&mut self, name: &str) -> anyhow::Result<u32> {
        Ok(u32::try_from(self.seat(name)?)?)
    }

    /// Nodes first, copies among them, then coordinators.
    fn client_number(&mut self, name: &str) -> anyhow::Result<u32> {
        if let Ok(node) = self.node_number(name) {
            return Ok(node);
        }
        let seat = self.seat(name)?;
        Ok(u32::try_from(self.world()?.nodes.len() + seat)?)
    }
}

fn time(text: &str) -> anyhow::Result<Duration> {
    Ok(text.parse()?)
}

/// A step of a clock, as `+1h` or `-30s`.
fn step_ms(text: &str) -> anyhow::Result<i64> {
    let (sign, size) = match text.split_at_checked(1) {
        Some(("+", size)) => (1, size),
        Some(("-", size)) => (-1, size),
        Some(_) | None => anyhow::bail!("{text:?} is no step of a clock; write +1h or -30s"),
    };
    let ms = i64::try_from(time(size)?.as_ms())?;
    Ok(sign * ms)
}

/// A value by the name that it has wherever it is written down.
fn named<T: DeserializeOwned>(name: &str) -> anyhow::Result<T> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
        .with_context(|| format!("{name:?} is not known here"))
}
