//! The door to the bus: one handle for a real nats-server and for its twin in memory, with the same answers from both.

mod connect;
mod delay;
mod disconnects;
mod feed;
mod follow;
mod health;
mod log;
mod mailbox;
mod memory;
mod nats;
mod place;
mod publish;
mod reader;
mod request;
mod serve;
mod server_config;
#[cfg(feature = "server")]
mod server_ports;
#[cfg(feature = "server")]
mod server_process;
mod signing;
mod told;
mod unreached;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use connect::{BusError, ConnectOptions, Tls, connection_name};
pub use disconnects::{Disconnects, WatchOptions};
pub use health::{BusHealth, Denial, Link};
pub use log::{LogInfo, LogSettings, LogState};
pub use memory::MemoryBus;
pub use publish::PUBLISH_WINDOW;
pub use reader::{Batch, LogMessage, LogReader};
pub use serve::{Inbox, Incoming};
pub use server_config::{ServerConfig, ServerTls, render};
#[cfg(feature = "server")]
pub use server_process::{ServerProcess, freeze_process, server_program};
pub use signing::{Seed, SeedError, SignatureError, Signer, verify};
pub use told::{BusRefusal, Published, Told};

use crate::codec::{MESSAGE_BYTES_MAX, encode};
use crate::envelope::Envelope;
use crate::id::ClusterName;
use crate::subject::{Role, Subject};
use memory::MemoryClient;
use nats::Nats;

/// A client of the bus. Cheap to clone; the connection ends with its last clone, inbox and reader.
#[derive(Debug, Clone)]
pub struct Bus {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Nats(Arc<Nats>),
    Memory(MemoryClient),
}

impl Bus {
    /// Connects. A patient client returns at once and connects in the background, for ever; an impatient one returns
    /// connected or says why not. Needs a tokio runtime.
    pub async fn connect(options: ConnectOptions) -> Result<Self, BusError> {
        Ok(Self { kind: Kind::Nats(Arc::new(Nats::connect(&options).await?)) })
    }

    /// Connects a second time, patiently and as a user of the bus's system account, to hear whose client goes away.
    pub async fn disconnects(options: WatchOptions) -> Result<Disconnects, BusError> {
        Disconnects::connect(options).await
    }

    const fn memory(client: MemoryClient) -> Self {
        Self { kind: Kind::Memory(client) }
    }

    pub fn role(&self) -> &Role {
        match &self.kind {
            Kind::Nats(nats) => &nats.role,
            Kind::Memory(client) => client.role(),
        }
    }

    pub fn cluster(&self) -> &ClusterName {
        match &self.kind {
            Kind::Nats(nats) => &nats.cluster,
            Kind::Memory(client) => client.cluster(),
        }
    }

    pub fn is_up(&self) -> bool {
        match &self.kind {
            Kind::Nats(nats) => nats.is_up(),
            Kind::Memory(client) => client.is_up(),
        }
    }

    pub fn health(&self) -> BusHealth {
        match &self.kind {
            Kind::Nats(nats) => nats.health(),
            Kind::Memory(client) => client.health(),
        }
    }

    /// Wakes when the link goes up or down, or the bus forbids something. Changes may be missed; [`Bus::health`] is exact.
    pub fn watch_health(&self) -> watch::Receiver<BusHealth> {
        match &self.kind {
            Kind::Nats(nats) => nats.watch(),
            Kind::Memory(client) => client.watch(),
        }
    }

    /// Waits until the link is up; false when `longest` passes first.
    pub async fn wait_up(&self, longest: Duration) -> bool {
        match &self.kind {
            Kind::Nats(nats) => nats.wait_up(longest).await,
            Kind::Memory(client) => client.wait_up(longest).await,
        }
    }

    /// Publishes facts in order, up to [`PUBLISH_WINDOW`] under way at once, and gives one result for each, in order.
    /// A fact that the log holds already is done. After the first that is not done no further one is sent, and those
    /// are unknown; publish again from there. Returns within seconds, and at once while the link is down.
    /// Facts keep their order within a connection. Where one breaks, a fact that waited in this client may stand in the
    /// log before one that was lost with the connection and is repeated.
    pub async fn publish_facts(&self, subject: &Subject, facts: &[Envelope]) -> Vec<Told<Published>> {
        match &self.kind {
            Kind::Nats(nats) => publish::publish(nats, subject, facts).await,
            Kind::Memory(client) => client.publish(subject, facts),
        }
    }

    /// Sends a message that may be lost. Never waits, and sends nothing while the link is down: a stale beat is worse than
    /// none. False: it was certainly not sent.
    pub fn tell(&self, subject: &Subject, message: &Envelope) -> bool {
        match &self.kind {
            Kind::Nats(nats) => {
                let payload = encode(message);
                payload.len() <= MESSAGE_BYTES_MAX && nats.try_send(subject.to_string(), payload.into())
            }
            Kind::Memory(client) => client.tell(subject, message),
        }
    }

    /// Asks and waits at most `timeout`. Refused: certainly nobody heard it. Unknown: it may have been heard, or be heard
    /// later, so that a question which acts needs an id and an expiry of its own.
    pub async fn request(&self, subject: &Subject, question: &Envelope, timeout: Duration) -> Told<Envelope> {
        match &self.kind {
            Kind::Nats(nats) => request::request(nats, subject, question, timeout).await,
            Kind::Memory(client) => client.request(subject, question, timeout).await,
        }
    }

    /// Hears messages on a subject or filter; they cannot be answered. While the link is down the subscription is taken
    /// for later. Unknown: it was not taken; ask again.
    pub async fn listen(&self, filter: &str) -> Told<Inbox> {
        self.inbox(filter, None).await
    }

    /// Hears questions, and answers those whose answers go to `askers`' inboxes.
    pub async fn serve(&self, filter: &str, askers: &Role) -> Told<Inbox> {
        self.inbox(filter, Some(askers.inbox_prefix())).await
    }

    /// Makes the log unless it is there, and refuses a server that is too old and a log that could lose facts.
    pub async fn ensure_log(&self, settings: &LogSettings) -> Told<LogInfo> {
        match &self.kind {
            Kind::Nats(nats) => log::ensure(nats, settings).await,
            Kind::Memory(client) => client.ensure_log(settings),
        }
    }

    pub async fn log_info(&self) -> Told<LogInfo> {
        match &self.kind {
            Kind::Nats(nats) => log::info(nats).await,
            Kind::Memory(client) => client.log_info(),
        }
    }

    /// Follows the log from behind the sequence `after`; 0 reads it from its start. Call it within a tokio runtime.
    pub fn read_log(&self, after: u64) -> LogReader {
        match &self.kind {
            Kind::Nats(nats) => LogReader::nats(Arc::clone(nats), after),
            Kind::Memory(client) => LogReader::memory(client.read_log(after)),
        }
    }

    async fn inbox(&self, filter: &str, reply_prefix: Option<String>) -> Told<Inbox> {
        match &self.kind {
            Kind::Nats(nats) => {
                // From before it leaves: its refusal may come before anybody waits for it.
                let health = nats.watch();
                let before = health.borrow().denials_total;
                match nats.subscribe(filter.to_owned()).await {
                    Some(subscriber) => {
                        let (filter, nats) = (filter.to_owned(), Arc::clone(nats));
                        Told::Done(Inbox::nats(subscriber, filter, health, before, nats, reply_prefix))
                    }
                    None => Told::Unknown,
                }
            }
            Kind::Memory(client) => client.listen(filter, reply_prefix),
        }
    }
}
