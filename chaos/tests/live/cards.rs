//! Who is called at night: the card of a plan reaches the routine, its alert and a monitoring, and a destination tells its room.

use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::webhook::Receiver;
use landfall_chaos::live::{Node, Place, Setup, plans};
use landfall_proto::card::Card;
use landfall_proto::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_says_whose_data_it_is_and_who_is_called() {
    let receiver = Receiver::start(&[]).await;
    let place = Place::new("card");
    let (mut plan, mut target) = plans::until_mended(&place);
    plan.rpo = Some(Duration::from_secs(86_400));
    plan.card = Some(Card {
        protects: vec!["the orders".to_owned()],
        owner: Some("Ann".to_owned()),
        contact: Some("#orders".to_owned()),
        escalation: vec!["Bob".to_owned()],
        rto: Some(Duration::from_secs(14_400)),
        restore: vec!["copy the artifact back".to_owned()],
        ..Card::default()
    });
    target.storage = Some("shelf".to_owned());
    let webhook = receiver.sink(&place.secret("secrets/webhook", "a line that only two know"));
    // What the coordinator's file says wins, key by key.
    let policy = "[policy.routines.task.card]\nescalation = [\"Eve\", \"Bob\"]";
    let setup = Setup::new(place).sink(&webhook).policy(policy).node(Node::new("a").plan(plan).target(target));
    let cluster = setup.start().await;

    let before = cluster.tool(&["check", "--routine", "nothing"]).await;
    assert_eq!(before.code, 3, "what is not there is unknown: {before:?}");
    let round = cluster.operator.start("task").await;
    cluster.operator.verdict(round, seconds(20)).await;
    let told = until("the receiver is told of the failure", seconds(25), async || {
        receiver.posts().into_iter().map(|post| post.json()).find(|post| post["key"] == "failed/task/a")
    })
    .await;
    assert_eq!((told["owner"].as_str(), told["contact"].as_str()), (Some("Ann"), Some("#orders")), "{told}");
    assert_eq!(told["escalation"], serde_json::json!(["Eve", "Bob"]), "{told}");
    assert_eq!((told["rpo"].as_str(), told["risk"].as_str()), (Some("1d"), Some("critical")), "{told}");

    let shown = cluster.tool(&["routines", "task"]).await;
    for wanted in
        ["the orders", "Ann", "Eve, then Bob", "risk", "copy the artifact back", "folder (shelf)", "at most 4h"]
    {
        assert!(shown.out.contains(wanted), "{wanted} is missing: {shown:?}");
    }
    let checked = cluster.tool(&["check"]).await;
    assert_eq!(checked.code, 2, "a backup that never was is critical: {checked:?}");
    assert!(checked.out.starts_with("LANDFALL CRITICAL - ") && checked.out.contains("never=1"), "{checked:?}");

    let storages = until("the node tells the room of its destination", seconds(30), async || {
        let told = cluster.tool(&["storages", "shelf", "--json"]).await;
        (told.code == 0 && told.json()["rows"][0]["space"].is_object()).then(|| told.json())
    })
    .await;
    assert_eq!(storages["rows"][0]["forecast"], "unknown", "one day is no history: {storages}");

    std::fs::write(cluster.place.path("out/mended"), "").unwrap();
    let round = cluster.operator.start("task").await;
    cluster.operator.verdict(round, seconds(20)).await;
    until("all is well again", seconds(20), async || (cluster.tool(&["check"]).await.code == 0).then_some(())).await;
    let landed = cluster.tool(&["snapshots", "--json"]).await;
    assert_eq!(landed.json().as_array().map(Vec::len), Some(1), "one run left something: {landed:?}");
}
