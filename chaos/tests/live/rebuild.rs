//! A coordinator whose ledger is gone or rotten builds it again, from what it kept itself or from its neighbour, and nobody is
//! told anything twice.

use std::path::Path;

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::process::{is_alive, signal};
use landfall_chaos::live::wait::{seconds, until, until_true};
use landfall_chaos::live::{Cluster, Node, Place, Setup, plans};
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::RoundId;
use landfall_proto::report::TaskKind;
use landfall_proto::view::RoundDetail;
use rustix::process::Signal;

const HOLDER: &str = "main";

/// A mesh whose only routine fails, so that there is a verdict and an alert to keep. Notices go into `alerts.jsonl`.
async fn failing(story: &str, standby: Option<&str>) -> (Cluster, RoundDetail) {
    let place = Place::new(story);
    let out = place.folder("out");
    let script = place.script("task", "exit 9");
    let node = Node::new("a").plan(plans::command("task", &script, &out.join("artifact"))).target(plans::folder(&out));
    let jsonl = format!("kind = \"jsonl\"\npath = {:?}\n", place.path("alerts.jsonl").display().to_string());
    let setup = Setup::new(place).sink(&jsonl).node(node);
    let cluster = standby.into_iter().fold(setup, Setup::standby).start().await;
    let round = cluster.operator.start("task").await;
    let detail = cluster.operator.verdict(round, seconds(25)).await;
    cluster
        .operator
        .seen("the notice was delivered", seconds(15), |log| (!log.alerts_delivered().is_empty()).then_some(()))
        .await;
    (cluster, detail)
}

/// Asks a coordinator to end, and waits until it has.
async fn end_cleanly(cluster: &mut Cluster, name: &str) {
    let id = cluster.coordinator_named(name).id();
    signal(id, Signal::TERM);
    until_true("the coordinator ends", seconds(15), || !is_alive(id)).await;
    cluster.kill_coordinator_named(name);
}

fn snapshots(cluster: &Cluster, name: &str) -> usize {
    let entries = std::fs::read_dir(cluster.coordinator_state(name).join("snapshots"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".landfall"))
        .count()
}

/// Titles of the notices about a key that were written into the file.
fn notices(cluster: &Cluster, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(cluster.place.path("alerts.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["key"] == key).map(|line| line["title"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Verdict and alert are what they were, and the notice about the failure was written once.
async fn nothing_changed(cluster: &Cluster, before: &RoundDetail) {
    let round: RoundId = before.round.id;
    let after = cluster.operator.round(round).await;
    assert_eq!(after.verdict, before.verdict, "expected the same verdict");
    let log = cluster.operator.log();
    assert_eq!(log.verdicts(round).len(), 1, "expected no second verdict");
    assert_eq!(log.reports(run_of(round, "a", TaskKind::Backup)).len(), 1, "expected one report");
    let open = cluster.operator.open_alerts().await;
    let keys: Vec<&str> = open.iter().map(|alert| alert.alert.key.0.as_str()).collect();
    assert_eq!(keys.iter().filter(|key| **key == "failed/task/a").count(), 1, "expected the alert once: {keys:?}");
    assert_eq!(notices(cluster, "failed/task/a").len(), 1, "expected that nobody is told twice");
}

async fn rebuilt_notice(cluster: &Cluster, name: &str) -> String {
    until("the notice about the ledger", seconds(15), async || {
        notices(cluster, &format!("ledger_rebuilt/{name}")).into_iter().next()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_gone_is_built_from_the_own_snapshot_and_nobody_is_told_twice() {
    let (mut cluster, before) = failing("rebuild-gone", None).await;
    end_cleanly(&mut cluster, HOLDER).await;
    assert_eq!(snapshots(&cluster, HOLDER), 1, "expected that a clean end leaves a snapshot");

    std::fs::remove_dir_all(cluster.coordinator_state(HOLDER).join("ledger")).unwrap();
    cluster.start_coordinator();
    cluster.ready().await;

    nothing_changed(&cluster, &before).await;
    let told = rebuilt_notice(&cluster, HOLDER).await;
    assert!(told.contains("was gone") && told.contains("this machine's snapshot"), "expected the source: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_rotten_is_put_aside_and_a_rotten_snapshot_is_passed_over() {
    let (mut cluster, before) = failing("rebuild-rotten", None).await;
    end_cleanly(&mut cluster, HOLDER).await;
    let state = cluster.coordinator_state(HOLDER);
    let first = newest_snapshot(&state);
    // A second life, so that there is an older snapshot behind the rotten one.
    cluster.start_coordinator();
    cluster.ready().await;
    end_cleanly(&mut cluster, HOLDER).await;
    let second = newest_snapshot(&state);
    assert_ne!(first, second, "expected that a life with a claim of its own leaves another snapshot");
    flip(&state.join("snapshots").join(&second), 0.5);
    for eighth in 0..8 {
        flip(&state.join("ledger/db"), f64::from(eighth) / 8.0);
    }

    cluster.start_coordinator();
    cluster.ready().await;

    nothing_changed(&cluster, &before).await;
    let told = rebuilt_notice(&cluster, HOLDER).await;
    assert!(
        told.contains("could not be read") && told.contains("this machine's snapshot"),
        "expected why and from where: {told}"
    );
    let aside = std::fs::read_dir(&state).unwrap().flatten();
    assert_eq!(
        aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("quarantine-")).count(),
        1,
        "expected that the rotten store is kept for a look"
    );
    assert!(state.join("snapshots/refused").exists(), "expected that the rotten snapshot is out of the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_whose_disk_is_empty_takes_over_its_neighbours_state() {
    let (mut cluster, before) = failing("rebuild-peer", Some("second")).await;
    let leader = until("a leader", seconds(10), async || cluster.operator.status().await?.leader).await;
    let standby = if leader.as_str() == HOLDER { "second" } else { HOLDER };
    cluster.kill_coordinator_named(standby);
    std::fs::remove_dir_all(cluster.coordinator_state(standby)).unwrap();

    cluster.start_coordinator_named(standby);
    until_true("the neighbour's snapshot arrives", seconds(60), || snapshots(&cluster, standby) > 0).await;
    until("the standby stands where the leader does", seconds(20), async || {
        match cluster.operator.ask(&Request::Status).await {
            Some(Reply::Status(status)) => status
                .standbys
                .iter()
                .any(|other| other.holder.as_str() == standby && other.lag == Some(0) && other.agrees != Some(false))
                .then_some(()),
            Some(_) | None => None,
        }
    })
    .await;

    // It has to know everything when its turn comes.
    cluster.kill_coordinator_named(leader.as_str());
    until("the standby leads", seconds(20), async || {
        (cluster.operator.status().await?.leader?.as_str() == standby).then_some(())
    })
    .await;
    nothing_changed(&cluster, &before).await;
}

fn newest_snapshot(state: &Path) -> String {
    let entries = std::fs::read_dir(state.join("snapshots")).unwrap().flatten();
    let newest = entries.max_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).unwrap());
    newest.expect("there is a snapshot").file_name().into_string().unwrap()
}

/// Turns some bits around at this share of the file.
fn flip(path: &Path, share: f64) {
    let mut bytes = std::fs::read(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a file"
    )]
    let at = (used as f64 * share) as usize;
    for byte in &mut bytes[at..(at + 64).min(used)] {
        *byte ^= 0x24;
    }
    std::fs::write(path, bytes).unwrap();
}
