//! The disk of one machine: the journal in transactions, a folder for each run, and what of it power loss would take away.

use std::collections::{BTreeMap, BTreeSet};

use landfall_agent::core::{
    Change, Fence, FolderSeen, Journal, Memory, OUTBOX_MAX, Upkeep, ends_to_repeat, is_dropped, upkeep,
};
use landfall_proto::envelope::{ContentHash, Envelope, Identity};
use landfall_proto::fact::agent::{AgentFact, RunAbout, RunFinished};
use landfall_proto::id::{Incarnation, NodeId, RunId};
use landfall_proto::report::RunReport;
use landfall_proto::time::Timestamp;

/// Writes that the reserve has room for once it is given back.
const RESERVE_WRITES: u32 = 200;

/// There is no room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// Which journal this is and where it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) incarnation: Incarnation,
    pub(super) next_seq: u64,
}

/// Everything below the state directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    head: Option<Head>,
    memory: Memory,
    /// In a file of its own, which outlives the journal.
    fence: Fence,
    facts: BTreeMap<u64, Envelope>,
    /// Deleted without a barrier: they are back after a loss of power.
    deleted: Vec<Envelope>,
    /// Boxed, because a map has room for eleven wherever it holds one.
    pub(super) folders: BTreeMap<RunId, Box<Folder>>,
    has_reserve: bool,
    room: u32,
    pub(super) is_full: bool,
    /// For so few facts the outbox has room, where it has not room for all that a real one has.
    pub(super) outbox_keeps: Option<u64>,
    trouble: Option<Trouble>,
}

/// What is wrong with the journal at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It cannot be read, and is moved aside.
    Rotten,
    Lost,
}

/// One run's folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) intent: Option<Written<Intent>>,
    pub(super) receipt: Option<Written<Receipt>>,
    /// The process that works for the run, as the trace counts them.
    pub(super) mark: Option<usize>,
    /// The mark was taken away, and is back after a loss of power.
    unmarked: Option<usize>,
}

/// A file that is there, and whether it survives a loss of power.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) content: T,
    is_durable: bool,
}

/// What a run is about to do.
#[derive(Debug, Clone)]
pub(super) struct Intent {
    pub(super) about: RunAbout,
    pub(super) attempt: u32,
    pub(super) begun_at: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    pub(super) about: RunAbout,
    pub(super) attempt: u32,
    pub(super) report: RunReport,
    /// By the true clock.
    pub(super) written_at: Timestamp,
}

/// How the journal was found at a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) is_fresh: bool,
    pub(super) was_rotten: bool,
}

impl Folder {
    /// Whether anything in it tells of its run.
    pub(super) const fn says_something(&self) -> bool {
        self.intent.is_some() || self.receipt.is_some()
    }
}

impl Disk {
    /// Opens the journal, or begins one under `fresh`. A rotten one is moved aside.
    pub(super) fn open(&mut self, fresh: Incarnation) -> Result<Found, NoRoom> {
        let trouble = self.trouble.take();
        if trouble.is_some() {
            self.head = None;
            self.memory = Memory::default();
            self.facts.clear();
            self.deleted.clear();
        }
        let is_fresh = self.head.is_none();
        if is_fresh {
            self.write()?;
            self.head = Some(Head { incarnation: fresh, next_seq: 0 });
        }
        Ok(Found { is_fresh, was_rotten: trouble == Some(Trouble::Rotten) })
    }

    /// The open journal's head. Only a living process asks.
    pub(super) fn head(&self) -> Head {
        self.head.expect("a process lives only on an open journal")
    }

    pub(super) const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What a process begins with: the journal, and the higher one of its fence and the file's.
    pub(super) fn remembered(&self) -> Memory {
        let memory = self.memory.clone();
        Memory { fence: memory.fence.or_higher(self.fence.clone()), ..memory }
    }

    pub(super) fn outbox_len(&self) -> u64 {
        self.facts.len() as u64
    }

    /// The oldest fact that is kept; the next one where there is none.
    pub(super) fn first_seq(&self) -> u64 {
        self.facts.first_key_value().map_or_else(|| self.head().next_seq, |(seq, _)| *seq)
    }

    /// Every end of which there is a receipt.
    pub(super) fn receipts(&self) -> Vec<(RunAbout, RunReport)> {
        let receipts = self.folders.values().filter_map(|folder| folder.receipt.as_ref());
        receipts.map(|receipt| (receipt.content.about.clone(), receipt.content.report.clone())).collect()
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = &Envelope> {
        self.facts.values()
    }

    pub(super) fn facts_from(&self, seq: u64, max: usize) -> impl Iterator<Item = &Envelope> {
        self.facts.range(seq..).take(max).map(|(_, fact)| fact)
    }

    /// One transaction with its barrier: all of it is on the disk, or nothing. Returns the sequences of the new facts.
    pub(super) fn commit(
        &mut self,
        node: &NodeId,
        changes: &[Change],
        facts: &[AgentFact],
        now: Timestamp,
    ) -> Result<std::ops::Range<u64>, NoRoom> {
        for change in changes {
            if let Change::Fence(fence) = change {
                self.write()?;
                self.fence = fence.clone();
            }
        }
        self.write()?;
        for change in changes {
            self.memory.apply(change.clone());
        }
        let mut head = self.head();
        let first = head.next_seq;
        let taken = self.outbox_keeps.map_or(0, |facts| OUTBOX_MAX.saturating_sub(facts));
        for fact in facts {
            if is_dropped(fact, self.outbox_len() + taken) {
                continue;
            }
            let identity = Identity { writer: node.to_string(), incarnation: head.incarnation, seq: head.next_seq };
            self.facts.insert(head.next_seq, Envelope::fact(identity, fact.kind(), now, fact.encode()));
            head.next_seq += 1;
        }
        self.head = Some(head);
        self.deleted.clear();
        Ok(first..head.next_seq)
    }

    /// Deletes facts below `seq` and names them.
    pub(super) fn forget_below(&mut self, seq: u64) -> Vec<Envelope> {
        let kept = self.facts.split_off(&seq);
        let deleted: Vec<Envelope> = std::mem::replace(&mut self.facts, kept).into_values().collect();
        self.deleted.extend(deleted.iter().cloned());
        deleted
    }

    /// What is in the outbox is said again under another life of the journal, and before it the ends of which `receipts` tell.
    pub(super) fn reincarnate(
        &mut self,
        node: &NodeId,
        fresh: Incarnation,
        receipts: Vec<(RunAbout, RunReport)>,
    ) -> Result<(), NoRoom> {
        self.write()?;
        let mut head = Head { incarnation: fresh, next_seq: 0 };
        let kept: Vec<Envelope> = std::mem::take(&mut self.facts).into_values().collect();
        let ends = ends_to_repeat(&kept, receipts);
        let ends = ends.into_iter().map(|(at, end)| (end.kind().to_owned(), at, end.encode()));
        for (kind, at, body) in ends.chain(kept.into_iter().map(|old| (old.kind, old.sent_at, old.body))) {
            let identity = Identity { writer: node.to_string(), incarnation: fresh, seq: head.next_seq };
            self.facts.insert(head.next_seq, Envelope::fact(identity, &kind, at, body));
            head.next_seq += 1;
        }
        self.head = Some(head);
        self.deleted.clear();
        Ok(())
    }

    /// What the last facts below `seq` say, oldest first and at most so many, as far as they are still here.
    pub(super) fn contents_below(&self, seq: u64, max: usize) -> Vec<ContentHash> {
        let first = seq.saturating_sub(max as u64);
        self.facts.range(first..seq).map(|(_, fact)| fact.content_hash()).collect()
    }

    /// Takes the reserve, unless it is held.
    pub(super) const fn hold_reserve(&mut self) -> Result<(), NoRoom> {
        if self.is_full && !self.has_reserve {
            return Err(NoRoom);
        }
        self.has_reserve = true;
        Ok(())
    }

    /// Gives the reserve back for what must be written at this moment.
    pub(super) const fn release_reserve(&mut self) {
        if self.has_reserve {
            self.has_reserve = false;
            self.room = RESERVE_WRITES;
        }
    }

    /// Writes a run's intent. It survives a loss of power after [`Disk::settle`].
    pub(super) fn intend(&mut self, intent: Intent) -> Result<(), NoRoom> {
        self.write()?;
        let run = intent.about.run;
        self.folders.entry(run).or_default().intent = Some(Written { content: intent, is_durable: false });
        Ok(())
    }

    /// Writes a run's receipt. It survives a loss of power after [`Disk::settle`].
    pub(super) fn conclude(&mut self, receipt: Receipt) -> Result<(), NoRoom> {
        self.write()?;
        let run = receipt.about.run;
        self.folders.entry(run).or_default().receipt = Some(Written { content: receipt, is_durable: false });
        Ok(())
    }

    /// The barrier behind a write: the run's files are on the disk.
    pub(super) fn settle(&mut self, run: RunId) {
        if let Some(folder) = self.folders.get_mut(&run) {
            if let Some(intent) = &mut folder.intent {
                intent.is_durable = true;
            }
            if let Some(receipt) = &mut folder.receipt {
                receipt.is_durable = true;
            }
        }
    }

    /// What an ended process left in the system's cache is on the disk half a minute later. Names the runs whose receipts are.
    pub(super) fn written_back(&mut self, live: &BTreeSet<RunId>) -> Vec<RunId> {
        let is_left = |folder: &Folder| folder.receipt.as_ref().is_some_and(|receipt| !receipt.is_durable);
        let left = self.folders.iter().filter(|(run, folder)| !live.contains(run) && is_left(folder));
        let left: Vec<RunId> = left.map(|(run, _)| *run).collect();
        left.iter().for_each(|run| self.settle(*run));
        left
    }

    /// Notes which process works for a run. Without room it is not noted, and the run goes on.
    pub(super) fn mark(&mut self, run: RunId, process: usize) {
        if self.write().is_ok() {
            self.folders.entry(run).or_default().mark = Some(process);
        }
    }

    /// Nothing works for the run any more.
    pub(super) fn unmark(&mut self, run: RunId) {
        if let Some(folder) = self.folders.get_mut(&run) {
            folder.unmarked = folder.mark.take();
        }
    }

    /// The machine has lost its power: what was not durable is gone, what was only deleted in memory is back.
    pub(super) fn lose_power(&mut self) {
        for fact in std::mem::take(&mut self.deleted) {
            self.facts.insert(fact.seq, fact);
        }
        for folder in self.folders.values_mut() {
            folder.intent.take_if(|intent| !intent.is_durable);
            folder.receipt.take_if(|receipt| !receipt.is_durable);
            if folder.mark.is_none() {
                folder.mark = folder.unmarked.take();
            }
        }
        self.folders.retain(|_, folder| folder.says_something());
    }

    pub(super) const fn break_journal(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
    }

    /// A copy of the state directory on a disk with room.
    pub(super) fn copy(&self) -> Self {
        Self { is_full: false, outbox_keeps: None, ..self.clone() }
    }

    fn write(&mut self) -> Result<(), NoRoom> {
        if self.is_full {
            self.room = self.room.checked_sub(1).ok_or(NoRoom)?;
        }
        Ok(())
    }

    /// Looks at all folders as the real agent does. Returns the runs whose receipts are written now, and whether all are.
    pub(super) fn inspect(&mut self, journal: &Journal, live: &BTreeSet<RunId>, now: Timestamp) -> (Vec<RunId>, bool) {
        let ends: BTreeMap<RunId, RunFinished> = self
            .facts()
            .filter_map(|fact| match AgentFact::decode(&fact.kind, &fact.body) {
                Ok(Some(AgentFact::RunFinished(end))) => Some((end.about.run, end)),
                Ok(_) | Err(_) => None,
            })
            .collect();
        let receipt_at = |folder: &Folder| folder.receipt.as_ref().map(|receipt| receipt.content.report.finished_at);
        let folders: Vec<FolderSeen> =
            self.folders.iter().map(|(run, folder)| FolderSeen { run: *run, receipt_at: receipt_at(folder) }).collect();
        let Upkeep { rewrite, remove } = upkeep(&folders, journal, live, &ends.keys().copied().collect());
        for run in remove {
            self.folders.remove(&run);
        }
        let owed = rewrite.len();
        let mut written = Vec::new();
        for (run, end) in rewrite.into_iter().filter_map(|run| Some((run, ends.get(&run)?))) {
            let RunFinished { about, report } = end.clone();
            let attempt = journal.get(run).map_or(report.attempts, |record| record.attempt);
            if self.conclude(Receipt { about, attempt, report, written_at: now }).is_ok() {
                self.settle(run);
                self.unmark(run);
                written.push(run);
            }
        }
        let is_done = written.len() == owed;
        (written, is_done)
    }
}
