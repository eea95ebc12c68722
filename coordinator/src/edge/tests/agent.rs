//! An agent that follows a script: it announces one plan, beats, obeys commands, and lands every backup as it is told to.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{Bus, MemoryBus};
use landfall_proto::codec::{decode, encode};
use landfall_proto::command::{ANSWER_KIND, Action, Answer, Command, SignedCommand};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::agent::{
    AgentFact, AgentStarted, PlanAnnouncement, PlansAnnounced, RunAbout, RunFinished, RunStarted, StartCause, Witnessed,
};
use landfall_proto::id::{Incarnation, NodeId, RunId};
use landfall_proto::live::{BEAT_KIND, Beat, SYNC_KIND, Sync};
use landfall_proto::plan::{Guards, RepositoryLock};
use landfall_proto::report::{
    Evidence, Outcome, ProofLevel, Reason, RunReport, Statistics, TaskKind, Trigger, Unread, Vitals,
};
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::time::Duration as Span;
use tokio::sync::Mutex;

use crate::edge::{clock, message};

/// How each run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Lands,
    Fails,
    /// Starts, and says nothing more.
    Hangs,
}

pub(super) struct Agent {
    pub(super) bus: Bus,
    pub(super) node: NodeId,
    incarnation: Incarnation,
    /// Every fact it ever wrote, in order.
    written: Mutex<Vec<Envelope>>,
    pub(super) synced: Mutex<Option<Sync>>,
    pub(super) commands: Mutex<Vec<Command>>,
    script: Script,
}

impl Agent {
    pub(super) async fn start(hub: &MemoryBus, node: &str, script: Script) -> Arc<Self> {
        let node: NodeId = node.parse().unwrap();
        let agent = Arc::new(Self {
            bus: hub.connect(Role::Agent(node.clone())),
            node,
            incarnation: clock::incarnation(),
            written: Mutex::default(),
            synced: Mutex::default(),
            commands: Mutex::default(),
            script,
        });
        let started = AgentStarted {
            version: "1".to_owned(),
            cause: StartCause::First,
            host: "host".to_owned(),
            labels: Default::default(),
        };
        agent.write(started).await;
        agent.write(PlansAnnounced { plans: vec![plan()], broken: Vec::new() }).await;
        tokio::spawn(Arc::clone(&agent).beat());
        tokio::spawn(Arc::clone(&agent).obey());
        tokio::spawn(Arc::clone(&agent).listen());
        agent
    }

    pub(super) async fn write(&self, fact: impl Into<AgentFact>) {
        let fact = fact.into();
        let mut written = self.written.lock().await;
        let identity =
            Identity { writer: self.node.to_string(), incarnation: self.incarnation, seq: written.len() as u64 };
        written.push(Envelope::fact(identity, fact.kind(), clock::now(), fact.encode()));
        self.publish(&written[written.len() - 1..]).await;
    }

    async fn publish(&self, facts: &[Envelope]) {
        let subject = Subject::new(self.bus.cluster(), Topic::NodeFact(self.node.clone()));
        for fact in facts {
            while !self.bus.publish_facts(&subject, std::slice::from_ref(fact)).await[0].is_done() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    async fn beat(self: Arc<Self>) {
        loop {
            let next_seq = self.written.lock().await.len() as u64;
            let beat = Beat {
                epoch: None,
                node: self.node.clone(),
                incarnation: self.incarnation,
                version: "1".to_owned(),
                next_seq,
                outbox: 0,
                vitals: Vitals::default(),
                live: Vec::new(),
                paused: None,
                sent_at: clock::now(),
            };
            let subject = Subject::new(self.bus.cluster(), Topic::Beat(self.node.clone()));
            self.bus.tell(&subject, &message(BEAT_KIND, self.node.as_str(), self.incarnation, encode(&beat)));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends again what the coordinator misses, as its word about what is safe says.
    async fn listen(self: Arc<Self>) {
        let subject = Subject::new(self.bus.cluster(), Topic::Sync(self.node.clone())).to_string();
        let mut inbox = self.bus.listen(&subject).await.done().unwrap();
        while let Some(incoming) = inbox.next().await {
            let envelope = incoming.envelope().unwrap();
            assert_eq!(envelope.kind, SYNC_KIND);
            let sync: Sync = decode(&envelope.body, 100_000).unwrap();
            if let Some(from) = sync.resend_from {
                let written = self.written.lock().await.clone();
                self.publish(&written[usize::try_from(from).unwrap().min(written.len())..]).await;
            }
            *self.synced.lock().await = Some(sync);
        }
    }

    async fn obey(self: Arc<Self>) {
        let subject = Subject::new(self.bus.cluster(), Topic::Command(self.node.clone())).to_string();
        let mut inbox = self.bus.serve(&subject, &Role::Coordinator).await.done().unwrap();
        while let Some(incoming) = inbox.next().await {
            let signed: SignedCommand = decode(&incoming.envelope().unwrap().body, 100_000).unwrap();
            let command: Command = decode(&signed.command, 100_000).unwrap();
            let answer = Self::answer(&command);
            let envelope = message(ANSWER_KIND, self.node.as_str(), self.incarnation, encode(&answer));
            assert!(incoming.reply(&envelope).await.is_done());
            let is_repeat = self.commands.lock().await.iter().any(|known| known.id == command.id);
            if !is_repeat {
                self.commands.lock().await.push(command.clone());
                self.act(command).await;
            }
        }
    }

    fn answer(command: &Command) -> Answer {
        match &command.action {
            Action::ReadLog { offset, .. } => {
                let text = "one line\n".to_owned();
                Answer::Log { offset: *offset, next_offset: offset + text.len() as u64, text, ended: true }
            }
            Action::Start { .. } | Action::Cancel { .. } | Action::Witness { .. } => Answer::Accepted,
        }
    }

    async fn act(&self, command: Command) {
        match command.action {
            Action::Start { run, round, routine, slot, task } => {
                let about = RunAbout {
                    run,
                    round,
                    routine,
                    slot,
                    task,
                    trigger: Trigger::Dispatched,
                    plan_hash: "h".to_owned(),
                    repository: None,
                };
                self.write(RunStarted { about: about.clone(), started_at: clock::now(), attempt: 1 }).await;
                if self.script != Script::Hangs {
                    self.finish(about).await;
                }
            }
            Action::Witness { round, repository, runs } => {
                let asked = u32::try_from(runs.len()).unwrap();
                let seen = Witnessed {
                    command: command.id,
                    round,
                    repository,
                    asked,
                    seen: runs,
                    absent: Vec::new(),
                    unknown: None,
                    message: String::new(),
                };
                self.write(seen).await;
            }
            Action::Cancel { .. } | Action::ReadLog { .. } => {}
        }
    }

    pub(super) async fn finish(&self, about: RunAbout) {
        let report = report(about.run, self.script);
        self.write(RunFinished { about, report }).await;
    }

    /// What the run that hangs is about.
    pub(super) async fn started(&self) -> Option<RunAbout> {
        let written = self.written.lock().await;
        written.iter().rev().find(|fact| fact.kind == "run_started").map(|fact| {
            let started: RunStarted = decode(&fact.body, 100_000).unwrap();
            started.about
        })
    }

    pub(super) async fn facts(&self) -> u64 {
        self.written.lock().await.len() as u64
    }
}

fn plan() -> PlanAnnouncement {
    PlanAnnouncement {
        routine: "nightly".parse().unwrap(),
        hash: "h".to_owned(),
        driver: "rustic".to_owned(),
        target: "nas".parse().unwrap(),
        repository: Some("shared".parse().unwrap()),
        can_witness: true,
        lock: RepositoryLock::Shared,
        calendar: None,
        zone: "UTC".to_owned(),
        start_within: Span::from_secs(60),
        finish_within: Span::from_secs(600),
        stall_after: Span::from_secs(60),
        rpo: None,
        labels: Default::default(),
        guards: Guards::default(),
        storage: None,
        priority: 0,
        card: None,
        builds_on: None,
    }
}

fn report(run: RunId, script: Script) -> RunReport {
    let now = clock::now();
    let evidence = Evidence {
        repository: Some("shared".parse().unwrap()),
        snapshot: format!("snapshot-of-{run}"),
        taken_at: now,
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 3,
        bytes: 300,
        read_at: now,
    };
    let lands = script != Script::Fails;
    RunReport {
        outcome: if lands { Outcome::Ok } else { Outcome::Failed },
        reason: if lands { Reason::Completed } else { Reason::NoSpace },
        message: if lands { "landed".to_owned() } else { "the disk is full".to_owned() },
        started_at: now,
        finished_at: now,
        attempts: 1,
        exit: None,
        statistics: Statistics { files: Some(3), bytes: Some(300), ..Statistics::default() },
        evidence: lands.then_some(evidence),
        unread: Unread::default(),
        findings: Vec::new(),
        tail: "the end of the output".to_owned(),
    }
}

/// The only task of these stories.
pub(super) const TASK: TaskKind = TaskKind::Backup;
