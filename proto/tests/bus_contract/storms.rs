//! What is left after the bus, its disk or the wire failed: nothing lost, nothing doubled, nothing called a failure that is unknown.

use std::time::Duration;

use landfall_proto::bus::{BusRefusal, LogReader, Published, Told};
use landfall_proto::subject::{Role, Topic};
use tokio::time::Instant;

use super::world::{
    PATIENCE, World, agent, at, count, facts, facts_of, make_log, message, node, publish_all, read, read_facts,
    say_until_read,
};

pub(crate) async fn a_reader_goes_on_after_the_bus_died(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let all = facts("a", 0..200);
    let mut reader = coordinator.read_log(0);
    publish_all(&bus, &facts_of("a"), &all[..100]).await;
    let mut seen = read_facts(&mut reader, 50).await;
    world.kill();
    let _ = bus.publish_facts(&facts_of("a"), &all[100..]).await;
    world.revive();
    publish_all(&bus, &facts_of("a"), &all[100..]).await;
    while seen.last().map(|(seq, _)| *seq) != Some(200) {
        seen.extend(read_facts(&mut reader, 1).await);
    }
    let (positions, mut told): (Vec<u64>, Vec<u64>) = seen.into_iter().unzip();
    assert!(positions.into_iter().eq(1..=200), "a gap, a repeat or another order");
    // What waited in the client may stand before what was lost with the connection and was told again.
    assert!(told[..100].iter().copied().eq(0..100), "before the break nothing waited");
    told.sort_unstable();
    assert!(told.into_iter().eq(0..200), "each stands once");
    assert_eq!(count(&coordinator).await, 200);
}

pub(crate) async fn a_lost_disk_is_said_and_not_read_over(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..5)).await;
    let mut reader = coordinator.read_log(0);
    read(&mut reader, 5).await;
    world.kill();
    world.lose_disk();
    world.revive();
    assert!(coordinator.wait_up(PATIENCE).await);
    make_log(&coordinator, &world.settings()).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 100..110)).await;
    assert_eq!(loss_told(&mut reader).await, BusRefusal::LogReplaced);
    let again = reader.next_batch(64, Duration::from_millis(50)).await;
    assert_eq!(again, Told::Refused(BusRefusal::LogReplaced), "only a fresh reader reads on");
}

pub(crate) async fn a_paused_bus_makes_facts_unknown_and_each_stands_once(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let mut reader = coordinator.read_log(0);
    publish_all(&bus, &facts_of("a"), &facts("a", 0..1)).await;
    assert_eq!(read(&mut reader, 1).await, [1]);

    world.freeze();
    let begin = Instant::now();
    let told = bus.publish_facts(&facts_of("a"), &facts("a", 1..4)).await;
    assert_eq!(told, vec![Told::Unknown; 3]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    world.thaw();

    let mut seen = say_until_read(&bus, &facts_of("a"), &facts("a", 1..5), &mut reader).await;
    if !world.has_several_servers() {
        assert_eq!(seen, [(2, 1), (3, 2), (4, 3), (5, 4)]);
    }
    seen.sort_unstable_by_key(|(_, written)| *written);
    assert_eq!(seen.iter().map(|(_, written)| *written).collect::<Vec<_>>(), [1, 2, 3, 4], "each stands once");
    assert_eq!(count(&coordinator).await, 5, "each stands once");
}

pub(crate) async fn what_was_asked_of_a_paused_bus_is_heard_later(world: &mut World) {
    let coordinator = world.connect(Role::Coordinator).await;
    let bus = world.connect(agent("a")).await;
    let command = at(Topic::Command(node("a")));
    let mut inbox = bus.serve(&command.to_string(), &Role::Coordinator).await.done().unwrap();
    // Until the subscription is known everywhere.
    while !coordinator.request(&command, &message("heard"), Duration::from_millis(300)).await.is_unknown() {}
    assert_eq!(inbox.next().await.unwrap().envelope().unwrap().body, b"heard");

    world.freeze();
    let told = coordinator.request(&command, &message("late"), Duration::from_millis(300)).await;
    assert_eq!(told, Told::Unknown);
    world.thaw();
    let late = tokio::time::timeout(PATIENCE, inbox.next()).await.unwrap().unwrap();
    assert_eq!(late.envelope().unwrap().body, b"late", "unknown means that it may happen yet");
}

pub(crate) async fn a_torn_tail_is_said_and_its_positions_are_given_again(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..9)).await;
    let mut reader = coordinator.read_log(0);
    read(&mut reader, 9).await;
    let created = coordinator.log_info().await.done().unwrap().state.created;
    world.kill();
    world.tear_tail(4);
    world.revive();
    assert!(coordinator.wait_up(PATIENCE).await && bus.wait_up(PATIENCE).await);
    let left = count(&coordinator).await;
    assert!((1..9).contains(&left), "{left} of 9 are left");
    let BusRefusal::LogRewound { after: 9, last_seq } = loss_told(&mut reader).await else { panic!("another loss") };
    assert_eq!(last_seq, left);
    let again = bus.publish_facts(&facts_of("a"), &facts("a", left..left + 1)).await;
    assert_eq!(again, [Told::Done(Published { seq: left + 1, duplicate: false })], "the lost id is forgotten too");
    let info = coordinator.log_info().await.done().unwrap();
    assert_eq!(info.state.created, created, "nothing else shows that it is not the log that it was");
}

pub(crate) async fn a_tail_that_grew_again_is_said_too(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let (watcher, wire) = world.wired(Role::Operator).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..9)).await;
    let mut reader = watcher.read_log(0);
    read(&mut reader, 9).await;
    wire.shut(true);
    world.kill();
    world.tear_tail(4);
    world.revive();
    publish_all(&bus, &facts_of("a"), &facts("a", 100..120)).await;
    assert!(count(&coordinator).await > 9, "the reader's position exists again, with something else in it");
    wire.shut(false);
    assert!(matches!(loss_told(&mut reader).await, BusRefusal::LogRewound { after: 9, .. }));
    let again = reader.next_batch(64, Duration::from_millis(50)).await;
    assert!(matches!(again, Told::Refused(BusRefusal::LogRewound { .. })), "only a fresh reader reads on");
}

/// What the reader says of a loss; it must not deliver anything before.
async fn loss_told(reader: &mut LogReader) -> BusRefusal {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the loss was never told");
        match reader.next_batch(64, Duration::from_millis(500)).await {
            Told::Done(batch) => assert!(batch.messages.is_empty(), "read over the loss: {batch:?}"),
            Told::Refused(refusal) if !refusal.is_temporary() => return refusal,
            Told::Refused(_) | Told::Unknown => {}
        }
    }
}
