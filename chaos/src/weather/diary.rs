//! What a case does, told while it does it, and counted for the table at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use landfall_proto::verdict::VerdictKind;

/// Where lines go.
pub type Voice = Arc<dyn Fn(&str) + Send + Sync>;

/// Shared by the case and whoever runs it; what was written survives the case's end.
#[derive(Clone)]
pub struct Diary {
    voice: Voice,
    counts: Arc<Mutex<Counts>>,
}

/// Figures of one case.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Things broken.
    pub faults: u32,
    /// Rounds asked for.
    pub rounds: u32,
    /// Verdicts in the log about them, by kind.
    pub verdicts: BTreeMap<VerdictKind, u32>,
    /// Promises that were looked at.
    pub laws: u32,
    /// Promises that were not kept, and direct expectations that were not met.
    pub violations: Vec<String>,
}

impl fmt::Debug for Diary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Diary").field(&self.counts()).finish()
    }
}

impl Diary {
    pub fn new(voice: Voice) -> Self {
        Self { voice, counts: Arc::default() }
    }

    pub fn say(&self, line: &str) {
        (self.voice)(line);
    }

    /// Something is broken now.
    pub fn fault(&self, line: &str) {
        self.change(|counts| counts.faults += 1);
        self.say(line);
    }

    pub fn violation(&self, line: String) {
        self.say(&format!("VIOLATION: {line}"));
        self.change(|counts| counts.violations.push(line));
    }

    pub fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
