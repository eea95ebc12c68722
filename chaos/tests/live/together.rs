//! The whole mesh as a newcomer meets it: a good round, watched from outside, and proven with plain restic.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use landfall_chaos::live::process::{Process, binary, outside};
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Log, Place, Setup, source, tool};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::verdict::{VerdictKind, Witness};
use serde_json::Value;

use crate::{saver, small_tree, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_save_into_one_repository_and_witness_for_each_other() {
    let place = Place::new("three");
    let tree = small_tree(&place, "tree");
    let nodes = ["a", "b", "c"].map(|name| saver(name, &place, &tree));
    let cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;
    let mut watch = Command::new(binary("landfall"));
    watch.arg("--context").arg(cluster.place.path("operator.toml")).args(["watch", "--json", "--from", "1"]);
    let _watch = Process::start("watch", &mut watch, &cluster.place.log_of("watch"));

    // The first round makes the repository: whoever comes second and third finds it.
    let first = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(first, seconds(28)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    cluster
        .operator
        .seen("all nodes know the repository", seconds(15), |log| (nodes_with_repository(log) == 3).then_some(()))
        .await;
    let round = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(round, seconds(28)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    for run in &detail.runs {
        let Some(Witness::Confirmed { by }) = &run.witness else {
            panic!("expected a witness for {}: {}", run.node, table(&detail))
        };
        assert_ne!(by, &run.node, "expected that nobody is its own witness: {}", table(&detail));
    }
    assert!(
        cluster.bus_complaints().is_empty(),
        "expected that the bus refuses nothing: {:?}",
        cluster.bus_complaints()
    );
    let ended = until("watch shows the verdict", seconds(10), async || {
        let lines = watched(&cluster.place.log_of("watch"));
        lines
            .iter()
            .any(|line| line["kind"] == "round_concluded" && line["body"]["round"] == round.to_string())
            .then_some(lines)
    });
    let lines = ended.await;
    assert!(
        lines.iter().all(|line| line["position"].is_u64() && line["id"].is_string() && line["kind"].is_string()),
        "expected id, kind and position in every line"
    );
    let rebuilt = table_of(&lines, &round.to_string());
    let shown: BTreeMap<String, (String, u64, String)> = detail
        .runs
        .iter()
        .map(|run| {
            (
                run.node.to_string(),
                (run.state.as_str().to_owned(), run.files.unwrap_or(0), run.snapshot.clone().unwrap_or_default()),
            )
        })
        .collect();
    assert_eq!(rebuilt, shown, "expected that the verdict's table can be rebuilt from the lines of watch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_backs_up_and_plain_restic_restores_it() {
    let place = Place::new("up");
    let tree = small_tree(&place, "tree");
    let state = place.path("state");
    let nats = outside("LANDFALL_NATS_SERVER", "nats-server");
    let up = |tree: &Path| {
        let mut command = tokio::process::Command::new(binary("landfall"));
        command.args(["up", "--once", "--nodes", "3", "--state"]).arg(&state).arg("--nats-server").arg(&nats).arg(tree);
        tool::run(command)
    };
    let said = up(&tree).await.good();
    assert!(said.out.contains("converged"), "expected the verdict in one line: {said:#?}");

    let repository = state.join("repository");
    let password = std::fs::read_to_string(state.join("keys/repository.password")).unwrap().trim().to_owned();
    let restic = |variable: &'static str, arguments: Vec<String>| {
        let (repository, password) = (repository.clone(), password.clone());
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            tool::restic_of(variable, &repository, &arguments, &password).await.good()
        }
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<String>>();
    for variable in ["LANDFALL_RESTIC", "LANDFALL_RESTIC_OLD"] {
        restic(variable, words("check --read-data")).await;
        let listed = restic(variable, words("snapshots --json")).await.json();
        let snapshots = listed.as_array().unwrap();
        assert_eq!(snapshots.len(), 3, "expected one snapshot for each node: {listed}");
        for snapshot in snapshots {
            let tags = snapshot["tags"].to_string();
            assert!(
                tags.contains("landfall-run:") && tags.contains("landfall-node:"),
                "expected the run's id among the tags: {tags}"
            );
            let back = place.path(&format!("back-{variable}-{}", snapshot["short_id"].as_str().unwrap()));
            let id = snapshot["id"].as_str().unwrap().to_owned();
            restic(variable, vec!["restore".to_owned(), id, "--target".to_owned(), back.display().to_string()]).await;
            let restored = back.join(tree.strip_prefix("/").unwrap());
            assert_eq!(source::content(&restored), source::content(&tree), "expected the same tree back");
        }
    }

    // Starting again continues from the state: the same nodes, the same repository, one more round.
    up(&tree).await.good();
    let listed = restic("LANDFALL_RESTIC", words("snapshots --json")).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(6), "expected three snapshots more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_tool_shows_and_does_everything_with_json_and_sensible_exit_codes() {
    let place = Place::new("tool");
    let tree = small_tree(&place, "tree");
    let nodes = [saver("a", &place, &tree), saver("b", &place, &place.path("nowhere"))];
    let cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;

    let bad = cluster.tool(&["start", "nightly", "--follow", "--json"]).await;
    assert_eq!(bad.code, 1, "expected 1 for a verdict that is not converged: {bad:#?}");
    let good = cluster.tool(&["start", "nightly", "--node", "a", "--follow"]).await.good();
    assert!(good.out.contains("converged"), "expected the verdict: {good:#?}");
    for verb in [
        &["status"][..],
        &["rounds"],
        &["runs"],
        &["nodes"],
        &["routines"],
        &["alerts"],
        &["limits"],
        &["nodes", "a"],
        &["routines", "nightly"],
    ] {
        let mut words = verb.to_vec();
        let plain = cluster.tool(&words).await.good();
        assert!(!plain.out.contains('\u{1b}'), "expected no colours where nobody looks: {plain:#?}");
        words.push("--json");
        let json = cluster.tool(&words).await.good().json();
        assert!(json.is_object() || json.is_array(), "expected an answer to {verb:?}: {json}");
    }
    let rounds = cluster.tool(&["rounds", "--json"]).await.good().json();
    let id = rounds["rows"][0]["id"].as_str().unwrap_or_default().to_owned();
    let one = cluster.tool(&["rounds", &id, "--json"]).await.good().json();
    assert_eq!(one["round"]["id"], id.as_str(), "expected the round itself: {one}");
    let alerts = cluster.tool(&["alerts", "--json"]).await.good().json();
    assert_eq!(alerts["rows"][0]["alert"]["key"], "failed/nightly/b", "expected the open alert: {alerts}");

    let unknown = cluster.tool(&["start", "no-such-routine"]).await;
    assert_eq!(unknown.code, 1, "expected 1 for a refused act: {unknown:#?}");
    assert!(unknown.err.contains("now:"), "expected what to do now: {unknown:#?}");
    assert_eq!(cluster.tool(&["start"]).await.code, 2, "expected 2 for wrong usage");
    let mut cluster = cluster;
    let doctor = cluster.tool(&["doctor", "--json"]).await;
    assert!([0, 1].contains(&doctor.code), "expected an answer of doctor: {doctor:#?}");
    cluster.bus.kill();
    let gone = cluster.tool(&["status"]).await;
    assert_eq!(gone.code, 3, "expected 3 where the mesh cannot be asked: {gone:#?}");
}

fn nodes_with_repository(log: &Log) -> usize {
    let mut nodes = std::collections::BTreeSet::new();
    for seen in &log.0 {
        if let Some((node, AgentFact::PlansAnnounced(announced))) = seen.agent()
            && announced.plans.iter().all(|plan| plan.repository.is_some())
        {
            nodes.insert(node.clone());
        }
    }
    nodes.len()
}

/// Whole lines of a watch; the last one may be half written.
fn watched(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Outcome, files and snapshot of each node, from the facts alone.
fn table_of(lines: &[Value], round: &str) -> BTreeMap<String, (String, u64, String)> {
    let finished =
        lines.iter().filter(|line| line["kind"] == "run_finished" && line["body"]["about"]["round"] == round);
    finished
        .map(|line| {
            let (text, report) =
                (|value: &Value| value.as_str().unwrap_or_default().to_owned(), &line["body"]["report"]);
            let row = (
                text(&report["outcome"]),
                report["statistics"]["files"].as_u64().unwrap_or(0),
                text(&report["evidence"]["snapshot"]),
            );
            (text(&line["node"]), row)
        })
        .collect()
}
