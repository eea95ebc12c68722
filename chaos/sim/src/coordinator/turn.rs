//! One turn of the loop: decisions leave for the log, the state goes to the ledger, and only then is anything done.

use landfall::core::step::{Delivery, Effect, Input, Ticket};
use landfall_proto::command::{Answer, Refused};
use landfall_proto::control::Request;
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{CommandId, NodeId};
use landfall_proto::live::{BEACON_INTERVAL, Beacon, Beat, Presence};
use landfall_proto::time::{Duration, Timestamp, after, between};

use super::{Attempt, Boundary, Coordinator, Out};
use crate::mutant::{Mutant, decisions};

/// How long an own fact may be on its way through a log that is otherwise read to its end.
const FLIGHT_MAX: Duration = Duration::from_secs(60);

impl Coordinator {
    pub fn woke(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        self.feed(now, Input::Woke);
        self.finish(now, out);
    }

    pub fn heard(&mut self, now: Timestamp, beat: Beat, out: &mut Vec<Out>) {
        if let Some(process) = &mut self.process {
            process.heard.insert(beat.node.clone());
        }
        self.feed(now, Input::Heard(beat));
        self.finish(now, out);
    }

    pub fn led(&mut self, now: Timestamp, beacon: Beacon, out: &mut Vec<Out>) {
        if beacon.holder != self.holder
            && let Some(process) = &mut self.process
        {
            process.other_led_at = Some(now);
        }
        self.feed(now, Input::Led(beacon));
        self.finish(now, out);
    }

    pub fn gone(&mut self, now: Timestamp, node: NodeId, out: &mut Vec<Out>) {
        self.feed(now, Input::Gone(node));
        self.finish(now, out);
    }

    pub fn answered(&mut self, now: Timestamp, command: CommandId, answer: Option<Answer>, out: &mut Vec<Out>) {
        let silence = || Answer::Refused { reason: Refused::NoPlan, message: "no answer".to_owned() };
        let answer =
            if self.mutants.is(Mutant::TimeoutIsRefusal) { answer.or_else(|| Some(silence())) } else { answer };
        self.feed(now, Input::Answered(command, answer));
        self.finish(now, out);
    }

    pub fn delivered(&mut self, now: Timestamp, delivery: Delivery, out: &mut Vec<Out>) {
        self.feed(now, Input::Delivered(delivery));
        self.finish(now, out);
    }

    /// An operator's act. False where this coordinator leaves it to the one that leads.
    pub fn asked(&mut self, now: Timestamp, ticket: Ticket, request: Request, out: &mut Vec<Out>) -> bool {
        if self.stands_by(now) {
            return false;
        }
        self.feed(now, Input::Asked(ticket, request));
        self.finish(now, out);
        true
    }

    fn stands_by(&self, now: Timestamp) -> bool {
        let Some(process) = &self.process else { return true };
        let fresh = Duration::from_ms(3 * BEACON_INTERVAL.as_ms());
        let led_before = process.mesh.leader().is_some_and(|leader| leader.holder == self.holder);
        let another_is_heard = process.other_led_at.is_some_and(|at| after(at, fresh) > now);
        !process.mesh.leads() && (another_is_heard || (!led_before && after(process.began, fresh) > now))
    }

    pub fn told(&mut self, now: Timestamp, attempt: Attempt, is_done: bool, out: &mut Vec<Out>) {
        if let Some(process) = &mut self.process {
            process.publisher.told(attempt, is_done, now, out);
        }
    }

    pub fn give_up(&mut self, now: Timestamp, round: u64, out: &mut Vec<Out>) {
        if let Some(process) = &mut self.process {
            process.publisher.give_up(round, now, out);
        }
    }

    pub fn publish_again(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        if let Some(process) = &mut self.process {
            process.publisher.awake(now, out);
        }
    }

    pub fn present(&mut self, now: Timestamp, presence: Presence, out: &mut Vec<Out>) {
        self.feed(now, Input::Present(presence));
        self.finish(now, out);
    }

    /// What repeats with every beacon.
    pub fn beat(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let clock = self.clock(now);
        self.watch_flights(now);
        let Some(process) = &self.process else { return };
        out.extend(process.mesh.beacon(clock).map(Out::Beacon));
        out.push(Out::Presence(process.mesh.presence(clock)));
        self.finish(now, out);
    }

    /// Own facts that neither come back nor are known to be lost: only a fresh start, under a fresh identity, is safe.
    fn watch_flights(&mut self, now: Timestamp) {
        let clock = self.clock(now);
        let Some(process) = &mut self.process else { return };
        if process.mesh.in_flight() == 0 || process.mesh.lag(clock) != Some(0) {
            process.flying_since = None;
            return;
        }
        let since = *process.flying_since.get_or_insert(now);
        if between(since, now) > FLIGHT_MAX {
            process.is_log_replaced = true;
        }
    }

    /// Whether the trap is sprung here; `matters` says that there is something to lose at this boundary.
    fn is_trapped(&mut self, boundary: Boundary, matters: bool, out: &mut Vec<Out>) -> bool {
        let Some((set, power)) = self.trap else { return false };
        let is_sprung = set == boundary && matters;
        if is_sprung {
            self.trap = None;
            out.push(Out::Died(boundary, power));
        }
        is_sprung
    }

    /// The end of a turn.
    pub(super) fn finish(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        let has_facts = !process.facts.is_empty();
        if self.is_trapped(Boundary::Decided, has_facts, out) {
            return;
        }
        self.publish(now, out);
        if self.is_trapped(Boundary::Published, has_facts, out) {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let changes = process.mesh.take_changes();
        let has_changed = changes.is_some();
        if let Some(changes) = changes {
            if self.ledger.commit(changes).is_err() {
                return out.push(Out::LedgerFull);
            }
            process.is_dirty = true;
        }
        let effects = std::mem::take(&mut process.effects);
        let has_effects = !effects.is_empty();
        if self.is_trapped(Boundary::Committed, has_changed, out) {
            return;
        }
        for (index, effect) in effects.into_iter().enumerate() {
            if self.is_trapped(Boundary::HalfActed, index > 0, out) {
                return;
            }
            self.perform(now, effect, out);
        }
        if self.is_trapped(Boundary::Acted, has_effects, out) {
            return;
        }
        self.answer_beats(now, out);
        self.note_digests();
        self.end_where_it_must(now, out);
    }

    fn end_where_it_must(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(process) = &self.process else { return };
        if let Some(leader) = process.mesh.diverged().cloned() {
            if let Some(life) = self.lives.last_mut() {
                life.stood_down = true;
            }
            out.push(Out::Diverged(leader));
        } else if process.is_log_replaced {
            self.make_durable(now);
            out.push(Out::Again("the log was replaced, or does not give back what was put into it"));
        }
    }

    /// The barrier, and what the laws want to know of it.
    fn make_durable(&mut self, now: Timestamp) {
        self.ledger.durable();
        let cursor = self.ledger.on_disk().meta.cursor;
        if let Some(life) = self.lives.last_mut() {
            life.committed.push((now, cursor));
        }
    }

    fn publish(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let sent_at = self.clock(now);
        let Some(process) = &mut self.process else { return };
        if process.facts.is_empty() {
            return;
        }
        let decided = std::mem::take(&mut process.facts);
        let mutants = self.mutants;
        let leaving = decided.into_iter().flat_map(|fact| decisions::instead_of(mutants, &process.mesh, fact, sent_at));
        for fact in leaving.collect::<Vec<_>>() {
            let identity =
                Identity { writer: self.holder.to_string(), incarnation: process.incarnation, seq: process.next_seq };
            process.next_seq += 1;
            if let Some(life) = self.lives.last_mut() {
                life.decided.push((identity.clone(), process.mesh.cursor()));
            }
            process.publisher.push(Envelope::fact(identity, fact.kind(), sent_at, fact.encode()));
        }
        process.publisher.go(now, out);
    }

    fn perform(&mut self, now: Timestamp, effect: Effect, out: &mut Vec<Out>) {
        let Some(process) = &self.process else { return };
        let (cursor, life) = (process.mesh.cursor(), self.lives.last_mut());
        match effect {
            Effect::Command(node, command) => {
                if let Some(life) = life {
                    life.commands.push((now, command.id, command.epoch, cursor));
                }
                out.push(Out::Command(node, command));
            }
            Effect::Notify(mut notice) => {
                if self.mutants.is(Mutant::SkipNotice) {
                    notice.sinks.retain(|sink| sink != "pager");
                }
                if self.mutants.is(Mutant::NoticeUnderOtherId) {
                    notice.alert.id = uuid::Uuid::new_v5(&notice.alert.id, b"another");
                }
                if let Some(life) = life {
                    let is_resolved = notice.resolved.is_some();
                    let told = notice.sinks.iter().map(|sink| (notice.alert.id, is_resolved, sink.clone(), now));
                    life.notices.extend(told);
                }
                out.push(Out::Notify(notice));
            }
            Effect::Reply(ticket, reply) => out.push(Out::Reply(ticket, reply)),
        }
    }

    /// Says to the nodes that were heard what is safe. They delete what is safe, so the barrier comes first.
    fn answer_beats(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        let heard = std::mem::take(&mut process.heard);
        if heard.is_empty() || !process.mesh.acts() {
            return;
        }
        let was_dirty = std::mem::take(&mut process.is_dirty);
        if was_dirty && !self.mutants.is(Mutant::NoBarrier) {
            self.make_durable(now);
        }
        if self.is_trapped(Boundary::Durable, was_dirty, out) {
            return;
        }
        let Some(process) = &self.process else { return };
        for node in heard {
            if let Some(sync) = process.mesh.sync_for(&node) {
                out.push(Out::Sync(node, sync));
            }
        }
    }

    /// Keeps what the laws compare between coordinators.
    fn note_digests(&mut self) {
        let (Some(process), Some(life)) = (&self.process, self.lives.last_mut()) else { return };
        for digest in process.mesh.digests_shown() {
            if life
                .digests
                .last()
                .is_none_or(|(last, _)| (last.era, last.seq) < (digest.position.era, digest.position.seq))
            {
                life.digests.push((digest.position, digest.state));
            }
        }
    }
}
