//! The agent, the coordinator or the bus is killed or stands still in the middle of a round.

use std::time::Duration;

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::process::{descendants, signal};
use landfall_chaos::live::wait::{seconds, until, until_true};
use landfall_chaos::live::{Cluster, Gate, Node, Place, Setup, source, tool};
use landfall_proto::report::{Outcome, Phase, TaskKind};
use landfall_proto::verdict::VerdictKind;
use rustix::process::Signal;

use crate::{saver, table};

/// How long the bus stands still: longer than a node may be silent, than any request waits, and than an agent waits for a
/// leader before it acts alone.
const OUTAGE: Duration = Duration::from_secs(62);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_in_the_middle_ends_its_run_once_and_leaves_one_snapshot() {
    let place = Place::new("agent-killed");
    let tree = place.folder("tree");
    source::tree(&tree, 30, 1 << 20);
    let node = saver("a", &place, &tree);
    let mut cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("nightly").await;
    let run = run_of(round, "a", TaskKind::Backup);
    entered(&cluster, run, Phase::Transferring).await;

    cluster.kill_agent("a");
    cluster.start_agent("a");
    let detail = cluster.operator.verdict(round, seconds(40)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    let reports = log.reports(run);
    assert_eq!(reports.len(), 1, "expected that the run ends once: {reports:#?}");
    assert_eq!(reports[0].report.outcome, Outcome::Ok, "expected a good end: {:#?}", reports[0].report);
    assert_eq!(snapshots_of(&cluster, run).await, 1, "expected one snapshot of the run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_after_its_snapshot_landed_finds_it_and_makes_no_second_one() {
    let place = Place::new("agent-killed-late");
    let tree = place.folder("tree");
    source::tree(&tree, 10, 1 << 20);
    let node = saver("a", &place, &tree);
    let mut cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("nightly").await;
    let run = run_of(round, "a", TaskKind::Backup);
    let snapshots = cluster.place.path("repository/snapshots");
    let landed = || std::fs::read_dir(&snapshots).is_ok_and(|mut entries| entries.next().is_some());
    let agent = cluster.agent("a").id();
    let mut workers = Vec::new();
    // The worker is stopped as soon as its snapshot is seen, so that it cannot report it.
    until_true("the snapshot landed", seconds(20), || {
        if landed() {
            workers = descendants(agent);
            workers.iter().for_each(|pid| signal(*pid, Signal::STOP));
        }
        landed()
    })
    .await;

    cluster.kill_agent("a");
    workers.iter().for_each(|pid| signal(*pid, Signal::CONT));
    cluster.start_agent("a");
    let detail = cluster.operator.verdict(round, seconds(40)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    assert_eq!(cluster.operator.log().reports(run).len(), 1, "expected that the run ends once");
    assert_eq!(snapshots_of(&cluster, run).await, 1, "expected one snapshot of the run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_agent_leaves_no_program_of_its_run_behind_once_it_is_back() {
    let place = Place::new("leftover");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let mut cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("task").await;
    gate.begun(1).await;
    let first = gate.processes()[0];

    cluster.kill_agent("a");
    cluster.start_agent("a");
    gate.begun(2).await;
    assert!(
        !landfall_chaos::live::process::is_alive(first),
        "expected that the first program was ended before the second began"
    );
    gate.open();

    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    assert_eq!(log.reports(run_of(round, "a", TaskKind::Backup)).len(), 1, "expected that the run ends once");
    assert_eq!(gate.ended(), 1, "expected that one program came to its own end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_killed_in_the_middle_gives_one_verdict_about_the_same_nodes() {
    let place = Place::new("coordinator-killed");
    let gates = ["a", "b", "c"].map(|name| (name, Gate::new(&place, name)));
    let setup = Setup::new(place).policy("limits = { cluster = 2 }");
    let setup = gates
        .iter()
        .fold(setup, |setup, (name, gate)| setup.node(Node::new(name).plan(gate.plan("task")).target(gate.target())));
    let mut cluster = setup.start().await;
    let round = cluster.operator.start("task").await;
    until_true("two programs run", seconds(20), || {
        gates.iter().filter(|(_, gate)| !gate.processes().is_empty()).count() == 2
    })
    .await;

    cluster.kill_coordinator();
    gates.iter().for_each(|(_, gate)| gate.open());
    cluster.start_coordinator();
    let detail = cluster.operator.verdict(round, seconds(28)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    assert_eq!(log.verdicts(round).len(), 1, "expected one verdict");
    let openings = log.openings(round);
    assert_eq!(openings.len(), 1, "expected that the round was opened once");
    let expected: Vec<&str> = openings[0].expected.iter().map(|expected| expected.node.as_str()).collect();
    assert_eq!(expected, ["a", "b", "c"], "expected the frozen set");
    for (name, gate) in &gates {
        assert_eq!(log.reports(run_of(round, name, TaskKind::Backup)).len(), 1, "expected one report of {name}");
        assert_eq!(gate.processes().len(), 1, "expected that the program of {name} ran once");
    }
    assert!(log.alerts().is_empty(), "expected no alert: {:?}", log.alert_keys());
    let terms: Vec<u64> = log.leaders().into_iter().map(|(_, claim)| claim.epoch.term).collect();
    assert!(terms.len() == 2 && terms[0] < terms[1], "expected two terms of leadership: {terms:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_lost_its_ledger_builds_it_again_from_the_log() {
    let place = Place::new("ledger-lost");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let mut cluster = Setup::new(place).node(node).start().await;
    gate.open();
    let round = cluster.operator.start("task").await;
    let before = cluster.operator.verdict(round, seconds(25)).await;

    cluster.kill_coordinator();
    std::fs::remove_dir_all(cluster.place.path("coordinator/state")).unwrap();
    cluster.start_coordinator();
    cluster.ready().await;
    let after = cluster.operator.round(round).await;

    assert_eq!(after.verdict, before.verdict, "expected the same verdict from the log");
    assert_eq!(cluster.operator.log().verdicts(round).len(), 1, "expected no second verdict");
    let again = cluster.operator.start("task").await;
    let detail = cluster.operator.verdict(again, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected that work goes on: {}", table(&detail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_go_on_while_the_bus_stands_still_and_nobody_is_woken() {
    converged_over_a_frozen_bus("bus-frozen", 600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_while_the_bus_stands_still_is_judged_late_by_what_landed_meanwhile() {
    // The round's deadline lies in the outage, some seconds before its end.
    let (cluster, round) = converged_over_a_frozen_bus("bus-frozen-deadline", 60).await;

    let log = cluster.operator.log();
    assert_eq!(log.verdicts(round).len(), 1, "expected one verdict");
    let verdict = cluster.operator.round(round).await.verdict.expect("there is a verdict");
    assert!(verdict.late, "expected that the verdict says that it is late: {}", verdict.summary);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_go_on_while_the_bus_is_dead_and_nobody_is_woken() {
    let place = Place::new("bus-killed");
    let gates = ["a", "b"].map(|name| (name, Gate::new(&place, name)));
    let setup = gates.iter().fold(Setup::new(place), |setup, (name, gate)| {
        setup.node(Node::new(name).plan(gate.plan("task")).target(gate.target()))
    });
    let mut cluster = setup.start().await;
    let round = cluster.operator.start("task").await;
    for (_, gate) in &gates {
        gate.begun(1).await;
    }

    cluster.bus.kill();
    gates.iter().for_each(|(_, gate)| gate.open());
    until_true("both programs end without a bus", seconds(10), || gates.iter().all(|(_, gate)| gate.ended() == 1))
        .await;
    receipts(&cluster, &["a", "b"]).await;
    cluster.bus.start();
    converged_without_alarm(&cluster, round).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_lost_its_disk_is_filled_again_by_the_agents() {
    let place = Place::new("bus-disk");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let mut cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("task").await;
    gate.begun(1).await;

    cluster.bus.kill();
    std::fs::remove_dir_all(cluster.place.path("bus/store")).unwrap();
    gate.open();
    until_true("the program ends without a bus", seconds(10), || gate.ended() == 1).await;
    cluster.bus.start();

    let verdict = until("the round's verdict", seconds(28), async || {
        let detail = cluster.operator.round(round).await;
        detail.verdict.is_some().then_some(detail)
    })
    .await;
    assert_eq!(verdict.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&verdict));
    assert!(
        cluster.bus_complaints().is_empty(),
        "expected that the bus refuses nothing: {:?}",
        cluster.bus_complaints()
    );
}

/// A round whose programs end while the bus stands still: it converges once the bus goes on, and nobody is alarmed.
async fn converged_over_a_frozen_bus(story: &str, finish_within_secs: u64) -> (Cluster, landfall_proto::id::RoundId) {
    let place = Place::new(story);
    let gates = ["a", "b"].map(|name| (name, Gate::new(&place, name)));
    let setup = gates.iter().fold(Setup::new(place), |setup, (name, gate)| {
        let mut plan = gate.plan("task");
        plan.deadlines.finish_within = landfall_proto::time::Duration::from_secs(finish_within_secs);
        setup.node(Node::new(name).plan(plan).target(gate.target()))
    });
    let cluster = setup.start().await;
    let round = cluster.operator.start("task").await;
    for (_, gate) in &gates {
        gate.begun(1).await;
    }

    cluster.bus.freeze();
    gates.iter().for_each(|(_, gate)| gate.open());
    until_true("both programs end without a bus", seconds(10), || gates.iter().all(|(_, gate)| gate.ended() == 1))
        .await;
    receipts(&cluster, &["a", "b"]).await;
    tokio::time::sleep(OUTAGE).await;
    cluster.bus.thaw();
    converged_without_alarm(&cluster, round).await;
    (cluster, round)
}

async fn converged_without_alarm(cluster: &Cluster, round: landfall_proto::id::RoundId) {
    // After a long outage a client waits up to half a minute before it tries the bus again.
    let detail = cluster.operator.verdict(round, seconds(60)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    for run in &detail.runs {
        assert_eq!(log.reports(run.id).len(), 1, "expected one report of {}", run.node);
    }
    assert!(log.alerts().is_empty(), "expected no alert: {:?}", log.alert_keys());
}

/// Waits until each node has written the receipt of its run.
async fn receipts(cluster: &Cluster, nodes: &[&str]) {
    for name in nodes {
        let runs = cluster.state(name).join("runs");
        let written = || {
            std::fs::read_dir(&runs)
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| entry.path().join("receipt.json").exists())
        };
        until_true(&format!("{name} writes its receipt"), Duration::from_secs(10), written).await;
    }
}

async fn entered(cluster: &Cluster, run: landfall_proto::id::RunId, phase: Phase) {
    let is_there = |log: &landfall_chaos::live::Log| {
        log.runs_phases().into_iter().any(|(_, _, entered)| entered.run == run && entered.phase == phase).then_some(())
    };
    cluster.operator.seen(&format!("the run enters {phase}"), seconds(20), is_there).await;
}

async fn snapshots_of(cluster: &Cluster, run: landfall_proto::id::RunId) -> usize {
    let listed = tool::restic(
        &cluster.place.path("repository"),
        &["snapshots", "--json", "--no-lock", "--tag", &format!("landfall-run:{run}")],
    )
    .await
    .good()
    .json();
    listed.as_array().map_or(0, Vec::len)
}
