//! Decisions on their way into the log: in order, a window at once, and each under its own identity until the log has it.

use std::collections::VecDeque;

use landfall_proto::envelope::Envelope;
use landfall_proto::time::{Duration, Timestamp, after};

use super::Out;

/// Facts that may be under way at the same time.
const WINDOW: usize = 64;

/// How long the log may take to confirm one fact.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);

const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 5000;

/// Names one attempt to publish one fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub round: u64,
    pub index: usize,
}

/// The queue of one process.
#[derive(Debug)]
pub struct Publisher {
    waiting: VecDeque<Envelope>,
    /// What is known of the first facts of `waiting`, which are under way.
    results: Vec<Option<bool>>,
    round: u64,
    delay_ms: u64,
    is_asleep: bool,
}

impl Default for Publisher {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), results: Vec::new(), round: 0, delay_ms: RETRY_MIN_MS, is_asleep: false }
    }
}

impl Publisher {
    pub fn push(&mut self, envelope: Envelope) {
        self.waiting.push_back(envelope);
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends the next window unless one is under way.
    pub fn go(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        if !self.results.is_empty() || self.is_asleep || self.waiting.is_empty() {
            return;
        }
        self.round += 1;
        let count = self.waiting.len().min(WINDOW);
        self.results = vec![None; count];
        for (index, envelope) in self.waiting.iter().take(count).enumerate() {
            out.push(Out::Publish { attempt: Attempt { round: self.round, index }, envelope: envelope.clone() });
        }
        out.push(Out::GiveUpAt { at: after(now, CONFIRM_WITHIN), round: self.round });
    }

    pub fn told(&mut self, attempt: Attempt, is_done: bool, now: Timestamp, out: &mut Vec<Out>) {
        if attempt.round != self.round {
            return;
        }
        if let Some(result) = self.results.get_mut(attempt.index) {
            result.get_or_insert(is_done);
        }
        if self.results.iter().all(Option::is_some) {
            self.settle(now, out);
        }
    }

    /// Whatever has not been confirmed by now is unknown, and unknown is published again.
    pub fn give_up(&mut self, round: u64, now: Timestamp, out: &mut Vec<Out>) {
        if round == self.round && !self.results.is_empty() {
            self.settle(now, out);
        }
    }

    pub fn awake(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        self.is_asleep = false;
        self.go(now, out);
    }

    fn settle(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let done = self.results.iter().take_while(|result| **result == Some(true)).count();
        let is_all = done == self.results.len();
        self.waiting.drain(..done);
        self.results.clear();
        if is_all {
            self.delay_ms = RETRY_MIN_MS;
            self.go(now, out);
        } else {
            self.is_asleep = true;
            out.push(Out::PublishAgainAt(after(now, Duration::from_ms(self.delay_ms))));
            self.delay_ms = (self.delay_ms * 2).min(RETRY_MAX_MS);
        }
    }
}
