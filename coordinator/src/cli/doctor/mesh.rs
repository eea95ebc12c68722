//! What the coordinator says of itself, of the nodes and of what is wrong.

use std::collections::BTreeMap;

use landfall_proto::control::{Paging, Request};
use landfall_proto::time::{Duration, Timestamp, between};
use landfall_proto::view::{LogCopies, NodeView, StatusView, WatchdogView};

use super::finding::Finding;
use crate::cli::ask::{Mesh, expect_reply};
use crate::cli::failure::Failure;
use crate::edge::clock;

/// A coordinator that is further behind than this shows what was, not what is.
const LAG_MAX: u64 = 100;

/// A loop comes round every two seconds at the latest; so long is a machine under load, and no longer.
const PASS_AGE_MAX: Duration = Duration::from_secs(30);

/// Pages of nodes that are read.
const PAGES_MAX: usize = 200;

/// Names in one finding.
const NAMES_MAX: usize = 10;

pub(super) async fn look(mesh: &Mesh, findings: &mut Vec<Finding>) {
    match status(mesh).await {
        Ok(status) => {
            findings.push(Finding::good("answers", format!("the coordinator, version {}", status.version)));
            findings.extend(of_status(&status, clock::now()));
        }
        Err(failure) => {
            findings.push(Finding::of_failure("answers", failure));
            return;
        }
    }
    findings.push(match nodes(mesh).await {
        Ok(nodes) => plans(&nodes),
        Err(failure) => Finding::of_failure("plans", failure),
    });
}

async fn status(mesh: &Mesh) -> Result<StatusView, Failure> {
    expect_reply!(mesh.ask(&Request::Status).await?, Status)
}

async fn nodes(mesh: &Mesh) -> Result<Vec<NodeView>, Failure> {
    let mut nodes = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = expect_reply!(mesh.ask(&Request::Nodes { paging: Paging { rows: None, after } }).await?, Nodes)?;
        nodes.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(nodes)
}

fn of_status(status: &StatusView, now: Timestamp) -> Vec<Finding> {
    let lag = match status.lag {
        None => Finding::unknown("lag", "the coordinator cannot see the end of the log", "see that it reaches the bus"),
        Some(lag) if lag <= LAG_MAX => Finding::good("lag", format!("{lag} facts")),
        Some(lag) => Finding::bad(
            "lag",
            format!("{lag} facts are not folded yet"),
            "wait; if it does not shrink, look at the coordinator's disk and load",
        ),
    };
    let silent: Vec<&str> = status.nodes_silent.iter().map(|node| node.as_str()).collect();
    let nodes = if status.nodes == 0 {
        Finding::bad("nodes", "no node has announced itself", "start `landfall-agent serve` on one")
    } else if silent.is_empty() {
        Finding::good("nodes", format!("{} of {} are online", status.nodes_online, status.nodes))
    } else {
        Finding::bad(
            "nodes",
            format!("silent: {}", names(&silent)),
            "look at the machine, its network and its agent; `landfall retire NODE` if it is gone for good",
        )
    };
    let alerts = if status.alerts_open == 0 {
        Finding::good("alerts", "none is open")
    } else {
        Finding::bad(
            "alerts",
            format!("{} are open", status.alerts_open),
            "`landfall alerts` names them with what to do",
        )
    };
    let mut findings = vec![lag, turns(status.last_pass_at, now)];
    findings.extend(status.watchdog.as_ref().map(watchdog));
    findings.extend(status.log_copies.map(copies));
    findings.extend([nodes, refused(&status.refused), kinds(&status.unknown_kinds), alerts]);
    findings
}

fn turns(last: Option<Timestamp>, now: Timestamp) -> Finding {
    match last.map(|at| between(at, now)) {
        None => Finding::unknown("turns", "the coordinator has not seen the log yet", "see that it reaches the bus"),
        Some(age) if age <= PASS_AGE_MAX => Finding::good("turns", "the coordinator's loop turns"),
        Some(age) => Finding::bad(
            "turns",
            format!("the coordinator's loop last came round with the log in sight {age} ago"),
            "look into its journal and at its disk and the bus; nothing is decided meanwhile",
        ),
    }
}

fn watchdog(calls: &WatchdogView) -> Finding {
    match (calls.failures, calls.called_at) {
        (0, Some(_)) => Finding::good("watchdog", "its address is called"),
        (0, None) => Finding::unknown(
            "watchdog",
            "its address was not called yet",
            "wait an interval; only a coordinator that leads calls it",
        ),
        (failures, _) => Finding::bad(
            "watchdog",
            format!("the last {failures} calls of its address failed"),
            "see that the coordinator's machine reaches the address of [watchdog]; its owner raises an alarm meanwhile",
        ),
    }
}

fn copies(copies: LogCopies) -> Finding {
    let LogCopies { wanted, kept } = copies;
    if wanted == kept {
        return Finding::good("copies", format!("the bus keeps {kept} of the log, as the coordinator's file says"));
    }
    Finding::bad(
        "copies",
        format!("the bus keeps {kept} of the log; the coordinator's file says {wanted}"),
        "write the right number as `replicas` under [bus] of the coordinator's file, or change the log with `nats stream edit --replicas`",
    )
}

fn refused(counts: &BTreeMap<String, u64>) -> Finding {
    if counts.values().all(|count| *count == 0) {
        return Finding::good("refused", "no message was refused");
    }
    Finding::bad(
        "refused",
        format!("messages were refused: {}", listed(counts)),
        "the coordinator's journal and `landfall watch --from 1` name them: somebody else writes on this cluster's subjects, or a build is broken",
    )
}

fn kinds(counts: &BTreeMap<String, u64>) -> Finding {
    if counts.is_empty() {
        return Finding::good("kinds", "every fact was understood");
    }
    Finding::unknown(
        "kinds",
        format!("facts of kinds that the coordinator does not know: {}", listed(counts)),
        "update the coordinator: some agent is newer",
    )
}

fn plans(nodes: &[NodeView]) -> Finding {
    let broken: Vec<String> = nodes
        .iter()
        .flat_map(|node| node.broken_plans.iter().map(move |plan| format!("{} {}: {}", node.id, plan.file, plan.error)))
        .collect();
    if broken.is_empty() {
        return Finding::good("plans", "every node reads all its plans");
    }
    let broken: Vec<&str> = broken.iter().map(String::as_str).collect();
    Finding::bad(
        "plans",
        names(&broken),
        "correct the file on the node; `landfall-agent plan check FILE` explains every error",
    )
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn names(all: &[&str]) -> String {
    let more = all.len().saturating_sub(NAMES_MAX);
    let text = all.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Health;
    use landfall_proto::envelope::Epoch;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn healthy() -> StatusView {
        StatusView {
            cluster: "home".into(),
            version: "1".into(),
            leader: None,
            epoch: Epoch::default(),
            log_seq: 9,
            lag: Some(0),
            bus_version: None,
            nodes: 2,
            nodes_online: 2,
            nodes_silent: Vec::new(),
            rounds_open: 0,
            runs_queued: 0,
            runs_running: 0,
            alerts_open: 0,
            routines: Vec::new(),
            refused: BTreeMap::new(),
            unknown_kinds: BTreeMap::new(),
            started_at: Timestamp::UNIX_EPOCH,
            leader_since: None,
            standbys: Vec::new(),
            last_pass_at: Some(Timestamp::UNIX_EPOCH),
            watchdog: Some(WatchdogView { called_at: Some(Timestamp::UNIX_EPOCH), failures: 0, failures_total: 4 }),
            log_copies: Some(LogCopies { wanted: 3, kept: 3 }),
            monitors: BTreeMap::new(),
        }
    }

    #[test]
    fn a_healthy_mesh_has_nothing_to_do() {
        assert!(of_status(&healthy(), NOW).iter().all(|finding| finding.ok == Health::Good && finding.fix.is_empty()));
    }

    #[test]
    fn whatever_is_bad_says_what_to_do() {
        let sick = StatusView {
            lag: Some(5000),
            last_pass_at: Timestamp::UNIX_EPOCH.checked_sub(jiff::SignedDuration::from_secs(90)).ok(),
            watchdog: Some(WatchdogView { called_at: None, failures: 3, failures_total: 3 }),
            log_copies: Some(LogCopies { wanted: 3, kept: 1 }),
            nodes_silent: vec!["b".parse().unwrap()],
            refused: [("malformed".to_owned(), 3)].into(),
            alerts_open: 1,
            ..healthy()
        };
        let bad: Vec<Finding> = of_status(&sick, NOW).into_iter().filter(|finding| finding.ok == Health::Bad).collect();
        let names: Vec<&str> = bad.iter().map(|finding| finding.name).collect();
        assert_eq!(names, ["lag", "turns", "watchdog", "copies", "nodes", "refused", "alerts"]);
        assert!(bad.iter().all(|finding| !finding.fix.is_empty()));
        assert!(bad[5].what.contains("malformed 3"));
    }
}
