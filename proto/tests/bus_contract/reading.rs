//! Following the log from a cursor.

use std::time::Duration;

use landfall_proto::bus::{BusRefusal, Told};
use landfall_proto::subject::stream_name;
use tokio::time::Instant;

use super::world::{PATIENCE, World, agent, cluster, facts, facts_of, publish_all, read};

pub(crate) async fn a_reader_from_a_cursor_sees_the_next_fact(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..10)).await;
    assert_eq!(read(&mut coordinator.read_log(7), 3).await, [8, 9, 10]);
}

pub(crate) async fn a_reader_waits_for_what_is_not_there_yet(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let mut reader = coordinator.read_log(0);
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the reader never reached the log");
        if let Told::Done(batch) = reader.next_batch(10, Duration::from_millis(300)).await {
            assert!(batch.messages.is_empty());
            break;
        }
    }
    let waiting = tokio::spawn(async move { read(&mut reader, 1).await });
    publish_all(&bus, &facts_of("a"), &facts("a", 0..1)).await;
    assert_eq!(waiting.await.unwrap(), [1]);
}

pub(crate) async fn a_log_made_again_is_said_and_not_read_over(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..5)).await;
    let mut reader = coordinator.read_log(0);
    read(&mut reader, 5).await;
    world.replace_log(&coordinator).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 100..110)).await;
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "that it is another log was never told");
        match reader.next_batch(64, Duration::from_millis(500)).await {
            Told::Refused(BusRefusal::LogReplaced) => break,
            Told::Done(batch) => assert!(batch.messages.is_empty(), "read over the loss: {batch:?}"),
            Told::Refused(_) | Told::Unknown => {}
        }
    }
    let again = reader.next_batch(64, Duration::from_millis(50)).await;
    assert_eq!(again, Told::Refused(BusRefusal::LogReplaced), "only a fresh reader reads on");
    assert_eq!(read(&mut coordinator.read_log(0), 10).await.len(), 10);
}

pub(crate) async fn a_reader_whose_consumer_was_taken_away_goes_on(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let mut reader = coordinator.read_log(0);
    publish_all(&bus, &facts_of("a"), &facts("a", 0..5)).await;
    read(&mut reader, 5).await;
    for round in 1..4 {
        let jetstream = world.real().administrator().await;
        let stream = jetstream.get_stream(stream_name(&cluster())).await.unwrap();
        let names: Vec<String> = futures::TryStreamExt::try_collect(stream.consumer_names()).await.unwrap();
        for name in names {
            // The reader itself may have been faster with the one before.
            let _ = stream.delete_consumer(&name).await;
        }
        publish_all(&bus, &facts_of("a"), &facts("a", round * 5..round * 5 + 5)).await;
        assert_eq!(read(&mut reader, 5).await[0], round * 5 + 1, "neither a gap nor a repeat");
    }
}

/// Every way to stop reading: dropped, its link broken, its server gone. What the reader cannot take away itself the server
/// forgets after a while.
pub(crate) async fn no_consumer_is_left_behind(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..3)).await;
    for _ in 0..5 {
        let mut reader = coordinator.read_log(0);
        read(&mut reader, 3).await;
        drop(reader);
    }
    for _ in 0..3 {
        let other = world.connect(landfall_proto::subject::Role::Operator).await;
        let mut reader = other.read_log(0);
        read(&mut reader, 3).await;
        drop(other);
        drop(reader);
    }
    let mut reader = coordinator.read_log(0);
    read(&mut reader, 3).await;
    let until = Instant::now() + PATIENCE;
    loop {
        let left = world.real().consumers().await;
        if left == 1 {
            break;
        }
        assert!(Instant::now() < until, "{left} consumers for one reader");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
