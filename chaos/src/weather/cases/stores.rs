//! The bus forgets: a torn tail, a lost disk, a log that somebody deleted or made again, all in the middle of a round.

use std::time::Duration;

use landfall_proto::subject::stream_name;
use landfall_proto::time::Timestamp;

use crate::live::bus::cluster;
use crate::live::now;
use crate::live::raw::Raw;
use crate::live::wait::{seconds, until};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, NIGHTLY, TASK};
use crate::weather::store::{tear_tail, wipe};

/// How long the agents may take to fill a new log again: a client waits up to half a minute before it tries the bus again.
const REFILLED_WITHIN: Duration = Duration::from_secs(120);

/// How long a coordinator may take until it writes a snapshot of what it knows.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(150);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "torn-tail",
            "The bus is killed in the middle of a round and comes back without the end of its log.",
            |weather| Box::pin(torn(weather)),
        )
        .rounds(2),
        Case::new("store-wiped", "The bus loses its whole store in the middle of a round.", |weather| {
            Box::pin(wiped(weather))
        }),
        Case::new("log-deleted", "Somebody deletes the log of a living bus in the middle of a round.", |weather| {
            Box::pin(deleted(weather))
        }),
        Case::new(
            "store-and-ledger-lost",
            "The bus loses its store and the coordinator its folder between two rounds.",
            |weather| Box::pin(everything_lost(weather)),
        ),
    ]
}

async fn torn(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b", "c"]).start().await;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        mesh.cluster.bus.kill();
        let bytes = tear_tail(mesh.cluster.bus.store());
        mesh.fault(&format!("the bus is killed and loses the last {bytes} bytes of its log"));
        mesh.release();
        mesh.cluster.bus.start();
        mesh.verdict(round, REFILLED_WITHIN).await;
    }
    mesh.alerts_allowed.push(HISTORY_LOST.to_owned());
    close(mesh).await;
}

/// A warning about a range that nobody can send again is the truth, and stays until a person has read it.
const HISTORY_LOST: &str = "history_lost";

async fn wiped(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b", "c"]).start().await;
    let first = mesh.open(NIGHTLY).await;
    mesh.verdict(first, seconds(60)).await;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        mesh.cluster.bus.kill();
        wipe(mesh.cluster.bus.store());
        mesh.fault("the bus is killed and its store is lost");
        mesh.release();
        mesh.cluster.bus.start();
        refilled(&mut mesh, round).await;
    }
    close(mesh).await;
}

async fn deleted(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    mesh.cluster.bus.permit_administrator();
    let administrator = raw(&mesh, "administrator").await;
    let context = async_nats::jetstream::new(administrator.client.clone());
    let deleted = context.delete_stream(stream_name(&cluster())).await;
    assert!(deleted.is_ok_and(|status| status.success), "expected that an administrator may delete the log");
    mesh.fault("the log of the living bus is deleted");
    mesh.release();
    refilled(&mut mesh, round).await;
    close(mesh).await;
}

async fn everything_lost(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    let first = mesh.open(NIGHTLY).await;
    mesh.verdict(first, seconds(60)).await;
    let state = mesh.cluster.coordinator_state(crate::live::cluster::HOLDER);
    let after = now();
    until("the coordinator keeps a snapshot of what it knows now", SNAPSHOT_WITHIN, async || {
        let files = std::fs::read_dir(state.join("snapshots")).ok()?.flatten();
        let newer = |entry: &std::fs::DirEntry| {
            let written = entry.metadata().ok().and_then(|metadata| metadata.modified().ok());
            written.and_then(|written| Timestamp::try_from(written).ok()).is_some_and(|written| written > after)
        };
        files.into_iter().any(|entry| newer(&entry)).then_some(())
    })
    .await;
    mesh.cluster.bus.kill();
    mesh.cluster.kill_coordinator();
    wipe(mesh.cluster.bus.store());
    // The snapshots are what the coordinator keeps for this day.
    for entry in std::fs::read_dir(&state).into_iter().flatten().flatten() {
        if entry.file_name() != "snapshots" {
            let path = entry.path();
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.unwrap_or_else(|error| panic!("{} can be removed: {error}", path.display()));
        }
    }
    mesh.fault("the bus loses its store and the coordinator its ledger");
    mesh.cluster.bus.start();
    mesh.cluster.start_coordinator();
    mesh.cluster.ready().await;
    let second = mesh.open(NIGHTLY).await;
    mesh.verdict(second, REFILLED_WITHIN).await;
    mesh.alerts_allowed.push(HISTORY_LOST.to_owned());
    close(mesh).await;
}

/// The round has its verdict, and everything that the agents ever said of it is in the log again.
async fn refilled(mesh: &mut Mesh, round: landfall_proto::id::RoundId) {
    mesh.verdict(round, REFILLED_WITHIN).await;
    let names = mesh.cluster.node_names();
    until("the end of every run of the round is in the log again", REFILLED_WITHIN, async || {
        let log = mesh.cluster.operator.log();
        let ended = |name: &String| {
            let run = crate::live::bus::run_of(round, name, landfall_proto::report::TaskKind::Backup);
            log.reports(run).len() == 1
        };
        names.iter().all(ended).then_some(())
    })
    .await;
    mesh.alerts_allowed.push(HISTORY_LOST.to_owned());
}

/// A connection with one of the mesh's seeds; a reload of the bus's permissions takes a moment.
pub(super) async fn raw(mesh: &Mesh, user: &str) -> Raw {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Raw::connect(&mesh.cluster.bus.url(), &mesh.cluster.seed(user)).await
}
