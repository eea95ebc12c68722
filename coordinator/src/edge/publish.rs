//! Decisions on their way into the log: in order, and each until the log has it.

use std::collections::VecDeque;
use std::time::Duration;

use landfall_proto::bus::{Bus, Told};
use landfall_proto::envelope::Envelope;
use landfall_proto::subject::Subject;
use tokio::sync::mpsc;

/// Batches that wait for the bus. The core decides nothing more while its decisions are on their way, so few ever do.
pub(super) const BATCHES_MAX: usize = 1024;

/// Facts that are handed to the bus at once.
const FACTS_AT_ONCE: usize = 512;

const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Publishes what comes in until the sender is gone. A fact whose fate is unknown is published again under its own id,
/// which is harmless; a later one never overtakes it.
pub(super) async fn publish(bus: Bus, subject: Subject, mut batches: mpsc::Receiver<Vec<Envelope>>) {
    let mut waiting: VecDeque<Envelope> = VecDeque::new();
    let mut delay = RETRY_MIN;
    loop {
        if waiting.is_empty() {
            match batches.recv().await {
                Some(batch) => waiting.extend(batch),
                None => return,
            }
        }
        while let Ok(batch) = batches.try_recv() {
            waiting.extend(batch);
        }
        let first = waiting.len().min(FACTS_AT_ONCE);
        let results = bus.publish_facts(&subject, &waiting.make_contiguous()[..first]).await;
        let done = results.iter().take_while(|told| told.is_done()).count();
        waiting.drain(..done.min(first));
        match results.into_iter().nth(done) {
            None => delay = RETRY_MIN,
            Some(told) => {
                if let Told::Refused(refusal) = told {
                    let problem = refusal.problem();
                    tracing::error!(
                        waiting = waiting.len(),
                        why = problem.why,
                        fix = problem.fix,
                        "{refusal}; a decision waits"
                    );
                }
                if batches.is_closed() {
                    return;
                }
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }
}
