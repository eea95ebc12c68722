//! Who waits for whom, and why.

use std::collections::BTreeMap;

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Gate, Log, Node, Place, Setup, plans};
use landfall_proto::id::RunId;
use landfall_proto::limit::WaitReason;
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::TaskKind;
use landfall_proto::verdict::VerdictKind;

use crate::table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_that_exclude_each_other_on_one_repository_come_one_after_the_other_and_say_why() {
    let place = Place::new("exclusive");
    let out = place.folder("out");
    let gates = ["a", "b"].map(|name| Gate::new(&place, name));
    let nodes = ["a", "b"].iter().zip(&gates).map(|(name, gate)| {
        let mut plan = gate.plan("task");
        let command = plan.command.as_mut().unwrap();
        command.lock = RepositoryLock::Exclusive;
        Node::new(name).plan(plan).target(plans::folder(&out))
    });
    let setup = nodes.fold(Setup::new(place), Setup::node);
    // The folder's identity is known to the mesh before anybody has run: a marker of an earlier life stands in it.
    std::fs::write(out.join(".landfall-repository"), "0190000000007000800000000000aaaa").unwrap();
    let cluster = setup.start().await;
    let known = |log: &Log| {
        let nodes = log.0.iter().filter_map(|seen| match seen.agent() {
            Some((node, landfall_proto::fact::agent::AgentFact::PlansAnnounced(announced)))
                if announced.plans.iter().all(|plan| plan.repository.is_some()) =>
            {
                Some(node)
            }
            Some(_) | None => None,
        });
        (nodes.collect::<std::collections::BTreeSet<_>>().len() == 2).then_some(())
    };
    cluster.operator.seen("both nodes know the repository", seconds(15), known).await;

    let round = cluster.operator.start("task").await;
    let waiting = until("one run waits for the repository", seconds(15), async || {
        let detail = cluster.operator.round(round).await;
        detail.runs.into_iter().find(|run| matches!(run.waits_for, Some(WaitReason::RepositoryExclusive { .. })))
    })
    .await;
    let (first, second) = if waiting.node.as_str() == "a" { (&gates[1], &gates[0]) } else { (&gates[0], &gates[1]) };
    first.begun(1).await;
    assert!(second.processes().is_empty(), "expected that the second program has not begun");
    let shown = cluster.tool(&["rounds", &round.to_string()]).await.good().out;
    assert!(shown.contains("exclusively"), "expected that the tool shows why it waits: {shown}");
    gates.iter().for_each(Gate::open);

    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    assert_eq!(most_at_once(&cluster.operator.log()), 1, "expected that the runs never overlapped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_limit_of_one_twenty_runs_come_first_in_first_out_and_never_two_at_once() {
    let place = Place::new("twenty");
    let mut setup_nodes = Vec::new();
    let out = place.folder("out");
    let script = place.script("quick", &format!("echo saved > '{}'/$LANDFALL_ROUTINE-$LANDFALL_NODE", out.display()));
    for name in ["a", "b", "c", "d"] {
        let plans = (0..5).map(|number| {
            plans::command(&format!("task-{number}"), &script, &out.join(format!("task-{number}-{name}")))
        });
        setup_nodes.push(plans.fold(Node::new(name).target(plans::folder(&out)), Node::plan));
    }
    let setup = setup_nodes.into_iter().fold(Setup::new(place).policy("limits = { cluster = 1 }"), Setup::node);
    let cluster = setup.start().await;

    let mut rounds = Vec::new();
    for number in 0..5 {
        rounds.push(cluster.operator.start(&format!("task-{number}")).await);
    }
    for round in &rounds {
        let detail = cluster.operator.verdict(*round, seconds(28)).await;
        assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    }

    let log = cluster.operator.log();
    let queued: Vec<RunId> = rounds
        .iter()
        .flat_map(|round| log.openings(*round))
        .flat_map(|opened| opened.expected.iter().map(|expected| expected.run))
        .collect();
    let dispatched: Vec<RunId> = log.dispatched().into_iter().map(|(_, dispatched)| dispatched.run).collect();
    assert_eq!(queued.len(), 20, "expected twenty runs");
    assert_eq!(dispatched, queued, "expected first in, first out, each once");
    assert_eq!(most_at_once(&log), 1, "expected never two at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_raised_while_runs_wait_lets_them_go_at_once() {
    let place = Place::new("raised");
    let gates = ["a", "b", "c"].map(|name| (name, Gate::new(&place, name)));
    let setup = gates.iter().fold(Setup::new(place).policy("limits = { cluster = 1 }"), |setup, (name, gate)| {
        setup.node(Node::new(name).plan(gate.plan("task")).target(gate.target()))
    });
    let cluster = setup.start().await;
    let round = cluster.operator.start("task").await;
    let waits = |reason: &Option<WaitReason>| matches!(reason, Some(WaitReason::Limit { size: 1, .. }));
    until("two runs wait for the limit of one", seconds(15), async || {
        let detail = cluster.operator.round(round).await;
        (detail.runs.iter().filter(|run| waits(&run.waits_for)).count() == 2).then_some(())
    })
    .await;

    cluster.tool(&["limits", "set", "cluster", "3"]).await.good();
    for (_, gate) in &gates {
        gate.begun(1).await;
    }
    gates.iter().for_each(|(_, gate)| gate.open());

    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let run = run_of(round, "a", TaskKind::Backup);
    assert_eq!(cluster.operator.log().reports(run).len(), 1, "expected one report");
}

/// The most runs that were under way at the same time, by the order of the log.
fn most_at_once(log: &Log) -> usize {
    let mut marks: BTreeMap<u64, i64> = log.runs_started().into_iter().map(|(seq, _, _)| (seq, 1)).collect();
    marks.extend(log.runs_finished().into_iter().map(|(seq, _, _)| (seq, -1)));
    let most = marks.values().scan(0_i64, |under_way, change| {
        *under_way += change;
        Some(*under_way)
    });
    usize::try_from(most.max().unwrap_or(0)).unwrap_or(usize::MAX)
}
