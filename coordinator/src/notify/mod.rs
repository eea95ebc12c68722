//! Telling people: each notice goes to its sink with bounded patience, and how that ended comes back to become a fact.

pub mod alertmanager;
mod answer;
mod body;
mod courier;
mod http;
mod journal;
mod jsonl;
mod letter;
mod mail;
pub mod pagerduty;
mod presenter;
mod sink;
pub mod slack;
pub mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::id::ClusterName;
use tokio::sync::{mpsc, watch};

pub use answer::{SinkError, Taken};
pub use body::{NoticeBody, Status};
pub(crate) use mail::check_templates;

use crate::config::{SinkConfig, SinkKind};
use crate::core::record::Resolved;
use crate::core::step::{Delivery, Notice};
use crate::core::tell::Standing;
use crate::edge::clock;
use courier::Courier;
use letter::{End, Letter, Ticket};
use presenter::Stand;
use sink::Sink;

/// Notices that wait for one sink. One more is given up at once, which is a fact like any other end.
const QUEUE_MAX: usize = 1024;

/// The pause before the second attempt; it doubles.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);

/// All sinks, each with a queue and a task of its own, so that one that hangs holds up no other.
pub struct Notifier {
    queues: BTreeMap<String, mpsc::Sender<Letter>>,
    under_way: Arc<Mutex<BTreeSet<Ticket>>>,
    deliveries: mpsc::Sender<Delivery>,
    stand: watch::Sender<Stand>,
    resend_interval: Option<Duration>,
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
        let (stand, _) = watch::channel(Stand::default());
        presenter::start(cluster, sinks, &stand);
        let intervals = sinks.iter().filter_map(|sink| match &sink.kind {
            SinkKind::Alertmanager(config) => Some(config.resend_interval.as_std()),
            SinkKind::Journal
            | SinkKind::Jsonl { .. }
            | SinkKind::Webhook { .. }
            | SinkKind::Mail(_)
            | SinkKind::Slack(_)
            | SinkKind::Pagerduty(_) => None,
        });
        Self { queues, under_way, deliveries, stand, resend_interval: intervals.min() }
    }

    /// Puts the notice into its sinks' queues. The same notice twice to one sink is one while the first is under way.
    pub fn send(&self, notice: &Notice) {
        for letter in Letter::of(notice) {
            if self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(letter.ticket()) {
                self.post(letter);
            }
        }
    }

    /// How often somebody has to be shown what stands; `None` where nobody forgets.
    pub const fn resend_interval(&self) -> Option<Duration> {
        self.resend_interval
    }

    /// Shows what stands to those who forget.
    pub fn show(&self, standing: Vec<Standing>) {
        self.stand.send_replace(Arc::new(standing));
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
            let end = End { attempts: 0, told: Err(why.to_owned()) };
            let _ = self.deliveries.try_send(letter.delivery(end));
        }
    }
}

/// Sends one clearly marked test to a sink, once, and gives what it said. An incident that the test began is ended by it.
pub async fn test(cluster: &ClusterName, sink: &SinkConfig) -> Result<Taken, SinkError> {
    let mut letter = Letter::test(cluster, &sink.name);
    let taken = attempt(cluster, sink, &letter).await?;
    if !matches!(sink.kind, SinkKind::Pagerduty(_)) {
        return Ok(taken);
    }
    letter.resolved = Some(Resolved { at: clock::now(), why: "it was a test".to_owned() });
    let ended = attempt(cluster, sink, &letter).await?;
    Ok(Taken(format!("{}; and for its end {}", taken.0, ended.0)))
}

async fn attempt(cluster: &ClusterName, sink: &SinkConfig, letter: &Letter) -> Result<Taken, SinkError> {
    let body = NoticeBody::new(cluster, letter, clock::now());
    Sink::open(&sink.kind)?.send(cluster, letter, &body).await
}

#[cfg(test)]
mod tests;
