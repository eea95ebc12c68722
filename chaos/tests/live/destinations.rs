//! Where it is saved to is full, closed, gone, locked by another password, or rotten.

use std::fs;

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::node::can_mount;
use landfall_chaos::live::process::{descendants, signal};
use landfall_chaos::live::wait::{seconds, until_true};
use landfall_chaos::live::{Cluster, Node, Place, Setup, fresh_id, plans, source};
use landfall_proto::alert::Severity;
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::report::{Outcome, Phase, Reason, TaskKind};
use landfall_proto::verdict::{VerdictKind, Witness};
use landfall_proto::view::RunState;
use rustix::process::Signal;

use crate::{saver, small_tree, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_with_less_free_space_than_is_wanted_is_not_written_to() {
    if !can_mount() {
        return;
    }
    let place = Place::new("little-space");
    let tree = small_tree(&place, "tree");
    let mut target = plans::repository(&place.path("repository"), &place.path("secrets/password"));
    target.free_percent_min = 95;
    let node = Node::new("a").plan(plans::rustic("nightly", &tree)).target(target);
    // A disk that is almost empty may really have so much: this one has not.
    let node = node.with_mounts(&format!(
        "mkdir -p '{0}'; mount -t tmpfs -o size=64m none '{0}'; head -c 20m /dev/zero > '{0}/other'",
        place.path("repository").display()
    ));
    let cluster = Setup::new(place).node(node).start().await;

    let report = failed(&cluster, "nightly").await;

    assert_eq!(report.reason, Reason::NoSpace, "expected no_space: {report:#?}");
    assert_eq!(report.attempts, 1, "expected that a full disk is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_fills_up_while_it_is_written_fails_the_run_with_no_space() {
    if !can_mount() {
        return;
    }
    let place = Place::new("fills-up");
    let tree = place.folder("tree");
    source::tree(&tree, 4, 8 << 20);
    let target = plans::repository(&place.path("small/repository"), &place.path("secrets/password"));
    let mounts = format!("mkdir -p '{0}'; mount -t tmpfs -o size=20m none '{0}'", place.path("small").display());
    let node = Node::new("a").plan(plans::rustic("nightly", &tree)).target(target).with_mounts(&mounts);
    let cluster = Setup::new(place).node(node).start().await;

    let report = failed(&cluster, "nightly").await;

    assert_eq!(report.reason, Reason::NoSpace, "expected no_space: {report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_destination_fails_the_run_with_read_only() {
    if !can_mount() {
        return;
    }
    let place = Place::new("read-only");
    let tree = small_tree(&place, "tree");
    let disk = place.folder("disk");
    let mounts = format!("mount --bind '{0}' '{0}'; mount -o remount,bind,ro '{0}'", disk.display());
    let target = plans::repository(&disk.join("repository"), &place.path("secrets/password"));
    let node = Node::new("a").plan(plans::rustic("nightly", &tree)).target(target).with_mounts(&mounts);
    let cluster = Setup::new(place).node(node).start().await;

    let report = failed(&cluster, "nightly").await;

    assert_eq!(report.reason, Reason::ReadOnly, "expected read_only: {report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_goes_away_in_the_middle_fails_the_run_and_the_next_one_finds_no_repository() {
    let place = Place::new("gone");
    let tree = place.folder("tree");
    source::tree(&tree, 40, 1 << 20);
    let node = saver("a", &place, &tree);
    let cluster = Setup::new(place).node(node).start().await;

    let round = cluster.operator.start("nightly").await;
    let run = run_of(round, "a", TaskKind::Backup);
    let workers = held(&cluster, "a", run).await;
    fs::rename(cluster.place.path("repository"), cluster.place.path("elsewhere")).unwrap();
    release(&workers);

    let report = cluster.operator.finished(run, seconds(25)).await.report;
    assert_eq!(report.outcome, Outcome::Failed, "expected a failure: {report:#?}");
    let report = failed(&cluster, "nightly").await;
    assert_eq!(
        report.reason,
        Reason::NoRepository,
        "expected that an empty place is not taken for the repository: {report:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_fails_that_node_at_once_with_auth() {
    let place = Place::new("wrong-password");
    let tree = small_tree(&place, "tree");
    let wrong = place.secret("secrets/wrong", "not the password");
    let bad = Node::new("bad")
        .plan(plans::rustic("nightly", &tree))
        .target(plans::repository(&place.path("repository"), &wrong));
    let good = saver("good", &place, &tree);
    let cluster = Setup::new(place).node(good).node(bad).start().await;
    let first = cluster.operator.start_as("nightly", &["good"], TaskKind::Backup, fresh_id()).await;
    cluster.operator.verdict(first, seconds(25)).await;

    let round = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(round, seconds(25)).await;

    let run = cluster.operator.run(round, "bad").await;
    assert_eq!((run.state, run.reason), (RunState::Failed, Some(Reason::Auth)), "expected auth: {}", table(&detail));
    assert_eq!(run.attempts, 1, "expected that a wrong password is not tried again: {}", table(&detail));
    assert_eq!(
        cluster.operator.run(round, "good").await.state,
        RunState::Ok,
        "expected that the other node is good: {}",
        table(&detail)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bytes_in_the_repository_are_found_by_the_check_of_its_data() {
    let place = Place::new("rot");
    let tree = small_tree(&place, "tree");
    let mut node = plans::rustic("nightly", &tree);
    node.check = toml::from_str("every = \"1d\"\ndata_parts = 1").ok();
    let target = plans::repository(&place.path("repository"), &place.path("secrets/password"));
    let cluster = Setup::new(place).node(Node::new("a").plan(node).target(target)).start().await;
    let round = cluster.operator.start("nightly").await;
    cluster.operator.verdict(round, seconds(25)).await;
    source::flip_bytes(&source::largest(&cluster.place.path("repository/data")));

    let check = cluster.operator.start_as("nightly", &[], TaskKind::Check, fresh_id()).await;
    let report = cluster.operator.finished(run_of(check, "a", TaskKind::Check), seconds(25)).await.report;

    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Failed, Reason::Integrity),
        "expected that the damage is found: {report:#?}"
    );
    let loud = cluster.operator.seen("an emergency about damaged data", seconds(10), |log| {
        log.alerts().into_iter().find(|alert| alert.reason == Some(Reason::Integrity)).cloned()
    });
    assert_eq!(loud.await.severity, Severity::Emergency, "expected the loudest alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_vanishes_before_the_verdict_is_missed_by_the_witness() {
    let place = Place::new("contradicted");
    let tree = small_tree(&place, "tree");
    let large = place.folder("large");
    source::tree(&large, 20, 1 << 20);
    let (a, b) = (saver("a", &place, &tree), saver("b", &place, &large));
    let cluster = Setup::new(place).node(a).node(b).start().await;
    let first = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(first, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected a good first round: {}", table(&detail));
    let before: Vec<_> = snapshots(&cluster);
    // Without anything new to save, b would be done before it could be held.
    source::tree(&large, 40, (1 << 20) + 1);

    let round = cluster.operator.start("nightly").await;
    let (run_a, run_b) = (run_of(round, "a", TaskKind::Backup), run_of(round, "b", TaskKind::Backup));
    let workers = held(&cluster, "b", run_b).await;
    cluster.operator.finished(run_a, seconds(20)).await;
    let of_a: Vec<_> = snapshots(&cluster).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(of_a.len(), 1, "expected one new snapshot of a: {of_a:?}");
    fs::remove_file(&of_a[0]).unwrap();
    release(&workers);

    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Diverged), "expected diverged: {}", table(&detail));
    let witness = cluster.operator.run(round, "a").await.witness;
    assert!(matches!(witness, Some(Witness::Contradicted { .. })), "expected that b contradicts a: {}", table(&detail));
    let alert = cluster.operator.seen("the alert contradicted/nightly/a", seconds(10), |log| {
        log.alerts().into_iter().find(|alert| alert.key.0 == "contradicted/nightly/a").cloned()
    });
    assert_eq!(alert.await.severity, Severity::Emergency, "expected the loudest alert");
}

/// The report of node `a`'s run in a fresh round, which has to fail.
async fn failed(cluster: &Cluster, routine: &str) -> landfall_proto::report::RunReport {
    let round: RoundId = cluster.operator.start(routine).await;
    let report = cluster.operator.finished(run_of(round, "a", TaskKind::Backup), seconds(25)).await.report;
    assert_eq!(report.outcome, Outcome::Failed, "expected a failure: {report:#?}");
    report
}

/// Stops a run's worker while it transfers; the processes that stand still.
async fn held(cluster: &Cluster, node: &str, run: RunId) -> Vec<u32> {
    let transferring = |log: &landfall_chaos::live::Log| {
        log.runs_phases()
            .into_iter()
            .any(|(_, _, phase)| phase.run == run && phase.phase == Phase::Transferring)
            .then_some(())
    };
    cluster.operator.seen("the run transfers", seconds(20), transferring).await;
    let agent = cluster.agent(node).id();
    let mut workers = Vec::new();
    until_true("the run has a worker", seconds(5), || {
        workers = descendants(agent);
        !workers.is_empty()
    })
    .await;
    for pid in &workers {
        signal(*pid, Signal::STOP);
    }
    workers
}

fn release(workers: &[u32]) {
    for pid in workers {
        signal(*pid, Signal::CONT);
    }
}

fn snapshots(cluster: &Cluster) -> Vec<std::path::PathBuf> {
    fs::read_dir(cluster.place.path("repository/snapshots"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}
