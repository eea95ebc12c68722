//! What people and ill will do: requests, old commands sent again, messages that must not harm, and names for things.

use std::rc::Rc;

use landfall::core::step::Ticket;
use landfall_proto::codec::encode;
use landfall_proto::control::Request;
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::coordinator::COMMAND_LIFE;
use landfall_proto::id::{Incarnation, NodeId};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::Topic;
use landfall_proto::time::after;

use super::event::{Client, Event, Letter, Parcel};
use super::{World, bed};
use crate::fault::Poison;

impl World {
    /// The index of a node that is named by any number.
    pub fn node(&self, number: u32) -> usize {
        usize::try_from(number % self.options.nodes.max(1)).unwrap_or(0)
    }

    /// The index of a coordinator that is named by any number.
    pub fn seat(&self, number: u32) -> usize {
        usize::try_from(number).unwrap_or(0) % self.seats.len().max(1)
    }

    /// The coordinator whose core believes that it leads, under the highest epoch.
    pub fn leader(&self) -> Option<usize> {
        let epoch = |index: &usize| self.seats[*index].coordinator.process.as_ref().map(|process| process.mesh.epoch());
        (0..self.seats.len()).filter(|index| self.seats[*index].coordinator.leads()).max_by_key(epoch)
    }

    /// A person asks; the answer is a line of the trace.
    pub fn ask(&mut self, request: Request) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.note(|| format!("request {}: {}", ticket.0, request.verb()));
        self.queue.put(self.now, Event::Asked { ticket, request: Box::new(request) });
    }

    pub(super) fn operator_starts(&mut self, node: u32) {
        let id = self.nodes[self.node(node)].id.clone();
        let request = self.dice.uuid();
        let (routine, by) = (bed::routine(), "ann".to_owned());
        self.hits.hit("operator-started");
        self.ask(Request::Start { routine, nodes: vec![id], task: TaskKind::Backup, by, request });
    }

    /// Somebody cancels a run that has not ended, as the leader sees it.
    pub(super) fn operator_cancels(&mut self) {
        let Some(seat) = self.leader() else { return };
        let Some(process) = &self.seats[seat].coordinator.process else { return };
        let open: Vec<uuid::Uuid> =
            process.mesh.runs().values().filter(|run| !run.is_ended()).map(|run| run.id.0).collect();
        if let Some(id) = self.dice.pick(&open).copied() {
            self.hits.hit("operator-cancelled");
            self.ask(Request::Cancel { id, by: "bob".to_owned() });
        }
    }

    /// A command that was delivered before comes again; without its signature it is somebody else's work.
    pub(super) fn replay_command(&mut self, node: u32, is_signed: bool) {
        let index = self.node(node);
        let id = self.nodes[index].id.clone();
        let old: Vec<Letter> = self.old_commands.iter().filter(|letter| letter.to == id).cloned().collect();
        let Some(letter) = self.dice.pick(&old).cloned() else { return };
        if !self.nodes[index].is_up() || !self.nodes[index].link.is_connected {
            return;
        }
        self.hits.hit(if is_signed { "request-replayed" } else { "request-unsigned" });
        let life = self.nodes[index].link.life;
        // Nobody waits for the answer: its address was somebody's inbox.
        let mut letter = Letter { question: 0, is_signed, ..letter };
        if !is_signed {
            // Who forges a command does not forge an old one.
            let mut command = (*letter.command).clone();
            command.not_after = after(self.now, COMMAND_LIFE);
            letter.command = Rc::new(command);
        }
        self.deliver(Client::Node(index), life, Parcel::Command(letter));
    }

    /// Facts of the log are put into it once more under no id that the bus knows.
    pub(super) fn duplicate(&mut self, count: u32) {
        let Some(log) = self.bus.log() else { return };
        let all = log.read(0, usize::MAX);
        for _ in 0..count {
            if let Some(stored) = self.dice.pick(&all) {
                self.bus.publish(self.now, stored.topic.clone(), None, Rc::clone(&stored.payload));
            }
        }
        self.announce();
    }

    /// Puts a message into the log that nobody of this mesh has written.
    pub(super) fn poison(&mut self, poison: Poison, node: u32) {
        let own = self.nodes[self.node(node)].id.clone();
        let other: NodeId = "stranger".parse().expect("the name is one");
        let incarnation = Incarnation(self.dice.uuid());
        let fact = |writer: &NodeId, kind: &str, body: Vec<u8>, now| {
            let identity = Identity { writer: writer.to_string(), incarnation, seq: 0 };
            Envelope::fact(identity, kind, now, body)
        };
        let (topic, payload, hit) = match poison {
            Poison::Garbage => (Topic::NodeFact(own), vec![0xc1, 0xff, 0x93, 0x00], "poison"),
            Poison::LeftOver => {
                let mut bytes = encode(&fact(&own, "run_phase", vec![0x80], self.now));
                bytes.push(0);
                (Topic::NodeFact(own), bytes, "poison")
            }
            Poison::BrokenBody => {
                (Topic::NodeFact(other.clone()), encode(&fact(&other, "run_finished", vec![0x80], self.now)), "poison")
            }
            Poison::Forged => {
                (Topic::NodeFact(own), encode(&fact(&other, "run_phase", vec![0x80], self.now)), "fact-forged")
            }
            Poison::UnknownKind => {
                let bytes = encode(&fact(&other, "node_dreamt", vec![0x80], self.now));
                (Topic::NodeFact(other), bytes, "kind-unknown")
            }
        };
        if let crate::bus::Told::Done { .. } = self.bus.publish(self.now, topic, None, payload.into()) {
            self.hits.hit(hit);
            self.announce();
        }
    }
}
