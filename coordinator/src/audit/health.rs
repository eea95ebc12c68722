//! How each routine stands on each node, and which alerts are open, as the log tells it message by message.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::agent::{AgentFact, PlansAnnounced, RunAbout};
use landfall_proto::fact::coordinator::{Answered, CoordinatorFact, Pinged, RoundConcluded, RoundOpened};
use landfall_proto::id::{CommandId, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, Reason, RunReport, TaskKind};
use landfall_proto::time::{Duration, Timestamp};
use landfall_proto::verdict::{Standing, VerdictKind};

use super::case::Read;
use crate::core::run::is_good;
use crate::core::{Fact, Policy};

/// The state of things so far.
#[derive(Default)]
pub(super) struct Health<'a> {
    pub(super) stands: BTreeMap<(NodeId, RoutineName), Stand<'a>>,
    /// Open alerts by key.
    pub(super) open: BTreeMap<String, &'a Read<'a>>,
    /// Missing nodes of overdue verdicts: the round, and since when its results count.
    pub(super) overdue: BTreeMap<(RoutineName, NodeId), (RoundId, Timestamp, &'a Read<'a>)>,
    /// Nodes that ever had a bad result, by routine.
    pub(super) ever_bad: BTreeMap<RoutineName, BTreeSet<NodeId>>,
    pub(super) ever_overdue: BTreeSet<RoutineName>,
    /// When the runs of each round should have begun, by routine.
    pub(super) start_bys: BTreeMap<RoutineName, Vec<Timestamp>>,
    /// Nodes whose snapshot a witness did not find.
    pub(super) ever_absent: BTreeSet<NodeId>,
    pub(super) ever_broken: BTreeSet<NodeId>,
    /// Nodes on which a routine ever built on another, by routine.
    pub(super) ever_chained: BTreeMap<RoutineName, BTreeSet<NodeId>>,
    /// Every monitor that ever was.
    pub(super) monitors: BTreeSet<RoutineName>,
    /// The ping by which each monitor says that it failed, until a good one follows.
    pub(super) monitors_bad: BTreeMap<RoutineName, &'a Read<'a>>,
    pub(super) monitors_ever_bad: BTreeSet<RoutineName>,
    reported: BTreeSet<RunId>,
    rounds: BTreeMap<RoundId, (RoutineName, TaskKind, Timestamp)>,
    /// Whose run it is, and of which round.
    runs: BTreeMap<RunId, (NodeId, RoundId)>,
    dispatched: BTreeMap<CommandId, RunId>,
    good: Vec<(NodeId, RoutineName, RoundId, Timestamp)>,
}

/// One routine on one node.
pub(super) struct Stand<'a> {
    pub(super) rpo: Option<Duration>,
    pub(super) announced_at: Timestamp,
    /// The latest bad result by task, until a good one follows.
    pub(super) trouble: BTreeMap<TaskKind, &'a Read<'a>>,
    /// The instant that a restore would bring back.
    pub(super) last_good_at: Option<Timestamp>,
}

impl<'a> Health<'a> {
    /// Takes one message in, in the order of the fold.
    pub(super) fn take(&mut self, read: &'a Read<'a>, policy: &Policy) {
        match &read.fact {
            Some(Fact::Agent(node, fact)) => self.node_says(read, node, fact, policy),
            Some(Fact::Coordinator(_, fact)) if read.counts => self.leader_says(read, fact),
            Some(Fact::Coordinator(..)) | None => {}
        }
    }

    fn node_says(&mut self, read: &'a Read<'a>, node: &NodeId, fact: &AgentFact, policy: &Policy) {
        match fact {
            AgentFact::PlansAnnounced(body) => self.announced(read, node, body, policy),
            AgentFact::RunFinished(body) => self.finished(read, node, &body.about, &body.report),
            AgentFact::Witnessed(body) => {
                let absent = body.absent.iter().filter_map(|run| self.runs.get(run)).map(|(node, _)| node.clone());
                self.ever_absent.extend(absent.collect::<Vec<_>>());
            }
            AgentFact::AgentStarted(_)
            | AgentFact::RunStarted(_)
            | AgentFact::RunPhase(_)
            | AgentFact::RunMilestone(_)
            | AgentFact::RunRetried(_)
            | AgentFact::SlotMissed(_) => {}
        }
    }

    /// A plan that is gone is expected all the same, until its node is retired.
    fn announced(&mut self, read: &'a Read<'a>, node: &NodeId, body: &PlansAnnounced, policy: &Policy) {
        if !body.broken.is_empty() {
            self.ever_broken.insert(node.clone());
        }
        for plan in &body.plans {
            if plan.builds_on.is_some() {
                self.ever_chained.entry(plan.routine.clone()).or_default().insert(node.clone());
            }
            let rpo = policy.routine(&plan.routine).and_then(|own| own.rpo).or(plan.rpo);
            let stand = self.stands.entry((node.clone(), plan.routine.clone())).or_insert_with(|| Stand {
                rpo,
                announced_at: read.entry.envelope.sent_at,
                trouble: BTreeMap::new(),
                last_good_at: None,
            });
            stand.rpo = rpo;
        }
    }

    /// The first report of a run counts.
    fn finished(&mut self, read: &'a Read<'a>, node: &NodeId, about: &RunAbout, report: &RunReport) {
        let is_own = about.run == RunId::of(about.round, node, about.task);
        if !is_own || !self.reported.insert(about.run) {
            return;
        }
        self.runs.entry(about.run).or_insert_with(|| (node.clone(), about.round));
        let is_good = is_good(report, about.task);
        let is_bad = match report.outcome {
            Outcome::Partial | Outcome::Failed => true,
            Outcome::Ok | Outcome::Warning => !is_good,
            Outcome::Skipped | Outcome::Cancelled | Outcome::Lost => false,
        };
        if is_good && about.task == TaskKind::Backup {
            self.good.push((node.clone(), about.routine.clone(), about.round, report.finished_at));
            self.lift(node, &about.routine);
        }
        if is_bad {
            self.trouble(read, node, &about.routine, about.task);
        } else if is_good && let Some(stand) = self.stands.get_mut(&(node.clone(), about.routine.clone())) {
            stand.trouble.remove(&about.task);
            if about.task == TaskKind::Backup {
                let at = report.evidence.as_ref().map_or(report.finished_at, |evidence| evidence.taken_at);
                stand.last_good_at = Some(stand.last_good_at.map_or(at, |before| before.max(at)));
            }
        }
    }

    fn trouble(&mut self, read: &'a Read<'a>, node: &NodeId, routine: &RoutineName, task: TaskKind) {
        self.ever_bad.entry(routine.clone()).or_default().insert(node.clone());
        if let Some(stand) = self.stands.get_mut(&(node.clone(), routine.clone())) {
            stand.trouble.insert(task, read);
        }
    }

    /// A good result lifts "overdue" where it is not older than the round that found the node missing.
    fn lift(&mut self, node: &NodeId, routine: &RoutineName) {
        let key = (routine.clone(), node.clone());
        let Some((missed, since, _)) = self.overdue.get(&key) else { return };
        let proves = |(who, what, round, at): &(NodeId, RoutineName, RoundId, Timestamp)| {
            who == node && what == routine && (round == missed || at >= since)
        };
        if self.good.iter().any(proves) {
            self.overdue.remove(&key);
        }
    }

    fn pinged(&mut self, read: &'a Read<'a>, body: &Pinged) {
        match body.ping.kind.is_good() {
            Some(true) => drop(self.monitors_bad.remove(&body.monitor)),
            Some(false) => {
                self.monitors_ever_bad.insert(body.monitor.clone());
                self.monitors_bad.insert(body.monitor.clone(), read);
            }
            None => {}
        }
    }

    fn leader_says(&mut self, read: &'a Read<'a>, fact: &CoordinatorFact) {
        match fact {
            CoordinatorFact::RoundOpened(body) => self.opened(body),
            CoordinatorFact::RoundConcluded(body) => self.concluded(read, body),
            CoordinatorFact::Dispatched(body) => {
                self.dispatched.insert(body.command, body.run);
            }
            CoordinatorFact::Answered(body) => self.refused(read, body),
            CoordinatorFact::AlertRaised(body) => {
                self.open.insert(body.alert.key.0.clone(), read);
            }
            CoordinatorFact::AlertResolved(body) => drop(self.open.remove(&body.key.0)),
            CoordinatorFact::NodeRetired(body) => {
                self.stands.retain(|(node, _), _| *node != body.node);
                self.overdue.retain(|(_, node), _| *node != body.node);
            }
            CoordinatorFact::Pinged(body) => self.pinged(read, body),
            CoordinatorFact::MonitorRemoved(body) => drop(self.monitors_bad.remove(&body.name)),
            CoordinatorFact::MonitorSet(body) => drop(self.monitors.insert(body.monitor.name.clone())),
            CoordinatorFact::PingKeySet(_)
            | CoordinatorFact::LeaderClaimed(_)
            | CoordinatorFact::CancelAsked(_)
            | CoordinatorFact::RunLost(_)
            | CoordinatorFact::WitnessAsked(_)
            | CoordinatorFact::AlertDelivered(_)
            | CoordinatorFact::LimitSet(_)
            | CoordinatorFact::SpaceSampled(_) => {}
        }
    }

    fn opened(&mut self, body: &RoundOpened) {
        let since = body.slot.unwrap_or(body.opened_at);
        self.rounds.entry(body.round).or_insert_with(|| (body.routine.clone(), body.task, since));
        self.start_bys.entry(body.routine.clone()).or_default().push(body.start_by);
        for expected in &body.expected {
            self.runs.insert(expected.run, (expected.node.clone(), body.round));
        }
    }

    fn concluded(&mut self, read: &'a Read<'a>, body: &RoundConcluded) {
        let Some((routine, _, since)) = self.rounds.get(&body.round).cloned() else { return };
        let mut missing = body.verdict.nodes.iter().filter(|node| node.standing == Standing::Missing);
        // One that calls a node missing whose report stands before it does not fall, and is made again.
        if body.verdict.kind != VerdictKind::Overdue || missing.any(|node| self.reported.contains(&node.run)) {
            return;
        }
        self.ever_overdue.insert(routine.clone());
        for node in body.verdict.nodes.iter().filter(|node| node.standing == Standing::Missing) {
            if self.stands.contains_key(&(node.node.clone(), routine.clone())) {
                self.overdue.insert((routine.clone(), node.node.clone()), (body.round, since, read));
                self.lift(&node.node, &routine);
            }
        }
    }

    /// A run that its node refused for good has failed.
    fn refused(&mut self, read: &'a Read<'a>, body: &Answered) {
        let Some(reason) = body.refused else { return };
        // A full disk is asked again, as a busy node is.
        if matches!(reason, Reason::Busy | Reason::NodeSilent | Reason::NoSpace) {
            return;
        }
        let run = self.dispatched.get(&body.command).and_then(|run| self.runs.get(run)).cloned();
        let Some((node, round)) = run else { return };
        let Some((routine, task, _)) = self.rounds.get(&round).cloned() else { return };
        self.trouble(read, &node, &routine, task);
    }
}
