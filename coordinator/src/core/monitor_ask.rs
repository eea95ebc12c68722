//! What operators ask of monitors and ping keys: make, change, remove.

use landfall_proto::control::{Problem, ProblemCode, Reply};
use landfall_proto::fact::coordinator::{CoordinatorFact, MonitorRemoved, MonitorSet, PingKeySet};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{KeyHash, MONITORS_MAX, MonitorSpec, PING_KEYS_MAX};
use landfall_proto::time::Timestamp;

use super::ask::{Answered, named, problem};
use super::mesh::Mesh;

/// Longest label of a ping key, in bytes.
const LABEL_BYTES_MAX: usize = 63;

pub(super) fn set(mesh: &Mesh, now: Timestamp, monitor: MonitorSpec, replaces: bool, by: &str) -> Answered {
    let name = monitor.name.clone();
    let what = format!("the monitor {name} was not {}", if replaces { "changed" } else { "made" });
    if let Some(why) = monitor.fault() {
        return (Vec::new(), problem(&what, &why, "Correct it and ask again."));
    }
    let known = mesh.monitors.get(&name);
    if known.is_none() && replaces {
        return (Vec::new(), missing(&what));
    }
    let refused = match known {
        None if mesh.monitors.len() >= MONITORS_MAX => {
            Some(("there are as many monitors as there may be", "Remove those that nobody needs."))
        }
        None if mesh.routines.contains_key(&name) => {
            Some(("a plan has this name, and its alerts would be taken for the monitor's", "Give it another name."))
        }
        // Asked again because the answer was lost.
        Some(known) if !replaces && known.spec == monitor => {
            return (Vec::new(), Reply::Done { message: format!("the monitor {name} is there") });
        }
        Some(_) if !replaces => {
            Some(("there is one of this name", "Change it with `landfall monitor set`, or choose another name."))
        }
        Some(_) | None => None,
    };
    if let Some((why, fix)) = refused {
        return (Vec::new(), problem(&what, why, fix));
    }
    let is_others = |other: &super::monitor::Monitor| other.spec.name != name && other.spec.key == monitor.key;
    if monitor.key.is_some() && mesh.monitors.values().any(is_others) {
        return (Vec::new(), problem(&what, "another monitor has the same UUID", "Let a fresh one be drawn."));
    }
    let message = format!("the monitor {name} is {}", if replaces { "changed" } else { "made" });
    let fact = MonitorSet { epoch: mesh.epoch(), monitor, set_at: now, by: named(by) };
    (vec![fact.into()], Reply::Done { message })
}

pub(super) fn remove(mesh: &Mesh, name: RoutineName, by: &str) -> Answered {
    if !mesh.monitors.contains_key(&name) {
        let what = format!("the monitor {name} was not removed");
        return (Vec::new(), missing(&what));
    }
    let message = format!("the monitor {name} is removed; pings to it are refused");
    (vec![MonitorRemoved { epoch: mesh.epoch(), name, by: named(by) }.into()], Reply::Done { message })
}

pub(super) fn set_key(
    mesh: &Mesh,
    now: Timestamp,
    label: String,
    key: Option<KeyHash>,
    creates: bool,
    by: &str,
) -> Answered {
    let known = mesh.ping_keys.get(&label);
    let what = format!("the ping key {label} was not {}", if key.is_some() { "made" } else { "ended" });
    let refused = match (&key, known) {
        _ if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) => {
            Some(("its label is empty, longer than 63 bytes, or has a control character", "Choose another label."))
        }
        (Some(key), Some(known)) if known.key == *key => {
            return (Vec::new(), Reply::Done { message: format!("the ping key {label} is there") });
        }
        (Some(_), Some(_)) => Some(("there is one of this label", "End it first, or choose another label.")),
        (Some(_), None) if mesh.ping_keys.len() >= PING_KEYS_MAX => {
            Some(("there are as many ping keys as there may be", "End those that nobody uses."))
        }
        (None, None) => Some(("there is none of this label", "`landfall monitor list` shows all of them.")),
        (Some(_), None) | (None, Some(_)) => None,
    };
    if let Some((why, fix)) = refused {
        return (Vec::new(), problem(&what, why, fix));
    }
    let message = match &key {
        Some(_) => format!("the ping key {label} is made"),
        None => format!("the ping key {label} is ended; pings with it are refused"),
    };
    let fact = PingKeySet { epoch: mesh.epoch(), label, key, creates, set_at: now, by: named(by) };
    (vec![CoordinatorFact::from(fact)], Reply::Done { message })
}

fn missing(what: &str) -> Reply {
    let problem = Problem {
        what: what.to_owned(),
        why: "there is none of this name".to_owned(),
        fix: "`landfall monitor list` shows all of them.".to_owned(),
        code: None,
    };
    Reply::Refused(problem.coded(ProblemCode::NotFound))
}
