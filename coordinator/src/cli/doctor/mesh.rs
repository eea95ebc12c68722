//! What the coordinator says of itself, of the nodes and of what is wrong.

use std::collections::BTreeMap;

use landfall_proto::control::{Paging, Request};
use landfall_proto::view::{NodeView, StatusView};

use super::finding::Finding;
use crate::cli::ask::{Mesh, expect_reply};
use crate::cli::failure::Failure;

/// A coordinator that is further behind than this shows what was, not what is.
const LAG_MAX: u64 = 100;

/// Pages of nodes that are read.
const PAGES_MAX: usize = 200;

/// Names in one finding.
const NAMES_MAX: usize = 10;

pub(super) async fn look(mesh: &Mesh, findings: &mut Vec<Finding>) {
    match status(mesh).await {
        Ok(status) => {
            findings.push(Finding::good("answers", format!("the coordinator, version {}", status.version)));
            findings.extend(of_status(&status));
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

fn of_status(status: &StatusView) -> Vec<Finding> {
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
    vec![lag, nodes, refused(&status.refused), kinds(&status.unknown_kinds), alerts]
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
    use landfall_proto::time::Timestamp;

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
        }
    }

    #[test]
    fn a_healthy_mesh_has_nothing_to_do() {
        assert!(of_status(&healthy()).iter().all(|finding| finding.ok == Health::Good && finding.fix.is_empty()));
    }

    #[test]
    fn whatever_is_bad_says_what_to_do() {
        let sick = StatusView {
            lag: Some(5000),
            nodes_silent: vec!["b".parse().unwrap()],
            refused: [("malformed".to_owned(), 3)].into(),
            alerts_open: 1,
            ..healthy()
        };
        let bad: Vec<Finding> = of_status(&sick).into_iter().filter(|finding| finding.ok == Health::Bad).collect();
        assert_eq!(bad.iter().map(|finding| finding.name).collect::<Vec<_>>(), ["lag", "nodes", "refused", "alerts"]);
        assert!(bad.iter().all(|finding| !finding.fix.is_empty()));
        assert!(bad[2].what.contains("malformed 3"));
    }
}
