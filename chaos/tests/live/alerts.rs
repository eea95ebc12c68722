//! Somebody is told: once, signed, again when the receiver stumbles, and when the trouble is over.

use std::collections::BTreeSet;

use hmac::{Hmac, Mac};
use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::webhook::{Post, Receiver};
use landfall_chaos::live::{Node, Place, Setup, fresh_id, now, plans};
use landfall_proto::control::Request;
use landfall_proto::report::TaskKind;
use sha2::Sha256;

const SECRET: &str = "a line that only two know";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_signed_tried_again_delivered_once_and_followed_by_its_end() {
    let receiver = Receiver::start(&[503, 503]).await;
    let place = Place::new("webhook");
    let (plan, target) = plans::until_mended(&place);
    let node = Node::new("a").plan(plan).target(target);
    let webhook = receiver.sink(&place.secret("secrets/webhook", SECRET));
    let lines = place.path("alerts.jsonl");
    let jsonl = format!("kind = \"jsonl\"\npath = {:?}\n", lines.display().to_string());
    let mut cluster = Setup::new(place).sink(&webhook).sink(&jsonl).node(node).start().await;

    let round = cluster.operator.start("task").await;
    cluster.operator.verdict(round, seconds(20)).await;
    let taken = |status: &'static str| {
        let receiver = &receiver;
        async move {
            until(&format!("the receiver takes a notice that is {status}"), seconds(25), async || {
                receiver.posts().into_iter().find(|post| post.status == 204 && post.json()["status"] == status)
            })
            .await
        }
    };
    let raised = taken("raised").await;
    assert_eq!(raised.json()["key"], "failed/task/a", "expected the alert about the failure: {raised:?}");
    assert_eq!(raised.json()["nodes"][0], "a", "expected the node's name: {raised:?}");
    assert!(!raised.json()["fix"].as_str().unwrap_or_default().is_empty(), "expected what to do now: {raised:?}");

    // A coordinator that is killed and comes back must not tell it again.
    cluster
        .operator
        .seen("both deliveries are in the log", seconds(10), |log| (log.alerts_delivered().len() == 2).then_some(()))
        .await;
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.ready().await;
    std::fs::write(cluster.place.path("out/mended"), "").unwrap();
    let run = run_of(round, "a", TaskKind::Backup);
    let again =
        cluster.operator.opened(&Request::Retry { id: run.0, by: "story".to_owned(), request: fresh_id() }).await;
    cluster.operator.verdict(again, seconds(20)).await;
    let resolved = taken("resolved").await;

    assert_eq!(resolved.json()["id"], raised.json()["id"], "expected that both speak of one alert");
    let posts = receiver.posts();
    for post in &posts {
        assert_eq!(post.header("x-landfall-signature"), signature(post), "expected a signature that fits: {post:?}");
    }
    let raisings: Vec<&Post> = posts.iter().filter(|post| post.json()["status"] == "raised").collect();
    assert_eq!(
        raisings.iter().map(|post| post.status).collect::<Vec<_>>(),
        [503, 503, 204],
        "expected two refusals, one success and nothing after it"
    );
    let keys: BTreeSet<&str> = raisings.iter().map(|post| post.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 1, "expected one key for every attempt: {keys:?}");
    let written = until("the file has both notices", seconds(5), async || {
        let text = std::fs::read_to_string(&lines).ok()?;
        (text.lines().count() >= 2).then_some(text)
    });
    assert_eq!(written.await.lines().count(), 2, "expected two lines, raised and resolved");
    let shown = cluster.tool(&["alerts", "failed/task/a", "--all", "--json"]).await;
    assert!(shown.out.contains("\"attempts\": 3"), "expected that the deliveries can be seen: {shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_no_coordinator_is_heard_the_agents_say_so_themselves_and_once() {
    let receiver = Receiver::start(&[503]).await;
    let place = Place::new("no-leader");
    let out = place.folder("out");
    let script = place.script("task", &format!("echo saved > '{}/artifact'", out.display()));
    let node = Node::new("a")
        .plan(plans::command("task", &script, &out.join("artifact")))
        .target(plans::folder(&out))
        .line("coordinator_silence = \"3s\"")
        .line(&format!("alarm = {{ webhook = {:?} }}", receiver.url));
    let mut cluster = Setup::new(place).node(node).start().await;
    let cried = async |times: usize| {
        until(&format!("the agent's own alarm, {times} times"), seconds(25), async || {
            let taken = receiver.posts().into_iter().filter(|post| post.status == 204).count();
            (taken >= times).then_some(taken)
        })
        .await
    };

    cluster.kill_coordinator();
    cried(1).await;
    // Silence that goes on is not told again; a coordinator that comes back and goes away again is.
    cluster.start_coordinator();
    cluster.ready().await;
    // Who can be asked may not have been heard by the agent yet; after some beacons it has.
    until("four seconds of beacons from the coordinator that came back", seconds(20), async || {
        let since = cluster.operator.status().await?.leader_since?;
        (since <= now() - jiff::SignedDuration::from_secs(4)).then_some(())
    })
    .await;
    assert_eq!(cried(1).await, 1, "expected one alarm for one silence");
    cluster.kill_coordinator();
    assert_eq!(cried(2).await, 2, "expected one more for the second silence");
    for post in receiver.posts() {
        assert_eq!(
            (post.json()["kind"].as_str(), post.json()["node"].as_str()),
            (Some("no_leader"), Some("a")),
            "{post:?}"
        );
        assert!(!post.json()["fix"].as_str().unwrap_or_default().is_empty(), "expected what to do now: {post:?}");
    }
}

/// The signature that a receiver expects.
fn signature(post: &Post) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{}.{}", post.header("x-landfall-timestamp"), post.body).as_bytes());
    let bytes = mac.finalize().into_bytes();
    format!("sha256={}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
