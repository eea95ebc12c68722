//! From a disk to a living process.

use std::collections::{BTreeMap, VecDeque};

use landfall_agent::core::{Agent, Aging, Catalog, Found, Input, Inspections, PauseRules, Pump, Rules};
use landfall_proto::fact::agent::{AgentStarted, StartCause};
use landfall_proto::id::{Incarnation, RunId};
use landfall_proto::time::{Duration, Timestamp, after};

use super::Process;
use super::mesh::tired;
use crate::host::disk::Receipt;
use crate::host::tool::Orphan;
use crate::host::{Host, Out};
use crate::mutant::Mutant;

/// Before a process that could not start is started again by its service manager.
const BOOT_AGAIN: Duration = Duration::from_secs(10);

impl Host {
    /// From the disk to a living agent, as the real one does it.
    pub(in crate::host) fn start_process(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        self.boot_at = None;
        let Ok(found) = self.disk.open(Incarnation(self.chance.uuid())) else {
            self.record.note(out, || "the journal cannot be begun: no room".to_owned());
            self.boot_at = Some(after(now, BOOT_AGAIN));
            return;
        };
        let clock = self.clock(now);
        let traces = self.traces();
        let is_new = found.is_fresh || self.disk.head().next_seq == 0;
        let cause = match (is_new, traces.is_empty() && !found.was_rotten) {
            (false, _) => StartCause::Restarted,
            (true, true) => StartCause::First,
            (true, false) => StartCause::Rebuilt,
        };
        let agent = Agent::new(self.rules(), self.disk.remembered(), clock);
        let head = self.disk.head();
        if found.is_fresh {
            self.record.began_life(head.incarnation, &format!("{cause:?}"));
        }
        let mut process = Process {
            agent,
            booted_at: now,
            aging: Aging::new(Duration::from_ms(0), head.next_seq),
            pump: Pump::new(),
            batch: None,
            pump_at: Some(now),
            is_linked: false,
            wake_at: None,
            look_at: None,
            beat_at: now,
            plans_at: None,
            probe_at: Some(after(now, Duration::from_ms(500))),
            tools: BTreeMap::new(),
            witnesses: Vec::new(),
            heard: None,
            blocked: None,
            before: None,
            queue: VecDeque::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            drain_until: None,
            inspections: Inspections::default(),
        };
        process.inspections.ended(Duration::from_ms(0));
        process.enqueue(self.began(cause));
        for found in traces {
            process.enqueue(Input::Found(found));
        }
        // Written down, and the agent ended before the run had a directory.
        let seen = |run: &RunId| self.disk.folders.get(run).is_some_and(|folder| folder.says_something());
        for (run, record) in self.disk.memory().journal.iter() {
            if record.ended.is_none() && !seen(&run) {
                let (about, attempt, begun_at) = (record.about.clone(), record.attempt, record.begun_at);
                process.enqueue(Input::Found(Found::Interrupted { about, attempt, begun_at }));
            }
        }
        process.enqueue(Input::Planned(Catalog::clone(&self.catalog)));
        if self.is_tired {
            process.enqueue(Input::Felt(tired()));
        }
        self.process = Some(Box::new(process));
        self.oracle.begin(&self.catalog, clock);
    }

    pub(super) fn began(&self, cause: StartCause) -> Input {
        Input::Began(AgentStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cause,
            host: self.spec.node.to_string(),
            labels: self.spec.labels.clone(),
        })
    }

    fn rules(&self) -> Rules {
        Rules {
            cluster: self.spec.cluster.clone(),
            node: self.spec.node.clone(),
            parallel: self.spec.parallel,
            pause: PauseRules { on_battery: true, ..PauseRules::default() },
            has_bus: true,
            keeps_schedule: true,
            leader_patience: self.spec.leader_patience,
            coordinator_silence: self.spec.coordinator_silence,
        }
    }

    /// What every run's folder shows, oldest end first. Tools of known runs that live on are ended, noted or not: each
    /// carries its run's name.
    fn traces(&mut self) -> Vec<Found> {
        self.end_strays();
        let mut traces: Vec<(Timestamp, Found)> = Vec::new();
        for folder in self.disk.folders.values() {
            if let Some(receipt) = &folder.receipt {
                let Receipt { about, attempt, report, .. } = receipt.content.clone();
                let at = report.finished_at;
                traces.push((at, Found::Ended { about, attempt, report: Box::new(report) }));
            } else if let Some(intent) = &folder.intent {
                let intent = intent.content.clone();
                let (about, begun_at) = (intent.about, intent.begun_at);
                let is_forgotten = self.planted.is(Mutant::StartTwice);
                let attempt = if is_forgotten { intent.attempt - 1 } else { intent.attempt };
                traces.push((begun_at, Found::Interrupted { about, attempt, begun_at }));
            }
        }
        traces.sort_by_key(|(at, _)| *at);
        traces.into_iter().map(|(_, found)| found).collect()
    }

    fn end_strays(&mut self) {
        if self.planted.is(Mutant::TwoAtOnce) {
            return;
        }
        let is_known = |run: RunId| self.disk.folders.contains_key(&run) || self.disk.memory().journal.knows(run);
        let (known, others) = self.orphans.drain(..).partition(|orphan| is_known(orphan.run));
        self.orphans = others;
        let known: Vec<Orphan> = known;
        for orphan in known {
            self.record.ended(self.latest, orphan.process);
        }
    }
}
