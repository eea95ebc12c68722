//! The state of the bus in memory: the log, who listens, who waits for an answer, and which faults are set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::client::Member;
use crate::bus::health::Link;
use crate::bus::log::LogState;
use crate::bus::reader::LogMessage;
use crate::bus::serve::Heard;
use crate::id::{ClusterName, NodeId};
use crate::subject::Role;
use crate::time::{Duration as Length, Timestamp, after};

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) cluster: ClusterName,
    state: Mutex<State>,
    /// Counts changes, for those who wait for one.
    version: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) online: bool,
    pub(super) cut: BTreeSet<Role>,
    pub(super) log: Option<Log>,
    /// Ids that the log has taken; survives a torn tail no more than the facts do.
    pub(super) seen: BTreeMap<Uuid, u64>,
    pub(super) listeners: Vec<Listener>,
    pub(super) waiting: BTreeMap<String, oneshot::Sender<Bytes>>,
    pub(super) members: Vec<Weak<Member>>,
    pub(super) watchers: Vec<mpsc::Sender<NodeId>>,
    pub(super) next_number: u64,
    pub(super) clock: Timestamp,
    pub(super) full: bool,
    pub(super) delay: Duration,
    pub(super) acks_to_lose: u32,
    pub(super) facts_to_lose: u32,
    pub(super) messages_to_lose: u32,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) created: Timestamp,
    pub(super) last_seq: u64,
    pub(super) messages: Vec<LogMessage>,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) member: u64,
    pub(super) role: Role,
    pub(super) filter: String,
    pub(super) sender: mpsc::Sender<Heard>,
}

impl Hub {
    pub(super) fn new(cluster: ClusterName) -> Self {
        let state = State {
            online: true,
            cut: BTreeSet::new(),
            log: None,
            seen: BTreeMap::new(),
            listeners: Vec::new(),
            waiting: BTreeMap::new(),
            members: Vec::new(),
            watchers: Vec::new(),
            next_number: 1,
            clock: Timestamp::UNIX_EPOCH,
            full: false,
            delay: Duration::ZERO,
            acks_to_lose: 0,
            facts_to_lose: 0,
            messages_to_lose: 0,
        };
        Self { cluster, state: Mutex::new(state), version: watch::Sender::new(0) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for a change.
    pub(super) fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Tells every client how its link stands. Members are let go outside the lock: the last one takes it when it goes.
    pub(super) fn show_links(&self, up: Link) {
        let members: Vec<_> = self.state().members.clone();
        for member in members.iter().filter_map(Weak::upgrade) {
            let reachable = up == Link::Up && self.state().reaches(&member.role);
            let link = if reachable { Link::Up } else { Link::Down };
            if member.pulse.snapshot().link != link {
                member.pulse.set_link(link);
            }
        }
        self.changed();
    }
}

impl State {
    pub(super) fn reaches(&self, role: &Role) -> bool {
        self.online && !self.cut.contains(role)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Moves the server's clock and returns what it shows.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.clock = after(self.clock, Length::from_ms(1));
        self.clock
    }

    /// Hands a message to every listener that is reachable; false when there is none.
    pub(super) fn deliver(&mut self, heard: &Heard) -> bool {
        self.listeners.retain(|listener| !listener.sender.is_closed());
        let mut found = false;
        for listener in &self.listeners {
            if self.reaches(&listener.role) && matches(&listener.filter, &heard.subject) {
                found = true;
                // A listener that does not keep up misses messages, as on the real bus.
                let _ = listener.sender.try_send(heard.clone());
            }
        }
        found
    }

    pub(super) fn report_gone(&mut self, role: &Role) {
        self.watchers.retain(|watcher| !watcher.is_closed());
        if let Role::Agent(node) = role {
            for watcher in &self.watchers {
                let _ = watcher.try_send(node.clone());
            }
        }
    }

    pub(super) fn tear_tail(&mut self, count: usize) {
        if let Some(log) = &mut self.log {
            let kept = log.messages.len().saturating_sub(count);
            log.messages.truncate(kept);
            log.last_seq = log.messages.last().map_or(0, |message| message.seq);
            let last_seq = log.last_seq;
            self.seen.retain(|_, seq| *seq <= last_seq);
        }
    }

    pub(super) fn wipe(&mut self) {
        self.log = None;
        self.seen.clear();
    }
}

impl Log {
    pub(super) fn state(&self) -> LogState {
        LogState {
            created: self.created,
            first_seq: self.messages.first().map_or(0, |message| message.seq),
            last_seq: self.last_seq,
            messages: self.messages.len() as u64,
            bytes: self.messages.iter().map(|message| message.payload.len() as u64).sum(),
        }
    }
}

/// Whether a filter with `*` (one token) and a last `>` (one or more) fits a subject.
pub(super) fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn filters_fit_as_on_the_real_bus() {
        for (filter, subject, fits) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*.c", "a.b.c", true),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(matches(filter, subject), fits, "{filter} {subject}");
        }
    }
}
