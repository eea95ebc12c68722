//! How soon it is seen that an agent or the coordinator is gone, and what becomes of the work under way.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::Role;
use landfall_proto::time::Timestamp;
use landfall_proto::view::RunState;
use tokio::time::{Instant, sleep};

use super::clock::{milliseconds, now};
use super::observer::{Observer, connect};
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, tiny, tools};
use crate::live::bus::run_of;
use crate::live::{Cluster, Node, Place, Setup, fresh_id};

pub(super) const NODES: [&str; 3] = ["a", "b", "c"];

/// Runs at once, and runs in all, while the coordinator is killed.
pub(super) const LIMIT: usize = 4;
pub(super) const RUNS: usize = 35;

pub(super) const WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let conditions = vec![
        "the bus reports disconnects".to_owned(),
        format!("coordinator killed with {LIMIT} runs under way and {} queued", RUNS - LIMIT),
    ];
    let mut table = Table::new("detect", conditions);
    agents(options, &mut table).await?;
    coordinator(options, &mut table).await?;
    Ok(table)
}

fn seconds(what: &str, samples: &Samples) -> Row {
    Row::new(what, Unit::Seconds, Statistic::Max, samples)
}

async fn agents(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let routines: Vec<String> = (0..options.rounds * 2).map(|number| format!("long-{number}")).collect();
    let (killed, frozen) = routines.split_at(options.rounds as usize);
    let mut mesh = setup(&NODES[..1], &routines, 1).start().await;
    let (mut silent, mut unknown, mut ended_once) = (Samples::default(), Samples::default(), true);
    for routine in killed {
        let run = begin(&mesh, routine).await;
        let begun = Instant::now();
        mesh.kill_agent(NODES[0]);
        let (seen, state) = until_silent(&mesh, run, begun).await?;
        silent.push(seen);
        unknown.push(state);
        tiny::open(&mesh.place, NODES[0], routine)?;
        mesh.start_agent(NODES[0]);
        mesh.operator.finished(run, WITHIN).await;
        mesh.ready().await;
        ended_once &= mesh.operator.log().reports(run).len() == 1;
    }
    // A frozen agent says nothing and its connection stands: only its missing beats tell.
    let mut stopped = Samples::default();
    for routine in frozen.iter().take(2) {
        let run = begin(&mesh, routine).await;
        let begun = Instant::now();
        mesh.agent(NODES[0]).freeze();
        let seen = until_silent(&mesh, run, begun).await;
        mesh.agent(NODES[0]).thaw();
        stopped.push(seen?.1);
        tiny::open(&mesh.place, NODES[0], routine)?;
        mesh.operator.finished(run, WITHIN).await;
    }
    if !ended_once {
        bail!("a run of a killed agent was reported twice");
    }
    table.push(seconds("agent killed mid-run → node shown silent, slowest", &silent).budget(Budget::AtMost(5.0)));
    table.push(seconds("agent killed mid-run → run shown unknown, slowest", &unknown).budget(Budget::AtMost(5.0)));
    table.push(seconds("agent frozen mid-run → run shown unknown, slowest", &stopped).budget(Budget::AtMost(20.0)));
    Ok(())
}

/// A mesh whose runs end when they are told to.
pub(super) fn setup(nodes: &[&str], routines: &[String], limit: usize) -> Setup {
    let place = Place::new("bench-detect");
    let script = place.script("gated", &tiny::gated(&place));
    let made = |name: &&str| tiny::node(&place, &script, name, routines).line(&format!("parallel = {limit}"));
    let nodes: Vec<Node> = nodes.iter().map(made).collect();
    let setup = Setup::new(place).policy(&format!("limits = {{ cluster = {limit}, node = {limit} }}"));
    nodes.into_iter().fold(setup, Setup::node)
}

/// Starts a routine on the first node and waits until the run has begun.
async fn begin(mesh: &Cluster, routine: &str) -> RunId {
    let round = mesh.operator.start_as(routine, &NODES[..1], TaskKind::Backup, fresh_id()).await;
    let run = run_of(round, NODES[0], TaskKind::Backup);
    mesh.operator.started(run, WITHIN).await;
    sleep(Duration::from_millis(500)).await;
    run
}

/// Seconds until the node is shown silent, and until its run is shown unknown.
async fn until_silent(mesh: &Cluster, run: RunId, begun: Instant) -> anyhow::Result<(f64, f64)> {
    let mut silent = None;
    while begun.elapsed() < WITHIN {
        if silent.is_none() {
            let status = mesh.operator.status().await.context("the coordinator answers")?;
            silent =
                status.nodes_silent.iter().any(|node| node.as_str() == NODES[0]).then(|| begun.elapsed().as_secs_f64());
        }
        if let Some(silent) = silent
            && state(mesh, run).await? == RunState::Unknown
        {
            return Ok((silent, begun.elapsed().as_secs_f64()));
        }
        sleep(LOOK).await;
    }
    bail!("expected that the node is shown silent and its run unknown within {WITHIN:?}; silent: {silent:?}")
}

async fn state(mesh: &Cluster, run: RunId) -> anyhow::Result<RunState> {
    use landfall_proto::control::{Reply, Request};
    match mesh.operator.ask(&Request::Run { id: run }).await {
        Some(Reply::Run(detail)) => Ok(detail.run.state),
        other => bail!("expected the run {run}, and the coordinator said {other:?}"),
    }
}

async fn coordinator(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let (mut decided, mut lost) = (Samples::default(), Samples::default());
    for _ in 0..options.rounds.min(3) {
        let (seconds, bad) = kill_coordinator().await?;
        decided.push(seconds);
        lost.push(bad as f64);
    }
    table.push(
        seconds("coordinator killed and started again → next run dispatched, slowest", &decided)
            .budget(Budget::AtMost(5.0)),
    );
    table.push(
        Row::new("runs that did not end well, once each", Unit::Count, Statistic::Max, &lost)
            .budget(Budget::AtMost(0.0)),
    );
    Ok(())
}

/// Seconds until the next dispatch, and how many runs did not end well exactly once.
async fn kill_coordinator() -> anyhow::Result<(f64, usize)> {
    let routines = routines();
    let mut mesh = setup(&NODES, &routines, LIMIT).start().await;
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let mut observer = Observer::at_the_end(&bus).await?;
    let rounds = open(&mesh, &routines).await;
    let running = running(&mut observer).await?;
    mesh.kill_coordinator();
    let killed_at = now();
    // One of them ends, so that there is something to decide.
    let (node, routine) = running.values().next().context("something runs")?;
    tiny::open(&mesh.place, node, routine)?;
    mesh.start_coordinator();
    let decided_at = next_dispatch(&mut observer).await?;
    let bad = finish(&mesh, &rounds).await?;
    Ok((milliseconds(killed_at, decided_at) / 1000.0, bad))
}

/// As many routines as [`RUNS`] runs need.
pub(super) fn routines() -> Vec<String> {
    (0..RUNS.div_ceil(NODES.len())).map(|number| format!("long-{number}")).collect()
}

/// Lets every run end, waits for the verdicts, and counts the runs that did not end well exactly once.
pub(super) async fn finish(mesh: &Cluster, rounds: &[RoundId]) -> anyhow::Result<usize> {
    tiny::open_all(&mesh.place)?;
    for round in rounds {
        mesh.operator.verdict(*round, WITHIN).await;
    }
    let log = mesh.operator.log();
    let expected = rounds.iter().flat_map(|round| log.openings(*round)).flat_map(|opened| &opened.expected);
    let bad = expected.filter(|expected| {
        let reports = log.reports(expected.run);
        reports.len() != 1 || !reports[0].report.outcome.is_good()
    });
    Ok(bad.count())
}

/// Opens rounds of [`RUNS`] runs in all.
pub(super) async fn open(mesh: &Cluster, routines: &[String]) -> Vec<RoundId> {
    let mut rounds = Vec::new();
    let mut left = RUNS;
    for routine in routines {
        let nodes = &NODES[..left.min(NODES.len())];
        left -= nodes.len();
        rounds.push(mesh.operator.start_as(routine, nodes, TaskKind::Backup, fresh_id()).await);
    }
    rounds
}

/// The runs under way, once there are as many as may be: node and routine of each.
pub(super) async fn running(observer: &mut Observer) -> anyhow::Result<BTreeMap<RunId, (String, String)>> {
    let mut running = BTreeMap::new();
    observer
        .until("as many runs as may be at once", WITHIN, |seen| {
            if let Some((node, AgentFact::RunStarted(started))) = seen.agent() {
                running.insert(started.about.run, (node.to_string(), started.about.routine.to_string()));
            }
            running.len() >= LIMIT
        })
        .await?;
    Ok(running)
}

pub(super) async fn next_dispatch(observer: &mut Observer) -> anyhow::Result<Timestamp> {
    let mut at = None;
    observer
        .until("the next dispatch", WITHIN, |seen| {
            if matches!(seen.coordinator(), Some(CoordinatorFact::Dispatched(_))) {
                at = Some(seen.at);
            }
            at.is_some()
        })
        .await?;
    at.context("the next dispatch")
}
