//! One client of the bus in memory: what it may do follows from its role, as on the real bus.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::hub::{Held, Hub, Listener, Log, Question, matches};
use super::reader::MemoryReader;
use crate::bus::health::{BusHealth, Denial, Link, Pulse};
use crate::bus::log::{LogInfo, LogSettings};
use crate::bus::publish::PUBLISH_WINDOW;
use crate::bus::serve::{Heard, Inbox};
use crate::bus::told::{BusRefusal, Published, Told};
use crate::codec::{FACT_BYTES_MAX, MESSAGE_BYTES_MAX, decode, encode};
use crate::envelope::Envelope;
use crate::id::ClusterName;
use crate::subject::{Permissions, Role, Subject, stream_name};

/// Messages that wait in one inbox before further ones are dropped.
const INBOX_CAPACITY: usize = 8192;

/// How long a question may be answered; the real bus is configured so.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(in crate::bus) struct MemoryClient {
    member: Arc<Member>,
}

/// A connection; the node counts as gone when the last holder lets go of it.
#[derive(Debug)]
pub(super) struct Member {
    hub: Arc<Hub>,
    number: u64,
    pub(super) role: Role,
    permissions: Permissions,
    pub(super) pulse: Pulse,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        let number = self.number;
        state.listeners.retain(|listener| listener.member != number);
        if state.reaches(&self.role) {
            state.report_gone(&self.role);
        }
    }
}

impl MemoryClient {
    pub(super) fn new(hub: &Arc<Hub>, role: Role) -> Self {
        let permissions = role.permissions(&hub.cluster);
        let pulse = Pulse::new();
        let mut state = hub.state();
        if state.reaches(&role) {
            pulse.set_link(Link::Up);
        }
        let member = Arc::new(Member { hub: Arc::clone(hub), number: state.number(), role, permissions, pulse });
        state.members.retain(|member| member.strong_count() > 0);
        state.members.push(Arc::downgrade(&member));
        drop(state);
        Self { member }
    }

    pub(in crate::bus) fn role(&self) -> &Role {
        &self.member.role
    }

    pub(in crate::bus) fn cluster(&self) -> &ClusterName {
        &self.hub().cluster
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.member.hub
    }

    pub(in crate::bus) fn health(&self) -> BusHealth {
        self.member.pulse.snapshot()
    }

    pub(in crate::bus) fn watch(&self) -> tokio::sync::watch::Receiver<BusHealth> {
        self.member.pulse.subscribe()
    }

    pub(in crate::bus) fn is_up(&self) -> bool {
        self.hub().state().reaches(&self.member.role)
    }

    pub(in crate::bus) async fn wait_up(&self, longest: Duration) -> bool {
        let mut changes = self.hub().changes();
        let poll = async { while !self.is_up() && changes.changed().await.is_ok() {} };
        tokio::time::timeout(longest, poll).await.is_ok()
    }

    pub(in crate::bus) fn publish(&self, subject: &Subject, facts: &[Envelope]) -> Vec<Told<Published>> {
        let subject = subject.to_string();
        let mut results = Vec::with_capacity(facts.len());
        for fact in facts {
            // While the bus stands still, what leaves before the first word is missed has left.
            let is_standing = self.hub().state().held.is_some() && results.len() < PUBLISH_WINDOW;
            if !is_standing && !results.iter().all(Told::is_done) {
                break;
            }
            results.push(self.publish_one(&subject, fact));
        }
        results.resize(facts.len(), Told::Unknown);
        self.hub().changed();
        results
    }

    fn publish_one(&self, subject: &str, fact: &Envelope) -> Told<Published> {
        let payload = Bytes::from(encode(fact));
        if payload.len() > FACT_BYTES_MAX {
            return Told::Refused(BusRefusal::TooLong { bytes: payload.len(), max: FACT_BYTES_MAX });
        }
        let mut state = self.hub().state();
        if !state.reaches(self.role()) {
            return Told::Unknown;
        }
        if !self.may_publish(subject) {
            return Told::Refused(self.denied(subject, false));
        }
        if take_one(&mut state.facts_to_lose) {
            return Told::Unknown;
        }
        if let Some(held) = &mut state.held {
            held.push(Held::Fact { subject: subject.to_owned(), fact: Box::new(fact.clone()), payload });
            return Told::Unknown;
        }
        let told = state.take(self.cluster(), subject, fact, &payload);
        if told.is_done() && take_one(&mut state.acks_to_lose) { Told::Unknown } else { told }
    }

    /// False: the message is lost.
    pub(in crate::bus) fn tell(&self, subject: &Subject, message: &Envelope) -> bool {
        let payload = encode(message);
        let subject = subject.to_string();
        if payload.len() > MESSAGE_BYTES_MAX || !self.is_up() {
            return false;
        }
        if !self.may_publish(&subject) {
            // The real bus says so only later, and not to the caller.
            self.denied(&subject, false);
            return true;
        }
        self.carry(Heard { subject, payload: payload.into(), reply_to: None }).is_none_or(|_| true)
    }

    pub(in crate::bus) async fn request(
        &self,
        subject: &Subject,
        question: &Envelope,
        timeout: Duration,
    ) -> Told<Envelope> {
        let payload = encode(question);
        if payload.len() > MESSAGE_BYTES_MAX {
            return Told::Refused(BusRefusal::TooLong { bytes: payload.len(), max: MESSAGE_BYTES_MAX });
        }
        let subject = subject.to_string();
        if !self.is_up() {
            return Told::Unknown;
        }
        if !self.may_publish(&subject) {
            return Told::Refused(self.denied(&subject, false));
        }
        let (address, answer) = self.address();
        let heard = Heard { subject: subject.clone(), payload: payload.into(), reply_to: Some(address.clone()) };
        if self.carry(heard) == Some(false) {
            self.hub().state().waiting.remove(&address);
            return Told::Refused(BusRefusal::NobodyListens { subject });
        }
        let answer = tokio::time::timeout(timeout, answer).await;
        self.hub().state().waiting.remove(&address);
        match answer {
            Ok(Ok(bytes)) => decode(&bytes, MESSAGE_BYTES_MAX).map_or(Told::Unknown, Told::Done),
            Ok(Err(_)) | Err(_) => Told::Unknown,
        }
    }

    pub(in crate::bus) fn listen(&self, filter: &str, reply_prefix: Option<String>) -> Told<Inbox> {
        let (sender, receiver) = mpsc::channel(INBOX_CAPACITY);
        let allowed = self.member.permissions.subscribe.iter().any(|allowed| covers(allowed, filter));
        if allowed {
            let listener =
                Listener { member: self.member.number, role: self.role().clone(), filter: filter.to_owned(), sender };
            self.hub().state().listeners.push(listener);
        } else {
            // As on the real bus the inbox exists, and ends.
            self.denied(filter, true);
        }
        Told::Done(Inbox::memory(receiver, self.clone(), reply_prefix))
    }

    /// False: the answer did not leave. One that comes too late, or a second one, leaves and reaches nobody.
    pub(in crate::bus) fn reply(&self, address: &str, payload: Bytes) -> bool {
        let mut state = self.hub().state();
        if !self.member.permissions.replies || !state.reaches(self.role()) {
            return false;
        }
        let question = state.waiting.remove(address).filter(|question| question.asked_at.elapsed() < ANSWER_MAX);
        if let Some(question) = question {
            let _ = question.answer.send(payload);
        }
        true
    }

    pub(in crate::bus) fn ensure_log(&self, settings: &LogSettings) -> Told<LogInfo> {
        let stream = stream_name(self.cluster());
        let mut state = self.hub().state();
        if !state.answers(self.role()) {
            return Told::Unknown;
        }
        if !self.reads_log() || (state.log.is_none() && *self.role() != Role::Coordinator) {
            return Told::Refused(self.denied(&stream, false));
        }
        if state.log.is_none() {
            let created = state.tick();
            state.log = Some(Log::new(created, settings.max_bytes));
        }
        drop(state);
        self.hub().changed();
        self.log_info()
    }

    pub(in crate::bus) fn log_info(&self) -> Told<LogInfo> {
        let stream = stream_name(self.cluster());
        let state = self.hub().state();
        if !state.answers(self.role()) {
            return Told::Unknown;
        }
        if !self.reads_log() {
            return Told::Refused(self.denied(&stream, false));
        }
        match &state.log {
            Some(log) => {
                let (state, notes) = (log.state(), Vec::new());
                Told::Done(LogInfo { state, replicas: 1, is_from_leader: true, server_version: None, notes })
            }
            None => Told::Refused(BusRefusal::NoLog { stream }),
        }
    }

    pub(in crate::bus) fn read_log(&self, after: u64) -> MemoryReader {
        MemoryReader::new(self.clone(), after)
    }

    fn reads_log(&self) -> bool {
        !matches!(self.role(), Role::Agent(_))
    }

    fn may_publish(&self, subject: &str) -> bool {
        self.member.permissions.publish.iter().any(|allowed| matches(allowed, subject))
    }

    fn denied(&self, subject: &str, subscription: bool) -> BusRefusal {
        self.member.pulse.deny(Denial { subject: subject.to_owned(), subscription });
        BusRefusal::NotPermitted { subject: subject.to_owned() }
    }

    fn address(&self) -> (String, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.hub().state();
        let address = format!("{}.m{}", self.role().inbox_prefix(), state.number());
        let question = Question { asker: self.role().clone(), answer: sender, asked_at: Instant::now() };
        state.waiting.insert(address.clone(), question);
        (address, receiver)
    }

    /// Whether anybody heard it; `None` when that cannot be known, because it is lost or still under way.
    fn carry(&self, heard: Heard) -> Option<bool> {
        let mut state = self.hub().state();
        if take_one(&mut state.messages_to_lose) {
            return None;
        }
        if let Some(held) = &mut state.held {
            held.push(Held::Message(heard));
            return None;
        }
        if state.delay.is_zero() {
            return Some(state.deliver(&heard));
        }
        let delay = state.delay;
        drop(state);
        let hub = Arc::clone(self.hub());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            hub.state().deliver(&heard);
        });
        None
    }
}

/// Whether a permission covers a whole filter: each wildcard of the filter must meet one at least as wide.
fn covers(allowed: &str, filter: &str) -> bool {
    let mut wanted = filter.split('.');
    for token in allowed.split('.') {
        match (token, wanted.next()) {
            (">", Some(_)) => return true,
            ("*", Some(wanted)) if wanted != ">" => {}
            (token, Some(wanted)) if token == wanted => {}
            _ => return false,
        }
    }
    wanted.next().is_none()
}

fn take_one(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_permission_covers_only_what_is_narrower() {
        for (allowed, filter, covered) in [
            ("a.*", "a.b", true),
            ("a.*", "a.*", true),
            ("a.*", "a.>", false),
            ("a.>", "a.>", true),
            ("a.b", "a.*", false),
            ("a.b", "a.b", true),
        ] {
            assert_eq!(covers(allowed, filter), covered, "{allowed} {filter}");
        }
    }
}
