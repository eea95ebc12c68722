//! The client of a real bus: the library's client behind deadlines that it does not have itself.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::task::AbortHandle;

use super::connect::{self, BusError, ConnectOptions};
use super::health::{BusHealth, Denial, Link, Pulse};
use super::mailbox::{Mailbox, Slot};
use super::told::{BusRefusal, Told};
use crate::id::ClusterName;
use crate::subject::{Role, stream_name};

/// How long any call of the server's management may take.
pub(super) const API_MAX: Duration = Duration::from_secs(5);

/// How long handing a message to the library may take: its queue is full only when the link hangs.
const HANDOVER_MAX: Duration = Duration::from_secs(2);

/// A connection to nats-server.
#[derive(Debug)]
pub(super) struct Nats {
    pub(super) role: Role,
    pub(super) cluster: ClusterName,
    client: async_nats::Client,
    pub(super) jetstream: jetstream::Context,
    pub(super) mailbox: Arc<Mailbox>,
    pulse: Arc<Pulse>,
    mail: Option<AbortHandle>,
}

impl Drop for Nats {
    fn drop(&mut self) {
        // The mail's subscription holds the connection open; without this it would outlive its owner.
        if let Some(mail) = &self.mail {
            mail.abort();
        }
    }
}

impl Nats {
    pub(super) async fn connect(options: &ConnectOptions) -> Result<Self, BusError> {
        let inbox_prefix = options.role.inbox_prefix();
        Self::connect_as(options, &inbox_prefix).await
    }

    pub(super) async fn connect_as(options: &ConnectOptions, inbox_prefix: &str) -> Result<Self, BusError> {
        let pulse = Arc::new(Pulse::new());
        // A part of its own for each connection: two coordinators share the prefix but not the mail.
        let mailbox = Mailbox::new(format!("{inbox_prefix}.m{:016x}", super::delay::chance()));
        let client = connect::open(options, inbox_prefix, &pulse, &mailbox).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(API_MAX);
        let mut nats = Self {
            role: options.role.clone(),
            cluster: options.cluster.clone(),
            client,
            jetstream,
            mailbox,
            pulse,
            mail: None,
        };
        nats.mail = nats.open_mailbox().await;
        Ok(nats)
    }

    /// Answers find their way without the connection's owner: one task carries them until the connection ends.
    async fn open_mailbox(&self) -> Option<AbortHandle> {
        let Some(mut mail) = self.subscribe(self.mailbox.filter()).await else {
            tracing::error!("the bus client takes no subscription; every question will stay unanswered");
            return None;
        };
        let mailbox = Arc::clone(&self.mailbox);
        let carry = async move {
            while let Some(message) = mail.next().await {
                mailbox.deliver(message);
            }
        };
        Some(tokio::spawn(carry).abort_handle())
    }

    pub(super) fn stream_name(&self) -> String {
        stream_name(&self.cluster)
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub(super) fn health(&self) -> BusHealth {
        let mut health = self.pulse.snapshot();
        // Events may be lost; the connection's own state is not.
        health.link = match self.client.connection_state() {
            State::Connected => Link::Up,
            State::Pending | State::Disconnected if health.connects == 0 => Link::Connecting,
            State::Pending | State::Disconnected => Link::Down,
        };
        health.server_version = self.server_version();
        health
    }

    /// How often a connection was made. The link can be up before the event that counts the first has been heard.
    pub(super) fn connects(&self) -> u64 {
        self.pulse.connects().max(1)
    }

    pub(super) fn watch(&self) -> tokio::sync::watch::Receiver<BusHealth> {
        self.pulse.subscribe()
    }

    pub(super) fn server_version(&self) -> Option<String> {
        self.client.try_server_info().map(|info| info.version)
    }

    /// Waits until the link is up; looks itself as well, because events may be lost.
    pub(super) async fn wait_up(&self, longest: Duration) -> bool {
        let mut changes = self.watch();
        let poll = async {
            while !self.is_up() {
                let _ = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
            }
        };
        tokio::time::timeout(longest, poll).await.is_ok()
    }

    /// Hands a message over without ever waiting: false when the link is down or the queue is full.
    pub(super) fn try_send(&self, subject: String, payload: Bytes) -> bool {
        // What is queued while offline would arrive stale later, so it is dropped here.
        let send = tokio::task::unconstrained(self.client.publish(subject, payload));
        self.is_up() && matches!(send.now_or_never(), Some(Ok(())))
    }

    /// Hands over a message that wants an answer. False: it did not leave this process.
    pub(super) async fn send(&self, subject: &str, slot: &Slot, headers: Option<HeaderMap>, payload: Bytes) -> bool {
        let (subject, address) = (subject.to_owned(), slot.address.clone());
        let sent = match headers {
            Some(headers) => {
                let send = self.client.publish_with_reply_and_headers(subject, address, headers, payload);
                tokio::time::timeout(HANDOVER_MAX, send).await
            }
            None => tokio::time::timeout(HANDOVER_MAX, self.client.publish_with_reply(subject, address, payload)).await,
        };
        matches!(sent, Ok(Ok(())))
    }

    /// Hands over a message and waits a moment for room in the queue.
    pub(super) async fn send_plain(&self, subject: String, payload: Bytes) -> bool {
        matches!(tokio::time::timeout(HANDOVER_MAX, self.client.publish(subject, payload)).await, Ok(Ok(())))
    }

    pub(super) async fn subscribe(&self, filter: String) -> Option<Subscriber> {
        tokio::time::timeout(HANDOVER_MAX, self.client.subscribe(filter)).await.ok()?.ok()
    }

    /// A reply subject of its own, for a log reader.
    pub(super) fn new_inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// Runs one call of the server's management: bounded, not tried while the link is down, and ended early when the
    /// server forbids it, which the library itself never hears.
    pub(super) async fn managed<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Told<Result<T, E>> {
        if !self.is_up() {
            return Told::Unknown;
        }
        let stream = self.stream_name();
        let mut health = self.watch();
        let before = health.borrow_and_update().denials_total;
        let denied = async {
            loop {
                if health.changed().await.is_err() {
                    return std::future::pending().await;
                }
                let seen = health.borrow_and_update();
                let newer = usize::try_from(seen.denials_total - before).unwrap_or(usize::MAX);
                let hit = |denial: &&Denial| denial.subject.contains(&stream) && !denial.subscription;
                if let Some(denial) = seen.denials.iter().rev().take(newer).find(hit) {
                    return denial.subject.clone();
                }
            }
        };
        tokio::select! {
            biased;
            result = tokio::time::timeout(API_MAX, call) => match result {
                Ok(result) => Told::Done(result),
                Err(_) => Told::Unknown,
            },
            subject = denied => Told::Refused(BusRefusal::NotPermitted { subject }),
        }
    }
}

/// Turns the server's own error into a refusal. `stream` is the log's name.
pub(super) fn refusal_of(error: &jetstream::Error, stream: &str) -> BusRefusal {
    use async_nats::jetstream::ErrorCode;
    let detail = error.to_string();
    match error.error_code() {
        ErrorCode::STREAM_NOT_FOUND => BusRefusal::NoLog { stream: stream.to_owned() },
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            BusRefusal::NoJetStream { detail }
        }
        ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::STREAM_STORE_FAILED => BusRefusal::LogFull { detail },
        code => BusRefusal::Other { code: code.0, detail },
    }
}

/// Whether nobody answers for the server's management at all, which an error hides among its sources.
pub(super) fn is_without_jetstream(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(request) = error.downcast_ref::<jetstream::context::RequestError>() {
            return request.kind() == jetstream::context::RequestErrorKind::NoResponders;
        }
        next = error.source();
    }
    false
}
