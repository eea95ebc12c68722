//! The node check: what one node's own state and history say of it, made without looking at its neighbours.

use landfall_proto::alert::{AlertKey, Risk, Severity};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::plan::Guards;
use landfall_proto::report::{Outcome, Reason, Space, TaskKind};
use landfall_proto::time::{Duration, Timestamp, after, between};
use landfall_proto::view::FindingView;
use uuid::Uuid;

use super::chain;
use super::mesh::Mesh;
use super::node::{Live, Node, NodeRoutine, Sample};
use super::policy::{AlertKind, Policy};

/// Two machines that speak in one node's name, and a journal that was set back, are a finding for so long after they were last
/// noticed.
const CLASH_REMEMBERED: Duration = Duration::from_secs(600);

/// What is known of one node.
#[derive(Debug, Clone, Copy)]
pub struct NodeState<'a> {
    pub node: &'a Node,
    pub live: Option<&'a Live>,
}

/// A judgement about one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    /// One sentence for people.
    pub message: String,
    pub routine: Option<RoutineName>,
    pub reason: Option<Reason>,
    /// What this finding follows from: the same cause is the same finding.
    pub cause: Uuid,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    Failed,
    Stale,
    Empty,
    Shrunk,
    Grown,
    Slow,
    DefinitionDiffers,
    StorageLow,
    ClockSkew,
    Offline,
    BrokenPlan,
    Contradicted,
    Conflict,
    PlanGone,
    BadChain,
}

/// Everything to be said of one node at this moment.
pub fn check(state: NodeState<'_>, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let NodeState { node, live } = state;
    let mut findings = Vec::new();
    if node.is_retired() {
        return findings;
    }
    for (name, routine) in &node.routines {
        findings.extend(failed(name, routine));
        findings.extend(stale(node, name, routine, policy, now));
        findings.extend(guarded(name, routine));
        findings.extend(contradicted(name, routine));
        findings.extend(bad_chain(node, name));
        if !routine.present {
            let message =
                format!("{} no longer has the plan {name}; it is expected until the node is retired", node.id);
            findings.push(finding(FindingKind::PlanGone, Severity::Info, message, Some(name), cause_of(node)));
        }
    }
    if !node.broken.is_empty() {
        let first = &node.broken[0];
        let message =
            format!("{} plan files of {} cannot be read; {}: {}", node.broken.len(), node.id, first.file, first.error);
        findings.push(finding(FindingKind::BrokenPlan, Severity::Warning, message, None, cause_of(node)));
    }
    findings.extend(conflict(node, live, now));
    findings.extend(live.map(|live| condition(node, live, policy, now)).unwrap_or_default());
    findings
}

/// Everything to be said of one node, what only its neighbours make visible included.
pub fn findings(mesh: &Mesh, policy: &Policy, now: Timestamp, id: &NodeId) -> Vec<Finding> {
    let Some(node) = mesh.nodes.get(id) else { return Vec::new() };
    let mut findings = check(NodeState { node, live: mesh.live.get(id) }, policy, now);
    for (name, known) in node.routines.iter().filter(|(_, known)| known.present) {
        let differs = mesh.routines.get(name).and_then(|routine| routine.definition_differs(&known.plan));
        if let Some(what) = differs {
            let message = format!("the plan {name} of {id} differs: {what}");
            findings.push(finding(FindingKind::DefinitionDiffers, Severity::Info, message, Some(name), cause_of(node)));
        }
    }
    findings
}

/// When time alone makes a routine stale on its node, or lets a quarrel be over that only beats showed.
pub(super) fn again_at(state: NodeState<'_>, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let stale_at =
        |(name, routine): (&RoutineName, &NodeRoutine)| Some(after(last_good_at(routine), rpo(name, routine, policy)?));
    let stale = state.node.routines.iter().filter_map(stale_at);
    let quarrels = state.live.into_iter().flat_map(|live| [live.clash_at, live.set_back_at]).flatten();
    stale.chain(quarrels.map(|at| after(at, CLASH_REMEMBERED))).filter(|at| *at > now).min()
}

/// Whether the beat itself shows something to be told.
pub(super) fn is_ailing(live: &Live, policy: &Policy) -> bool {
    is_skewed(live, policy) || lowest(live).is_some_and(|(_, space)| space.free_percent() < policy.storage_low_percent)
}

fn failed(name: &RoutineName, routine: &NodeRoutine) -> Vec<Finding> {
    let tasks = TaskKind::ALL.into_iter();
    let found = tasks.filter_map(|task| {
        let trouble = routine.history(task).trouble.as_ref()?;
        let severity = severity_of(trouble.outcome, trouble.reason);
        let message = format!("the last {task} of {name} ended {}: {}", trouble.outcome, trouble.message);
        let mut found = finding(FindingKind::Failed, severity, message, Some(name), trouble.run.0);
        found.reason = Some(trouble.reason);
        Some(found)
    });
    found.collect()
}

/// How loud a failed run is: damaged data and a backup that is not what it claims to be are the worst, what landed in part the
/// least.
pub(super) const fn severity_of(outcome: Outcome, reason: Reason) -> Severity {
    match (outcome, reason) {
        (_, Reason::Integrity | Reason::VerifyMissing | Reason::VerifyIncomplete | Reason::VerifyDoubled) => {
            Severity::Emergency
        }
        (Outcome::Partial, _) => Severity::Warning,
        (_, _) => Severity::Critical,
    }
}

fn stale(node: &Node, name: &RoutineName, routine: &NodeRoutine, policy: &Policy, now: Timestamp) -> Option<Finding> {
    let rpo = rpo(name, routine, policy)?;
    let since = last_good_at(routine);
    if now < after(since, rpo) {
        return None;
    }
    let age = Duration::from_secs(between(since, now).as_ms() / 60_000 * 60);
    let message = match &routine.backup.last_good {
        Some(_) => format!("the last good backup of {name} on {} is {age} old; it should be at most {rpo}", node.id),
        None => format!("{name} on {} has had no good backup for {age}; it should have one every {rpo}", node.id),
    };
    let cause = Uuid::new_v5(&Uuid::nil(), format!("{}/{name}/{since}", node.id).as_bytes());
    Some(finding(FindingKind::Stale, Severity::Critical, message, Some(name), cause))
}

/// How old the last good backup may be: the policy's word, else the plan's.
pub fn rpo(name: &RoutineName, routine: &NodeRoutine, policy: &Policy) -> Option<Duration> {
    policy.routine(name).and_then(|policy| policy.rpo).or(routine.plan.rpo)
}

/// How much is at stake on a node with a routine; `None` where its last backup did not fail and is not too old.
pub fn risk(name: &RoutineName, routine: &NodeRoutine, policy: &Policy, now: Timestamp) -> Option<Risk> {
    let is_too_old = rpo(name, routine, policy).is_some_and(|rpo| now >= after(last_good_at(routine), rpo));
    match routine.backup.failures_since_good {
        _ if is_too_old => Some(Risk::Critical),
        0 => None,
        _ if routine.backup.last_good.is_none() => Some(Risk::Critical),
        1 => Some(Risk::Low),
        _ => Some(Risk::High),
    }
}

/// What the age of a backup is counted from: the last good one, else when the plan was first announced.
pub fn last_good_at(routine: &NodeRoutine) -> Timestamp {
    routine.backup.last_good.as_ref().map_or(routine.first_announced_at, |good| good.at)
}

/// The last good run against the figures of those before it.
fn guarded(name: &RoutineName, routine: &NodeRoutine) -> Vec<Finding> {
    let guards = &routine.plan.guards;
    let samples = &routine.backup.samples;
    let Some(last) = samples.back() else { return Vec::new() };
    let mut findings = Vec::new();
    let mut add = |kind, severity, reason, message| {
        let mut found = finding(kind, severity, message, Some(name), last.run.0);
        found.reason = Some(reason);
        findings.push(found);
    };
    if !guards.allow_empty && last.files.is_none_or(|files| files == 0) && last.bytes == Some(0) {
        let message = format!("the last backup of {name} landed, but it is empty");
        add(FindingKind::Empty, Severity::Critical, Reason::Empty, message);
        return findings;
    }
    let before: Vec<&Sample> = samples.iter().take(samples.len() - 1).collect();
    if u32::try_from(before.len()).unwrap_or(u32::MAX) < guards.history_min.max(1) {
        return findings;
    }
    for (what, figure) in
        [("files", (|sample: &Sample| sample.files) as fn(&Sample) -> Option<u64>), ("bytes", |sample| sample.bytes)]
    {
        if let (Some(is), Some(usual)) = (figure(last), median(before.iter().filter_map(|sample| figure(sample)))) {
            band(guards, name, what, is, usual, &mut add);
        }
    }
    if let Some(usual) = median(before.iter().map(|sample| sample.duration_ms)).filter(|usual| *usual > 0) {
        let factor = last.duration_ms as f64 / usual as f64;
        // Runs of a few seconds vary by themselves.
        if factor > guards.slow_factor && last.duration_ms > 60_000 {
            let message = format!("the last backup of {name} took {factor:.1} times as long as usual");
            add(FindingKind::Slow, Severity::Warning, Reason::Slow, message);
        }
    }
    findings
}

fn band(
    guards: &Guards,
    name: &RoutineName,
    what: &str,
    is: u64,
    usual: u64,
    add: &mut impl FnMut(FindingKind, Severity, Reason, String),
) {
    let (is_wide, usual_wide) = (u128::from(is), u128::from(usual));
    let shrink = u128::from(100_u32.saturating_sub(guards.shrink_percent));
    if is_wide * 100 < usual_wide * shrink {
        let message = format!("the last backup of {name} has {is} {what}, usually {usual}");
        add(FindingKind::Shrunk, Severity::Warning, Reason::Shrunk, message);
    }
    // Many small files come and go; what fills a destination is bytes.
    if what == "bytes" && is_wide * 100 > usual_wide * (100 + u128::from(guards.grow_percent)) {
        let message = format!("the last backup of {name} has {is} {what}, usually {usual}");
        add(FindingKind::Grown, Severity::Warning, Reason::Grown, message);
    }
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// What a plan builds on makes no sense: it is shown, and nobody is told, because the backup itself is as good as before.
fn bad_chain(node: &Node, name: &RoutineName) -> Option<Finding> {
    let message = chain::fault(node, name)?;
    Some(finding(FindingKind::BadChain, Severity::Info, message, Some(name), cause_of(node)))
}

fn contradicted(name: &RoutineName, routine: &NodeRoutine) -> Option<Finding> {
    let found = routine.contradicted.as_ref()?;
    let message = format!("{} did not find the snapshot that the last backup of {name} reported", found.by);
    let mut finding = finding(FindingKind::Contradicted, Severity::Emergency, message, Some(name), found.run.0);
    finding.reason = Some(Reason::VerifyMissing);
    Some(finding)
}

fn conflict(node: &Node, live: Option<&Live>, now: Timestamp) -> Option<Finding> {
    let logged = node.conflict.map(|cause| (cause, "another content came under the identity of an earlier fact"));
    let is_recent = |at: &Timestamp| between(*at, now) < CLASH_REMEMBERED;
    let clash = live.and_then(|live| {
        live.clash_at.filter(is_recent).map(|_| (live.incarnation.0, "two machines speak in its name"))
    });
    let set_back = live
        .and_then(|live| live.set_back_at.filter(is_recent).map(|_| (live.incarnation.0, "its journal was set back")));
    let (cause, what) = logged.or(clash).or(set_back)?;
    let message = format!("{what}: {} was cloned or restored from an image", node.id);
    Some(finding(FindingKind::Conflict, Severity::Critical, message, None, cause))
}

/// What the beats show.
fn condition(node: &Node, live: &Live, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let cause = |what: &str| Uuid::new_v5(&live.incarnation.0, what.as_bytes());
    if !live.is_heard(now) {
        let message = format!("{} has not been heard of since {}", node.id, live.last_beat_at);
        let cause = cause(&live.last_beat_at.to_string());
        findings.push(finding(FindingKind::Offline, Severity::Info, message, None, cause));
        return findings;
    }
    if let Some((mount, space)) = lowest(live).filter(|(_, space)| space.free_percent() < policy.storage_low_percent) {
        let message = format!("{mount} on {} has {} % free space", node.id, space.free_percent());
        findings.push(finding(FindingKind::StorageLow, Severity::Warning, message, None, cause(mount)));
    }
    if is_skewed(live, policy) {
        let message = format!("the clock of {} is off by {} s", node.id, live.skew_ms / 1000);
        findings.push(finding(FindingKind::ClockSkew, Severity::Warning, message, None, cause("clock")));
    }
    findings
}

fn is_skewed(live: &Live, policy: &Policy) -> bool {
    live.skew_ms.unsigned_abs() > policy.clock_skew_max.as_ms()
}

fn lowest(live: &Live) -> Option<(&str, Space)> {
    let disks = live.vitals.disks.iter().map(|(mount, space)| (mount.as_str(), *space));
    disks.min_by_key(|(_, space)| space.free_percent())
}

fn cause_of(node: &Node) -> Uuid {
    node.announced.map_or(Uuid::nil(), |(_, fact)| fact)
}

fn finding(
    kind: FindingKind,
    severity: Severity,
    message: String,
    routine: Option<&RoutineName>,
    cause: Uuid,
) -> Finding {
    Finding { kind, severity, message, routine: routine.cloned(), reason: None, cause }
}

impl Finding {
    /// The alert that this finding asks for; `None` where it is only shown. A failed run is told by its routine, which
    /// knows whether others failed with it, and a silent node after a while.
    pub fn alert(&self, node: &NodeId) -> Option<(AlertKind, AlertKey)> {
        let kind = match self.kind {
            FindingKind::Stale => AlertKind::Stale,
            FindingKind::Empty | FindingKind::Shrunk | FindingKind::Grown | FindingKind::Slow => AlertKind::Guard,
            FindingKind::StorageLow => AlertKind::StorageLow,
            FindingKind::ClockSkew => AlertKind::ClockSkew,
            FindingKind::BrokenPlan => AlertKind::BrokenPlan,
            FindingKind::Contradicted => AlertKind::Contradicted,
            FindingKind::Conflict => AlertKind::Conflict,
            FindingKind::Failed
            | FindingKind::DefinitionDiffers
            | FindingKind::Offline
            | FindingKind::PlanGone
            | FindingKind::BadChain => {
                return None;
            }
        };
        let key = match &self.routine {
            Some(routine) => format!("{}/{routine}/{node}", kind.as_str()),
            None => format!("{}/{node}", kind.as_str()),
        };
        Some((kind, AlertKey(key)))
    }

    pub fn view(&self) -> FindingView {
        let (kind, message) = (self.kind.as_str().to_owned(), self.message.clone());
        FindingView { kind, severity: self.severity, message, routine: self.routine.clone() }
    }
}

impl FindingKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Empty => "empty",
            Self::Shrunk => "shrunk",
            Self::Grown => "grown",
            Self::Slow => "slow",
            Self::DefinitionDiffers => "definition_differs",
            Self::StorageLow => "storage_low",
            Self::ClockSkew => "clock_skew",
            Self::Offline => "offline",
            Self::BrokenPlan => "broken_plan",
            Self::Contradicted => "contradicted",
            Self::Conflict => "conflict",
            Self::PlanGone => "plan_gone",
            Self::BadChain => "bad_chain",
        }
    }
}
