//! A bus to check laws on, whichever of the two it is.

use std::time::Duration;

use landfall_proto::bus::{
    Bus, ConnectOptions, Disconnects, LogReader, LogSettings, MemoryBus, Seed, Told, WatchOptions,
};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{ClusterName, Incarnation, NodeId};
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::server::Server;

pub(crate) enum World {
    Memory(MemoryBus),
    Real(Box<Real>),
}

pub(crate) struct Real {
    pub(crate) server: Server,
    users: Vec<(Role, Seed)>,
    watch: Seed,
}

pub(crate) fn cluster() -> ClusterName {
    "home".parse().unwrap()
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) fn agent(name: &str) -> Role {
    Role::Agent(node(name))
}

pub(crate) fn at(topic: Topic) -> Subject {
    Subject::new(&cluster(), topic)
}

/// Facts of one writer, with sequences as given.
pub(crate) fn facts(writer: &str, seqs: std::ops::Range<u64>) -> Vec<Envelope> {
    seqs.map(|seq| sized_fact(writer, seq, 100)).collect()
}

pub(crate) fn sized_fact(writer: &str, seq: u64, bytes: usize) -> Envelope {
    let identity = Identity { writer: writer.to_owned(), incarnation: Incarnation(Uuid::from_u128(7)), seq };
    Envelope::fact(identity, "test", Timestamp::UNIX_EPOCH, vec![0x5a; bytes])
}

/// A message that is no fact.
pub(crate) fn message(text: &str) -> Envelope {
    let mut envelope = sized_fact("anybody", 0, 0);
    envelope.body = text.as_bytes().to_vec();
    envelope
}

impl World {
    pub(crate) fn memory() -> Self {
        Self::Memory(MemoryBus::new(&cluster()))
    }

    pub(crate) fn real() -> Self {
        let users: Vec<(Role, Seed)> = [agent("a"), agent("b"), Role::Coordinator, Role::Operator]
            .into_iter()
            .map(|role| (role, Seed::generate()))
            .collect();
        let watch = Seed::generate();
        Self::Real(Box::new(Real { server: Server::start(&users, &watch), users, watch }))
    }

    pub(crate) async fn connect(&self, role: Role) -> Bus {
        let bus = match self {
            Self::Memory(bus) => bus.connect(role),
            Self::Real(real) => Bus::connect(real.options(role)).await.unwrap(),
        };
        assert!(bus.wait_up(Duration::from_secs(5)).await, "{:?}", bus.health());
        bus
    }

    /// A coordinator's client, with the log made.
    pub(crate) async fn coordinator(&self) -> Bus {
        let bus = self.connect(Role::Coordinator).await;
        let made = bus.ensure_log(&LogSettings::default()).await;
        assert!(made.is_done(), "{made:?}");
        bus
    }

    pub(crate) async fn disconnects(&self) -> Disconnects {
        match self {
            Self::Memory(bus) => bus.disconnects(),
            Self::Real(real) => {
                let (urls, seed) = (vec![real.server.url()], real.watch.clone());
                Bus::disconnects(WatchOptions { urls, cluster: cluster(), seed, tls: None }).await.unwrap()
            }
        }
    }

    /// The bus dies without a word.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Memory(bus) => bus.set_online(false),
            Self::Real(real) => real.server.kill(),
        }
    }

    pub(crate) fn revive(&mut self) {
        match self {
            Self::Memory(bus) => bus.set_online(true),
            Self::Real(real) => real.server.run(),
        }
    }

    pub(crate) fn lose_disk(&mut self) {
        match self {
            Self::Memory(bus) => bus.wipe(),
            Self::Real(real) => real.server.lose_disk(),
        }
    }
}

impl Real {
    pub(crate) fn options(&self, role: Role) -> ConnectOptions {
        let seed = self.users.iter().find(|(user, _)| *user == role).expect("the role has a user").1.clone();
        ConnectOptions::new(vec![self.server.url()], role, cluster(), seed)
    }
}

/// Reads until `count` messages have come; their sequences.
pub(crate) async fn read(reader: &mut LogReader, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while seqs.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "only {} of {count} came", seqs.len());
        match reader.next_batch(64, Duration::from_millis(500)).await {
            Told::Done(batch) => seqs.extend(batch.messages.iter().map(|message| message.seq)),
            Told::Refused(refusal) => panic!("{refusal}"),
            Told::Unknown => {}
        }
    }
    seqs
}
