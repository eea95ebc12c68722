//! A node's own folder is copied to a second machine, or set back to an earlier day.

use std::time::Duration;

use landfall_proto::control::{Reply, Request};
use landfall_proto::verdict::VerdictKind;

use crate::live::bus::node;
use crate::live::place::copy_folder;
use crate::live::wait::{seconds, until};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, TASK};

/// How long the mesh may take to say that a node is not itself.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// How an alert about a copied or rolled-back node begins.
const CONFLICT: &str = "conflict/";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "state-rolled-back",
            "A node's folder is set back to an earlier day, as by a machine's snapshot.",
            |weather| Box::pin(rolled_back(weather)),
        ),
        Case::new(
            "state-copied",
            "Two agents live with copies of one folder, as after a machine was cloned.",
            |weather| Box::pin(copied(weather)),
        ),
        Case::new("state-lost", "A node comes back without its folder in the middle of a round.", |weather| {
            Box::pin(lost(weather))
        }),
    ]
}

async fn rolled_back(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    let first = mesh.open(TASK).await;
    mesh.verdict(first, seconds(60)).await;
    mesh.cluster.stop_agent("a").await;
    let kept = mesh.cluster.place.path("kept");
    copy_folder(&mesh.cluster.state("a"), &kept);
    mesh.cluster.start_agent("a");
    let second = mesh.open(TASK).await;
    mesh.verdict(second, seconds(60)).await;
    mesh.cluster.stop_agent("a").await;
    std::fs::remove_dir_all(mesh.cluster.state("a")).expect("the node has a folder");
    copy_folder(&kept, &mesh.cluster.state("a"));
    mesh.fault("the folder of a is set back to a time before its last run");
    mesh.set_back.push(("a".to_owned(), crate::live::now()));
    mesh.cluster.start_agent("a");
    // The next thing that a says stands under a number which the log knows with other words; so nobody counts it as good.
    let third = mesh.plan_round(TASK, VerdictKind::Diverged);
    mesh.insist(third).await;
    mesh.verdict(third, seconds(90)).await;
    noticed(&mesh).await;
    goes_on_without(&mut mesh).await;
    close(mesh).await;
}

async fn copied(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    let first = mesh.open(TASK).await;
    mesh.verdict(first, seconds(60)).await;
    let twin = mesh.cluster.start_twin("a");
    mesh.fault("a second agent starts with a copy of the folder of a");
    mesh.set_back.push(("a".to_owned(), crate::live::now()));
    noticed(&mesh).await;
    mesh.cluster.kill_agent(&twin);
    mesh.say("the twin is gone");
    goes_on_without(&mut mesh).await;
    close(mesh).await;
}

/// Nobody trusts a for a while; the other node's backups go on. The alert about a stays until a person has looked.
async fn goes_on_without(mesh: &mut Mesh) {
    let Some(Reply::Node(view)) = mesh.cluster.operator.ask(&Request::Node { id: node("a") }).await else {
        panic!("expected that the coordinator shows a");
    };
    assert!(view.quarantined.is_some(), "expected that nobody trusts a for a while: {view:?}");
    let round = mesh.plan_round_of(TASK, &["b"], VerdictKind::Converged);
    mesh.insist(round).await;
    mesh.verdict(round, seconds(90)).await;
    mesh.alerts_allowed.push(CONFLICT.to_owned());
}

/// Waits until somebody is told that a is not itself.
async fn noticed(mesh: &Mesh) {
    let key = until("the mesh says that there are two of one node", NOTICED_WITHIN, async || {
        let log = mesh.cluster.operator.log();
        log.alert_keys()
            .into_iter()
            .find(|key| key.starts_with(CONFLICT) || key.starts_with("clone"))
            .map(str::to_owned)
    });
    mesh.say(&format!("the mesh raised {}", key.await));
}

async fn lost(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    mesh.cluster.kill_agent("a");
    std::fs::remove_dir_all(mesh.cluster.state("a").join("spool.v1")).expect("the node has a journal");
    mesh.fault("the agent of a is killed and its journal is lost");
    mesh.set_back.push(("a".to_owned(), crate::live::now()));
    mesh.release();
    mesh.cluster.start_agent("a");
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}
