//! What only a real server can do: refuse a key, be unreachable, be of an age, hold a stream of other hands.

use std::time::Duration;

use landfall_proto::bus::{Bus, BusError, BusRefusal, ConnectOptions, LogSettings, Seed, Told};
use landfall_proto::subject::{Filter, Role, Topic, stream_name};
use tokio::time::Instant;

use super::world::{Lane, PATIENCE, Real, World, agent, at, cluster, count, facts, facts_of, message};

pub(crate) async fn the_server_is_of_the_age_that_its_lane_says(world: &mut World) {
    let bus = world.connect(Role::Coordinator).await;
    let version = bus.health().server_version.unwrap();
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).take(2).collect();
    let newest = match world.real().lane {
        Lane::FloorSingle | Lane::FloorCluster => false,
        Lane::NewestSingle | Lane::NewestCluster => true,
    };
    let (major, minor) = (numbers[0], numbers[1]);
    assert!((major, minor) >= (2, 10), "{version} is older than what is supported");
    assert!(!newest || (major, minor) > (2, 10), "{version} is the oldest that is supported, not the newest");
}

pub(crate) async fn two_coordinators_do_not_read_each_others_mail(world: &mut World) {
    let (first, second) = (world.coordinator().await, world.coordinator().await);
    let of = |holder: &str| at(Topic::CoordinatorFact(holder.parse().unwrap()));
    let (one, two) = (of("one"), of("two"));
    let (facts_one, facts_two) = (facts("one", 0..100), facts("two", 0..100));
    let (told_one, told_two) =
        tokio::join!(first.publish_facts(&one, &facts_one), second.publish_facts(&two, &facts_two));
    assert!(told_one.iter().chain(&told_two).all(Told::is_done));
    assert_eq!(count(&first).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_bus_does_not_know_is_refused_with_a_way_out() {
    let mut world = World::on(Lane::FloorSingle).await;
    let url = world.real().servers[0].url();
    let options = ConnectOptions::new(vec![url], agent("a"), cluster(), Seed::generate());
    let begin = Instant::now();
    let error = Bus::connect(options.clone().impatient(Duration::from_secs(5))).await.unwrap_err();
    assert!(matches!(error, BusError::Credentials { .. }), "{error:?}");
    assert!(error.problem().fix.contains("public key"));
    assert!(begin.elapsed() < Duration::from_secs(5));

    let patient = Bus::connect(options).await.unwrap();
    assert!(!patient.wait_up(Duration::from_secs(1)).await);
    let said = patient.health().last_error.unwrap_or_default();
    assert!(said.contains("authorization violation"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_is_told_that_nobody_listens_there_and_a_daemon_waits() {
    let mut world = World::on(Lane::FloorSingle).await;
    let options = world.real().options(agent("a"));
    world.kill();
    let error = Bus::connect(options.clone().impatient(Duration::from_secs(2))).await.unwrap_err();
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
    assert!(error.problem().why.to_lowercase().contains("refused"), "{}", error.problem().why);

    let daemon = Bus::connect(options).await.unwrap();
    let listening = tokio::time::timeout(Duration::from_secs(1), daemon.listen(&at(Topic::Beacon).to_string())).await;
    let mut inbox = listening.unwrap().done().unwrap();
    world.revive();
    assert!(daemon.wait_up(PATIENCE).await);
    let coordinator = world.connect(Role::Coordinator).await;
    let telling = async {
        loop {
            coordinator.tell(&at(Topic::Beacon), &message("here"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let heard = tokio::select! {
        heard = tokio::time::timeout(PATIENCE, inbox.next()) => heard,
        () = telling => None.ok_or(()).unwrap(),
    };
    assert_eq!(heard.unwrap().unwrap().envelope().unwrap().body, b"here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_other_hands_is_refused_by_its_differences() {
    let mut world = World::on(Lane::FloorSingle).await;
    let coordinator = world.connect(Role::Coordinator).await;
    let options = world.real().options(Role::Coordinator);
    let foreign = async_nats::ConnectOptions::with_nkey(options.seed.expose().to_owned())
        .custom_inbox_prefix(Role::Coordinator.inbox_prefix())
        .connect(options.urls[0].as_str())
        .await
        .unwrap();
    let config = async_nats::jetstream::stream::Config {
        name: stream_name(&cluster()),
        subjects: vec![Filter::Facts.of(&cluster())],
        ..Default::default()
    };
    async_nats::jetstream::new(foreign).create_stream(config).await.unwrap();
    let told = coordinator.ensure_log(&LogSettings::default()).await;
    let Told::Refused(BusRefusal::LogDiffers { differences, .. }) = told else { panic!("{told:?}") };
    assert!(differences.contains("discard") && differences.contains("deny_purge"), "{differences}");
}

/// Messages a second that the library's own pull consumer reads.
async fn plain_replay(real: &Real, count: u64) -> f64 {
    use async_nats::jetstream::consumer::{AckPolicy, pull};
    use futures::StreamExt;
    let options = real.options(Role::Coordinator);
    let client = async_nats::ConnectOptions::with_nkey(options.seed.expose().to_owned())
        .custom_inbox_prefix(Role::Coordinator.inbox_prefix())
        .connect(options.urls[0].as_str())
        .await
        .unwrap();
    let config = pull::Config { ack_policy: AckPolicy::None, memory_storage: true, ..Default::default() };
    let begin = Instant::now();
    let jetstream = async_nats::jetstream::new(client);
    let consumer = jetstream.create_consumer_on_stream(config, stream_name(&cluster())).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    for _ in 0..count {
        messages.next().await.unwrap().unwrap();
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

/// Prints the numbers behind the budgets; run it by name with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a law"]
async fn measure_latency_and_replay() {
    const FACTS: u64 = 20_000;
    let mut world = World::on(Lane::FloorSingle).await;
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = facts_of("a");
    let begin = Instant::now();
    let told = bus.publish_facts(&subject, &facts("a", 0..FACTS)).await;
    assert!(told.iter().all(Told::is_done));
    println!("publish with ack: {:.0}/s", FACTS as f64 / begin.elapsed().as_secs_f64());

    let begin = Instant::now();
    let mut reader = coordinator.read_log(0);
    let mut seen = 0;
    while seen < FACTS {
        seen +=
            reader.next_batch(1000, Duration::from_secs(5)).await.done().map_or(0, |batch| batch.messages.len() as u64);
    }
    println!("replay: {:.0}/s", FACTS as f64 / begin.elapsed().as_secs_f64());

    println!("plain pull consumer: {:.0}/s", plain_replay(world.real(), FACTS).await);

    let mut waits = Vec::new();
    for seq in FACTS..FACTS + 200 {
        let begin = Instant::now();
        let fact = facts("a", seq..seq + 1);
        let publishing = bus.publish_facts(&subject, &fact);
        let (told, batch) = tokio::join!(publishing, reader.next_batch(10, Duration::from_secs(5)));
        assert!(told[0].is_done() && batch.is_done());
        waits.push(begin.elapsed());
    }
    waits.sort();
    println!("publish to read and acked: p50 {:?}, p99 {:?}", waits[100], waits[197]);
}
