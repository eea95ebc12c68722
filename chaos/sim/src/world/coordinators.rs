//! Coordinators in the world: their starts and ends, what they hear, and what they want done.

use std::rc::Rc;

use landfall::core::step::Delivery;
use landfall_proto::command::Answer;
use landfall_proto::id::{Holder, Incarnation};
use landfall_proto::live::BEACON_INTERVAL;
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after};

use super::event::{Client, Event, Frame, Letter, Parcel, Receipt, Word};
use super::{Question, World};
use crate::bus::{Look, Told};
use crate::coordinator::{Asked, Coordinator, Out, Power};

/// A coordinator waits so long for the answer to a command.
const ANSWER_WITHIN: Duration = Duration::from_ms(2500);

/// A ledger without room is looked at again after this, as in the real process.
const ROOM_AGAIN: Duration = Duration::from_secs(5);

/// Messages of the log in one piece.
const BATCH_MAX: usize = 1024;

impl World {
    /// Lets a coordinator do one thing, unless it stands still, and does what follows.
    pub(super) fn with(&mut self, seat: usize, act: impl FnOnce(&mut Coordinator, Timestamp, &mut Vec<Out>)) {
        let mut out = Vec::new();
        let now = self.now;
        if !self.seats[seat].coordinator.is_up() {
            return;
        }
        act(&mut self.seats[seat].coordinator, now, &mut out);
        self.follow(seat, out);
    }

    pub(super) fn boot_seat(&mut self, seat: usize) {
        if self.seats[seat].coordinator.is_up() {
            return;
        }
        if self.seats[seat].coordinator.ledger.is_full {
            self.queue.put(after(self.now, ROOM_AGAIN), Event::CoordinatorBoots(seat));
            return;
        }
        if !self.bus.is_up() {
            self.hits.hit("bus-gone-at-boot");
        }
        self.seats[seat].life += 1;
        self.seats[seat].woken_at = None;
        self.seats[seat].is_reading = false;
        self.begin_with_a_peers(seat);
        let incarnation = Incarnation(self.dice.uuid());
        let mut out = Vec::new();
        let now = self.now;
        self.seats[seat].coordinator.boot(now, incarnation, &mut out);
        let holder = self.seats[seat].coordinator.holder.clone();
        self.note(|| format!("{holder} starts"));
        let life = self.seats[seat].life;
        self.connect_soon(Client::Seat(seat), 2, 20);
        let at = self.soon(0, 2000);
        self.queue.put(at, Event::CoordinatorBeats { seat, life });
        self.follow(seat, out);
    }

    /// The process, or its machine, is gone; it comes back after a while.
    pub(super) fn kill_seat(&mut self, seat: usize, power: Power, away: Duration) {
        if !self.seats[seat].coordinator.is_up() {
            return;
        }
        self.hits.hit("coordinator-killed");
        if self.seats[seat].coordinator.leads() {
            self.hits.hit("leader-killed");
        }
        let pending = self.seats[seat].coordinator.ledger.pending() as u64;
        let kept = usize::try_from(self.dice.below(pending + 1)).unwrap_or(0);
        let lost = self.seats[seat].coordinator.die(power, kept);
        if lost > 0 {
            self.hits.hit("coordinator-power-lost");
        }
        let holder = self.seats[seat].coordinator.holder.clone();
        self.note(|| format!("{holder} dies ({power:?}), {lost} transactions are lost"));
        self.drop_link(Client::Seat(seat));
        self.seats[seat].held.clear();
        self.seats[seat].life += 1;
        if self.seats.iter().all(|seat| !seat.coordinator.is_up()) {
            self.hits.hit("coordinators-all-gone");
        }
        let at = after(self.now, away);
        self.queue.put(at, Event::CoordinatorBoots(seat));
    }

    /// Does what a coordinator wants done.
    fn follow(&mut self, seat: usize, out: Vec<Out>) {
        let (client, life) = (Client::Seat(seat), self.seats[seat].life);
        for wish in out {
            match wish {
                Out::Publish { attempt, envelope } => {
                    let topic = Topic::CoordinatorFact(self.seats[seat].coordinator.holder.clone());
                    self.note(|| format!("{} decides {} {}", envelope.writer, envelope.kind, envelope.seq));
                    self.publish(client, topic, &envelope, Receipt::Seat(attempt));
                }
                Out::GiveUpAt { at, round } => self.queue.put(at, Event::CoordinatorGivesUp { seat, life, round }),
                Out::PublishAgainAt(at) => self.queue.put(at, Event::CoordinatorPublishes { seat, life }),
                Out::Beacon(beacon) => self.send(client, Frame::Word(Word::Beacon(Rc::new(beacon)))),
                Out::Presence(presence) => self.send(client, Frame::Word(Word::Presence(Rc::new(presence)))),
                Out::Sync(node, sync) => self.send(client, Frame::Word(Word::Sync(node, Rc::new(sync)))),
                Out::Command(to, command) => {
                    let question = self.next_question;
                    self.next_question += 1;
                    self.questions.insert(question, Question { seat, life, command: command.id });
                    self.note(|| format!("{} commands {to}: {}", command.holder, action(&command)));
                    self.queue.put(after(self.now, ANSWER_WITHIN), Event::Unanswered { question });
                    let from = self.seats[seat].coordinator.holder.clone();
                    let letter = Letter { question, to, from, command: Rc::new(command), is_signed: true };
                    self.send(client, Frame::Command(letter));
                }
                Out::Notify(notice) => self.notify(seat, &notice),
                Out::Reply(ticket, reply) => {
                    self.note(|| format!("request {} is answered: {}", ticket.0, said(&reply)))
                }
                Out::EnsureLog => {
                    if self.bus.ensure_log(self.now) {
                        self.note(|| "the log is made".to_owned());
                    }
                }
                Out::Again(why) => {
                    self.again(seat, why);
                    return;
                }
                Out::Diverged(leader) => {
                    self.adopt(seat, &leader);
                    self.again(seat, "its state differs from the leader's");
                    return;
                }
                Out::LedgerFull => {
                    self.hits.hit("ledger-full");
                    self.again(seat, "its ledger has no room");
                    return;
                }
                Out::Died(boundary, power) => {
                    self.sprung(seat, boundary, power);
                    return;
                }
                Out::Hit(name) => self.hits.hit(name),
                Out::Note(line) => {
                    let holder = self.seats[seat].coordinator.holder.clone();
                    self.note(|| format!("{holder}: {line}"));
                }
            }
        }
        self.wake_seat(seat);
    }

    /// Sees to it that the coordinator is woken when it wants to be.
    fn wake_seat(&mut self, seat: usize) {
        let Some(process) = &self.seats[seat].coordinator.process else { return };
        let at = process.wake_at.max(self.now);
        if self.seats[seat].woken_at.is_none_or(|known| at < known) {
            self.seats[seat].woken_at = Some(at);
            self.queue.put(at, Event::CoordinatorWakes(seat));
        }
    }

    pub(super) fn seat_wakes(&mut self, seat: usize) {
        if self.seats[seat].woken_at != Some(self.now) {
            return;
        }
        self.seats[seat].woken_at = None;
        let Some(process) = &self.seats[seat].coordinator.process else { return };
        if process.wake_at <= self.now {
            self.with(seat, |coordinator, now, out| {
                coordinator.woke(now, out);
                // What is due at once is looked at in the next turn, a moment later.
                if let Some(process) = &mut coordinator.process {
                    process.wake_at = process.wake_at.max(after(now, Duration::from_ms(1)));
                }
            });
        } else {
            self.wake_seat(seat);
        }
    }

    pub(super) fn seat_beats(&mut self, seat: usize, life: u64) {
        if self.seats[seat].life != life {
            return;
        }
        self.queue.put(after(self.now, BEACON_INTERVAL), Event::CoordinatorBeats { seat, life });
        self.look(seat);
        self.seats[seat].coordinator.measure();
        self.with(seat, Coordinator::beat);
        self.read_soon(seat);
    }

    /// Asks the bus how the log stands, and makes a consumer where there is none.
    fn look(&mut self, seat: usize) {
        let client = Client::Seat(seat);
        if !self.seats[seat].link.is_whole() || !self.bus.is_up() {
            return;
        }
        let look = self.bus.look();
        if look == Look::Unknown {
            self.hits.hit("bus-hard-full");
        }
        if let Some(asked) = self.seats[seat].coordinator.asks(self.now) {
            let (life, at) = (self.seats[seat].life, self.arrival(client));
            self.queue.put(at, Event::CoordinatorSees { seat, life, asked, look });
        }
        if self.seats[seat].coordinator.wants_consumer() {
            let after = self.seats[seat].coordinator.process.as_ref().map_or(0, |process| process.reader.after);
            let standing = self.bus.log().and_then(|log| log.at(after));
            self.with(seat, |coordinator, now, out| coordinator.consume(now, look, standing, out));
        }
    }

    pub(super) fn seat_sees(&mut self, seat: usize, life: u64, asked: Asked, look: Look) {
        if self.seats[seat].life == life {
            self.with(seat, |coordinator, now, out| coordinator.saw(now, asked, look, out));
            self.read_soon(seat);
        }
    }

    /// The client knows that its connection is gone.
    pub(super) fn seat_blinded(&mut self, seat: usize) {
        self.with(seat, Coordinator::blinded);
    }

    /// An empty ledger begins with a peer's snapshot where one is within reach; the log is read from there.
    fn begin_with_a_peers(&mut self, seat: usize) {
        if !self.seats[seat].coordinator.ledger.is_empty() || !self.bus.is_up() {
            return;
        }
        let peer = self.seats.iter().enumerate().find(|(index, peer)| {
            let coordinator = &peer.coordinator;
            *index != seat && coordinator.is_up() && peer.link.is_whole() && !coordinator.ledger.on_disk_is_empty()
        });
        let Some(records) = peer.map(|(_, peer)| peer.coordinator.ledger.on_disk().clone()) else { return };
        self.seats[seat].coordinator.take_over(records);
        self.hits.hit("ledger-filled-from-peer");
        let holder = self.seats[seat].coordinator.holder.clone();
        self.note(|| format!("{holder} begins with a peer's snapshot"));
    }

    /// The leader's state counts where two differ: its snapshot becomes the ledger, as far as the leader can be reached.
    fn adopt(&mut self, seat: usize, leader: &Holder) {
        let is_reached = self.bus.is_up() && self.seats[seat].link.is_whole();
        let found = self.seats.iter().position(|other| {
            other.coordinator.holder == *leader && other.coordinator.is_up() && other.link.is_whole()
        });
        if let Some(found) = found.filter(|_| is_reached) {
            let records = self.seats[found].coordinator.ledger.on_disk().clone();
            self.seats[seat].coordinator.take_over(records);
        }
    }

    /// The process ends by itself and starts again a moment later.
    fn again(&mut self, seat: usize, why: &str) {
        let holder = self.seats[seat].coordinator.holder.clone();
        self.note(|| format!("{holder} begins again: {why}"));
        self.seats[seat].coordinator.end();
        self.seats[seat].coordinator.ledger.process_died();
        self.drop_link(Client::Seat(seat));
        self.seats[seat].life += 1;
        let at = self.soon(20, 200);
        self.queue.put(at, Event::CoordinatorBoots(seat));
    }

    /// A piece of the log is on its way to this reader, if there is one to come.
    pub(super) fn read_soon(&mut self, seat: usize) {
        let known = self.bus.log().map_or(0, crate::bus::Log::last_seq);
        let place = &self.seats[seat];
        let Some(process) = &place.coordinator.process else { return };
        if place.is_reading || !process.reader.is_open || !place.link.is_whole() || known <= process.reader.after {
            return;
        }
        let life = place.life;
        let at = self.arrival(Client::Seat(seat));
        self.seats[seat].is_reading = true;
        self.queue.put(at, Event::CoordinatorReads { seat, life });
    }

    pub(super) fn seat_reads(&mut self, seat: usize, life: u64) {
        if self.seats[seat].life != life {
            return;
        }
        self.seats[seat].is_reading = false;
        let is_reached = self.seats[seat].link.is_whole() && self.bus.is_up();
        let Some(process) = self.seats[seat].coordinator.process.as_ref().filter(|_| is_reached) else { return };
        if !process.reader.is_open {
            return;
        }
        let Some(log) = self.bus.log() else { return };
        let messages = log.read(process.reader.after, BATCH_MAX);
        if messages.is_empty() {
            return;
        }
        self.with(seat, |coordinator, now, out| coordinator.batch(now, messages, out));
        self.read_soon(seat);
    }

    pub(super) fn at_seat(&mut self, seat: usize, parcel: Parcel) {
        match parcel {
            Parcel::Confirmed(Receipt::Seat(attempt), told) => {
                let is_done = matches!(told, Told::Done { .. });
                self.with(seat, |coordinator, now, out| coordinator.told(now, attempt, is_done, out));
            }
            Parcel::Word(Word::Beat(beat)) => {
                self.with(seat, |coordinator, now, out| coordinator.heard(now, (*beat).clone(), out));
            }
            Parcel::Word(Word::Beacon(beacon)) => {
                self.with(seat, |coordinator, now, out| coordinator.led(now, (*beacon).clone(), out));
            }
            Parcel::Word(Word::Presence(presence)) => {
                self.with(seat, |coordinator, now, out| coordinator.present(now, (*presence).clone(), out));
            }
            Parcel::Answer { question, answer } => self.answered(question, Some(answer)),
            Parcel::Gone(node) => self.with(seat, |coordinator, now, out| coordinator.gone(now, node, out)),
            Parcel::Confirmed(Receipt::Node(..), _) | Parcel::Word(Word::Sync(..)) | Parcel::Command(_) => {}
        }
    }

    pub(super) fn unanswered(&mut self, question: u64) {
        self.answered(question, None);
    }

    fn answered(&mut self, question: u64, answer: Option<Answer>) {
        let Some(Question { seat, life, command }) = self.questions.remove(&question) else { return };
        if self.seats[seat].life != life {
            return;
        }
        if self.seats[seat].coordinator.is_paused {
            self.questions.insert(question, Question { seat, life, command });
            self.seats[seat].held.push(Event::Unanswered { question });
            return;
        }
        self.note(|| format!("command {command} is answered: {answer:?}"));
        self.with(seat, |coordinator, now, out| coordinator.answered(now, command, answer, out));
    }

    pub(super) fn seat_told(&mut self, seat: usize, life: u64, round: u64) {
        if self.seats[seat].life == life {
            self.with(seat, |coordinator, now, out| coordinator.give_up(now, round, out));
        }
    }

    pub(super) fn seat_publishes(&mut self, seat: usize, life: u64) {
        if self.seats[seat].life == life {
            self.with(seat, Coordinator::publish_again);
        }
    }

    pub(super) fn seat_delivered(&mut self, seat: usize, life: u64, delivery: Delivery) {
        if self.seats[seat].life == life {
            self.with(seat, |coordinator, now, out| coordinator.delivered(now, delivery, out));
        }
    }
}

fn action(command: &landfall_proto::command::Command) -> String {
    use landfall_proto::command::Action;
    match &command.action {
        Action::Start { run, routine, task, .. } => format!("start {routine} {task} ({run})"),
        Action::Cancel { run } => format!("cancel {run}"),
        Action::Witness { repository, runs, .. } => format!("look at {repository} for {} runs", runs.len()),
        Action::ReadLog { run, .. } => format!("read the log of {run}"),
    }
}

fn said(reply: &landfall_proto::control::Reply) -> String {
    format!("{reply:?}").chars().take(160).collect()
}
