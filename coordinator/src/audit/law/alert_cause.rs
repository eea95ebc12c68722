//! No alert without a cause, and no cause without its alert.

use std::collections::BTreeSet;

use landfall_proto::alert::Alert;
use landfall_proto::fact::coordinator::{AlertRaised, CoordinatorFact};
use landfall_proto::id::NodeId;
use landfall_proto::report::TaskKind;

use crate::audit::health::Health;
use crate::audit::{Case, Law, Read, Violation};
use crate::core::Fact;
use crate::core::alert::FAILED_TOGETHER;
use crate::core::monitor_alerts::MANY;
use crate::core::policy::AlertKind;
use crate::core::together::{NODES_TOGETHER, ROUTINES_TOGETHER};

pub(super) struct AlertCause;

const NAME: &str = "alert-cause";

impl Law for AlertCause {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Every alert follows from something in the log, and whatever is failed or overdue at rest is told by an open alert."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        (case.reads().is_empty() || !case.is_whole()).then_some("a whole log that never lost anything")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut health = Health::default();
        let mut found = Vec::new();
        for (_, read) in case.folded() {
            if let Some(Fact::Coordinator(_, CoordinatorFact::AlertRaised(body))) = &read.fact
                && read.counts
            {
                found.extend(without_cause(&health, read, body));
            }
            health.take(read, &case.history.policy);
        }
        let is_led = case.history.coordinators.iter().any(|trace| trace.leads && trace.cursor.is_some());
        if case.is_at_rest() && is_led {
            found.extend(untold(case, &health));
        }
        found
    }
}

fn without_cause(health: &Health<'_>, read: &Read<'_>, body: &AlertRaised) -> Option<Violation> {
    let alert = &body.alert;
    let lack = match kind_of(alert)? {
        AlertKind::Failed => {
            let bad = health.ever_bad.get(alert.routine.as_ref()?);
            let is_bad = alert.nodes.iter().all(|node| bad.is_some_and(|bad| bad.contains(node)));
            (!is_bad).then_some("no run of it had failed there")
        }
        AlertKind::Diverged => {
            let bad = health.ever_bad.get(alert.routine.as_ref()?).map_or(0, std::collections::BTreeSet::len);
            (bad < FAILED_TOGETHER).then_some("too few nodes had failed")
        }
        AlertKind::ClusterFailing => {
            let nodes: BTreeSet<&NodeId> = health.ever_bad.values().flatten().collect();
            let is_many = health.ever_bad.len() >= ROUTINES_TOGETHER && nodes.len() >= NODES_TOGETHER;
            (!is_many).then_some("too few routines had failed")
        }
        AlertKind::Overdue => {
            (!health.ever_overdue.contains(alert.routine.as_ref()?)).then_some("no verdict was overdue")
        }
        AlertKind::Late => {
            let start_bys = health.start_bys.get(alert.routine.as_ref()?);
            let is_late = start_bys.is_some_and(|all| all.iter().any(|start_by| *start_by <= body.raised_at));
            (!is_late).then_some("no round was past the time to begin")
        }
        AlertKind::Contradicted => {
            let is_absent = alert.nodes.iter().all(|node| health.ever_absent.contains(node));
            (!is_absent).then_some("no witness had missed a snapshot")
        }
        AlertKind::ChainBroken => {
            let chained = health.ever_chained.get(alert.routine.as_ref()?);
            let is_chained = alert.nodes.iter().all(|node| chained.is_some_and(|chained| chained.contains(node)));
            (!is_chained).then_some("it builds on nothing there")
        }
        AlertKind::BrokenPlan => {
            let is_broken = alert.nodes.iter().all(|node| health.ever_broken.contains(node));
            (!is_broken).then_some("every plan could be read")
        }
        AlertKind::MonitorFailed => {
            (!health.monitors_ever_bad.contains(alert.routine.as_ref()?)).then_some("it had not said that it failed")
        }
        AlertKind::MonitorOverdue | AlertKind::MonitorLate => {
            (!health.monitors.contains(alert.routine.as_ref()?)).then_some("there was no such monitor")
        }
        AlertKind::MonitorsTogether => (health.monitors.len() < MANY).then_some("there were too few monitors"),
        AlertKind::NodeSilent
        | AlertKind::Stale
        | AlertKind::Guard
        | AlertKind::Conflict
        | AlertKind::StorageLow
        | AlertKind::ClockSkew
        | AlertKind::HistoryLost
        | AlertKind::CoordinatorDiffers
        | AlertKind::Filling
        | AlertKind::DestinationLow => None,
    };
    let what = format!("the alert {} was raised, but {}", alert.key, lack?);
    Some(Violation::new(NAME, what).seen(read).shown(alert.title.clone()))
}

fn kind_of(alert: &Alert) -> Option<AlertKind> {
    let name = alert.key.0.split('/').next().unwrap_or_default();
    let by_log = [
        AlertKind::Failed,
        AlertKind::Diverged,
        AlertKind::ClusterFailing,
        AlertKind::Overdue,
        AlertKind::Late,
        AlertKind::Contradicted,
        AlertKind::BrokenPlan,
        AlertKind::ChainBroken,
        AlertKind::MonitorFailed,
        AlertKind::MonitorOverdue,
        AlertKind::MonitorLate,
        AlertKind::MonitorsTogether,
    ];
    by_log.into_iter().find(|kind| kind.as_str() == name)
}

fn untold(case: &Case<'_>, health: &Health<'_>) -> Vec<Violation> {
    let is_open = |key: String| health.open.contains_key(&key);
    let mut found = Vec::new();
    for ((node, routine), stand) in &health.stands {
        let trouble = stand.trouble.get(&TaskKind::Backup).filter(|read| !case.is_recent(read.entry.at));
        let is_told = is_open(format!("failed/{routine}/{node}")) || is_open(format!("diverged/{routine}"));
        if let Some(read) = trouble.filter(|_| !is_told) {
            let what = format!("the last backup of {routine} on {node} is bad, and no open alert says so");
            found.push(Violation::new(NAME, what).seen(read));
        }
    }
    let old = health.overdue.iter().filter(|(_, (_, _, read))| !case.is_recent(read.entry.at));
    for ((_, node), (round, _, read)) in old.filter(|((routine, _), _)| !is_open(format!("overdue/{routine}"))) {
        let what = format!("round {round} found {node} missing, no good backup followed, and no open alert says so");
        found.push(Violation::new(NAME, what).seen(read));
    }
    let bad = health.monitors_bad.iter().filter(|(_, read)| !case.is_recent(read.entry.at));
    for (name, read) in bad.filter(|(name, _)| !is_open(format!("monitor_failed/{name}"))) {
        let what = format!("the monitor {name} says that it failed, and no open alert says so");
        found.push(Violation::new(NAME, what).seen(read));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, node, routine};
    use landfall_proto::report::{Outcome, Reason};
    use landfall_proto::time::{Duration, after};
    use landfall_proto::verdict::{Standing, VerdictKind};

    fn led(story: Story) -> Story {
        let mut story = story.at_rest();
        let last = story.history.log.last().unwrap().position;
        let coordinator = story.coordinator();
        (coordinator.cursor, coordinator.leads) = (Some(last), true);
        story
    }

    /// An alert about the routine on a node.
    fn raises(story: &mut Story, key: &str, name: &str) {
        let mut fact = landfall_proto::fact::coordinator::AlertRaised {
            epoch: story.epoch,
            alert: landfall_proto::alert::Alert {
                key: landfall_proto::alert::AlertKey(key.to_owned()),
                id: uuid::Uuid::new_v5(&uuid::Uuid::nil(), key.as_bytes()),
                severity: landfall_proto::alert::Severity::Critical,
                title: String::new(),
                routine: Some(routine()),
                round: None,
                nodes: Vec::new(),
                reason: None,
                last_good_at: None,
                fix: String::new(),
                runbook: None,
                stakes: None,
            },
            raised_at: story.now,
        };
        fact.alert.nodes = vec![node(name)];
        story.leader("alpha", fact);
    }

    #[test]
    fn a_failed_backup_is_told_and_a_good_one_is_not() {
        let mut story = Story::night();
        story.ends("a", Outcome::Failed, Reason::Network);
        story.ends("b", Outcome::Ok, Reason::Completed);
        led(story.clone()).breaks(&AlertCause, "last backup of nightly on a is bad");
        raises(&mut story, "failed/nightly/a", "a");
        led(story.clone()).keeps(&AlertCause);
        raises(&mut story, "failed/nightly/b", "b");
        story.breaks(&AlertCause, "no run of it had failed there");
    }

    #[test]
    fn an_overdue_round_is_told_until_a_good_backup_follows() {
        let mut story = Story::night();
        raises(&mut story, "overdue/nightly", "b");
        story.breaks(&AlertCause, "no verdict was overdue");
        let mut story = Story::night();
        story.ends("a", Outcome::Ok, Reason::Completed);
        story.now = after(story.now, Duration::from_secs(8000));
        story.concludes(VerdictKind::Overdue, &[("a", Standing::Good), ("b", Standing::Missing)]);
        led(story.clone()).breaks(&AlertCause, "found b missing");
        let mut told = story.clone();
        raises(&mut told, "overdue/nightly", "b");
        led(told).keeps(&AlertCause);
        story.ends("b", Outcome::Ok, Reason::Completed);
        led(story).keeps(&AlertCause);
    }

    #[test]
    fn a_broken_chain_needs_a_chain() {
        let mut story = Story::night();
        story.ends("a", Outcome::Ok, Reason::Completed);
        raises(&mut story, "chain_broken/nightly", "a");
        story.breaks(&AlertCause, "it builds on nothing there");
    }

    #[test]
    fn one_alert_for_many_needs_many() {
        let mut story = Story::night();
        story.ends("a", Outcome::Failed, Reason::Network);
        raises(&mut story, "diverged/nightly", "a");
        story.breaks(&AlertCause, "too few nodes");
    }
}
