//! The model ledger: what is written is read back by this process, what is durable survives the machine.

use std::collections::{BTreeMap, VecDeque};

use landfall::core::record::{Changes, Key, Records};
use landfall::core::writer::{Writer, WriterKey};
use landfall_proto::envelope::Identity;
use landfall_proto::envelope::Position;

/// There is no room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

/// Transactions of one coordinator's disk.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    durable: Records,
    /// Written and not yet behind a barrier, in order. A machine that dies keeps any number of the first ones.
    pending: VecDeque<Changes>,
    /// Below which of each writer's facts everything was durable here at some time: a disk that is lost has held them.
    held: BTreeMap<WriterKey, u64>,
    pub is_full: bool,
    pub barriers: u64,
    pub commits: u64,
}

impl Ledger {
    pub fn commit(&mut self, changes: Changes) -> Result<(), NoRoom> {
        if self.is_full {
            return Err(NoRoom);
        }
        self.commits += 1;
        self.pending.push_back(changes);
        Ok(())
    }

    /// The barrier: everything written so far outlives the machine.
    pub fn durable(&mut self) {
        self.barriers += 1;
        for changes in self.pending.drain(..) {
            hold(&mut self.held, &changes.writers);
            self.durable.apply(changes);
        }
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The process is gone, the machine is not: the page cache still holds everything.
    pub fn process_died(&mut self) {
        self.durable();
    }

    /// The machine is gone: only the first `kept` of the pending transactions had reached the disk.
    pub fn machine_died(&mut self, kept: usize) -> usize {
        let lost = self.pending.len().saturating_sub(kept);
        self.pending.truncate(kept);
        self.durable();
        lost
    }

    /// The disk is gone.
    pub fn lose(&mut self) {
        *self = Self { held: std::mem::take(&mut self.held), is_full: self.is_full, ..Self::default() };
    }

    /// What another coordinator sent over, in place of whatever was here.
    pub fn replace(&mut self, records: Records) {
        hold(&mut self.held, &records.writers);
        *self =
            Self { durable: records, held: std::mem::take(&mut self.held), is_full: self.is_full, ..Self::default() };
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.on_disk_is_empty()
    }

    pub fn on_disk_is_empty(&self) -> bool {
        self.durable.meta.cursor == Position::START
    }

    /// What survives for certain.
    pub const fn on_disk(&self) -> &Records {
        &self.durable
    }

    /// What a process finds when it starts: every record read back from its bytes.
    ///
    /// # Panics
    ///
    /// Where a record cannot be read back: that is a mistake of the core, and the point of the exercise.
    pub fn load(&self) -> Records {
        let everything = Changes {
            meta: Some(self.durable.meta.clone()),
            writers: self.durable.writers.clone(),
            parked: self.durable.parked.iter().map(|(id, parked)| (id.clone(), Some(parked.clone()))).collect(),
            nodes: self.durable.nodes.clone(),
            routines: self.durable.routines.clone(),
            limits: self.durable.limits.clone(),
            monitors: self.durable.monitors.iter().map(|(name, it)| (name.clone(), Some(it.clone()))).collect(),
            spaces: self.durable.spaces.iter().map(|(name, it)| (name.clone(), Some(it.clone()))).collect(),
            ping_keys: self.durable.ping_keys.iter().map(|(label, it)| (label.clone(), Some(it.clone()))).collect(),
            alerts: self.durable.alerts.clone(),
            rounds: self.durable.rounds.clone(),
            runs: self.durable.runs.clone(),
            ..Changes::default()
        };
        let mut records = Records::default();
        for (key, value) in everything.entries() {
            let key = Key::parse(&key.bytes()).expect("a record's key is read back from its bytes");
            let value = value.expect("nothing is taken away from a whole set of records");
            records.read(key, &value).expect("a record is read back from its bytes");
        }
        records
    }

    /// Whether the fact was durable here at some time.
    pub fn has_held(&self, fact: &Identity) -> bool {
        self.held.get(&(fact.writer.clone(), fact.incarnation)).is_some_and(|below| fact.seq < *below)
    }
}

fn hold(held: &mut BTreeMap<WriterKey, u64>, writers: &BTreeMap<WriterKey, Writer>) {
    for (key, writer) in writers {
        let below = held.entry(key.clone()).or_default();
        *below = writer.next_seq.max(*below);
    }
}
