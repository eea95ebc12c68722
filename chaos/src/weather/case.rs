//! One kind of bad weather: a name, what it does, what it needs, and the story itself.

use futures::future::LocalBoxFuture;

use super::diary::Diary;
use super::dice::Dice;
use super::mesh::Draft;
use super::need::Need;

/// What a story is told with.
#[derive(Debug, Clone)]
pub struct Weather {
    pub case: &'static str,
    pub dice: Dice,
    /// How often the story breaks something, where it can do so more than once.
    pub rounds: u32,
    pub diary: Diary,
    /// Whether its folder stays.
    pub keeps: bool,
}

impl Weather {
    /// A mesh of nodes with these names.
    pub fn mesh(self, nodes: &[&str]) -> Draft {
        Draft::new(self, nodes)
    }
}

/// A named kind of bad weather.
#[derive(Clone, Copy)]
pub struct Case {
    /// Lower case with hyphens.
    pub name: &'static str,
    /// In one sentence, for people.
    pub about: &'static str,
    pub needs: &'static [Need],
    /// Rounds unless told otherwise.
    pub rounds: u32,
    /// Tells the story; panics where something that was promised did not come.
    pub tell: fn(Weather) -> LocalBoxFuture<'static, ()>,
}

impl Case {
    pub(super) const fn new(
        name: &'static str,
        about: &'static str,
        tell: fn(Weather) -> LocalBoxFuture<'static, ()>,
    ) -> Self {
        Self { name, about, needs: &[], rounds: 1, tell }
    }

    pub(super) const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    pub(super) const fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = rounds;
        self
    }

    /// Why this machine cannot show it; absent where it can.
    pub fn missing(&self) -> Option<String> {
        self.needs.iter().find_map(|need| need.missing())
    }
}
