//! Chance, drawn from one seeded generator: the same seed throws the same dice.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use uuid::Uuid;

/// One stream of a run's generator.
#[derive(Debug, Clone)]
pub struct Dice {
    generator: ChaCha8Rng,
}

/// Independent streams of one seed, so that dropping a fault from a list changes as little else as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The options and the list of faults.
    Plan,
    /// Everything that happens on the way.
    World,
}

impl Dice {
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(match stream {
            Stream::Plan => 0,
            Stream::World => 1,
        });
        Self { generator }
    }

    pub fn number(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// A number below `end`; zero where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.generator.next_u64() % end }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.below(100) < u64::from(percent)
    }

    /// One of `items`; `None` only where there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(items.len() as u64)).expect("an index fits into a word");
        items.get(index)
    }

    /// An id that no other draw of this run gives.
    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.number(), self.number())
    }
}
