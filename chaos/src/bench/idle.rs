//! What agents and coordinator take while nothing happens, before and after their first round.

use std::time::Duration;

use tokio::time::sleep;

use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, processor, tools};
use crate::live::plans::{repository, rustic};
use crate::live::source::tree;
use crate::live::{Cluster, Node, Place, Setup};

const NODES: [&str; 3] = ["a", "b", "c"];
const ROUTINE: &str = "nightly";

/// Before the watch begins: the looks at destinations after a start, and the ends of idle threads.
const SETTLE: Duration = Duration::from_secs(20);

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let conditions = vec![format!("{} agents, one coordinator, watched for {} s", NODES.len(), options.seconds)];
    let mut table = Table::new("idle", conditions);
    let mesh = start().await;
    watch(&mesh, "since its start", options.seconds, &mut table).await?;
    for _ in 0..3 {
        let round = mesh.operator.start(ROUTINE).await;
        mesh.operator.verdict(round, Duration::from_secs(60)).await;
    }
    watch(&mesh, "after three rounds", options.seconds, &mut table).await?;
    Ok(table)
}

async fn start() -> Cluster {
    let place = Place::new("bench-idle");
    let source = place.folder("source");
    tree(&source, 50, 10_000);
    let target = repository(&place.path("repository"), &place.path("secrets/password"));
    let setup = NODES.into_iter().fold(Setup::new(place), |setup, name| {
        setup.node(Node::new(name).plan(rustic(ROUTINE, &source)).target(target.clone()))
    });
    setup.start().await
}

async fn watch(mesh: &Cluster, when: &str, seconds: u64, table: &mut Table) -> anyhow::Result<()> {
    let coordinator = mesh.coordinator().id();
    let agents: Vec<u32> = NODES.iter().map(|name| mesh.agent(name).id()).collect();
    sleep(SETTLE).await;
    let all = || agents.iter().copied().chain([coordinator]);
    let before: Vec<f64> = all().map(processor::time).collect::<anyhow::Result<_>>()?;
    sleep(Duration::from_secs(seconds)).await;
    let after: Vec<f64> = all().map(processor::time).collect::<anyhow::Result<_>>()?;
    let a_minute = 60.0 / seconds.max(1) as f64;
    let time: Vec<f64> = before.iter().zip(&after).map(|(before, after)| (after - before) * a_minute).collect();
    let memory: Vec<f64> = all().map(processor::resident).collect::<anyhow::Result<_>>()?;
    let samples = |values: &[f64]| values.iter().copied().collect::<Samples>();
    let (agent_time, coordinator_time) = time.split_at(agents.len());
    let (agent_memory, coordinator_memory) = memory.split_at(agents.len());
    let own: Vec<f64> = all().map(processor::own_memory).collect::<anyhow::Result<_>>()?;
    let (agent_own, coordinator_own) = own.split_at(agents.len());
    let row =
        |what: &str, unit, values: &[f64]| Row::new(format!("{what}, {when}"), unit, Statistic::Max, &samples(values));
    table.push(row("agent: resident memory", Unit::Mebibytes, agent_memory).budget(Budget::AtMost(9.0)));
    table.push(row("agent: of that its own", Unit::Mebibytes, agent_own));
    table.push(row("agent: processor time", Unit::MillisecondsPerMinute, agent_time).budget(Budget::AtMost(30.0)));
    table.push(row("coordinator: resident memory", Unit::Mebibytes, coordinator_memory).budget(Budget::AtMost(30.0)));
    table.push(row("coordinator: of that its own", Unit::Mebibytes, coordinator_own));
    table.push(row("coordinator: processor time", Unit::MillisecondsPerMinute, coordinator_time));
    Ok(())
}
