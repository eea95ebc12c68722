//! One node by itself: gone for a while, stopped for an upgrade, with a broken file, or in a person's hands.

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Gate, Node, Place, Setup, plans, tool};
use landfall_proto::plan::ExitMeaning;
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::RunState;

use crate::{saver, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_in_the_middle_is_unknown_at_once_and_never_failed() {
    let place = Place::new("lost");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let mut cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("task").await;
    gate.begun(1).await;

    cluster.kill_agent("a");
    until("the run is shown as unknown", seconds(5), async || {
        (cluster.operator.run(round, "a").await.state == RunState::Unknown).then_some(())
    })
    .await;
    assert!(cluster.operator.log().alerts().is_empty(), "expected that nobody is woken by what is unknown");

    gate.open();
    cluster.start_agent("a");
    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_agent_is_noticed_by_its_missing_beats_and_goes_on_when_it_thaws() {
    let place = Place::new("frozen");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("task").await;
    gate.begun(1).await;

    cluster.agent("a").freeze();
    gate.open();
    until("the run is shown as unknown", seconds(20), async || {
        (cluster.operator.run(round, "a").await.state == RunState::Unknown).then_some(())
    })
    .await;
    cluster.agent("a").thaw();

    let detail = cluster.operator.verdict(round, seconds(20)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    assert!(cluster.operator.log().alerts().is_empty(), "expected no alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_stopped_for_an_upgrade_takes_its_run_up_again() {
    let place = Place::new("upgrade");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let mut cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("task").await;
    let run = run_of(round, "a", TaskKind::Backup);
    gate.begun(1).await;

    let code = cluster.stop_agent("a").await;
    assert_eq!(code, Some(0), "expected that the agent ends well when it is asked to");
    let first = gate.processes()[0];
    assert!(!landfall_chaos::live::process::is_alive(first), "expected that its program ended with it");
    gate.open();
    cluster.start_agent("a");

    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    let outcomes: Vec<Outcome> = log.reports(run).iter().map(|finished| finished.report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok], "expected that the run ends once, and well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_plan_file_is_named_and_disables_no_other() {
    let place = Place::new("broken-plan");
    let gate = Gate::new(&place, "a");
    gate.open();
    place.file("nodes/a/plans.d/broken.toml", "name = \"broken\"\nsources = [\"relative\"]\ntarget = 7\n");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let cluster = Setup::new(place).node(node).start().await;

    let round = cluster.operator.start("task").await;
    let detail = cluster.operator.verdict(round, seconds(25)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let shown = cluster.tool(&["nodes", "a"]).await.good().out;
    assert!(shown.contains("broken.toml"), "expected the file's name: {shown}");
    let alert = cluster.operator.seen("the alert broken_plan/a", seconds(10), |log| {
        log.alert_keys().iter().any(|key| key.starts_with("broken_plan/a")).then_some(())
    });
    alert.await;
    let plans = tool::agent(&cluster.agent_config("a"), &["plans"]).await;
    let said = format!("{}{}", plans.out, plans.err);
    assert!(said.contains("broken.toml:3"), "expected file and line on the node: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_by_hand_says_by_its_exit_code_how_it_went() {
    let place = Place::new("exit-codes");
    let out = place.folder("out");
    let mut node = Node::new("a").target(plans::folder(&out));
    for (name, body) in [
        ("good", format!("echo saved > '{}/good'", out.display())),
        ("bad", "exit 9".to_owned()),
        ("half", format!("echo saved > '{}/half'; exit 3", out.display())),
        ("idle", "exit 4".to_owned()),
    ] {
        let mut plan = plans::command(name, &place.script(name, &body), &out.join(name));
        let exit = &mut plan.command.as_mut().unwrap().exit;
        exit.insert("3".to_owned(), ExitMeaning::Partial);
        exit.insert("4".to_owned(), ExitMeaning::Skipped);
        node = node.plan(plan);
    }
    let cluster = Setup::new(place).node(node).start().await;
    let config = cluster.agent_config("a");
    for (name, code) in [("good", 0), ("bad", 1), ("half", 3), ("idle", 4), ("no-such-plan", 2)] {
        let answer = tool::agent(&config, &["run", name]).await;
        assert_eq!(answer.code, code, "expected {code} for `run {name}`: {answer:#?}");
    }
    let runs = tool::agent(&config, &["runs"]).await.good().out;
    assert!(runs.contains("good") && runs.contains("failed"), "expected the runs on the node: {runs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_of_a_node_names_what_is_missing() {
    let place = Place::new("doctor");
    let missing = saver("a", &place, &place.path("nowhere"));
    let cluster = Setup::new(place).node(missing).start().await;
    let answer = tool::agent(&cluster.agent_config("a"), &["doctor"]).await;
    assert_eq!(answer.code, 1, "expected 1 where something is wrong: {answer:#?}");
    assert!(answer.out.contains("nowhere"), "expected the missing source: {answer:#?}");
}
