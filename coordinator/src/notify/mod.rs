//! Telling people: each notice goes to its sink with bounded patience, and how that ended comes back to become a fact.

mod body;
mod journal;
mod jsonl;
pub mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::alert::Alert;
use landfall_proto::id::ClusterName;
use tokio::sync::mpsc;
use uuid::Uuid;

pub use body::{NoticeBody, Status};

use crate::config::{SinkConfig, SinkKind, read_secret};
use crate::core::step::{Delivery, Notice};
use crate::edge::clock;
use jsonl::Jsonl;
use webhook::Webhook;

/// Notices that wait for one sink. One more is given up at once, which is a fact like any other end.
const QUEUE_MAX: usize = 1024;

/// The pause before the second attempt; it doubles.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// Attempts of the sinks that have no setting of their own.
const LOCAL_ATTEMPTS: u32 = 3;

/// Longest error that goes into a fact, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError {
    pub message: String,
    /// True where the same notice would be refused again.
    pub is_final: bool,
}

/// All sinks, each with a queue and a task of its own, so that one that hangs holds up no other.
pub struct Notifier {
    queues: BTreeMap<String, mpsc::Sender<Letter>>,
    under_way: Arc<Mutex<BTreeSet<Ticket>>>,
    deliveries: mpsc::Sender<Delivery>,
}

/// One notice to one sink: alert, whether it says "resolved", sink.
type Ticket = (Uuid, bool, String);

enum Sink {
    Journal,
    Jsonl(Jsonl),
    Webhook(Webhook),
}

impl Notifier {
    /// Starts one task for each sink. How each notice ended is sent to `deliveries`.
    pub fn start(cluster: &ClusterName, sinks: &[SinkConfig], deliveries: mpsc::Sender<Delivery>) -> Self {
        let under_way = Arc::new(Mutex::new(BTreeSet::new()));
        let mut queues = BTreeMap::new();
        for config in sinks {
            let (sender, receiver) = mpsc::channel(QUEUE_MAX);
            let courier = Courier {
                cluster: cluster.clone(),
                kind: config.kind.clone(),
                delay_min: RETRY_DELAY_MIN,
                deliveries: deliveries.clone(),
                under_way: Arc::clone(&under_way),
            };
            tokio::spawn(courier.run(receiver));
            queues.insert(config.name.clone(), sender);
        }
        Self { queues, under_way, deliveries }
    }

    /// Puts the notice into its sinks' queues. The same notice twice to one sink is one while the first is under way.
    pub fn send(&self, notice: &Notice) {
        for sink in &notice.sinks {
            let letter =
                Letter { sink: sink.clone(), alert: notice.alert.clone(), resolved: notice.resolved.is_some() };
            if self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(letter.ticket()) {
                self.post(letter);
            }
        }
    }

    fn post(&self, letter: Letter) {
        let refused = match self.queues.get(&letter.sink) {
            None => Some((letter, "no sink of this name is configured")),
            Some(queue) => {
                queue.try_send(letter).err().map(|error| (error.into_inner(), "too many notices wait for this sink"))
            }
        };
        if let Some((letter, why)) = refused {
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&letter.ticket());
            tracing::error!(sink = letter.sink, alert = %letter.alert.key, why, "a notice is given up");
            // Where even this queue is full, the notice is derived again from the state at the next start.
            let _ = self.deliveries.try_send(letter.delivery(0, Some(why.to_owned())));
        }
    }
}

/// One notice on its way to one sink.
#[derive(Debug)]
struct Letter {
    sink: String,
    alert: Alert,
    resolved: bool,
}

impl Letter {
    fn ticket(&self) -> Ticket {
        (self.alert.id, self.resolved, self.sink.clone())
    }

    fn delivery(&self, attempts: u32, error: Option<String>) -> Delivery {
        Delivery {
            id: self.alert.id,
            resolved: self.resolved,
            sink: self.sink.clone(),
            attempts,
            error,
            at: clock::now(),
        }
    }
}

/// Carries the notices of one sink, in order: a resolving never overtakes its raising.
struct Courier {
    cluster: ClusterName,
    kind: SinkKind,
    delay_min: Duration,
    deliveries: mpsc::Sender<Delivery>,
    under_way: Arc<Mutex<BTreeSet<Ticket>>>,
}

impl Courier {
    async fn run(self, mut queue: mpsc::Receiver<Letter>) {
        while let Some(letter) = queue.recv().await {
            let (attempts, error) = self.deliver(&letter).await;
            if let Some(error) = &error {
                tracing::error!(sink = letter.sink, alert = %letter.alert.key, attempts, error, "a notice is given up");
            }
            let told = self.deliveries.send(letter.delivery(attempts, error)).await;
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&letter.ticket());
            if told.is_err() {
                return;
            }
        }
    }

    /// Attempts made, and the last error where none succeeded.
    async fn deliver(&self, letter: &Letter) -> (u32, Option<String>) {
        let body = NoticeBody::new(&self.cluster, &letter.alert, letter.resolved, clock::now());
        let sink = match open(&self.kind) {
            Ok(sink) => sink,
            Err(error) => return (0, Some(bounded(&error))),
        };
        let attempts = match &self.kind {
            SinkKind::Webhook { attempts, .. } => (*attempts).max(1),
            SinkKind::Journal | SinkKind::Jsonl { .. } => LOCAL_ATTEMPTS,
        };
        let mut delay = self.delay_min;
        let mut attempt = 1;
        loop {
            match sink.send(&body).await {
                Ok(()) => return (attempt, None),
                Err(error) if error.is_final || attempt >= attempts => return (attempt, Some(bounded(&error.message))),
                Err(error) => {
                    tracing::warn!(
                        sink = letter.sink,
                        attempt,
                        error = error.message,
                        "a notice did not get through and is tried again"
                    );
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                    attempt += 1;
                }
            }
        }
    }
}

/// Made for each notice: a changed secret counts from the next one on, and an idle coordinator holds no connection.
fn open(kind: &SinkKind) -> Result<Sink, String> {
    match kind {
        SinkKind::Journal => Ok(Sink::Journal),
        SinkKind::Jsonl { path } if path == Path::new("-") => Ok(Sink::Jsonl(Jsonl::Stdout)),
        SinkKind::Jsonl { path } => Ok(Sink::Jsonl(Jsonl::File(path.clone()))),
        SinkKind::Webhook { url, secret_file, timeout, .. } => {
            let secret = read_secret(secret_file).map_err(|error| format!("the secret cannot be read: {error}"))?;
            Webhook::new(url.clone(), secret, timeout.as_std()).map(Sink::Webhook).map_err(|error| error.to_string())
        }
    }
}

impl Sink {
    async fn send(&self, body: &NoticeBody) -> Result<(), SinkError> {
        match self {
            Self::Journal => {
                journal::write(body);
                Ok(())
            }
            Self::Jsonl(jsonl) => jsonl.write(body),
            Self::Webhook(webhook) => webhook.post(body).await,
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
