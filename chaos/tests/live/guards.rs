//! Backups that landed and are suspicious all the same, and secrets that must not be anywhere.

use std::fs;

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::wait::seconds;
use landfall_chaos::live::{Place, Setup, plans, source};
use landfall_proto::alert::Severity;
use landfall_proto::report::{Outcome, Reason, TaskKind};
use walkdir::WalkDir;

use crate::{saver, small_tree, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_source_is_no_backup() {
    let place = Place::new("empty");
    let tree = place.folder("tree");
    let node = saver("a", &place, &tree);
    let cluster = Setup::new(place).node(node).start().await;
    let round = cluster.operator.start("nightly").await;
    let report = cluster.operator.finished(run_of(round, "a", TaskKind::Backup), seconds(20)).await.report;
    assert_eq!((report.outcome, report.reason), (Outcome::Failed, Reason::Empty), "expected empty: {report:#?}");
    let alert =
        cluster.operator.seen("an alert", seconds(10), |log| log.alerts().first().map(|alert| (*alert).clone()));
    assert_eq!(alert.await.severity, Severity::Critical, "expected a critical alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_suddenly_shrinks_lands_with_a_warning() {
    let place = Place::new("shrunk");
    let tree = small_tree(&place, "tree");
    let node = saver("a", &place, &tree);
    let cluster = Setup::new(place).node(node).start().await;
    for _ in 0..3 {
        let round = cluster.operator.start("nightly").await;
        let detail = cluster.operator.verdict(round, seconds(20)).await;
        assert!(
            detail.runs.iter().all(|run| run.reason == Some(Reason::Completed)),
            "expected a good history: {}",
            table(&detail)
        );
    }
    fs::remove_dir_all(tree.join("folder-0")).unwrap();
    fs::remove_file(tree.join("folder-1/file-11")).unwrap();

    let round = cluster.operator.start("nightly").await;
    let report = cluster.operator.finished(run_of(round, "a", TaskKind::Backup), seconds(20)).await.report;

    assert_eq!((report.outcome, report.reason), (Outcome::Warning, Reason::Shrunk), "expected shrunk: {report:#?}");
    cluster
        .operator
        .seen("the alert guard/nightly/a", seconds(10), |log| {
            log.alert_keys().contains(&"guard/nightly/a").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_a_fact_a_receipt_or_a_ledger() {
    let place = Place::new("secrets");
    let tree = small_tree(&place, "tree");
    let talks = place.script("talks", "cat; echo and it failed; exit 9");
    let mut target = plans::folder(&place.folder("out"));
    target.secret = Some(landfall_proto::plan::Secret::File(place.path("secrets/password").display().to_string()));
    let node =
        saver("a", &place, &tree).plan(plans::command("talks", &talks, &place.path("out/artifact"))).target(target);
    let cluster = Setup::new(place).node(node).start().await;
    for routine in ["nightly", "talks"] {
        let round = cluster.operator.start(routine).await;
        cluster.operator.verdict(round, seconds(20)).await;
    }
    let log = cluster.operator.log();
    let talked =
        log.runs_finished().into_iter().find(|(_, _, finished)| finished.report.tail.contains("and it failed"));
    assert!(talked.is_some(), "expected that the program's words are kept");

    let mut needles = seeds(&cluster.place);
    needles.push(plans::PASSWORD.as_bytes().to_vec());
    let mut found = Vec::new();
    for entry in WalkDir::new(cluster.place.root()).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let path = entry.path().strip_prefix(cluster.place.root()).unwrap().display().to_string();
        let is_a_secrets_own_file =
            path.starts_with("secrets/") || path.starts_with("seeds/") || path == "nodes/a/seed";
        let bytes = fs::read(entry.path()).unwrap_or_default();
        if !is_a_secrets_own_file
            && needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_slice()))
        {
            found.push(path);
        }
    }
    assert!(found.is_empty(), "expected no secret in {found:?}");
}

/// Every seed of the mesh.
fn seeds(place: &Place) -> Vec<Vec<u8>> {
    source::content(&place.path("seeds")).into_values().map(|seed| seed.trim_ascii().to_vec()).collect()
}
