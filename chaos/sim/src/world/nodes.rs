//! Nodes in the world: their starts and ends, what they hear, and what they send.

use std::rc::Rc;

use landfall_proto::envelope::Identity;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::report::Reason;
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after, between};

use super::World;
use super::event::{Client, Event, Frame, Parcel, Receipt, Word};
use crate::bus::Told;
use crate::host::Power;
use crate::node::{In, Out, Place, Told3};

/// How long the log may take to confirm one fact.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

impl World {
    pub(super) fn boot_node(&mut self, index: usize) {
        if self.nodes[index].is_up() || self.nodes[index].is_off {
            return;
        }
        if !self.bus.is_up() {
            self.hits.hit("bus-gone-at-boot");
        }
        let now = self.now;
        let node = &mut self.nodes[index];
        node.life += 1;
        node.woken_at = None;
        node.awaiting.clear();
        let down_since = node.down_since.take();
        let mut out = Vec::new();
        node.host.boot(now, &mut self.repositories, &mut out);
        self.steps += 1;
        let id = self.nodes[index].id.clone();
        self.note(|| format!("{id} starts"));
        if down_since.is_some_and(|since| between(since, now) > self.options.slot_every) {
            self.hits.hit("node-off-over-slots");
        }
        self.connect_soon(Client::Node(index), 2, 20);
        self.send_out(index, out);
    }

    pub(super) fn kill_node(&mut self, index: usize, power: Power, away: Duration) {
        if !self.nodes[index].is_up() {
            return;
        }
        let now = self.now;
        self.nodes[index].host.kill(now, power);
        self.node_died(index, power, away);
    }

    /// The process is gone already; its line goes with it, and it comes back after a while.
    pub(super) fn node_died(&mut self, index: usize, power: Power, away: Duration) {
        self.hits.hit("agent-killed");
        if power == Power::Machine {
            self.hits.hit("agent-power-lost");
        }
        if self.nodes[index].host.has_tool() {
            self.hits.hit("tool-outlived");
        }
        let id = self.nodes[index].id.clone();
        self.note(|| format!("{id} dies ({power:?})"));
        self.drop_link(Client::Node(index));
        let now = self.now;
        let node = &mut self.nodes[index];
        node.life += 1;
        node.down_since = Some(now);
        self.queue.put(after(now, away), Event::NodeBoots(index));
    }

    /// Hands one input to the machine and does what follows.
    pub(super) fn give(&mut self, index: usize, input: In) {
        let now = self.now;
        let mut out = Vec::new();
        self.nodes[index].host.take(now, &mut self.repositories, input, &mut out);
        self.steps += 1;
        self.send_out(index, out);
    }

    /// Whether what the machine has deleted had been safe in some ledger by then.
    fn judge_deleted(&mut self, index: usize) {
        let seats = &self.seats;
        for deleted in self.nodes[index].host.deleted() {
            let was_held = seats.iter().any(|seat| seat.coordinator.ledger.has_held(&deleted.identity));
            deleted.is_durable_elsewhere = Some(was_held);
        }
    }

    fn send_out(&mut self, index: usize, out: Vec<Out>) {
        self.judge_deleted(index);
        for wish in out {
            match wish {
                Out::Publish(envelope) => self.node_publishes(index, &envelope),
                Out::Beat(beat) => {
                    self.nodes[index].last_beat = Some((*beat).clone());
                    self.send(Client::Node(index), Frame::Word(Word::Beat(Rc::new(*beat))));
                }
                Out::Answer { question, answer } => self.send(Client::Node(index), Frame::Answer { question, answer }),
                Out::Alarm(alarm) => {
                    let id = self.nodes[index].id.clone();
                    self.note(|| format!("{id} cries out: {alarm:?}"));
                }
                Out::Died { place, power } => {
                    if let Some(hit) = hit_of(place) {
                        self.hits.hit(hit);
                    }
                    let away = self.nodes[index].away;
                    self.node_died(index, power, away);
                }
                Out::Hit(name) => self.hits.hit(name),
                Out::Note(line) => {
                    let id = self.nodes[index].id.clone();
                    self.note(|| format!("{id}: {line}"));
                }
            }
        }
        self.wake_node(index);
    }

    fn node_publishes(&mut self, index: usize, envelope: &landfall_proto::envelope::Envelope) {
        let client = Client::Node(index);
        let node = &mut self.nodes[index];
        node.attempts += 1;
        let (attempt, life, identity) = (node.attempts, node.life, envelope.identity());
        node.awaiting.insert(identity.clone(), attempt);
        // Without a connection the client says at once that it cannot know.
        let wait = if node.link.is_connected { CONFIRM_WITHIN } else { Duration::from_ms(1) };
        let topic = Topic::NodeFact(node.id.clone());
        let at = after(self.now, wait);
        self.queue.put(at, Event::NodeGivesUp { node: index, life, identity: identity.clone(), attempt });
        self.note(|| format!("{} says {} {}", envelope.writer, envelope.kind, envelope.seq));
        self.count_result(envelope);
        self.publish(client, topic, envelope, Receipt::Node(identity, attempt));
    }

    /// What a tool or a repository did to a run is seen in what the node says of it.
    fn count_result(&mut self, envelope: &landfall_proto::envelope::Envelope) {
        let reason = match AgentFact::decode(&envelope.kind, &envelope.body) {
            Ok(Some(AgentFact::RunFinished(finished))) => {
                let report = &finished.report;
                if report.unread.count > 0 || report.reason == Reason::SourceUnreadable {
                    self.hits.hit("tool-unread");
                }
                if report.attempts > 1 && report.outcome.is_good() {
                    self.hits.hit("tool-failed-once");
                }
                if between(report.started_at, report.finished_at) > self.options.slot_every {
                    self.hits.hit("tool-slow");
                }
                report.reason
            }
            Ok(Some(AgentFact::RunRetried(retried))) => retried.reason,
            Ok(_) | Err(_) => return,
        };
        if reason == Reason::Killed {
            self.hits.hit("tool-crashed");
        }
        if matches!(reason, Reason::Stalled | Reason::TimedOut) {
            self.hits.hit("tool-hung");
        }
        if reason == Reason::Network && self.unreachable > 0 {
            self.hits.hit("repository-unreachable");
        }
    }

    pub(super) fn node_gives_up(&mut self, index: usize, life: u64, identity: &Identity, attempt: u64) {
        let node = &mut self.nodes[index];
        if node.life != life || node.awaiting.get(identity) != Some(&attempt) {
            return;
        }
        node.awaiting.remove(identity);
        self.give(index, In::Ack { identity: identity.clone(), told: Told3::Unknown });
    }

    pub(super) fn at_node(&mut self, index: usize, parcel: Parcel) {
        if !self.nodes[index].is_up() {
            return;
        }
        match parcel {
            Parcel::Confirmed(Receipt::Node(identity, attempt), told) => self.node_told(index, identity, attempt, told),
            Parcel::Word(Word::Beacon(beacon)) => self.give(index, In::Beacon((*beacon).clone())),
            Parcel::Word(Word::Sync(_, sync)) => self.give(index, In::Sync((*sync).clone())),
            Parcel::Command(letter) => {
                if !self.questions.contains_key(&letter.question) && letter.question > 0 {
                    self.hits.hit("request-late");
                }
                let command = Box::new((*letter.command).clone());
                let (question, from, is_signed) = (letter.question, letter.from, letter.is_signed);
                self.give(index, In::Command { question, from, command, is_signed });
            }
            Parcel::Confirmed(Receipt::Seat(_), _)
            | Parcel::Word(Word::Beat(_) | Word::Presence(_))
            | Parcel::Answer { .. }
            | Parcel::Gone(_) => {}
        }
    }

    fn node_told(&mut self, index: usize, identity: Identity, attempt: u64, told: Told) {
        let node = &mut self.nodes[index];
        if node.awaiting.get(&identity) != Some(&attempt) {
            return;
        }
        node.awaiting.remove(&identity);
        let told = match told {
            Told::Done { .. } => Told3::Done,
            Told::Full | Told::NoLog => Told3::Refused,
            Told::Unknown => Told3::Unknown,
        };
        self.give(index, In::Ack { identity, told });
    }

    pub(super) fn node_linked(&mut self, index: usize, is_connected: bool) {
        if self.nodes[index].is_up() {
            self.give(index, In::Link(is_connected));
        }
    }

    pub(super) fn wake_node(&mut self, index: usize) {
        let Some(at) = self.nodes[index].host.wake_at() else { return };
        self.wake_node_at(index, at);
    }

    fn wake_node_at(&mut self, index: usize, at: Timestamp) {
        let at = at.max(self.now);
        if self.nodes[index].woken_at.is_none_or(|known| at < known) {
            self.nodes[index].woken_at = Some(at);
            self.queue.put(at, Event::NodeWakes(index));
        }
    }

    pub(super) fn node_wakes(&mut self, index: usize) {
        if self.nodes[index].woken_at != Some(self.now) {
            return;
        }
        self.nodes[index].woken_at = None;
        let Some(at) = self.nodes[index].host.wake_at() else { return };
        if at > self.now {
            return self.wake_node_at(index, at);
        }
        self.give(index, In::Woke);
        // Whatever is due at the very same instant again is looked at a moment later.
        if self.nodes[index].woken_at == Some(self.now) {
            let next = after(self.now, Duration::from_ms(1));
            self.nodes[index].woken_at = Some(next);
            self.queue.put(next, Event::NodeWakes(index));
        }
    }
}

const fn hit_of(place: Place) -> Option<&'static str> {
    Some(match place {
        Place::BeforeIntent => "agent-killed-before-intent",
        Place::BeforeCommit => "agent-killed-before-commit",
        Place::AfterCommit => "agent-killed-after-commit",
        Place::BetweenEffects => "agent-killed-between-effects",
        Place::IntentWritten => "agent-killed-intent-written",
        Place::AfterIntent => "agent-killed-after-intent",
        Place::AfterSpawn => "agent-killed-after-spawn",
        Place::WhileToolRuns => "agent-killed-while-tool-runs",
        Place::AfterSave => "agent-killed-after-save",
        Place::BeforeReceipt => "agent-killed-before-receipt",
        Place::ReceiptWritten => "agent-killed-receipt-written",
        Place::AfterReceipt => "agent-killed-after-receipt",
        Place::AfterPublish => "agent-killed-after-publish",
        Place::AfterAck => "agent-killed-after-ack",
        Place::Stopped => return None,
    })
}
