//! Backups that stand on others: what is worth nothing without a good backup of another routine on the same node, and whether
//! that one is there.
//!
//! A plan says `builds_on = "ROUTINE"`: a log archive on its base backup, an increment on its full one. The chain is broken on a
//! node where
//!
//! 1. the base has never been good there and the increment has: what it left cannot be restored; or
//! 2. the latest that is known of the base there is a failure, and the increment ended after it, well or not: what it leaves
//!    from then on stands on a base that is not there.
//!
//! The next good base mends it. A base that is under way, or whose end nobody knows, says nothing: nothing is told because of
//! it, and what was told stays. A relation that makes no sense is a finding of its node and tells nobody.

use landfall_proto::alert::Severity;
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::alert::{NODES_MAX, key};
use super::mesh::Mesh;
use super::node::{History, Node, NodeRoutine};
use super::policy::AlertKind;
use super::routine::Routine;
use super::verify::listed;
use super::wish::{Wanted, Wishes};

/// Why what a routine left on a node stands on nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The base has never been good there.
    Never,
    /// The base failed after its last good one.
    Failed {
        run: RunId,
        at: Timestamp,
        /// Whether the increment is good all the same: with luck it stands on the base before.
        is_increment_good: bool,
    },
}

/// The rule: what the past of a base says of the increments on it.
pub fn broken(base: &History, increment: &History) -> Option<Broken> {
    if base.last_good.is_none() && increment.last_good.is_some() {
        return Some(Broken::Never);
    }
    let failed = base.trouble.as_ref()?;
    let (run, at) = (failed.run, failed.finished_at);
    if increment.trouble.as_ref().is_some_and(|trouble| trouble.finished_at > at) {
        return Some(Broken::Failed { run, at, is_increment_good: false });
    }
    let is_increment_good = increment.last_good.as_ref().is_some_and(|good| good.at > at);
    is_increment_good.then_some(Broken::Failed { run, at, is_increment_good })
}

/// How the chain of this routine stands on this node; `None` where it holds, or there is none that makes sense.
pub(super) fn broken_on(node: &Node, name: &RoutineName) -> Option<Broken> {
    let known = announced(node, name)?;
    let base = announced(node, known.plan.builds_on.as_ref()?)?;
    if fault(node, name).is_some() { None } else { broken(&base.backup, &known.backup) }
}

/// What is wrong with what this node's plan says it builds on.
pub(super) fn fault(node: &Node, name: &RoutineName) -> Option<String> {
    let mut way = vec![name];
    let mut next = announced(node, name)?.plan.builds_on.as_ref();
    while let Some(base) = next {
        if announced(node, base).is_none() {
            // Only the routine that names it has something to correct.
            let what = format!("{name} builds on {base}, and this node has no such plan");
            return (way.len() == 1).then_some(what);
        }
        if base == name {
            let names: Vec<&str> = way.iter().map(|name| name.as_str()).collect();
            return Some(format!("{name} builds on itself: {} and so on", names.join(" builds on ")));
        }
        if way.contains(&base) {
            return None;
        }
        way.push(base);
        next = announced(node, base).and_then(|known| known.plan.builds_on.as_ref());
    }
    None
}

fn announced<'a>(node: &'a Node, name: &RoutineName) -> Option<&'a NodeRoutine> {
    node.routines.get(name).filter(|known| known.present)
}

/// Asks for the one alert about the routine's chains, where there is something to tell.
pub(super) fn tell(mesh: &Mesh, routine: &Routine, wishes: &mut Wishes) {
    if routine.unbased.is_empty() {
        return;
    }
    let key = key(AlertKind::ChainBroken, &routine.name, None);
    let open = mesh.open_alert(&key);
    let was_told = |id: &NodeId| open.is_some_and(|open| open.alert.nodes.contains(id));
    let mut links: Vec<Link<'_>> = Vec::new();
    let mut is_held = false;
    for link in routine.unbased.iter().filter_map(|id| link(mesh, id, &routine.name)) {
        if is_open_question(mesh, link.node, link.base) {
            is_held = true;
            if !was_told(link.node) {
                continue;
            }
        }
        links.push(link);
    }
    if links.is_empty() {
        if is_held {
            wishes.unknown.insert(key);
        }
        return;
    }
    let names: Vec<String> = links.iter().map(Link::text).collect();
    let cause: Vec<String> = links.iter().map(Link::cause).collect();
    let first = &links[0];
    wishes.want(Wanted {
        kind: AlertKind::ChainBroken,
        key,
        severity: links.iter().map(Link::severity).max().unwrap_or(Severity::Critical),
        title: format!("{} stands on a backup that is not there: {}", routine.name, listed(&names)),
        routine: Some(routine.name.clone()),
        round: None,
        nodes: links.iter().take(NODES_MAX).map(|link| link.node.clone()).collect(),
        reason: None,
        last_good_at: links.iter().filter_map(|link| link.last_good_at).min(),
        fix: format!(
            "Run {} and see that it is good: `landfall start {} --node {}`.",
            first.base, first.base, first.node
        ),
        cause: Uuid::new_v5(&Uuid::nil(), cause.join(" ").as_bytes()),
    });
}

/// One node's broken chain.
struct Link<'a> {
    node: &'a NodeId,
    base: &'a RoutineName,
    broken: Broken,
    /// Of the base.
    last_good_at: Option<Timestamp>,
}

fn link<'a>(mesh: &'a Mesh, id: &NodeId, name: &RoutineName) -> Option<Link<'a>> {
    let node = mesh.nodes.get(id)?;
    let base = node.routines.get(name)?.plan.builds_on.as_ref()?;
    let good = node.routines.get(base)?.backup.last_good.as_ref();
    Some(Link { node: &node.id, base, broken: broken_on(node, name)?, last_good_at: good.map(|good| good.at) })
}

impl Link<'_> {
    fn text(&self) -> String {
        match self.broken {
            Broken::Never => format!("{} ({} has never been good there)", self.node, self.base),
            Broken::Failed { at, .. } => format!("{} ({} failed at {})", self.node, self.base, at.strftime("%F %TZ")),
        }
    }

    fn cause(&self) -> String {
        match self.broken {
            Broken::Never => format!("{}:{}", self.node, self.base),
            Broken::Failed { run, .. } => format!("{}:{run}", self.node),
        }
    }

    /// As loud as a failed backup; where there is an older base to fall back to and the increments are good, as a warning.
    const fn severity(&self) -> Severity {
        match (self.broken, self.last_good_at) {
            (Broken::Failed { is_increment_good: true, .. }, Some(_)) => Severity::Warning,
            (Broken::Never | Broken::Failed { .. }, _) => Severity::Critical,
        }
    }
}

/// Whether the base may have become good meanwhile: a run of it on this node is under way, or ended without a word.
fn is_open_question(mesh: &Mesh, node: &NodeId, base: &RoutineName) -> bool {
    let Some(routine) = mesh.routines.get(base) else { return false };
    let run = |round: RoundId| mesh.runs.get(&RunId::of(round, node, TaskKind::Backup));
    routine
        .open
        .iter()
        .copied()
        .chain(routine.last_round)
        .filter_map(run)
        .any(|run| !run.is_ended() || run.outcome() == Some(Outcome::Lost))
}
