//! The state of the bus in memory: the log, who listens, who waits for an answer, and which faults are set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::client::Member;
use crate::bus::health::Link;
use crate::bus::log::LogState;
use crate::bus::reader::LogMessage;
use crate::bus::serve::Heard;
use crate::bus::told::{BusRefusal, Published, Told};
use crate::envelope::Envelope;
use crate::id::{ClusterName, NodeId};
use crate::subject::{Role, stream_name};
use crate::time::{Duration as Length, Timestamp, after};

/// What the real log needs for a message besides its subject and its payload: the record's frame and the id's header.
const MESSAGE_OVERHEAD_BYTES: u64 = 90;

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
    /// The log while the server that answers does not have it.
    pub(super) hidden: Option<Log>,
    /// Ids that the log has taken; survives a torn tail no more than the facts do.
    pub(super) seen: BTreeMap<Uuid, u64>,
    pub(super) listeners: Vec<Listener>,
    pub(super) waiting: BTreeMap<String, Question>,
    pub(super) members: Vec<Weak<Member>>,
    pub(super) watchers: Vec<mpsc::Sender<NodeId>>,
    pub(super) next_number: u64,
    pub(super) clock: Timestamp,
    pub(super) full: bool,
    /// What came while the bus stood still, in order; `None` while it does not.
    pub(super) held: Option<Vec<Held>>,
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
    /// Most bytes it may take; it refuses facts rather than drop any.
    pub(super) max_bytes: Option<u64>,
    stored_bytes: u64,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) asker: Role,
    pub(super) answer: oneshot::Sender<Bytes>,
    pub(super) asked_at: Instant,
}

/// What a bus that stands still has taken in and not yet looked at.
#[derive(Debug)]
pub(super) enum Held {
    Fact { subject: String, fact: Box<Envelope>, payload: Bytes },
    Message(Heard),
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
            hidden: None,
            seen: BTreeMap::new(),
            listeners: Vec::new(),
            waiting: BTreeMap::new(),
            members: Vec::new(),
            watchers: Vec::new(),
            next_number: 1,
            clock: Timestamp::UNIX_EPOCH,
            full: false,
            held: None,
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
            let mut state = self.state();
            let reachable = up == Link::Up && state.reaches(&member.role);
            if !reachable {
                // Whoever waits for an answer learns at once that none will come over this connection.
                state.waiting.retain(|_, question| question.asker != member.role);
            }
            drop(state);
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

    /// Whether the bus itself would answer a client of this role.
    pub(super) fn answers(&self, role: &Role) -> bool {
        self.reaches(role) && self.held.is_none()
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

    /// Writes a fact into the log, unless it stands there, or there is no room.
    pub(super) fn take(
        &mut self,
        cluster: &ClusterName,
        subject: &str,
        fact: &Envelope,
        payload: &Bytes,
    ) -> Told<Published> {
        let Some(log) = &self.log else {
            return Told::Refused(BusRefusal::NoLog { stream: stream_name(cluster) });
        };
        if let Some(seq) = self.seen.get(&fact.id) {
            return Told::Done(Published { seq: *seq, duplicate: true });
        }
        if self.full || !log.has_room(subject, payload) {
            return Told::Refused(BusRefusal::LogFull { detail: "maximum bytes exceeded".to_owned() });
        }
        let (seq, time) = (log.last_seq + 1, self.tick());
        let message = LogMessage { seq, subject: subject.to_owned(), payload: payload.clone(), time };
        if let Some(log) = &mut self.log {
            log.push(message);
        }
        self.seen.insert(fact.id, seq);
        self.deliver(&Heard { subject: subject.to_owned(), payload: payload.clone(), reply_to: None });
        Told::Done(Published { seq, duplicate: false })
    }

    /// Goes on where it stood still: what came meanwhile happens now, and nobody is told.
    pub(super) fn go_on(&mut self, cluster: &ClusterName) {
        for held in self.held.take().unwrap_or_default() {
            match held {
                Held::Fact { subject, fact, payload } => {
                    let _ = self.take(cluster, &subject, &fact, &payload);
                }
                Held::Message(heard) => {
                    self.deliver(&heard);
                }
            }
        }
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
            log.tear(count);
            let last_seq = log.last_seq;
            self.seen.retain(|_, seq| *seq <= last_seq);
        }
    }

    pub(super) fn set_hidden(&mut self, hidden: bool) {
        if hidden {
            self.hidden = self.log.take().or_else(|| self.hidden.take());
        } else if let Some(log) = self.hidden.take() {
            // A log that was made meanwhile is the one that is there.
            self.log.get_or_insert(log);
        }
    }

    pub(super) fn wipe(&mut self) {
        self.log = None;
        self.seen.clear();
    }
}

fn stored_bytes(subject: &str, payload: &Bytes) -> u64 {
    (subject.len() + payload.len()) as u64 + MESSAGE_OVERHEAD_BYTES
}

impl Log {
    pub(super) const fn new(created: Timestamp, max_bytes: Option<u64>) -> Self {
        Self { created, last_seq: 0, messages: Vec::new(), max_bytes, stored_bytes: 0 }
    }

    fn has_room(&self, subject: &str, payload: &Bytes) -> bool {
        self.max_bytes.is_none_or(|max| self.stored_bytes + stored_bytes(subject, payload) <= max)
    }

    fn push(&mut self, message: LogMessage) {
        self.last_seq = message.seq;
        self.stored_bytes += stored_bytes(&message.subject, &message.payload);
        self.messages.push(message);
    }

    fn tear(&mut self, count: usize) {
        self.messages.truncate(self.messages.len().saturating_sub(count));
        self.last_seq = self.messages.last().map_or(0, |message| message.seq);
        self.stored_bytes = self.messages.iter().map(|message| stored_bytes(&message.subject, &message.payload)).sum();
    }

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
