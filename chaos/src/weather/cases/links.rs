//! Lines between a node or a coordinator and the bus: cut, dead, slow, deaf in one direction, or without a cable.

use std::time::Duration;

use landfall_proto::subject::stream_name;
use landfall_proto::verdict::VerdictKind;

use super::stores::raw;
use crate::live::bus::{cluster, run_of};
use crate::live::cluster::HOLDER;
use crate::live::proxy::{Direction, Flow, Proxy};
use crate::live::wait::{seconds, until, until_true};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Draft, Mesh, TASK};
use crate::weather::need::Need;
use crate::weather::network::Network;
use landfall_proto::report::TaskKind;

/// Longer than both ends' patience with a silent line.
const PARTITION: Duration = Duration::from_secs(45);

/// Breaks of every line in one storm.
const STORM_CUTS: u32 = 20;

/// Readers of the log that a mesh of one coordinator may have: the coordinator, the case's own, and what each left behind at
/// its last breaks, which the bus forgets after a minute. Without any bound each break would add two.
const CONSUMERS_MAX: usize = 24;

pub(super) const NODES: [&str; 3] = ["a", "b", "c"];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "deaf-bus",
            "What one node says does not reach the bus for a while; what it hears arrives.",
            |weather| Box::pin(one_way(weather, Direction::ToBus)),
        ),
        Case::new(
            "deaf-node",
            "What the bus says does not reach one node for a while; what it says arrives.",
            |weather| Box::pin(one_way(weather, Direction::FromBus)),
        ),
        Case::new("partition", "One node is apart from the bus in both directions while its run ends.", |weather| {
            Box::pin(partition(weather))
        }),
        Case::new(
            "partition-past-deadline",
            "One node is apart until the round's deadline has passed: the round is overdue, and nothing has failed.",
            |weather| Box::pin(past_deadline(weather)),
        ),
        Case::new("coordinator-apart", "The coordinator is apart from the bus while all runs end.", |weather| {
            Box::pin(coordinator_apart(weather))
        }),
        Case::new("half-open", "Every connection dies without a word; only silence can tell.", |weather| {
            Box::pin(half_open(weather))
        }),
        Case::new("reconnect-storm", "Every line breaks again and again while rounds go on.", |weather| {
            Box::pin(storm(weather))
        }),
        Case::new("slow-lines", "Every line is slow and late.", |weather| Box::pin(slow(weather))),
        Case::new(
            "broken-messages",
            "Lines break after a random number of bytes, in the middle of messages.",
            |weather| Box::pin(broken(weather)),
        )
        .rounds(2),
        Case::new("unplugged", "A node in a network of its own loses its cable while its run ends.", |weather| {
            Box::pin(unplugged(weather))
        })
        .needs(&[Need::Networks]),
    ]
}

/// A mesh whose every line can be broken, and the lines: one for each node, the coordinator's last.
async fn lined(weather: Weather) -> (Mesh, Vec<Proxy>) {
    let (draft, lines) = drafted(weather).await;
    (draft.start().await, lines)
}

/// The same before its start.
pub(super) async fn drafted(weather: Weather) -> (Draft, Vec<Proxy>) {
    let mut lines = Vec::new();
    let mut draft = weather.mesh(&NODES);
    for client in NODES.into_iter().chain([HOLDER]) {
        let proxy = Proxy::new().await;
        let link = proxy.clone();
        draft = draft.with(move |setup| setup.link(client, &link));
        lines.push(proxy);
    }
    (draft, lines)
}

/// Waits until a node has written down that its run ended.
pub(super) async fn receipt(mesh: &Mesh, round: landfall_proto::id::RoundId, name: &str) {
    let run = run_of(round, name, TaskKind::Backup);
    let path = mesh.cluster.state(name).join(format!("runs/{run}/receipt.json"));
    until_true(&format!("{name} ends its run by itself"), seconds(60), || path.is_file()).await;
}

async fn one_way(weather: Weather, direction: Direction) {
    let (mut mesh, lines) = lined(weather).await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    lines[0].set(direction, Flow::Hold);
    mesh.fault(&format!("the line of a is stopped for {PARTITION:?}: {direction:?}"));
    mesh.release();
    receipt(&mesh, round, "a").await;
    tokio::time::sleep(PARTITION).await;
    let view = mesh.cluster.operator.run(round, "a").await;
    mesh.say(&format!("meanwhile the run of a is shown as {:?}", view.state));
    assert_ne!(view.state, landfall_proto::view::RunState::Failed, "expected that silence is no failure");
    lines[0].mend();
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

async fn partition(weather: Weather) {
    let (mut mesh, lines) = lined(weather).await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    lines[0].set_both(Flow::Hold);
    lines[0].refuse(true);
    mesh.fault(&format!("a is apart from the bus for {PARTITION:?}"));
    mesh.release();
    receipt(&mesh, round, "a").await;
    tokio::time::sleep(PARTITION).await;
    lines[0].mend();
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

async fn past_deadline(weather: Weather) {
    // The nodes' own limits make the deadline: as short as a run may be.
    let mut lines = Vec::new();
    let mut draft = weather.mesh(&NODES);
    for client in NODES {
        let proxy = Proxy::new().await;
        let link = proxy.clone();
        draft = draft.with(move |setup| setup.link(client, &link)).node(client, |node| {
            node.each_plan(|plan| {
                plan.deadlines.start_within = landfall_proto::time::Duration::from_secs(10);
                plan.deadlines.finish_within = landfall_proto::time::Duration::from_secs(20);
            })
        });
        lines.push(proxy);
    }
    let mut mesh = draft.start().await;
    mesh.hold();
    let round = mesh.plan_round(TASK, VerdictKind::Overdue);
    mesh.insist(round).await;
    mesh.begun(round).await;
    lines[0].set_both(Flow::Hold);
    mesh.fault("a is apart from the bus until the deadline has passed");
    mesh.release();
    receipt(&mesh, round, "a").await;
    mesh.verdict(round, seconds(90)).await;
    let alerts = mesh.cluster.operator.open_alerts().await;
    let keys: Vec<&str> = alerts.iter().map(|view| view.alert.key.0.as_str()).collect();
    assert!(!keys.iter().any(|key| key.starts_with("failed/")), "expected that silence is no failure: {keys:?}");
    lines[0].mend();
    // The late result is attached to the round, and its verdict stays what it was.
    let late = mesh.cluster.operator.finished(run_of(round, "a", TaskKind::Backup), seconds(60)).await;
    mesh.say(&format!("the late result of a is {}", late.report.outcome));
    mesh.alerts_allowed.push("overdue/".to_owned());
    close(mesh).await;
}

async fn coordinator_apart(weather: Weather) {
    let (mut mesh, lines) = lined(weather).await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    lines[3].set_both(Flow::Hold);
    mesh.fault(&format!("the coordinator is apart from the bus for {PARTITION:?}"));
    mesh.release();
    for name in NODES {
        receipt(&mesh, round, name).await;
    }
    tokio::time::sleep(PARTITION).await;
    lines[3].mend();
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

async fn half_open(weather: Weather) {
    let (mut mesh, lines) = lined(weather).await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    let before: Vec<u64> = lines.iter().map(Proxy::accepted).collect();
    lines.iter().for_each(Proxy::strand);
    mesh.fault("every connection dies without a word");
    mesh.release();
    let begun = tokio::time::Instant::now();
    // Every client notices by itself and calls again.
    until_true("every client has made a new connection", PARTITION, || {
        lines.iter().zip(&before).all(|(line, before)| line.accepted() > *before)
    })
    .await;
    mesh.say(&format!("every client has called again after {:.1} s", begun.elapsed().as_secs_f64()));
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

async fn storm(weather: Weather) {
    let (mut mesh, lines) = lined(weather).await;
    let round = mesh.open(TASK).await;
    for _ in 0..STORM_CUTS {
        lines.iter().for_each(Proxy::cut);
        mesh.fault("every line breaks");
        mesh.pause(Duration::from_millis(50), Duration::from_millis(800)).await;
    }
    mesh.verdict(round, seconds(90)).await;
    let second = mesh.open(TASK).await;
    mesh.verdict(second, seconds(90)).await;
    let consumers = consumers(&mut mesh).await;
    mesh.say(&format!("the log has {consumers} readers after the storm"));
    assert!(consumers <= CONSUMERS_MAX, "expected at most {CONSUMERS_MAX} readers of the log: {consumers}");
    close(mesh).await;
}

async fn consumers(mesh: &mut Mesh) -> usize {
    mesh.cluster.bus.permit_administrator();
    let administrator = raw(mesh, "administrator").await;
    let context = async_nats::jetstream::new(administrator.client.clone());
    until("the bus tells the readers of the log", seconds(20), async || {
        let stream = context.get_stream(stream_name(&cluster())).await.ok()?;
        Some(stream.cached_info().state.consumer_count)
    })
    .await
}

async fn slow(weather: Weather) {
    let (mut mesh, lines) = lined(weather).await;
    for line in &lines {
        line.set(Direction::ToBus, Flow::Rate(20_000));
        line.set(Direction::FromBus, Flow::Delay(Duration::from_millis(150)));
    }
    mesh.fault("every line is slow and late");
    for _ in 0..mesh.weather.rounds {
        let round = mesh.open(TASK).await;
        mesh.verdict(round, seconds(120)).await;
    }
    lines.iter().for_each(Proxy::mend);
    close(mesh).await;
}

async fn broken(weather: Weather) {
    let (mut mesh, lines) = lined(weather).await;
    for _ in 0..mesh.weather.rounds {
        let round = mesh.open(TASK).await;
        for line in &lines {
            for direction in [Direction::ToBus, Direction::FromBus] {
                let bytes = 1 + mesh.weather.dice.below(3000);
                line.set(direction, Flow::CutAfter(bytes));
                mesh.fault(&format!("a line breaks after {bytes} bytes: {direction:?}"));
            }
        }
        tokio::time::sleep(seconds(3)).await;
        lines.iter().for_each(Proxy::mend);
        mesh.verdict(round, seconds(90)).await;
    }
    close(mesh).await;
}

async fn unplugged(weather: Weather) {
    let network = Network::new();
    let line = network.line().await;
    let (name, link) = (network.name().to_owned(), line.clone());
    let draft = weather.mesh(&NODES).node("a", move |node| node.in_network(&name));
    let mut mesh = draft.with(move |setup| setup.link("a", &link)).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    network.unplug();
    mesh.fault(&format!("the cable of a is out for {PARTITION:?}"));
    mesh.release();
    receipt(&mesh, round, "a").await;
    tokio::time::sleep(PARTITION).await;
    network.plug();
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}
