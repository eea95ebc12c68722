//! Carries the notices of one sink, in order: a resolving never overtakes its raising.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::id::ClusterName;
use tokio::sync::mpsc;

use super::answer::Taken;
use super::body::NoticeBody;
use super::letter::{End, Letter, Ticket};
use super::sink::{Sink, attempts};
use crate::config::SinkKind;
use crate::core::step::Delivery;
use crate::edge::clock;

/// The longest pause between two attempts, but for a receiver that asks for a longer one.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// Longest error and answer that go into a fact, in characters.
const SAID_CHARS_MAX: usize = 300;

/// The task behind one sink's queue.
pub(super) struct Courier {
    pub(super) cluster: ClusterName,
    pub(super) kind: SinkKind,
    /// The pause before the second attempt; it doubles.
    pub(super) delay_min: Duration,
    pub(super) deliveries: mpsc::Sender<Delivery>,
    pub(super) under_way: Arc<Mutex<BTreeSet<Ticket>>>,
}

impl Courier {
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Letter>) {
        while let Some(letter) = queue.recv().await {
            let end = self.deliver(&letter).await;
            if let Err(error) = &end.told {
                let attempts = end.attempts;
                tracing::error!(sink = letter.sink, alert = %letter.alert.key, attempts, error, "a notice is given up");
            }
            let told = self.deliveries.send(letter.delivery(end)).await;
            self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&letter.ticket());
            if told.is_err() {
                return;
            }
        }
    }

    /// Tries until the sink takes it, refuses it for good, or has had its attempts.
    pub(super) async fn deliver(&self, letter: &Letter) -> End {
        let body = NoticeBody::new(&self.cluster, letter, clock::now());
        let sink = match Sink::open(&self.kind) {
            Ok(sink) => sink,
            Err(error) => return End { attempts: 0, told: Err(bounded(&error.message)) },
        };
        let attempts_max = attempts(&self.kind);
        let mut delay = self.delay_min;
        let mut attempts = 1;
        loop {
            match sink.send(&self.cluster, letter, &body).await {
                Ok(Taken(text)) => return End { attempts, told: Ok(bounded(&text)) },
                Err(error) if error.is_final || attempts >= attempts_max => {
                    return End { attempts, told: Err(bounded(&error.message)) };
                }
                Err(error) => {
                    let why = error.message;
                    tracing::warn!(
                        sink = letter.sink,
                        attempts,
                        why,
                        "a notice did not get through and is tried again"
                    );
                    tokio::time::sleep(error.retry_after.map_or(delay, |asked| asked.max(delay))).await;
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                    attempts += 1;
                }
            }
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).collect()
}
