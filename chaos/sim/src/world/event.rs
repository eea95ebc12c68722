//! Everything that can happen at an instant.

use std::rc::Rc;

use landfall::core::step::{Delivery, Ticket};
use landfall_proto::command::{Answer, Command};
use landfall_proto::control::Request;
use landfall_proto::envelope::Identity;
use landfall_proto::id::{Holder, NodeId};
use landfall_proto::live::{Beacon, Beat, Presence, Sync};
use landfall_proto::subject::Topic;
use uuid::Uuid;

use crate::bus::{Look, Told};
use crate::coordinator::{Asked, Attempt};

/// Whoever has a line to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Node(usize),
    Seat(usize),
}

/// A loss-tolerant message.
#[derive(Debug, Clone)]
pub(super) enum Word {
    Beat(Rc<Beat>),
    Beacon(Rc<Beacon>),
    Presence(Rc<Presence>),
    Sync(NodeId, Rc<Sync>),
}

/// A command on its way.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) question: u64,
    pub(super) to: NodeId,
    pub(super) from: Holder,
    pub(super) command: Rc<Command>,
    pub(super) is_signed: bool,
}

/// From a client to the bus.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Publish { topic: Topic, id: Uuid, payload: Rc<[u8]>, receipt: Receipt },
    Word(Word),
    Command(Letter),
    Answer { question: u64, answer: Answer },
}

/// To whom a confirmation goes.
#[derive(Debug, Clone)]
pub(super) enum Receipt {
    Node(Identity, u64),
    Seat(Attempt),
}

/// From the bus to a client.
#[derive(Debug, Clone)]
pub(super) enum Parcel {
    Confirmed(Receipt, Told),
    Word(Word),
    Command(Letter),
    Answer {
        question: u64,
        answer: Answer,
    },
    /// The bus says that a node's client went away.
    Gone(NodeId),
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A fault of the list begins.
    Begins(usize),
    Ends(Ending),
    AtBus {
        client: Client,
        life: u64,
        frame: Frame,
    },
    AtClient {
        client: Client,
        life: u64,
        parcel: Parcel,
    },
    /// A client that has no connection tries again.
    Connects {
        client: Client,
        life: u64,
    },
    /// A client notices that nothing comes back.
    NoticesSilence {
        client: Client,
        life: u64,
    },
    NodeBoots(usize),
    NodeWakes(usize),
    /// A node stops waiting for a confirmation.
    NodeGivesUp {
        node: usize,
        life: u64,
        identity: Identity,
        attempt: u64,
    },
    CoordinatorBoots(usize),
    CoordinatorWakes(usize),
    /// What repeats: the beacon, and a look at the log.
    CoordinatorBeats {
        seat: usize,
        life: u64,
    },
    /// The answer to such a look.
    CoordinatorSees {
        seat: usize,
        life: u64,
        asked: Asked,
        look: Look,
    },
    CoordinatorReads {
        seat: usize,
        life: u64,
    },
    CoordinatorGivesUp {
        seat: usize,
        life: u64,
        round: u64,
    },
    CoordinatorPublishes {
        seat: usize,
        life: u64,
    },
    Unanswered {
        question: u64,
    },
    Delivered {
        seat: usize,
        life: u64,
        delivery: Delivery,
    },
    Asked {
        ticket: Ticket,
        request: Box<Request>,
    },
    BusStarts,
}

/// The end of a fault that lasted.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Link { client: Client, what: Disturbance },
    SinksWork,
    BusGoesOn,
    BusHasRoom,
    BusClock,
    SeatGoesOn(usize),
    SeatClock(usize),
    NodeDisk(usize),
    NodeClock(usize),
    NodeTool(usize),
    NodeTired(usize),
    NodeRollsBack(usize),
    NodeCopyEnds(usize),
    NodeOutbox(usize),
    SeatDisk(usize),
    BusIsSure,
    Repository(usize),
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbance {
    Cut { to_bus: bool, from_bus: bool },
    Order,
    Loss,
    Doubling,
    Delay,
}
