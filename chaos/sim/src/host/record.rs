//! What the laws look at, written down while the machine lives. Nothing here changes what happens.

use std::collections::{BTreeMap, BTreeSet};

use landfall::audit::{Deleted, Io, NodeTrace, Obeyed, ProcessSeen, ReceiptSeen};
use landfall_agent::core::{Agent, KEPT_AT_LEAST, OUTBOX_MAX};
use landfall_proto::command::Command;
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::agent::{AgentFact, RunAbout};
use landfall_proto::id::{CommandId, Incarnation, RunId};
use landfall_proto::time::{Timestamp, between};

use super::Out;
use super::disk::Disk;
use super::repository::id_of;

/// Which of a machine's processes, in the order in which they were started.
pub(super) type ProcessNumber = usize;

/// Steps and texts that are kept for the laws. A machine that does more is looked at for its first ones.
const IO_MAX: usize = 50_000;
const TEXTS_MAX: usize = 5_000;

/// Runs that the agent's core remembers at most; those under way come on top.
const JOURNAL_MAX: u64 = 2_000;

/// The history of one machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    is_on: bool,
    pub(super) trace: NodeTrace,
    processes: ProcessNumber,
    /// How many deletions have been looked at.
    judged: usize,
    /// When each fact was written, by the true clock.
    written: BTreeMap<(Incarnation, u64), Timestamp>,
    /// Which command a run follows from.
    commands: BTreeMap<RunId, CommandId>,
}

impl Record {
    pub(super) fn new(is_on: bool) -> Self {
        // Nothing refused is something else than nothing known.
        let trace = NodeTrace { refused: is_on.then(BTreeSet::new), ..NodeTrace::default() };
        Self { is_on, trace, ..Self::default() }
    }

    pub(super) fn note(&mut self, out: &mut Vec<Out>, text: impl FnOnce() -> String) {
        if self.is_on {
            let text = text();
            self.text(&text);
            out.push(Out::Note(text));
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.is_on && !text.is_empty() && self.trace.texts.len() < TEXTS_MAX {
            self.trace.texts.push(text.to_owned());
        }
    }

    /// A kind of bad luck took effect.
    pub(super) fn hit(&self, name: &'static str, out: &mut Vec<Out>) {
        if self.is_on {
            out.push(Out::Hit(name));
        }
    }

    pub(super) fn durable(&mut self, record: impl FnOnce() -> String) {
        if self.is_on && self.trace.io.len() < IO_MAX {
            self.trace.io.push(Io::Durable { record: record() });
        }
    }

    pub(super) fn visible(&mut self, what: impl FnOnce() -> (String, String)) {
        if self.is_on && self.trace.io.len() < IO_MAX {
            let (what, needs) = what();
            self.trace.io.push(Io::Visible { what, needs });
        }
    }

    pub(super) fn crashed(&mut self) {
        if self.is_on && self.trace.io.len() < IO_MAX {
            self.trace.io.push(Io::Crash);
        }
    }

    pub(super) fn began_life(&mut self, incarnation: Incarnation, cause: &str) {
        if self.is_on {
            self.trace.incarnations.push((incarnation, cause.to_owned()));
        }
    }

    /// Facts reached the disk.
    pub(super) fn wrote<'a>(&mut self, facts: impl Iterator<Item = &'a Envelope>, now: Timestamp) {
        if !self.is_on {
            return;
        }
        for fact in facts {
            self.written.insert((fact.incarnation, fact.seq), now);
            self.trace.written.get_or_insert_default().insert(fact.identity(), fact.content_hash());
            self.durable(|| fact_name(fact.incarnation, fact.seq));
        }
    }

    pub(super) fn published(&mut self, fact: &Envelope) {
        self.visible(|| {
            let name = fact_name(fact.incarnation, fact.seq);
            (format!("publish/{name}"), name)
        });
    }

    pub(super) fn deleted(&mut self, facts: &[Envelope], durable_below: u64, now: Timestamp) {
        if !self.is_on {
            return;
        }
        for fact in facts {
            let written = self.written.remove(&(fact.incarnation, fact.seq));
            self.trace.deleted.push(Deleted {
                identity: fact.identity(),
                hash: fact.content_hash(),
                at: now,
                age: written.map_or(KEPT_AT_LEAST, |written| between(written, now)),
                durable_below,
                is_durable_elsewhere: None,
            });
        }
    }

    /// What was deleted since the last look, for whoever can say what was safe elsewhere.
    pub(super) fn unjudged(&mut self) -> &mut [Deleted] {
        let from = std::mem::replace(&mut self.judged, self.trace.deleted.len());
        self.trace.deleted.get_mut(from..).unwrap_or_default()
    }

    pub(super) fn refused(&mut self, command: CommandId) {
        if self.is_on {
            self.trace.refused.get_or_insert_default().insert(command);
        }
    }

    /// The state on the disk was replaced by an older one.
    pub(super) fn set_back(&mut self, now: Timestamp) {
        if self.is_on {
            self.trace.set_back.push(now);
        }
    }

    pub(super) fn obeyed(
        &mut self,
        command: &Command,
        is_signed: bool,
        incarnation: Incarnation,
        started: Option<RunId>,
        clock: Timestamp,
    ) {
        if !self.is_on {
            return;
        }
        if let Some(run) = started {
            self.commands.insert(run, command.id);
        }
        self.trace.obeyed.push(Obeyed {
            command: command.id,
            epoch: command.epoch,
            holder: command.holder.clone(),
            audience: command.audience.clone(),
            is_signed,
            not_after: command.not_after,
            at: clock,
            incarnation,
            started,
        });
    }

    pub(super) fn spawned(&mut self, now: Timestamp, about: &RunAbout, attempt: u32, location: &str) -> ProcessNumber {
        let number = self.processes;
        self.processes += 1;
        if self.is_on {
            self.trace.processes.push(ProcessSeen {
                run: about.run,
                attempt,
                repository: id_of(location),
                started_at: now,
                ended_at: None,
                command: self.commands.get(&about.run).copied(),
            });
        }
        number
    }

    pub(super) fn ended(&mut self, now: Timestamp, number: ProcessNumber) {
        if let Some(process) = self.trace.processes.get_mut(number) {
            process.ended_at.get_or_insert(now);
        }
    }

    /// What lies on the disk at this moment.
    pub(super) fn look(&mut self, disk: &Disk, agent: Option<&Agent>, litter: Vec<String>) {
        let live = agent.map(|agent| agent.live().keys().copied().collect::<BTreeSet<RunId>>());
        self.trace.is_up = Some(agent.is_some());
        self.trace.unsent_ends = disk
            .facts()
            .filter_map(|fact| match AgentFact::decode(&fact.kind, &fact.body) {
                Ok(Some(AgentFact::RunFinished(finished))) => Some(finished.about.run),
                Ok(_) | Err(_) => None,
            })
            .collect();
        let outbox: Vec<(Identity, _)> = disk.facts().map(|fact| (fact.identity(), fact.content_hash())).collect();
        self.trace.outbox = Some(outbox);
        let receipts = disk.folders.values().filter_map(|folder| folder.receipt.as_ref());
        self.trace.receipts = receipts
            .map(|receipt| ReceiptSeen {
                about: receipt.content.about.clone(),
                attempt: receipt.content.attempt,
                report: receipt.content.report.clone(),
                written_at: receipt.content.written_at,
            })
            .collect();
        self.trace.receipts.sort_by_key(|receipt| receipt.written_at);
        let coalescable = disk.facts().filter(|fact| matches!(fact.kind.as_str(), "run_phase" | "run_milestone"));
        self.trace.sizes = vec![
            ("progress in the outbox".to_owned(), coalescable.count() as u64, OUTBOX_MAX),
            (
                "runs in the journal".to_owned(),
                disk.memory().journal.len() as u64,
                JOURNAL_MAX + live.as_ref().map_or(0, BTreeSet::len) as u64,
            ),
        ];
        self.trace.live_runs = live;
        self.trace.litter = litter;
    }
}

fn fact_name(incarnation: Incarnation, seq: u64) -> String {
    format!("fact/{incarnation}/{seq}")
}
