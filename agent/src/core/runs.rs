//! The journal: which runs this node knows of, so that no run ever starts twice.

use std::collections::BTreeMap;

use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::RunId;
use landfall_proto::report::Outcome;
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One run that was begun, and how it ended where it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub about: RunAbout,
    /// Counts from 1; a run that the agent's end interrupted is taken up with the next number.
    pub attempt: u32,
    /// When the first attempt began.
    pub begun_at: Timestamp,
    #[serde(default)]
    pub ended: Option<Ended>,
}

/// How a run ended, in short; its receipt says the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub outcome: Outcome,
    pub at: Timestamp,
}

/// All runs that are remembered, [`JOURNAL_MAX`] at most. Runs that have not ended are never forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    records: BTreeMap<RunId, Record>,
}

/// Runs beyond this are forgotten, oldest end first. Their slots are long considered and their commands long expired.
const JOURNAL_MAX: usize = 2000;

impl Journal {
    pub fn get(&self, run: RunId) -> Option<&Record> {
        self.records.get(&run)
    }

    pub fn knows(&self, run: RunId) -> bool {
        self.records.contains_key(&run)
    }

    pub fn has_ended(&self, run: RunId) -> bool {
        self.records.get(&run).is_some_and(|record| record.ended.is_some())
    }

    pub fn iter(&self) -> impl Iterator<Item = (RunId, &Record)> {
        self.records.iter().map(|(run, record)| (*run, record))
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn put(&mut self, run: RunId, record: Record) {
        self.records.insert(run, record);
    }

    pub fn forget(&mut self, run: RunId) {
        self.records.remove(&run);
    }

    /// Takes out what is beyond the bound and names it.
    pub(super) fn prune(&mut self) -> Vec<RunId> {
        let surplus = self.records.len().saturating_sub(JOURNAL_MAX);
        if surplus == 0 {
            return Vec::new();
        }
        let mut ended: Vec<(Timestamp, RunId)> =
            self.records.iter().filter_map(|(run, record)| record.ended.map(|ended| (ended.at, *run))).collect();
        ended.sort_unstable();
        let forgotten: Vec<RunId> = ended.into_iter().take(surplus).map(|(_, run)| run).collect();
        for run in &forgotten {
            self.records.remove(run);
        }
        forgotten
    }
}
