//! The receivers that people have: a real Alertmanager sees a failure come and go, a channel is told by its route, and an operator
//! can try each sink and see every delivery.

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::cluster::HOLDER;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::webhook::Receiver;
use landfall_chaos::live::{Node, Place, Setup, fresh_id, plans};
use landfall_proto::control::Request;
use landfall_proto::report::TaskKind;

use crate::monitoring::Server;

/// It forgets an alert that nobody repeats after three seconds.
const ALERTMANAGER: &str = "\
global:
  resolve_timeout: 3s
route:
  receiver: nobody
receivers:
- name: nobody
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alertmanager_sees_a_failure_come_outlive_its_coordinator_and_go() {
    let place = Place::new("alertmanager");
    let (plan, target) = plans::until_mended(&place);
    let node = Node::new("a").plan(plan).target(target);
    let server = Server::alertmanager(&place, ALERTMANAGER);
    let channel = Receiver::start(&[]).await;
    let address = place.secret("secrets/slack", &channel.url);
    let prometheus = format!(
        "kind = \"alertmanager\"\nurls = [\"http://{}\", \"http://127.0.0.1:9\"]\nresend_interval = \"1s\"\n",
        server.address
    );
    let slack = format!(
        "kind = \"slack\"\nurl_file = {:?}\n[[routes]]\nkinds = [\"converged\"]\nsinks = [\"slack\"]\nsuccess = true\n\
         [[routes]]\nseverity = \"critical\"\nsinks = [\"alertmanager\"]\n[[routes]]\nsinks = []\n",
        address.display().to_string()
    );
    let mut cluster = Setup::new(place).sink(&prometheus).sink(&slack).node(node).start().await;

    let round = cluster.operator.start("task").await;
    cluster.operator.verdict(round, seconds(20)).await;
    let fired = until("the failure fires", seconds(20), async || server.failed_job().await).await;
    assert_eq!((&fired["labels"]["job"], &fired["labels"]["node"]), (&"task".into(), &"a".into()), "{fired}");

    // Another process of the coordinator goes on showing it, and it stays the same alert.
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.ready().await;
    let until_then = tokio::time::Instant::now() + seconds(6);
    until("it has stood for longer than it is remembered", seconds(30), async || {
        (tokio::time::Instant::now() > until_then).then_some(())
    })
    .await;
    let again = until("it still fires", seconds(20), async || server.failed_job().await).await;
    assert_eq!(again["fingerprint"], fired["fingerprint"], "expected one alert: {again}");

    std::fs::write(cluster.place.path("out/mended"), "").unwrap();
    let run = run_of(round, "a", TaskKind::Backup);
    let retry =
        cluster.operator.opened(&Request::Retry { id: run.0, by: "story".to_owned(), request: fresh_id() }).await;
    cluster.operator.verdict(retry, seconds(20)).await;
    until("it is over", seconds(20), async || server.failed_job().await.is_none().then_some(())).await;
    let glad =
        until("the channel hears of the success", seconds(20), async || channel.posts().into_iter().next()).await;
    assert_eq!(glad.json()["blocks"][0]["text"]["text"], "Converged: task", "{glad:?}");
    assert_eq!(channel.posts().len(), 1, "expected that its route keeps the failure from the channel");

    let shown = until("both deliveries are shown", seconds(20), async || {
        let rows = cluster.tool(&["alert", "deliveries", "--json"]).await.good().json();
        (rows.as_array().unwrap().len() == 2).then_some(rows)
    })
    .await;
    for (row, status) in shown.as_array().unwrap().iter().zip(["resolved", "raised"]) {
        assert_eq!((&row["status"], &row["sink"]), (&status.into(), &"alertmanager".into()), "{shown}");
        assert_eq!((&row["code"], &row["taken"]), (&200.into(), &true.into()), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_can_try_a_sink_through_the_coordinator_and_without_it() {
    let place = Place::new("test-sink");
    let channel = Receiver::start(&[200, 404]).await;
    let address = place.secret("secrets/slack", &channel.url);
    let slack = format!("kind = \"slack\"\nurl_file = {:?}\n", address.display().to_string());
    let mut cluster = Setup::new(place).sink(&slack).start().await;
    cluster.ready().await;
    let taken = cluster.tool(&["alert", "test", "slack", "--json"]).await.good().json();
    assert_eq!((&taken["through"], &taken["code"]), (&"coordinator".into(), &200.into()), "{taken}");
    assert!(channel.posts()[0].body.contains("nothing has happened"), "expected a marked test: {:?}", channel.posts());
    let refused = cluster.tool(&["alert", "test", "slack"]).await;
    assert_eq!(refused.code, 1, "expected 1 for a sink that refuses: {refused:?}");
    assert!(refused.err.contains("404"), "expected the receiver's answer: {refused:?}");
    let strange = cluster.tool(&["alert", "test", "pager"]).await;
    assert!(strange.code == 1 && strange.err.contains("the sinks are: slack"), "expected the names: {strange:?}");
    assert_eq!(channel.posts().len(), 2, "expected one POST a test");

    cluster.kill_coordinator();
    let config = cluster.coordinator_state(HOLDER).with_file_name("coordinator.toml").display().to_string();
    let direct = cluster.tool(&["alert", "test", "slack", "--config", &config, "--json"]).await.good().json();
    assert_eq!((&direct["through"], &direct["code"]), (&"file".into(), &204.into()), "{direct}");
    let nowhere = cluster.tool(&["alert", "test", "slack", "--config", "/nowhere/coordinator.toml"]).await;
    assert_eq!(nowhere.code, 3, "expected 3 where neither is there: {nowhere:?}");
}
