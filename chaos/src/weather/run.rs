//! Telling one case from its start to its judgement, whatever happens in between.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, select};
use tokio::time::Instant;

use super::case::{Case, Weather};
use super::diary::{Counts, Diary, Voice};
use super::dice::Dice;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Passed,
    /// With what was expected and did not come.
    Failed(String),
    /// This machine cannot show it.
    Skipped(String),
    /// Somebody wanted to go home.
    Stopped,
}

/// What is known of a case afterwards.
#[derive(Debug, Clone)]
pub struct Told {
    pub case: &'static str,
    pub seed: u64,
    pub rounds: u32,
    pub ending: Ending,
    pub counts: Counts,
    pub took: Duration,
}

impl Told {
    /// The command that tells the same again.
    pub fn again(&self) -> String {
        format!("cargo chaos run {} --seed {} --rounds {} --keep", self.case, self.seed, self.rounds)
    }
}

/// How a case is told.
#[derive(Clone)]
pub struct Manner {
    pub seed: u64,
    /// The case's own number where absent.
    pub rounds: Option<u32>,
    pub keeps: bool,
    pub voice: Voice,
}

/// Tells a case; `stop` ends it early, and what it started with it.
pub async fn tell(case: &Case, manner: &Manner, stop: impl Future<Output = ()>) -> Told {
    let Manner { seed, rounds, keeps, voice } = manner.clone();
    let rounds = rounds.unwrap_or(case.rounds);
    let diary = Diary::new(voice);
    let begun = Instant::now();
    let ending = match case.missing() {
        Some(why) => Ending::Skipped(why),
        None => {
            let weather = Weather { case: case.name, dice: Dice::new(seed), rounds, diary: diary.clone(), keeps };
            // A story that panics has still told what happened; its mesh ends while the panic passes through it.
            let story = Box::pin(AssertUnwindSafe((case.tell)(weather)).catch_unwind());
            match select(story, std::pin::pin!(stop)).await {
                Either::Left((Ok(()), _)) => Ending::Passed,
                Either::Left((Err(panic), _)) => Ending::Failed(words(panic.as_ref())),
                Either::Right(((), story)) => {
                    drop(story);
                    Ending::Stopped
                }
            }
        }
    };
    Told { case: case.name, seed, rounds, ending, counts: diary.counts(), took: begun.elapsed() }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it ended without a word".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn manner() -> Manner {
        Manner { seed: 7, rounds: None, keeps: false, voice: Arc::new(|_| {}) }
    }

    #[tokio::test]
    async fn a_case_that_panics_has_failed_with_its_words() {
        let case = Case::new("bad", "It fails.", |_| Box::pin(async { panic!("expected {}", "rain") }));
        let told = tell(&case, &manner(), std::future::pending()).await;
        assert_eq!(told.ending, Ending::Failed("expected rain".to_owned()));
        assert_eq!(told.again(), "cargo chaos run bad --seed 7 --rounds 1 --keep");
    }

    #[tokio::test]
    async fn a_case_that_is_stopped_ends_and_has_not_passed() {
        let case = Case::new("long", "It waits.", |_| Box::pin(std::future::pending()));
        let told = tell(&case, &manner(), std::future::ready(())).await;
        assert_eq!(told.ending, Ending::Stopped);
    }
}
