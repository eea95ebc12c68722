//! Starts that are only tried, with real processes: they tell what would happen, and the log stays as it was.

use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Gate, Node, Place, Setup};
use landfall_proto::verdict::VerdictKind;
use serde_json::Value;

use crate::table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_whom_a_start_would_expect_and_writes_no_fact() {
    let place = Place::new("dry-run");
    let gates = ["a", "b"].map(|name| (name, Gate::new(&place, name)));
    let setup = gates.iter().fold(Setup::new(place).policy("limits = { cluster = 1 }"), |setup, (name, gate)| {
        setup.node(Node::new(name).plan(gate.plan("task")).target(gate.target()))
    });
    let mut cluster = setup.start().await;
    let first = cluster.operator.start("task").await;
    gates.iter().for_each(|(_, gate)| gate.open());
    let detail = cluster.operator.verdict(first, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));

    let before = cluster.operator.log_state().await.map(|state| state.last_seq);
    let tried = cluster.tool(&["--json", "start", "task", "--dry-run"]).await.good().json();
    let shown = cluster.tool(&["start", "task", "--dry-run"]).await.good().out;
    let refused = cluster.tool(&["start", "nothing", "--dry-run"]).await;
    let after = cluster.operator.log_state().await.map(|state| state.last_seq);

    assert!(before.is_some_and(|seq| seq > 0) && before == after, "expected no fact: {before:?} and {after:?}");
    let counts = ["expected", "at_once", "doubtful"].map(|key| tried[key].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(0)], "expected that the limit lets one begin: {tried:#}");
    assert!(shown.contains("limit cluster (1) is full") && shown.contains("start at once"), "{shown}");
    assert!(refused.code == 1 && refused.err.contains("task"), "expected the routines that there are: {refused:?}");

    cluster.kill_agent("b");
    let doubtful = until("the dry run names the node that is gone", seconds(25), async || {
        let answer = cluster.tool(&["--json", "start", "task", "--dry-run"]).await;
        (answer.code == 1).then(|| answer.json())
    });
    let row = doubtful.await["nodes"][0].clone();
    assert_eq!((&row["node"], &row["waits_for"]["node_offline"]["node"]), (&Value::from("b"), &Value::from("b")));
    assert_eq!(cluster.operator.log().rounds_opened().len(), 1, "expected that only the first start opened a round");
}
