//! What is to be saved is not there, or may not be read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use landfall_chaos::live::node::{NOBODY, is_root};
use landfall_chaos::live::wait::seconds;
use landfall_chaos::live::{Node, Place, Setup, plans};
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::RunState;

use crate::{saver, small_tree, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_does_not_exist_fails_its_run_by_name_and_no_other() {
    let place = Place::new("source-missing");
    let tree = small_tree(&place, "tree");
    let (good, bad) = (saver("good", &place, &tree), saver("bad", &place, &place.path("nowhere")));
    let cluster = Setup::new(place).node(good).node(bad).start().await;

    let round = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(round, seconds(25)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Diverged), "expected diverged: {}", table(&detail));
    let bad = cluster.operator.run(round, "bad").await;
    assert_eq!(
        (bad.state, bad.reason),
        (RunState::Failed, Some(Reason::SourceMissing)),
        "expected source_missing: {}",
        table(&detail)
    );
    assert_eq!(
        cluster.operator.run(round, "good").await.state,
        RunState::Ok,
        "expected that the other node is good: {}",
        table(&detail)
    );
    let report = cluster.operator.finished(bad.id, seconds(5)).await.report;
    assert!(report.message.contains("nowhere"), "expected the missing path in {:?}", report.message);
    let keys = cluster.operator.log().alert_keys().join(" ");
    assert_eq!(keys, "failed/nightly/bad", "expected one alert, for the bad node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_agents_user_may_not_read_makes_the_run_partial_and_is_named() {
    let place = Place::new("unreadable");
    let tree = small_tree(&place, "tree");
    let closed = tree.join("folder-0/file-3");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let password = place.secret("nobody/password", plans::PASSWORD);
    let repository = place.folder("nobody/repository");
    if is_root() {
        let given = Command::new("chown")
            .args(["-R", &format!("{NOBODY}:{NOBODY}")])
            .arg(place.path("nobody"))
            .status()
            .unwrap();
        assert!(given.success(), "expected that root can give files away");
    }
    let node = Node::new("a")
        .plan(plans::rustic("nightly", &tree))
        .target(plans::repository(&repository, &password))
        .as_nobody();
    let cluster = Setup::new(place).node(node).start().await;

    let round = cluster.operator.start("nightly").await;
    let detail = cluster.operator.verdict(round, seconds(25)).await;

    let run = cluster.operator.run(round, "a").await;
    let report = cluster.operator.finished(run.id, seconds(5)).await.report;
    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Partial, Reason::SourceUnreadable),
        "expected partial: {report:#?}"
    );
    assert_eq!(report.unread.count, 1, "expected one unread file: {:?}", report.unread);
    assert!(report.unread.names[0].contains("folder-0/file-3"), "expected the file's name: {:?}", report.unread);
    assert!(
        report.evidence.is_some_and(|evidence| evidence.files == 19),
        "expected that the other nineteen files landed"
    );
    assert_eq!(
        detail.round.verdict,
        Some(VerdictKind::Diverged),
        "expected that a partial backup does not converge: {}",
        table(&detail)
    );
}
