//! Who is missing, who is late, and when a round counts as converged.

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::wait::seconds;
use landfall_chaos::live::{Cluster, Gate, Log, Node, Place, Setup, plans};
use landfall_proto::alert::{Alert, Severity};
use landfall_proto::plan::Plan;
use landfall_proto::report::TaskKind;
use landfall_proto::time::Duration;
use landfall_proto::verdict::{Standing, VerdictKind};

use crate::table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_down_for_the_whole_round_is_named_by_one_alert_until_its_next_good_run() {
    let place = Place::new("down");
    let nodes: Vec<Node> =
        ["a", "b", "c"].iter().map(|name| quick(&place, name, "true", |plan| limit(plan, 4))).collect();
    let mut cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;
    cluster.kill_agent("c");

    let round = cluster.operator.start("task").await;
    let detail = cluster.operator.verdict(round, seconds(20)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Overdue), "expected overdue: {}", table(&detail));
    let verdict = detail.verdict.clone().unwrap();
    let missing: Vec<&str> =
        verdict.nodes.iter().filter(|node| node.standing == Standing::Missing).map(|node| node.node.as_str()).collect();
    assert_eq!(missing, ["c"], "expected that c is missing and nobody else: {verdict:#?}");
    assert!(verdict.summary.contains('c'), "expected that the sentence names c: {:?}", verdict.summary);
    let alert = cluster
        .operator
        .seen("the alert overdue/task", seconds(5), |log| loud(log).first().map(|alert| (*alert).clone()))
        .await;
    assert_eq!(
        (alert.key.0.as_str(), alert.nodes.len(), alert.nodes[0].as_str()),
        ("overdue/task", 1, "c"),
        "expected one alert that names c"
    );

    cluster.start_agent("c");
    cluster.ready().await;
    let next = cluster.operator.start("task").await;
    let detail = cluster.operator.verdict(next, seconds(20)).await;
    assert_eq!(
        detail.round.verdict,
        Some(VerdictKind::Converged),
        "expected that the next round converges: {}",
        table(&detail)
    );
    cluster
        .operator
        .seen("the alert is resolved", seconds(5), |log| {
            log.alerts_resolved().iter().any(|(_, resolved)| resolved.key == alert.key).then_some(())
        })
        .await;
    assert_eq!(loud(&cluster.operator.log()).len(), 1, "expected one alert in all");
    assert!(cluster.operator.open_alerts().await.is_empty(), "expected no open alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_after_the_deadline_is_attached_and_resolves_the_alert_but_changes_no_verdict() {
    let place = Place::new("late");
    let gates = ["a", "b"].map(|name| (name, Gate::new(&place, name)));
    let setup = gates.iter().fold(Setup::new(place), |setup, (name, gate)| {
        let mut plan = gate.plan("task");
        limit(&mut plan, 4);
        plan.limits.timeout = Some(Duration::from_secs(60));
        setup.node(Node::new(name).plan(plan).target(gate.target()))
    });
    let cluster = setup.start().await;
    gates[0].1.open();
    let round = cluster.operator.start("task").await;
    let before = cluster.operator.verdict(round, seconds(20)).await;
    assert_eq!(before.round.verdict, Some(VerdictKind::Overdue), "expected overdue: {}", table(&before));
    cluster
        .operator
        .seen("the alert overdue/task", seconds(5), |log| log.alert_keys().contains(&"overdue/task").then_some(()))
        .await;

    gates[1].1.open();
    cluster.operator.finished(run_of(round, "b", TaskKind::Backup), seconds(10)).await;
    cluster
        .operator
        .seen("the alert is resolved", seconds(10), |log| (!log.alerts_resolved().is_empty()).then_some(()))
        .await;

    let after = cluster.operator.round(round).await;
    assert_eq!(after.verdict, before.verdict, "expected the same verdict");
    assert_eq!(cluster.operator.log().verdicts(round).len(), 1, "expected one verdict");
    assert!(!after.late.is_empty(), "expected that the late report is attached: {after:#?}");
    assert!(cluster.operator.open_alerts().await.is_empty(), "expected no open alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_of_two_converges_with_one_bad_node_of_three_and_all_does_not() {
    let place = Place::new("quorum");
    let nodes = [("a", "true"), ("b", "true"), ("c", "exit 9")].map(|(name, body)| {
        let second = quick(&place, name, body, |_| ());
        let script = place.path(&format!("scripts/{name}"));
        second.plan(plans::command("strict", &script, &place.path(&format!("out/{name}/*"))))
    });
    let setup = Setup::new(place).policy("[policy.routines.task]\nrule = \"quorum(2)\"");
    let cluster = nodes.into_iter().fold(setup, Setup::node).start().await;
    assert_eq!(
        verdict(&cluster, "task").await,
        VerdictKind::Converged,
        "expected that two of three are enough for `task`"
    );
    assert_eq!(verdict(&cluster, "strict").await, VerdictKind::Diverged, "expected that `strict` wants all three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coverage_wants_one_good_node_for_each_shard() {
    let place = Place::new("coverage");
    let label =
        |value: &'static str| move |plan: &mut Plan| drop(plan.labels.insert("shard".to_owned(), value.to_owned()));
    let nodes = [
        quick(&place, "a", "true", label("one")),
        quick(&place, "b", "exit 9", label("one")),
        quick(&place, "c", &format!("[ -e '{}' ] || exit 9", place.path("mended").display()), label("two")),
    ];
    let setup = Setup::new(place).policy("[policy.routines.task]\nrule = \"coverage(shard)\"");
    let cluster = nodes.into_iter().fold(setup, Setup::node).start().await;
    assert_eq!(verdict(&cluster, "task").await, VerdictKind::Diverged, "expected that shard two is not covered");
    std::fs::write(cluster.place.path("mended"), "").unwrap();
    assert_eq!(
        verdict(&cluster, "task").await,
        VerdictKind::Converged,
        "expected that one good node for each shard is enough"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_node_is_not_expected_any_more() {
    let place = Place::new("retired");
    let nodes: Vec<Node> = ["a", "b"].iter().map(|name| quick(&place, name, "true", |_| ())).collect();
    let mut cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;
    cluster.kill_agent("b");
    cluster.tool(&["retire", "b"]).await.good();

    let round = cluster.operator.start("task").await;
    let detail = cluster.operator.verdict(round, seconds(20)).await;

    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    assert_eq!(detail.runs.len(), 1, "expected a only: {}", table(&detail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_that_fail_together_make_one_alert() {
    let place = Place::new("together");
    let nodes: Vec<Node> = ["a", "b", "c", "d"].iter().map(|name| quick(&place, name, "exit 9", |_| ())).collect();
    let cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;
    assert_eq!(verdict(&cluster, "task").await, VerdictKind::Diverged, "expected diverged");
    let open: Vec<String> = cluster.operator.open_alerts().await.into_iter().map(|view| view.alert.key.0).collect();
    assert_eq!(open, ["diverged/task"], "expected one open alert for all four nodes");
}

/// A node whose program runs `body` and then leaves an artifact.
fn quick(place: &Place, name: &str, body: &str, change: impl FnOnce(&mut Plan)) -> Node {
    let out = place.folder(&format!("out/{name}"));
    let script = place.script(name, &format!("{body}\necho saved > '{}'/artifact-$$", out.display()));
    let mut plan = plans::command("task", &script, &out.join("artifact-*"));
    change(&mut plan);
    Node::new(name).plan(plan).target(plans::folder(&out))
}

fn limit(plan: &mut Plan, seconds: u64) {
    plan.deadlines.start_within = Duration::from_secs(seconds / 2);
    plan.deadlines.finish_within = Duration::from_secs(seconds);
}

/// Alerts that wake somebody; that a node starts late is only worth a note.
fn loud(log: &Log) -> Vec<&Alert> {
    log.alerts().into_iter().filter(|alert| alert.severity > Severity::Info).collect()
}

async fn verdict(cluster: &Cluster, routine: &str) -> VerdictKind {
    let round = cluster.operator.start(routine).await;
    cluster.operator.verdict(round, seconds(25)).await.round.verdict.unwrap()
}
