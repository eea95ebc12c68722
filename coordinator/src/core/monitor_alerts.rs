//! Alerts about monitors: silent longer than it may be, failed by its own word, and many at once.

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::monitor::{FailureView, MonitorState};
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::time::{Timestamp, after};
use uuid::Uuid;

use super::agenda::Matter;
use super::check::severity_of;
use super::decide::Look;
use super::mesh::Mesh;
use super::monitor::Monitor;
use super::policy::{AlertKind, Policy};
use super::route::kind_of;
use super::verify::listed;
use super::wish::{Wanted, Wishes, difference};

/// So many monitors that are bad at the same time are told as one trouble too: what they share may be what broke.
pub const MANY: usize = 3;

/// Raises and resolves the alerts about all monitors.
pub(super) fn look(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Look {
    let mut wishes = Wishes::default();
    let mut again_at: Option<Timestamp> = None;
    let mut bad: Vec<&Monitor> = Vec::new();
    let mut is_early = false;
    // Who could not hear waits for those who say it again before he calls anybody silent.
    let settled_at = mesh.settled_at(policy);
    for monitor in mesh.monitors.values() {
        let marks = [monitor.overdue_at(), monitor.late_at(), Some(settled_at)];
        again_at = marks.into_iter().flatten().filter(|at| *at > now).chain(again_at).min();
        match monitor.state(now) {
            MonitorState::Failed => {
                failed(monitor).into_iter().for_each(|wanted| wishes.want(wanted));
                bad.push(monitor);
            }
            MonitorState::Overdue if now >= settled_at => {
                wishes.want(overdue(mesh, monitor));
                bad.push(monitor);
            }
            MonitorState::Overdue => {
                is_early = true;
                wishes.unknown.insert(key(AlertKind::MonitorOverdue, monitor));
            }
            MonitorState::Late if monitor.late_at().is_some_and(|at| at <= now) => {
                if now >= settled_at {
                    wishes.want(late(monitor));
                } else {
                    wishes.unknown.insert(key(AlertKind::MonitorLate, monitor));
                }
            }
            MonitorState::New | MonitorState::Up | MonitorState::Late => {}
        }
    }
    together(mesh, &bad, is_early, &mut wishes);
    Look::decided(difference(mesh, policy, now, &Matter::Monitors, wishes), again_at)
}

/// Whether an alert is about a monitor, or several.
pub fn is_about(alert: &Alert) -> bool {
    is_kind(kind_of(alert))
}

/// Whether an alert of this kind is about monitors.
pub(super) fn is_kind(kind: &str) -> bool {
    let kinds =
        [AlertKind::MonitorFailed, AlertKind::MonitorOverdue, AlertKind::MonitorLate, AlertKind::MonitorsTogether];
    kinds.iter().any(|known| known.as_str() == kind)
}

fn key(kind: AlertKind, monitor: &Monitor) -> AlertKey {
    AlertKey(format!("{}/{}", kind.as_str(), monitor.spec.name))
}

fn wanted(kind: AlertKind, severity: Severity, monitor: &Monitor, title: String, cause: Uuid) -> Wanted {
    let owner = &monitor.spec.owner;
    let ask = if owner.is_empty() { String::new() } else { format!(" {owner} is to be asked.") };
    let reason = match (kind, &monitor.failure) {
        (AlertKind::MonitorFailed, Some(failure)) => Some(failure.reason),
        _ => Some(Reason::NoReport),
    };
    Wanted {
        kind,
        key: key(kind, monitor),
        severity,
        title,
        routine: Some(monitor.spec.name.clone()),
        round: None,
        nodes: Vec::new(),
        reason,
        last_good_at: monitor.last_good_at,
        fix: format!("{}{ask}", super::wish::fix_of(kind)),
        cause,
    }
}

fn failed(monitor: &Monitor) -> Option<Wanted> {
    let FailureView { ping, reason, message, .. } = monitor.failure.as_ref()?;
    let title = format!("{} failed by its own word: {message}", monitor.spec.name);
    Some(wanted(AlertKind::MonitorFailed, severity_of(Outcome::Failed, *reason), monitor, title, *ping))
}

fn overdue(mesh: &Mesh, monitor: &Monitor) -> Wanted {
    let (name, grace) = (&monitor.spec.name, monitor.spec.grace);
    let begun = monitor.running.filter(|run| after(run.since, grace) <= monitor.overdue_at().unwrap_or(run.since));
    let (title, since) = match (begun, monitor.last_ping_at) {
        (Some(run), _) => {
            (format!("{name} said at {} that it begins, and has not said since how it ended", run.since), run.since)
        }
        (None, Some(last)) => (format!("nothing has been heard of {name} since {last}; what it does is unknown"), last),
        (None, None) => (format!("nothing has ever been heard of {name}"), monitor.set_at),
    };
    // A ping that came while nobody could hear it is lost, and whoever reads this has to know.
    let deaf = mesh.attentive_since().filter(|heard| monitor.expected_at.is_some_and(|at| at < *heard));
    let title = match deaf {
        Some(heard) => format!("{title}; the coordinator could hear nobody before {heard}"),
        None => title,
    };
    wanted(AlertKind::MonitorOverdue, Severity::Critical, monitor, title, cause(monitor, since))
}

fn late(monitor: &Monitor) -> Wanted {
    let expected = monitor.expected_at.unwrap_or(monitor.set_at);
    let title = format!("{} is late: a word of it was expected at {expected}", monitor.spec.name);
    wanted(AlertKind::MonitorLate, Severity::Info, monitor, title, cause(monitor, expected))
}

/// The same silence is the same trouble, whoever leads; under another definition it is another one.
fn cause(monitor: &Monitor, since: Timestamp) -> Uuid {
    let until = monitor.overdue_at().unwrap_or(since);
    Uuid::new_v5(&Uuid::nil(), format!("{}/{since}/{until}", monitor.spec.name).as_bytes())
}

/// One alert for what many share, beside those of each: they have owners of their own.
fn together(mesh: &Mesh, bad: &[&Monitor], is_early: bool, wishes: &mut Wishes) {
    let key = AlertKey(AlertKind::MonitorsTogether.as_str().to_owned());
    if mesh.index.open_alerts.contains_key(&key) && (is_early || bad.len() >= MANY) {
        wishes.unknown.insert(key);
        return;
    }
    if bad.len() < MANY {
        return;
    }
    let names: Vec<String> = bad.iter().map(|monitor| monitor.spec.name.to_string()).collect();
    let latest = bad.iter().filter_map(|monitor| {
        let failed = monitor.failure.as_ref().map(|failure| failure.at);
        failed.or_else(|| monitor.overdue_at())
    });
    let cause = Uuid::new_v5(&Uuid::nil(), format!("{key}/{:?}", latest.max()).as_bytes());
    wishes.want(Wanted {
        kind: AlertKind::MonitorsTogether,
        key,
        severity: Severity::Critical,
        title: format!(
            "{} of {} monitors have failed or are overdue: {}",
            bad.len(),
            mesh.monitors.len(),
            listed(&names)
        ),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: super::wish::fix_of(AlertKind::MonitorsTogether).to_owned(),
        cause,
    });
}
