//! Histories for the laws' own tests: a night with two nodes, one leader and one round, told fact by fact.

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::envelope::{ContentHash, Envelope, Epoch, Identity, Position};
use landfall_proto::fact::agent::{
    AgentFact, AgentStarted, PlanAnnouncement, PlansAnnounced, RunAbout, RunFinished, RunStarted, StartCause,
};
use landfall_proto::fact::coordinator::{
    AlertRaised, CoordinatorFact, Dispatched, ExpectedRun, LeaderClaimed, OpenedBy, RoundConcluded, RoundOpened,
};
use landfall_proto::id::{CommandId, Holder, Incarnation, NodeId, RepositoryId, RoundId, RoutineName, RunId};
use landfall_proto::plan::{Guards, RepositoryLock};
use landfall_proto::report::{Evidence, Outcome, ProofLevel, Reason, RunReport, Statistics, TaskKind, Trigger, Unread};
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after};
use landfall_proto::verdict::{NodeStanding, Rule, Standing, Verdict, VerdictKind, Witness};
use uuid::Uuid;

use super::history::{CoordinatorTrace, Entry, Heal, History, NodeTrace};
use super::{Case, Law, Violation};

pub(super) const SLOT: &str = "2026-11-20T02:00:00Z";

/// A history in the making. Each fact takes the log one second further.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) history: History,
    pub(super) now: Timestamp,
    pub(super) epoch: Epoch,
    next: std::collections::BTreeMap<(String, Incarnation), u64>,
    seq: u64,
}

impl Story {
    pub(super) fn new() -> Self {
        let now = slot();
        let history = History { ended_at: Some(now), ..History::default() };
        Self { history, now, epoch: Epoch { era: 0, term: 1 }, next: Default::default(), seq: 0 }
    }

    /// Both nodes have announced the plan, and `alpha` leads.
    pub(super) fn evening() -> Self {
        let mut story = Self::new();
        for name in ["a", "b"] {
            let (version, host, labels) = ("1".to_owned(), name.to_owned(), Default::default());
            story.node(name, AgentStarted { version, cause: StartCause::First, host, labels });
            story.node(name, PlansAnnounced { plans: vec![plan()], broken: Vec::new() });
            story.history.nodes.insert(node(name), NodeTrace { is_up: Some(true), ..NodeTrace::default() });
        }
        story.claims("alpha", 1);
        story.history.coordinators.push(CoordinatorTrace::new(holder("alpha"), life("alpha")));
        story
    }

    /// The round is open, both runs were sent and began.
    pub(super) fn night() -> Self {
        let mut story = Self::evening();
        story.opens(&["a", "b"]);
        for name in ["a", "b"] {
            story.dispatches(name, 1);
            story.starts(name, 1);
        }
        story
    }

    /// Both runs are good and the verdict has fallen.
    pub(super) fn morning() -> Self {
        let mut story = Self::night();
        story.ends("a", Outcome::Ok, Reason::Completed);
        story.ends("b", Outcome::Ok, Reason::Completed);
        story.concludes(VerdictKind::Converged, &[("a", Standing::Good), ("b", Standing::Good)]);
        story
    }

    /// The weather has been good for long.
    pub(super) fn at_rest(mut self) -> Self {
        self.history.heal = Some(Heal { at: self.now, patience: Duration::from_secs(600) });
        self.now = after(self.now, Duration::from_secs(900));
        self.history.ended_at = Some(self.now);
        self
    }

    pub(super) fn node(&mut self, name: &str, fact: impl Into<AgentFact>) {
        let fact = fact.into();
        self.append(Topic::NodeFact(node(name)), name, fact.kind(), fact.encode());
    }

    pub(super) fn leader(&mut self, name: &str, fact: impl Into<CoordinatorFact>) {
        let fact = fact.into();
        self.append(Topic::CoordinatorFact(holder(name)), name, fact.kind(), fact.encode());
    }

    pub(super) fn claims(&mut self, name: &str, term: u64) {
        self.epoch.term = term;
        let claim = claim(self.epoch, name);
        self.leader(name, claim);
    }

    pub(super) fn opens(&mut self, names: &[&str]) {
        let fact = self.opening(names);
        self.leader("alpha", fact);
    }

    pub(super) fn opening(&self, names: &[&str]) -> RoundOpened {
        RoundOpened {
            epoch: self.epoch,
            round: round(),
            routine: routine(),
            task: TaskKind::Backup,
            slot: Some(slot()),
            opened_at: self.now,
            start_by: after(slot(), Duration::from_secs(3600)),
            deadline: after(slot(), Duration::from_secs(7200)),
            rule: Rule::All,
            expected: names.iter().map(|name| expected(name)).collect(),
            opened_by: OpenedBy::Slot,
            by: None,
            part: 0,
            parts: 0,
        }
    }

    pub(super) fn dispatches(&mut self, name: &str, dispatch: u32) {
        let fact = Dispatched {
            epoch: self.epoch,
            run: run(name),
            node: node(name),
            command: command(name, dispatch),
            dispatch,
            not_after: after(self.now, Duration::from_secs(30)),
        };
        self.leader("alpha", fact);
    }

    pub(super) fn starts(&mut self, name: &str, attempt: u32) {
        let fact = RunStarted { about: about(name), started_at: self.now, attempt };
        self.node(name, fact);
    }

    pub(super) fn ends(&mut self, name: &str, outcome: Outcome, reason: Reason) {
        let fact = RunFinished { about: about(name), report: report(name, outcome, reason) };
        self.node(name, fact);
    }

    pub(super) fn concludes(&mut self, kind: VerdictKind, nodes: &[(&str, Standing)]) {
        let fact = self.conclusion(kind, nodes);
        self.leader("alpha", fact);
    }

    pub(super) fn conclusion(&self, kind: VerdictKind, nodes: &[(&str, Standing)]) -> RoundConcluded {
        let standing = |(name, standing): &(&str, Standing)| NodeStanding {
            node: node(name),
            run: run(name),
            standing: *standing,
            outcome: None,
            reason: None,
            witness: Witness::Unwitnessed,
        };
        let verdict =
            Verdict { kind, summary: String::new(), nodes: nodes.iter().map(standing).collect(), late: false };
        RoundConcluded { epoch: self.epoch, round: round(), concluded_at: self.now, verdict, part: 0, parts: 0 }
    }

    pub(super) fn raises(&mut self, key: &str, number: u128) {
        let alert = Alert {
            key: AlertKey(key.to_owned()),
            id: Uuid::from_u128(number),
            severity: Severity::Critical,
            title: "something happened".to_owned(),
            routine: Some(routine()),
            round: None,
            nodes: Vec::new(),
            reason: None,
            last_good_at: None,
            fix: String::new(),
            runbook: None,
            stakes: None,
        };
        let fact = AlertRaised { epoch: self.epoch, alert, raised_at: self.now };
        self.leader("alpha", fact);
    }

    /// The last message comes once more, as after a lost acknowledgement.
    pub(super) fn again(&mut self) {
        let mut entry = self.history.log.last().expect("the story has begun").clone();
        self.seq += 1;
        entry.position.seq = self.seq;
        self.history.log.push(entry);
    }

    /// The log loses its last messages and hands their sequences out again.
    pub(super) fn loses_tail(&mut self, count: usize) {
        let from = self.history.log.len() - count;
        for entry in &mut self.history.log[from..] {
            entry.is_there = false;
            self.seq -= 1;
        }
    }

    fn append(&mut self, topic: Topic, writer: &str, kind: &str, body: Vec<u8>) {
        let incarnation = life(writer);
        let due = self.next.entry((writer.to_owned(), incarnation)).or_default();
        let identity = Identity { writer: writer.to_owned(), incarnation, seq: *due };
        *due += 1;
        self.put(topic, Envelope::fact(identity, kind, self.now, body));
    }

    pub(super) fn put(&mut self, topic: Topic, envelope: Envelope) {
        self.seq += 1;
        self.now = after(self.now, Duration::from_secs(1));
        let position = Position { era: 0, seq: self.seq, hash: envelope.content_hash() };
        self.history.log.push(Entry { position, at: self.now, topic, envelope, is_there: true, was_held: None });
        self.history.ended_at = Some(self.now);
    }

    pub(super) fn trace(&mut self, name: &str) -> &mut NodeTrace {
        self.history.nodes.entry(node(name)).or_default()
    }

    pub(super) fn coordinator(&mut self) -> &mut CoordinatorTrace {
        &mut self.history.coordinators[0]
    }

    pub(super) fn check(&self, law: &dyn Law) -> Vec<Violation> {
        let case = Case::new(&self.history);
        assert_eq!(law.lacks(&case), None, "the story tells enough");
        law.check(&case)
    }

    /// Asserts that the promise was kept.
    pub(super) fn keeps(&self, law: &dyn Law) {
        assert_eq!(self.check(law), Vec::new());
    }

    /// Asserts that the promise was broken, and that this is said of it.
    pub(super) fn breaks(&self, law: &dyn Law, what: &str) {
        let found = self.check(law);
        assert!(found.iter().any(|violation| violation.what.contains(what)), "{what:?} is not in {found:#?}");
        assert!(found.iter().all(|violation| violation.law == law.name()));
    }
}

pub(super) fn slot() -> Timestamp {
    SLOT.parse().expect("the slot is an instant")
}

pub(super) fn node(name: &str) -> NodeId {
    name.parse().expect("the story's names are names")
}

pub(super) fn holder(name: &str) -> Holder {
    name.parse().expect("the story's names are names")
}

pub(super) fn routine() -> RoutineName {
    "nightly".parse().expect("the routine's name is one")
}

pub(super) fn repository() -> RepositoryId {
    "r1".parse().expect("the repository's id is one")
}

pub(super) fn round() -> RoundId {
    RoundId::of_slot(&"test".parse().expect("the cluster's name is one"), &routine(), slot())
}

pub(super) fn run(name: &str) -> RunId {
    RunId::of(round(), &node(name), TaskKind::Backup)
}

pub(super) fn command(name: &str, dispatch: u32) -> CommandId {
    CommandId::of("start", run(name).0, &dispatch.to_string())
}

pub(super) fn life(writer: &str) -> Incarnation {
    Incarnation(Uuid::new_v5(&Uuid::nil(), writer.as_bytes()))
}

pub(super) fn hash(number: u8) -> ContentHash {
    ContentHash([number; 16])
}

pub(super) fn claim(epoch: Epoch, name: &str) -> LeaderClaimed {
    LeaderClaimed { epoch, holder: holder(name), log: None }
}

pub(super) fn about(name: &str) -> RunAbout {
    RunAbout {
        run: run(name),
        round: round(),
        routine: routine(),
        slot: Some(slot()),
        task: TaskKind::Backup,
        trigger: Trigger::Dispatched,
        plan_hash: "h".to_owned(),
        repository: Some(repository()),
    }
}

pub(super) fn report(name: &str, outcome: Outcome, reason: Reason) -> RunReport {
    let evidence = Evidence {
        repository: Some(repository()),
        snapshot: format!("snapshot-{name}"),
        taken_at: slot(),
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 10,
        bytes: 1000,
        read_at: after(slot(), Duration::from_secs(60)),
    };
    RunReport {
        outcome,
        reason,
        message: String::new(),
        started_at: slot(),
        finished_at: after(slot(), Duration::from_secs(60)),
        attempts: 1,
        exit: None,
        statistics: Statistics::default(),
        evidence: outcome.is_good().then_some(evidence),
        unread: Unread::default(),
        findings: Vec::new(),
        tail: String::new(),
    }
}

fn expected(name: &str) -> ExpectedRun {
    ExpectedRun {
        node: node(name),
        run: run(name),
        plan_hash: "h".to_owned(),
        repository: Some(repository()),
        lock: RepositoryLock::Shared,
        storage: None,
        labels: Default::default(),
        priority: 0,
    }
}

fn plan() -> PlanAnnouncement {
    PlanAnnouncement {
        routine: routine(),
        hash: "h".to_owned(),
        driver: "rustic".to_owned(),
        target: "nas".parse().expect("the target's name is one"),
        repository: Some(repository()),
        can_witness: true,
        lock: RepositoryLock::Shared,
        calendar: Some("*-*-* 02:00:00".to_owned()),
        zone: "UTC".to_owned(),
        start_within: Duration::from_secs(3600),
        finish_within: Duration::from_secs(7200),
        stall_after: Duration::from_secs(1800),
        rpo: Some(Duration::from_secs(86_400)),
        labels: Default::default(),
        guards: Guards::default(),
        storage: None,
        priority: 0,
        card: None,
        builds_on: None,
    }
}
