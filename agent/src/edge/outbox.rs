//! The pump: facts from the spool to the log, in order, again and again until the log has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use landfall_proto::bus::{Bus, BusRefusal, PUBLISH_WINDOW, Told};
use landfall_proto::subject::{Subject, Topic};
use tokio::sync::Notify;

use super::spool::Spool;
use crate::core::{Onward, Pump, Told3};

/// How long the pump sleeps when nobody wakes it.
const NAP: Duration = Duration::from_secs(5);

/// Wakes the pump, or sends it back.
#[derive(Debug, Clone)]
pub(super) struct Nudge {
    wake: Arc<Notify>,
    back_to: Arc<AtomicU64>,
}

impl Nudge {
    pub(super) fn new() -> Self {
        Self { wake: Arc::new(Notify::new()), back_to: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// There are more facts.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Everything from this sequence on has to be said again.
    pub(super) fn back_to(&self, seq: u64) {
        self.back_to.fetch_min(seq, Ordering::SeqCst);
        self.wake.notify_one();
    }
}

/// Publishes for ever. After a start everything that is kept is said again: what the log has already it does not take twice.
pub(super) async fn pump(bus: Bus, spool: Arc<Spool>, nudge: Nudge) {
    let landfall_proto::subject::Role::Agent(node) = bus.role().clone() else { return };
    let subject = Subject::new(bus.cluster(), Topic::NodeFact(node));
    let mut state = Pump::new();
    let mut complaint: Option<BusRefusal> = None;
    loop {
        state.go_back(nudge.back_to.swap(u64::MAX, Ordering::SeqCst));
        let from = state.begin();
        let facts = match tokio::task::block_in_place(|| spool.facts_from(from, PUBLISH_WINDOW)) {
            Ok(facts) => facts,
            Err(error) => {
                tracing::error!("the spool cannot be read: {error}");
                Vec::new()
            }
        };
        if facts.is_empty() {
            let _ = tokio::time::timeout(NAP, nudge.wake.notified()).await;
            continue;
        }
        if facts.first().is_some_and(|fact| !state.goes_on_in(fact.incarnation)) {
            continue;
        }
        let told = bus.publish_facts(&subject, &facts).await;
        let results: Vec<(u64, Told3)> =
            facts.iter().zip(&told).map(|(fact, told)| (fact.seq, without_reason(told))).collect();
        let onward = state.settle(&results);
        if told.first().is_some_and(Told::is_done) {
            complaint = None;
        }
        let Onward::Pause { pause, is_stuck } = onward else { continue };
        if let Some(Told::Refused(refusal)) = told.into_iter().find(|told| !told.is_done())
            && complaint.as_ref() != Some(&refusal)
        {
            let problem = refusal.problem();
            tracing::warn!("the log takes no facts: {}; {}; {}", problem.what, problem.why, problem.fix);
            complaint = Some(refusal);
        }
        if !bus.wait_up(pause.as_std()).await || is_stuck {
            tokio::time::sleep(pause.as_std()).await;
        }
    }
}

const fn without_reason<T>(told: &Told<T>) -> Told3 {
    match told {
        Told::Done(_) => Told3::Done,
        Told::Refused(_) => Told3::Refused,
        Told::Unknown => Told3::Unknown,
    }
}
