//! A leader is killed while a second coordinator stands by: how soon the next decision falls, and whether any run is lost.

use anyhow::{Context, bail};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::subject::Role;
use landfall_proto::time::Timestamp;

use super::clock::{milliseconds, now};
use super::detect::{LIMIT, NODES, RUNS, WITHIN, finish, open, routines, running, setup};
use super::observer::{Observer, connect};
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, tiny, tools};

const STANDBY: &str = "second";

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let conditions = vec![
        format!("leader killed with {LIMIT} runs under way and {} queued; one coordinator stands by", RUNS - LIMIT),
        "each fact is on the disk before it counts (sync_interval always)".to_owned(),
    ];
    let mut table = Table::new("failover", conditions);
    let (mut led, mut decided, mut lost) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..options.rounds {
        let change = kill_leader().await?;
        led.push(change.led);
        decided.push(change.decided);
        lost.push(change.bad as f64);
    }
    let row = |what: &str, samples: &Samples| Row::new(what, Unit::Seconds, Statistic::Max, samples);
    table.push(row("leader killed → the standby's claim in the log, slowest", &led));
    table
        .push(row("leader killed → next run dispatched by the standby, slowest", &decided).budget(Budget::AtMost(5.0)));
    table.push(
        Row::new("runs that did not end well, once each", Unit::Count, Statistic::Max, &lost)
            .budget(Budget::AtMost(0.0)),
    );
    Ok(table)
}

/// One change of the leader.
struct Change {
    /// Seconds until another one claims to lead.
    led: f64,
    /// Seconds until it dispatches.
    decided: f64,
    /// Runs that did not end well exactly once.
    bad: usize,
}

async fn kill_leader() -> anyhow::Result<Change> {
    let routines = routines();
    let mut mesh = setup(&NODES, &routines, LIMIT).standby(STANDBY).start().await;
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let mut observer = Observer::at_the_end(&bus).await?;
    let rounds = open(&mesh, &routines).await;
    let running = running(&mut observer).await?;
    let leader = mesh.operator.status().await.and_then(|status| status.leader).context("somebody leads")?.to_string();
    mesh.kill_coordinator_named(&leader);
    let killed_at = now();
    // One of them ends, so that there is something to decide.
    let (node, routine) = running.values().next().context("something runs")?;
    tiny::open(&mesh.place, node, routine)?;
    let (led_at, decided_at) = succession(&mut observer, &leader).await?;
    let bad = finish(&mesh, &rounds).await?;
    let seconds = |at: Timestamp| milliseconds(killed_at, at) / 1000.0;
    Ok(Change { led: seconds(led_at), decided: seconds(decided_at), bad })
}

/// When another one claimed, and when a run was dispatched after that.
async fn succession(observer: &mut Observer, killed: &str) -> anyhow::Result<(Timestamp, Timestamp)> {
    let (mut led, mut decided) = (None, None);
    observer
        .until("a claim of the standby, and a dispatch", WITHIN, |seen| {
            match seen.coordinator() {
                Some(CoordinatorFact::LeaderClaimed(claim)) if claim.holder.to_string() != killed => {
                    led.get_or_insert(seen.at);
                }
                Some(CoordinatorFact::Dispatched(_)) if led.is_some() => decided = Some(seen.at),
                Some(_) | None => {}
            }
            decided.is_some()
        })
        .await?;
    match (led, decided) {
        (Some(led), Some(decided)) => Ok((led, decided)),
        (_, _) => bail!("the log shows no succession"),
    }
}
