//! A log's worth of facts, as agents that work on their own would write them.

use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::agent::{
    AgentFact, AgentStarted, PlanAnnouncement, PlansAnnounced, RunAbout, RunFinished, RunMilestone, RunPhase,
    RunStarted, StartCause,
};
use landfall_proto::id::{Incarnation, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::plan::{Guards, RepositoryLock};
use landfall_proto::report::{
    Evidence, Outcome, Phase, ProofLevel, Reason, RunReport, Statistics, TaskKind, Trigger, Unread,
};
use landfall_proto::time::{Duration, Timestamp, after};

use crate::live::bus::cluster;
use crate::live::fresh_id;

/// Facts that one run leaves.
pub(super) const FACTS_A_RUN: usize = 8;

const PHASES: [Phase; 4] = [Phase::Preflight, Phase::Opening, Phase::Transferring, Phase::Verifying];

const PLAN_HASH: &str = "0123456789abcdef";

/// One node that never stops working.
pub(super) struct Writer {
    node: NodeId,
    routine: RoutineName,
    incarnation: Incarnation,
    next_seq: u64,
    /// The slot of its next run; slots lie a second apart.
    slot: Timestamp,
}

impl Writer {
    /// Writers with the same first slot run in the same rounds.
    pub(super) fn new(node: NodeId, routine: RoutineName, first_slot: Timestamp) -> Self {
        Self { node, routine, incarnation: Incarnation(fresh_id()), next_seq: 0, slot: first_slot }
    }

    /// What an agent says when it starts.
    pub(super) fn greeting(&mut self, now: Timestamp) -> Vec<Envelope> {
        let started = AgentStarted {
            version: "bench".to_owned(),
            cause: StartCause::First,
            host: self.node.to_string(),
            labels: Default::default(),
        };
        let plan = PlanAnnouncement {
            routine: self.routine.clone(),
            hash: PLAN_HASH.to_owned(),
            driver: "rustic".to_owned(),
            target: "disk".parse().unwrap_or_else(|error| panic!("it is a name: {error}")),
            repository: None,
            // Nobody is there who could look.
            can_witness: false,
            lock: RepositoryLock::Shared,
            calendar: None,
            zone: "UTC".to_owned(),
            start_within: Duration::from_secs(3600),
            finish_within: Duration::from_secs(24 * 3600),
            stall_after: Duration::from_secs(1800),
            rpo: None,
            labels: Default::default(),
            guards: Guards::default(),
            storage: None,
            priority: 0,
            card: None,
            builds_on: None,
        };
        let announced = PlansAnnounced { plans: vec![plan], broken: Vec::new() };
        vec![self.write(&started.into(), now), self.write(&announced.into(), now)]
    }

    pub(super) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The least that a run leaves which a coordinator asked for: its beginning and its end.
    pub(super) fn asked(
        &mut self,
        run: RunId,
        round: RoundId,
        slot: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Envelope> {
        let about = RunAbout {
            run,
            round,
            routine: self.routine.clone(),
            slot,
            task: TaskKind::Backup,
            trigger: Trigger::Dispatched,
            plan_hash: PLAN_HASH.to_owned(),
            repository: None,
        };
        let started = RunStarted { about: about.clone(), started_at: now, attempt: 1 };
        let finished = RunFinished { about, report: report(run, now) };
        vec![self.write(&started.into(), now), self.write(&finished.into(), now)]
    }

    /// The run of the next night's backup.
    pub(super) fn next_run(&self) -> RunId {
        let round = RoundId::of_slot(&cluster(), &self.routine, self.slot);
        RunId::of(round, &self.node, TaskKind::Backup)
    }

    /// The least that one night's run leaves which the node began by itself, and perhaps that of the check after it.
    pub(super) fn night(&mut self, is_good: bool, is_checked: bool, now: Timestamp) -> Vec<Envelope> {
        let round = RoundId::of_slot(&cluster(), &self.routine, self.slot);
        let tasks = [TaskKind::Backup, TaskKind::Check];
        let tasks = if is_checked { &tasks[..] } else { &tasks[..1] };
        let mut facts: Vec<AgentFact> = Vec::new();
        for task in tasks {
            let about = RunAbout {
                run: RunId::of(round, &self.node, *task),
                round,
                routine: self.routine.clone(),
                slot: Some(self.slot),
                task: *task,
                trigger: Trigger::Autonomous,
                plan_hash: PLAN_HASH.to_owned(),
                repository: None,
            };
            facts.push(RunStarted { about: about.clone(), started_at: now, attempt: 1 }.into());
            let mut report = report(about.run, now);
            if !is_good {
                report.outcome = Outcome::Failed;
                report.reason = Reason::Network;
                report.message = "The repository could not be reached.".to_owned();
                report.evidence = None;
            }
            facts.push(RunFinished { about, report }.into());
        }
        self.slot = after(self.slot, Duration::from_secs(1));
        facts.iter().map(|fact| self.write(fact, now)).collect()
    }

    /// All facts of the next `runs` runs.
    pub(super) fn runs(&mut self, runs: usize, now: Timestamp) -> Vec<Envelope> {
        (0..runs).flat_map(|_| self.run(now)).collect()
    }

    fn run(&mut self, now: Timestamp) -> Vec<Envelope> {
        let round = RoundId::of_slot(&cluster(), &self.routine, self.slot);
        let run = RunId::of(round, &self.node, TaskKind::Backup);
        let about = RunAbout {
            run,
            round,
            routine: self.routine.clone(),
            slot: Some(self.slot),
            task: TaskKind::Backup,
            trigger: Trigger::Autonomous,
            plan_hash: PLAN_HASH.to_owned(),
            repository: None,
        };
        self.slot = after(self.slot, Duration::from_secs(1));
        let mut facts: Vec<AgentFact> = vec![RunStarted { about: about.clone(), started_at: now, attempt: 1 }.into()];
        facts.extend(PHASES.map(|phase| AgentFact::from(RunPhase { run, phase })));
        facts.extend([50, 100].map(|percent| {
            let done = u64::from(percent) * 200;
            AgentFact::from(RunMilestone { run, percent, files_done: done, bytes_done: done * 50_000 })
        }));
        facts.push(RunFinished { about, report: report(run, now) }.into());
        facts.iter().map(|fact| self.write(fact, now)).collect()
    }

    fn write(&mut self, fact: &AgentFact, now: Timestamp) -> Envelope {
        let identity = Identity { writer: self.node.to_string(), incarnation: self.incarnation, seq: self.next_seq };
        self.next_seq += 1;
        Envelope::fact(identity, fact.kind(), now, fact.encode())
    }
}

fn report(run: RunId, now: Timestamp) -> RunReport {
    let evidence = Evidence {
        repository: None,
        snapshot: run.to_string(),
        taken_at: now,
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 20_000,
        bytes: 1_000_000_000,
        read_at: now,
    };
    let statistics = Statistics {
        files: Some(20_000),
        bytes: Some(1_000_000_000),
        added_bytes: Some(5_000_000),
        ..Statistics::default()
    };
    RunReport {
        outcome: Outcome::Ok,
        reason: Reason::Completed,
        message: "The backup landed, and the destination shows it.".to_owned(),
        started_at: now,
        finished_at: now,
        attempts: 1,
        exit: None,
        statistics,
        evidence: Some(evidence),
        unread: Unread::default(),
        findings: Vec::new(),
        tail: "snapshot saved: 20000 files, 1000000000 bytes; 5000000 bytes added; 0 unread, 0 vanished, 0 changed\n"
            .repeat(3),
    }
}
