//! How messages travel: from a client over its line to the bus, there into the log or on to others, and back.

use std::rc::Rc;

use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after};

use super::event::{Client, Event, Frame, Letter, Parcel, Receipt, Word};
use super::{OLD_COMMANDS_MAX, Seat, World};
use crate::bus::{Direction, Link, Standing, Told, micros_after};
use crate::node::Node;

/// A late confirmation comes when its client has long stopped waiting.
const ACK_LATE: (u64, u64) = (5500, 12_000);

/// Percent of commands on a broken connection that are sent again after it is back. Observed: what waits in the client's
/// queue leaves after the reconnect, long after its asker has given up; what had left for the old socket is lost.
const COMMANDS_SENT_LATE: u32 = 30;

/// A message that waits in a cut line.
#[derive(Debug)]
pub(super) struct Stuck {
    client: Client,
    direction: Direction,
    event: Event,
}

/// The line of a client, beside everything else of the world.
pub(super) fn link<'a>(nodes: &'a mut [Node], seats: &'a mut [Seat], client: Client) -> &'a mut Link {
    match client {
        Client::Node(index) => &mut nodes[index].link,
        Client::Seat(index) => &mut seats[index].link,
    }
}

impl World {
    pub(super) fn link(&mut self, client: Client) -> &mut Link {
        link(&mut self.nodes, &mut self.seats, client)
    }

    pub(super) fn clients(&self) -> Vec<Client> {
        let nodes = (0..self.nodes.len()).map(Client::Node);
        nodes.chain((0..self.seats.len()).map(Client::Seat)).collect()
    }

    /// Hands a message to the client's connection. Without one nothing leaves: the real client looks before it sends.
    pub(super) fn send(&mut self, client: Client, frame: Frame) {
        let now = self.now;
        let link = link(&mut self.nodes, &mut self.seats, client);
        if !link.is_connected {
            return;
        }
        let (life, is_word) = (link.life, matches!(frame, Frame::Word(_)));
        let way = &mut link.to_bus;
        if is_word && self.dice.chance(way.loss_percent) {
            self.hits.hit("words-lost");
            return;
        }
        let is_twice = matches!(frame, Frame::Word(_) | Frame::Command(_)) && self.dice.chance(way.twice_percent);
        let event = Event::AtBus { client, life, frame };
        if way.is_cut {
            self.hits.hit("cut-to-bus");
            self.stuck.push(Stuck { client, direction: Direction::ToBus, event });
            return;
        }
        if is_twice && let Event::AtBus { frame, .. } = &event {
            let at = micros_after(way.arrival(now, &mut self.dice), 10_000);
            self.queue.put(at, Event::AtBus { client, life, frame: frame.clone() });
            self.hits.hit("words-doubled");
        }
        let at = way.arrival(now, &mut self.dice);
        self.queue.put(at, event);
    }

    /// Hands a message of the bus to a client's connection, if it is still the one it is meant for.
    pub(super) fn deliver(&mut self, client: Client, life: u64, parcel: Parcel) {
        let now = self.now;
        let link = link(&mut self.nodes, &mut self.seats, client);
        if !link.is_connected || link.life != life {
            return;
        }
        let mut from = now;
        if matches!(parcel, Parcel::Confirmed(_, Told::Done { .. })) {
            if link.acks_to_lose > 0 {
                link.acks_to_lose -= 1;
                self.hits.hit("ack-lost");
                return;
            }
            if link.acks_to_delay > 0 {
                link.acks_to_delay -= 1;
                from = after(now, Duration::from_ms(self.dice.between(ACK_LATE.0, ACK_LATE.1)));
                self.hits.hit("ack-late");
            }
        }
        let way = &mut link.from_bus;
        if matches!(parcel, Parcel::Word(_)) && self.dice.chance(way.loss_percent) {
            self.hits.hit("words-lost");
            return;
        }
        let is_cut = way.is_cut;
        let at = if is_cut { from } else { way.arrival(from, &mut self.dice) };
        let event = Event::AtClient { client, life, parcel };
        if is_cut {
            self.hits.hit("cut-from-bus");
            self.stuck.push(Stuck { client, direction: Direction::FromBus, event });
        } else {
            self.queue.put(at, event);
        }
    }

    /// A cut has ended while the connection still lived: what waited goes on.
    pub(super) fn unstick(&mut self, client: Client) {
        let (to_bus, from_bus) = {
            let link = self.link(client);
            (!link.to_bus.is_cut, !link.from_bus.is_cut)
        };
        for stuck in std::mem::take(&mut self.stuck) {
            let is_open = match stuck.direction {
                Direction::ToBus => to_bus,
                Direction::FromBus => from_bus,
            };
            if stuck.client == client && is_open {
                let at = self.soon(1, 40);
                self.queue.put(at, stuck.event);
            } else {
                self.stuck.push(stuck);
            }
        }
    }

    /// The connection is gone, and what waited in it; a few commands leave again over the next one.
    pub(super) fn forget_stuck(&mut self, client: Client) {
        for stuck in std::mem::take(&mut self.stuck) {
            if stuck.client != client {
                self.stuck.push(stuck);
                continue;
            }
            let is_command = matches!(&stuck.event, Event::AtBus { frame: Frame::Command(_), .. });
            if is_command && self.dice.chance(COMMANDS_SENT_LATE) {
                self.late.push((client, stuck.event));
            }
        }
    }

    pub(super) fn at_bus(&mut self, client: Client, life: u64, frame: Frame) {
        match self.bus.standing {
            Standing::Down => {}
            Standing::Paused => {
                self.hits.hit("bus-paused");
                self.held_by_bus.push(Event::AtBus { client, life, frame });
            }
            Standing::Up => self.serve(client, life, frame),
        }
    }

    fn serve(&mut self, client: Client, life: u64, frame: Frame) {
        match frame {
            Frame::Publish { topic, id, payload, receipt } => {
                let to_empty = self.bus.acks_to_empty;
                let told = self.bus.publish(self.now, topic, Some(id), payload);
                if self.bus.acks_to_empty < to_empty {
                    self.hits.hit("ack-empty");
                }
                match told {
                    Told::Unknown => self.hits.hit("bus-hard-full"),
                    Told::Full => self.hits.hit("bus-soft-full"),
                    Told::Done { duplicate: false, .. } => self.announce(),
                    Told::Done { duplicate: true, .. } | Told::NoLog => {}
                }
                if told != Told::Unknown {
                    self.deliver(client, life, Parcel::Confirmed(receipt, told));
                }
            }
            Frame::Word(word) => self.spread(&word),
            Frame::Command(letter) => self.pass_on(letter),
            Frame::Answer { question, answer } => {
                let asker = self.questions.get(&question).map(|asked| asked.seat);
                if let Some(seat) = asker {
                    let life = self.seats[seat].link.life;
                    self.deliver(Client::Seat(seat), life, Parcel::Answer { question, answer });
                }
            }
        }
    }

    fn spread(&mut self, word: &Word) {
        let is_for = |client: Client, nodes: &[Node]| match (word, client) {
            (Word::Beat(_) | Word::Presence(_), Client::Seat(_))
            | (Word::Beacon(_), Client::Seat(_) | Client::Node(_)) => true,
            (Word::Sync(to, _), Client::Node(index)) => nodes[index].id == *to,
            (Word::Beat(_) | Word::Presence(_), Client::Node(_)) | (Word::Sync(..), Client::Seat(_)) => false,
        };
        // A synchronisation concerns one node, and a large mesh sends one for every beat.
        if let Word::Sync(to, _) = word {
            for index in self.by_id.get(to).cloned().unwrap_or_default() {
                let life = self.nodes[index].link.life;
                self.deliver(Client::Node(index), life, Parcel::Word(word.clone()));
            }
            return;
        }
        let first = if matches!(word, Word::Beat(_) | Word::Presence(_)) { self.nodes.len() } else { 0 };
        for number in first..self.nodes.len() + self.seats.len() {
            let client = self.client(number);
            if is_for(client, &self.nodes) {
                let life = self.link(client).life;
                self.deliver(client, life, Parcel::Word(word.clone()));
            }
        }
    }

    /// Nodes first, then coordinators.
    pub(super) fn client(&self, number: usize) -> Client {
        let number = number % (self.nodes.len() + self.seats.len()).max(1);
        number.checked_sub(self.nodes.len()).map_or(Client::Node(number), Client::Seat)
    }

    /// Every client that listens on the node's subject gets the command; where none does, the bus says so at once.
    pub(super) fn pass_on(&mut self, letter: Letter) {
        let (mut is_heard, mut extra) = (false, Duration::from_ms(0));
        if let Some((count, by)) = self.late_requests.get_mut(&letter.to).filter(|(count, _)| *count > 0) {
            *count -= 1;
            extra = *by;
        }
        for index in self.by_id.get(&letter.to).cloned().unwrap_or_default() {
            let link = &self.nodes[index].link;
            let life = link.life;
            if !link.is_connected || !self.nodes[index].is_up() {
                continue;
            }
            is_heard = true;
            let parcel = Parcel::Command(letter.clone());
            if extra.as_ms() > 0 {
                self.queue.put(after(self.now, extra), Event::AtClient { client: Client::Node(index), life, parcel });
            } else {
                self.deliver(Client::Node(index), life, parcel);
            }
        }
        if self.old_commands.len() >= OLD_COMMANDS_MAX {
            self.old_commands.pop_front();
        }
        let question = letter.question;
        self.old_commands.push_back(letter);
        if !is_heard {
            self.unanswered(question);
        }
    }

    /// Something new stands in the log: readers are on their way to it.
    pub(super) fn announce(&mut self) {
        for seat in 0..self.seats.len() {
            self.read_soon(seat);
        }
    }

    /// The bytes of a fact and where they go.
    pub(super) fn publish(
        &mut self,
        client: Client,
        topic: Topic,
        envelope: &landfall_proto::envelope::Envelope,
        receipt: Receipt,
    ) {
        let payload: Rc<[u8]> = landfall_proto::codec::encode(envelope).into();
        self.send(client, Frame::Publish { topic, id: envelope.id, payload, receipt });
    }

    /// When a message that leaves the bus now is with the client.
    pub(super) fn arrival(&mut self, client: Client) -> Timestamp {
        let now = self.now;
        link(&mut self.nodes, &mut self.seats, client).from_bus.arrival(now, &mut self.dice)
    }
}
