//! What the coordinator does to the world: decisions to the log, commands, notices, replies, and the words that repeat.

use std::time::Duration;

use landfall_proto::bus::Told;
use landfall_proto::codec::encode;
use landfall_proto::control::{REPLY_KIND, Reply};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{Holder, Incarnation, NodeId};
use landfall_proto::live::{BEACON_KIND, PRESENCE_KIND, Presence, SYNC_KIND};
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::time::Timestamp;
use tokio::time::Instant;

use super::asker::Asker;
use super::bus::Event;
use super::shell::{Ended, Own, Shell};
use super::{clock, message, service};
use crate::core::step::Effect;
use crate::core::tell::standing;

/// How long an own fact may be on its way through a log that is otherwise read to its end.
const FLIGHT_MAX: Duration = Duration::from_secs(60);

/// How long the end waits for its last word to leave.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Gives answers in this coordinator's name, from any task.
#[derive(Debug, Clone)]
pub(super) struct Replier {
    holder: Holder,
    incarnation: Incarnation,
}

impl Replier {
    pub(super) async fn give(&self, asker: Asker, reply: Reply) {
        let incoming = match asker {
            Asker::Bus(incoming) => incoming,
            Asker::Here(answer) => {
                // Who asked may have gone meanwhile.
                let _ = answer.send(reply);
                return;
            }
        };
        let envelope = message(REPLY_KIND, self.holder.as_str(), self.incarnation, encode(&reply));
        if let Told::Refused(refusal) = incoming.reply(&envelope).await {
            tracing::warn!(%refusal, "a reply was not given");
        }
    }
}

impl Shell {
    /// Gives decisions their identities and hands them over in order.
    pub(super) fn publish(&mut self) {
        if self.facts.is_empty() {
            return;
        }
        let sent_at = clock::now();
        let Own { holder, incarnation, next_seq } = &mut self.own;
        let envelopes: Vec<Envelope> = std::mem::take(&mut self.facts)
            .into_iter()
            .map(|fact| {
                let identity = Identity { writer: holder.to_string(), incarnation: *incarnation, seq: *next_seq };
                *next_seq += 1;
                Envelope::fact(identity, fact.kind(), sent_at, fact.encode())
            })
            .collect();
        if let Err(error) = self.decisions.try_send(envelopes) {
            // The queue is far longer than what the core hands out before it waits; without it the order would be lost.
            tracing::error!(%error, "decisions cannot be published; they are decided again after a restart");
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Command(node, command) => {
                let (commander, events) = (self.commander.clone(), self.events.clone());
                tokio::spawn(async move {
                    let answer = commander.ask(&node, &command).await;
                    // The loop has ended where nobody takes the answer; the next process asks again.
                    let _ = events.send(Event::Answered(command.id, answer)).await;
                });
            }
            Effect::Notify(notice) => self.notifier.send(&notice),
            Effect::Reply(ticket, reply) => {
                if let Some(asker) = self.desk.close(ticket) {
                    self.reply(asker, reply);
                }
            }
        }
    }

    /// Answers an operator; slow links hold up nobody else.
    pub(super) fn reply(&self, asker: Asker, reply: Reply) {
        let replier = self.replier();
        tokio::spawn(async move { replier.give(asker, reply).await });
    }

    pub(super) fn replier(&self) -> Replier {
        Replier { holder: self.own.holder.clone(), incarnation: self.own.incarnation }
    }

    /// What repeats every second.
    pub(super) fn beat(&mut self) {
        service::alive();
        self.look();
        self.watch_flights();
        let now = clock::now();
        self.show_what_stands(now);
        if let Some(beacon) = self.mesh.beacon(now) {
            let envelope = self.message(BEACON_KIND, encode(&beacon));
            self.bus.tell(&Subject::new(self.bus.cluster(), Topic::Beacon), &envelope);
        }
        self.show(&self.mesh.presence(now));
    }

    /// Who takes over shows it at once; who does not lead, or does not see the log, knows nothing to show.
    fn show_what_stands(&mut self, now: Timestamp) {
        let Some(every) = self.notifier.resend_interval() else { return };
        if !self.mesh.acts() {
            self.shown_at = None;
        } else if self.shown_at.is_none_or(|at| at.elapsed() >= every) {
            self.shown_at = Some(Instant::now());
            self.notifier.show(standing(&self.mesh, &self.policy, now));
        }
    }

    fn show(&self, presence: &Presence) {
        let envelope = self.message(PRESENCE_KIND, encode(presence));
        self.bus.tell(&Subject::new(self.bus.cluster(), Topic::Beacon), &envelope);
    }

    /// A leader that ends says so, and nobody has to wait for its silence. Who does not agree with the leader shows how.
    pub(super) async fn say_goodbye(&self, ended: &Ended) {
        let is_ending = *ended == Ended::Stopped;
        self.show(&Presence { is_ending, ..self.mesh.presence(clock::now()) });
        // Messages leave in their order: once this question is answered, the word before it has left.
        let _ = tokio::time::timeout(GOODBYE_MAX, self.bus.log_info()).await;
    }

    /// Tells a node what is safe and what is missing.
    pub(super) fn sync(&self, node: &NodeId) {
        if let Some(sync) = self.mesh.sync_for(node) {
            let envelope = self.message(SYNC_KIND, encode(&sync));
            self.bus.tell(&Subject::new(self.bus.cluster(), Topic::Sync(node.clone())), &envelope);
        }
    }

    fn message(&self, kind: &str, body: Vec<u8>) -> Envelope {
        message(kind, self.own.holder.as_str(), self.own.incarnation, body)
    }

    /// Own facts that neither come back nor are known to be lost hold up every decision. Nothing but a fresh start, under a
    /// fresh identity, is safe then: what was decided is decided again.
    fn watch_flights(&mut self) {
        if self.mesh.in_flight() == 0 || self.mesh.lag(clock::now()) != Some(0) {
            self.flying_since = None;
            return;
        }
        let since = *self.flying_since.get_or_insert_with(Instant::now);
        if since.elapsed() > FLIGHT_MAX {
            tracing::error!(facts = self.mesh.in_flight(), "decisions do not come back from the log");
            self.must_restart = true;
        }
    }
}
