//! A repository on another machine: restic's own REST server, with a password, taking only, or gone.

use std::fs;
use std::path::Path;

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::served::{SERVER_PASSWORD, Served};
use landfall_chaos::live::wait::seconds;
use landfall_chaos::live::{Cluster, Node, Place, Setup, fresh_id, source, tool};
use landfall_proto::report::{Outcome, Reason, TaskKind};
use landfall_proto::verdict::{VerdictKind, Witness};
use landfall_proto::view::RunState;

use crate::{saver, small_tree, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_a_server_that_only_takes_and_restic_restores_from_it() {
    let place = Place::new("served");
    let (tree, large) = (small_tree(&place, "tree"), place.folder("large"));
    source::tree(&large, 10, 100_000);
    let server = Served::start(&place, &["--append-only"]).await;
    let nodes = [remote("a", &place, &tree, &server), remote("b", &place, &large, &server)];
    let cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;

    // The first round makes the repository, the second finds everything there.
    for _ in 0..2 {
        let round = cluster.operator.start("nightly").await;
        let detail = cluster.operator.verdict(round, seconds(50)).await;
        assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
        for (node, other) in [("a", "b"), ("b", "a")] {
            let witness = cluster.operator.run(round, node).await.witness;
            assert!(
                matches!(&witness, Some(Witness::Confirmed { by, .. }) if by.as_str() == other),
                "expected that {other} finds the snapshot of {node} at the server: {}",
                table(&detail)
            );
        }
        assert_eq!(locks(&server), 0, "expected that a server that only takes lets locks go");
    }
    let check = cluster.operator.start_as("nightly", &["a"], TaskKind::Check, fresh_id()).await;
    let report = cluster.operator.finished(run_of(check, "a", TaskKind::Check), seconds(50)).await.report;
    assert_eq!((report.outcome, report.reason), (Outcome::Ok, Reason::Completed), "expected a good check: {report:#?}");

    let location = server.location("shared");
    let repository = Path::new(&location);
    tool::restic(repository, &["check", "--read-data"]).await.good();
    let back = cluster.place.folder("back");
    let target = back.display().to_string();
    tool::restic(repository, &["restore", "latest", "--tag", "landfall-node:b", "--target", &target]).await.good();
    let below = back.join(large.strip_prefix("/").unwrap());
    assert_eq!(source::content(&below), source::content(&large), "expected that every byte comes back");
    says_nowhere(&cluster, SERVER_PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_fails_the_round_with_network_and_the_next_one_is_good() {
    let place = Place::new("served-gone");
    let tree = small_tree(&place, "tree");
    let mut server = Served::start(&place, &[]).await;
    let node = remote("a", &place, &tree, &server);
    let cluster = Setup::new(place).node(node).start().await;
    server.kill();

    let round = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(round, seconds(50)).await;
    let run = cluster.operator.run(round, "a").await;
    assert_eq!((run.state, run.reason), (RunState::Failed, Some(Reason::Network)), "expected network: {run:#?}");
    assert_eq!(detail.round.verdict, Some(VerdictKind::Diverged), "expected diverged: {}", table(&detail));

    server.start_again().await;
    let round = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(round, seconds(50)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    assert!(cluster.operator.open_alerts().await.is_empty(), "expected that the alert is resolved");
    says_nowhere(&cluster, SERVER_PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_know_the_password_fails_the_run_with_auth_and_nothing_is_made() {
    let place = Place::new("served-closed");
    let tree = small_tree(&place, "tree");
    let server = Served::start(&place, &[]).await;
    let node = remote("a", &place, &tree, &server)
        .each_target(|target| target.location = target.location.replace(SERVER_PASSWORD, "another-word"));
    let cluster = Setup::new(place).node(node).start().await;

    let round = cluster.operator.start("nightly").await;
    let run = run_of(round, "a", TaskKind::Backup);
    let report = cluster.operator.finished(run, seconds(50)).await.report;

    assert_eq!((report.outcome, report.reason), (Outcome::Failed, Reason::Auth), "expected auth: {report:#?}");
    assert!(!server.folder("shared").exists(), "expected that no repository is made");
    says_nowhere(&cluster, "another-word").await;
}

/// A node that saves `source` to the server.
fn remote(name: &str, place: &Place, source: &Path, server: &Served) -> Node {
    saver(name, place, source).each_target(|target| target.location = server.location("shared"))
}

fn locks(server: &Served) -> usize {
    fs::read_dir(server.folder("shared").join("locks")).map_or(0, Iterator::count)
}

/// Neither the log nor what the processes print may hold a secret.
async fn says_nowhere(cluster: &Cluster, secret: &str) {
    let log = format!("{:?}", cluster.operator.whole_log(seconds(20)).await);
    assert!(!log.contains(secret), "expected that the log holds no password");
    let nodes = cluster.node_names();
    for name in nodes.iter().map(String::as_str).chain(["coordinator"]) {
        let said = fs::read_to_string(cluster.place.log_of(name)).unwrap();
        assert!(!said.is_empty(), "expected that {name} prints something");
        assert!(!said.contains(secret), "expected that {name} does not print the password");
    }
    for name in &nodes {
        let files = source::content(&cluster.state(name).join("runs"));
        assert!(!files.is_empty(), "expected that {name} keeps its run's log and receipt");
        for (file, bytes) in files {
            let is_told = String::from_utf8_lossy(&bytes).contains(secret);
            assert!(!is_told, "expected that no run's log or receipt holds the password, and {name}'s {file} does");
        }
    }
}
