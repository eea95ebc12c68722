//! Progress is told once a second and run, however often it moves; the last figures are told in any case.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_proto::id::RunId;
use tokio::time::Instant;

/// How often one run's progress is told at most.
const EVERY: Duration = Duration::from_secs(1);

/// Runs that moved within the last second.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When it was told last, and whether it has moved since.
    told: BTreeMap<RunId, (Instant, bool)>,
}

impl Throttle {
    /// Whether this movement is told now; else it is told when it is due.
    pub(super) fn moved(&mut self, run: RunId, now: Instant) -> bool {
        match self.told.get_mut(&run) {
            Some((_, has_moved)) => {
                *has_moved = true;
                false
            }
            None => {
                self.told.insert(run, (now, false));
                true
            }
        }
    }

    /// Runs whose movement is due by now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<RunId> {
        let mut due = Vec::new();
        self.told.retain(|run, (told, has_moved)| {
            if now.duration_since(*told) < EVERY {
                return true;
            }
            if *has_moved {
                due.push(*run);
                (*told, *has_moved) = (now, false);
                return true;
            }
            false
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test(start_paused = true)]
    async fn a_run_that_moves_all_the_time_is_told_once_a_second_and_at_its_end() {
        let (mut throttle, run) = (Throttle::default(), RunId(Uuid::nil()));
        let mut told = 0;
        for _ in 0..100 {
            told += usize::from(throttle.moved(run, Instant::now()));
            told += throttle.due(Instant::now()).len();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!((9..=11).contains(&told), "{told}");
        tokio::time::advance(EVERY).await;
        assert_eq!(throttle.due(Instant::now()), [run], "the last figures");
        tokio::time::advance(EVERY).await;
        assert!(throttle.due(Instant::now()).is_empty() && throttle.told.is_empty(), "it is forgotten");
    }
}
