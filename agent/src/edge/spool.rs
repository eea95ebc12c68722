//! The spool: facts that are not safe elsewhere, and everything the agent must still know after a restart.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use landfall_proto::codec::{FACT_BYTES_MAX, decode, encode};
use landfall_proto::envelope::{ContentHash, Envelope, Identity};
use landfall_proto::fact::agent::{AgentFact, RunAbout};
use landfall_proto::id::{Incarnation, NodeId, RoutineName, RunId, TargetName};
use landfall_proto::report::RunReport;
use landfall_proto::time::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use sled::Batch;

use super::store::{Store, StoreError, quarantine, seal, unseal};
use crate::core::{Aging, Change, Memory, ends_to_repeat, is_dropped};

/// Longest stored value, in bytes; longer ones would become files of their own in the database.
const VALUE_BYTES_MAX: usize = FACT_BYTES_MAX;

const HEAD: &[u8] = b"head";
const FENCE: &[u8] = b"fence";
const FACTS: &[u8] = b"fact/";
const ROUTINES: &[u8] = b"routine/";
const RUNS: &[u8] = b"run/";
const REPOSITORIES: &[u8] = b"repository/";

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the state directory belongs to node {found}, but this node is {wanted}; give each node a state_dir of its own, or write node = \"{found}\""
    )]
    OtherNode { found: NodeId, wanted: NodeId },
    #[error("the database could not be opened again after an error")]
    Closed,
    #[error("the fence {path} cannot be written")]
    Fence { path: PathBuf, source: std::io::Error },
    #[error("the broken database {path} cannot be moved aside")]
    Quarantine { path: PathBuf, source: std::io::Error },
}

/// The open spool. Every method that writes returns when the write is on disk.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    node: NodeId,
    inner: Mutex<Inner>,
}

/// How the spool was found.
#[derive(Debug)]
pub struct Opened {
    pub spool: Spool,
    pub memory: Memory,
    /// Whether the journal begins here: there was none, or it was broken.
    pub is_fresh: bool,
    /// Where a broken journal was moved to.
    pub quarantined: Option<PathBuf>,
}

#[derive(Debug)]
struct Inner {
    /// Absent between an error and the next successful opening.
    store: Option<Store>,
    head: Head,
    outbox_len: u64,
    aging: Aging,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    node: NodeId,
    incarnation: Incarnation,
    next_seq: u64,
}

impl Spool {
    /// Opens the spool of `node`, or begins one under `fresh`. A broken one is moved aside.
    pub fn open(path: &Path, node: &NodeId, fresh: Incarnation, now: Timestamp) -> Result<Opened, SpoolError> {
        match Self::try_open(path, node, fresh) {
            Err(SpoolError::Store(error)) if error.is_corruption() => {
                let aside =
                    quarantine(path, now).map_err(|source| SpoolError::Quarantine { path: path.to_owned(), source })?;
                let opened = Self::try_open(path, node, fresh)?;
                Ok(Opened { quarantined: Some(aside), ..opened })
            }
            other => other,
        }
    }

    fn try_open(path: &Path, node: &NodeId, fresh: Incarnation) -> Result<Opened, SpoolError> {
        let store = Store::open(path)?;
        let (memory, outbox_len, last_seq) = load(&store)?;
        let head: Option<Head> = read(&store, HEAD)?;
        let is_fresh = head.is_none();
        let head = head.unwrap_or(Head { node: node.clone(), incarnation: fresh, next_seq: 0 });
        if head.node != *node {
            return Err(SpoolError::OtherNode { found: head.node, wanted: node.clone() });
        }
        if last_seq.is_some_and(|last| last >= head.next_seq) {
            return Err(StoreError::Damaged { key: "head".to_owned() }.into());
        }
        let spool = Self {
            path: path.to_owned(),
            node: node.clone(),
            inner: Mutex::new(Inner {
                store: Some(store),
                aging: Aging::new(Duration::from_ms(0), head.next_seq),
                head,
                outbox_len,
            }),
        };
        if is_fresh {
            spool.commit(&[], &[], Timestamp::UNIX_EPOCH)?;
        }
        Ok(Opened { spool, memory, is_fresh, quarantined: None })
    }

    /// Writes changes and facts in one transaction; facts get the next sequences. On disk when this returns.
    pub fn commit(&self, changes: &[Change], facts: &[AgentFact], now: Timestamp) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        let mut batch = Batch::default();
        for change in changes {
            write_change(&mut batch, change);
        }
        let mut head = inner.head.clone();
        let mut added = 0;
        for fact in facts {
            if is_dropped(fact, inner.outbox_len + added) {
                continue;
            }
            let envelope = envelope(&head, fact, now);
            write(&mut batch, &fact_key(head.next_seq), &encode(&envelope));
            head.next_seq += 1;
            added += 1;
        }
        write(&mut batch, HEAD, &encode(&head));
        self.apply(inner.store()?, batch)?;
        inner.head = head;
        inner.outbox_len += added;
        Ok(())
    }

    /// At most `max` facts from sequence `from` on, in order.
    pub fn facts_from(&self, from: u64, max: usize) -> Result<Vec<Envelope>, SpoolError> {
        let inner = self.lock();
        let range = inner.store()?.db.range(fact_key(from)..fact_key(u64::MAX));
        let mut facts = Vec::new();
        for item in range.take(max) {
            let (key, value) = item.map_err(|source| self.database(source))?;
            facts.push(parse(&key, &value)?);
        }
        Ok(facts)
    }

    /// Deletes facts below `durable_below` that are old enough; returns how many. `uptime` counts from the opening.
    pub fn confirm(&self, durable_below: u64, uptime: Duration) -> Result<u64, SpoolError> {
        let mut inner = self.lock();
        let next_seq = inner.head.next_seq;
        let forgettable = inner.aging.forgettable(uptime, next_seq, durable_below);
        let mut batch = Batch::default();
        let mut deleted = 0;
        for item in inner.store()?.db.range(fact_key(0)..fact_key(forgettable)) {
            let (key, _) = item.map_err(|source| self.database(source))?;
            batch.remove(key);
            deleted += 1;
        }
        if deleted > 0 {
            inner.store()?.db.apply_batch(batch).map_err(|source| self.database(source))?;
            inner.outbox_len = inner.outbox_len.saturating_sub(deleted);
        }
        Ok(deleted)
    }

    /// Begins a new life of the journal: what is in the outbox is said again under it, and before that the ends of which
    /// `receipts` tell and the outbox does not. Needed where this journal has been set back, as from a copy of the disk, so
    /// that its sequences have been used before, and where facts are missed that it has let go.
    pub fn reincarnate(
        &self,
        fresh: Incarnation,
        receipts: Vec<(RunAbout, RunReport)>,
        uptime: Duration,
    ) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        let mut batch = Batch::default();
        let mut head = Head { node: self.node.clone(), incarnation: fresh, next_seq: 0 };
        let mut kept = Vec::new();
        for item in inner.store()?.db.scan_prefix(FACTS) {
            let (key, value) = item.map_err(|source| self.database(source))?;
            kept.push(parse::<Envelope>(&key, &value)?);
            batch.remove(key);
        }
        for (at, end) in ends_to_repeat(&kept, receipts) {
            write(&mut batch, &fact_key(head.next_seq), &encode(&envelope(&head, &end, at)));
            head.next_seq += 1;
        }
        for old in kept {
            let identity = Identity { writer: head.node.to_string(), incarnation: fresh, seq: head.next_seq };
            let envelope = Envelope::fact(identity, &old.kind, old.sent_at, old.body);
            write(&mut batch, &fact_key(head.next_seq), &encode(&envelope));
            head.next_seq += 1;
        }
        write(&mut batch, HEAD, &encode(&head));
        self.apply(inner.store()?, batch)?;
        inner.outbox_len = head.next_seq;
        inner.aging = Aging::new(uptime, head.next_seq);
        inner.head = head;
        Ok(())
    }

    /// The oldest fact that is kept; the next one where there is none.
    pub fn first_seq(&self) -> Result<u64, SpoolError> {
        let first = self.facts_from(0, 1)?;
        Ok(first.first().map_or_else(|| self.next_seq(), |fact| fact.seq))
    }

    /// What the last facts below `seq` say, oldest first and at most so many, as far as they are still here.
    pub fn contents_below(&self, seq: u64, max: usize) -> Result<Vec<ContentHash>, SpoolError> {
        let first = seq.saturating_sub(max as u64);
        let facts = self.facts_from(first, max)?;
        Ok(facts.iter().filter(|fact| fact.seq < seq).map(Envelope::content_hash).collect())
    }

    /// Opens the database again after an error: sled's own flusher may have given up.
    pub fn reopen(&self) -> Result<(), SpoolError> {
        let mut inner = self.lock();
        // The old handle must be gone before the file's lock is free again.
        inner.store = None;
        inner.store = Some(Store::open(&self.path)?);
        Ok(())
    }

    pub fn incarnation(&self) -> Incarnation {
        self.lock().head.incarnation
    }

    /// The sequence that the next fact will get.
    pub fn next_seq(&self) -> u64 {
        self.lock().head.next_seq
    }

    /// Facts that are kept at this moment.
    pub fn outbox_len(&self) -> u64 {
        self.lock().outbox_len
    }

    fn apply(&self, store: &Store, batch: Batch) -> Result<(), SpoolError> {
        store.db.apply_batch(batch).and_then(|()| store.barrier()).map_err(|source| self.database(source))
    }

    fn database(&self, source: sled::Error) -> SpoolError {
        StoreError::Database { path: self.path.clone(), source }.into()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn store(&self) -> Result<&Store, SpoolError> {
        self.store.as_ref().ok_or(SpoolError::Closed)
    }
}

fn envelope(head: &Head, fact: &AgentFact, now: Timestamp) -> Envelope {
    let identity = || Identity { writer: head.node.to_string(), incarnation: head.incarnation, seq: head.next_seq };
    let envelope = Envelope::fact(identity(), fact.kind(), now, fact.encode());
    if encode(&envelope).len() <= FACT_BYTES_MAX - 64 {
        return envelope;
    }
    Envelope::fact(identity(), fact.kind(), now, shortened(fact.clone()).encode())
}

/// The same fact without what may be long; the run's log on the node has it all.
fn shortened(fact: AgentFact) -> AgentFact {
    match fact {
        AgentFact::RunFinished(mut finished) => {
            finished.report.tail = String::new();
            finished.report.unread.names = Vec::new();
            finished.report.findings.truncate(10);
            AgentFact::RunFinished(finished)
        }
        AgentFact::PlansAnnounced(mut announced) => {
            announced.broken.truncate(20);
            for plan in &mut announced.plans {
                plan.labels.clear();
            }
            announced.plans.truncate(100);
            AgentFact::PlansAnnounced(announced)
        }
        AgentFact::Witnessed(mut witnessed) => {
            witnessed.message = String::new();
            AgentFact::Witnessed(witnessed)
        }
        same @ (AgentFact::AgentStarted(_)
        | AgentFact::RunStarted(_)
        | AgentFact::RunPhase(_)
        | AgentFact::RunMilestone(_)
        | AgentFact::RunRetried(_)
        | AgentFact::SlotMissed(_)) => same,
    }
}

fn write_change(batch: &mut Batch, change: &Change) {
    match change {
        Change::Fence(fence) => write(batch, FENCE, &encode(fence)),
        Change::Routine(name, memory) => write(batch, &named(ROUTINES, name.as_str()), &encode(memory)),
        Change::Run(run, record) => write(batch, &named(RUNS, &run.to_string()), &encode(record)),
        Change::Forget(run) => batch.remove(named(RUNS, &run.to_string())),
        Change::Repository(target, memory) => write(batch, &named(REPOSITORIES, target.as_str()), &encode(memory)),
    }
}

fn write(batch: &mut Batch, key: &[u8], value: &[u8]) {
    batch.insert(key, seal(key, value));
}

fn read<T: serde::de::DeserializeOwned>(store: &Store, key: &[u8]) -> Result<Option<T>, StoreError> {
    let found = store.db.get(key).map_err(|source| StoreError::Database { path: PathBuf::new(), source })?;
    found.map(|value| parse(key, &value)).transpose()
}

fn parse<T: serde::de::DeserializeOwned>(key: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
    decode(unseal(key, sealed)?, VALUE_BYTES_MAX)
        .map_err(|_| StoreError::Damaged { key: String::from_utf8_lossy(key).into_owned() })
}

/// Reads everything once: memory, the number of facts, and the last fact's sequence. Damage anywhere is found here.
fn load(store: &Store) -> Result<(Memory, u64, Option<u64>), StoreError> {
    let mut memory = Memory::default();
    let (mut facts, mut last_seq) = (0, None);
    for item in store.db.iter() {
        let (key, value) = item.map_err(|source| StoreError::Database { path: PathBuf::new(), source })?;
        let damaged = || StoreError::Damaged { key: String::from_utf8_lossy(&key).into_owned() };
        let name = |prefix: &[u8]| key.strip_prefix(prefix).and_then(|name| std::str::from_utf8(name).ok());
        if key.starts_with(FACTS) {
            let envelope: Envelope = parse(&key, &value)?;
            facts += 1;
            last_seq = Some(envelope.seq);
        } else if let Some(name) = name(ROUTINES) {
            let name: RoutineName = name.parse().map_err(|_| damaged())?;
            memory.apply(Change::Routine(name, parse(&key, &value)?));
        } else if let Some(name) = name(RUNS) {
            let run: RunId = name.parse().map_err(|_| damaged())?;
            memory.apply(Change::Run(run, parse(&key, &value)?));
        } else if let Some(name) = name(REPOSITORIES) {
            let target: TargetName = name.parse().map_err(|_| damaged())?;
            memory.apply(Change::Repository(target, parse(&key, &value)?));
        } else if *key == *FENCE {
            memory.apply(Change::Fence(parse(&key, &value)?));
        }
    }
    Ok((memory, facts, last_seq))
}

fn named(prefix: &[u8], name: &str) -> Vec<u8> {
    [prefix, name.as_bytes()].concat()
}

fn fact_key(seq: u64) -> Vec<u8> {
    [FACTS, &seq.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests;
