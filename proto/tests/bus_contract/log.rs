//! What the log takes, what it recognises, and what it refuses.

use std::time::Duration;

use landfall_proto::bus::{BusRefusal, LogSettings, Published, Told};
use landfall_proto::subject::{Role, Topic};
use tokio::time::Instant;

use super::world::{PATIENCE, World, agent, at, count, facts, facts_of, make_log, node, read_facts, sized_fact};

pub(crate) async fn what_is_published_is_read_in_order(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&facts_of("a"), &facts("a", 0..300)).await;
    for (index, told) in told.iter().enumerate() {
        assert_eq!(*told, Told::Done(Published { seq: index as u64 + 1, duplicate: false }));
    }
    let mut reader = coordinator.read_log(0);
    let mut seen = 0;
    while seen < 300 {
        let Told::Done(batch) = reader.next_batch(64, Duration::from_secs(2)).await else { continue };
        assert!(batch.messages.len() <= 64);
        for entry in &batch.messages {
            let (topic, envelope) = entry.fact().unwrap();
            assert_eq!((entry.seq, envelope.seq, topic), (seen + 1, seen, Topic::NodeFact(node("a"))));
            seen += 1;
        }
        assert!(batch.log.last_seq >= seen);
    }
}

pub(crate) async fn a_repeated_id_is_done_and_stands_once(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let first = bus.publish_facts(&facts_of("a"), &facts("a", 0..1)).await;
    let again = bus.publish_facts(&facts_of("a"), &facts("a", 0..2)).await;
    assert_eq!(first, [Told::Done(Published { seq: 1, duplicate: false })]);
    assert_eq!(again[0], Told::Done(Published { seq: 1, duplicate: true }));
    assert_eq!(again[1], Told::Done(Published { seq: 2, duplicate: false }));
    assert_eq!(count(&coordinator).await, 2);
}

pub(crate) async fn an_id_that_the_log_forgot_stands_twice(world: &mut World) {
    let coordinator = world.forgetful_coordinator().await;
    let bus = world.connect(agent("a")).await;
    assert!(bus.publish_facts(&facts_of("a"), &facts("a", 0..1)).await[0].is_done());
    world.forget_duplicates();
    let until = Instant::now() + PATIENCE;
    let again = loop {
        match bus.publish_facts(&facts_of("a"), &facts("a", 0..1)).await[0].clone() {
            Told::Done(published) if published.duplicate => assert!(Instant::now() < until, "it never forgets"),
            told => break told,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(again, Told::Done(Published { seq: 2, duplicate: false }), "the same fact at a second position");
    let seen = read_facts(&mut coordinator.read_log(0), 2).await;
    assert_eq!(seen, [(1, 0), (2, 0)], "whoever reads has to recognise it");
}

pub(crate) async fn an_oversized_fact_is_refused(world: &mut World) {
    let _coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&facts_of("a"), &[sized_fact("a", 0, 70_000)]).await;
    assert!(matches!(told[0], Told::Refused(BusRefusal::TooLong { .. })), "{told:?}");
    let told = bus.publish_facts(&facts_of("a"), &[sized_fact("a", 1, 64_000)]).await;
    assert!(told[0].is_done(), "the longest permitted fact fits: {told:?}");
}

pub(crate) async fn facts_without_a_log_are_refused(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&facts_of("a"), &facts("a", 0..1)).await;
    let Told::Refused(refusal) = &told[0] else { panic!("{told:?}") };
    assert!(matches!(refusal, BusRefusal::NoLog { .. }) && refusal.is_temporary(), "{told:?}");
}

pub(crate) async fn a_full_log_refuses_and_keeps(world: &mut World) {
    let settings = LogSettings { max_bytes: Some(16 * 1024), ..world.settings() };
    let coordinator = world.coordinator_with(&settings).await;
    let bus = world.connect(agent("a")).await;
    let mut kept = 0;
    let refusal = loop {
        assert!(kept < 64, "sixteen kilobytes hold no sixty-four facts of a kilobyte");
        match bus.publish_facts(&facts_of("a"), &[sized_fact("a", kept, 1000)]).await[0].clone() {
            Told::Done(_) => kept += 1,
            Told::Refused(refusal) => break refusal,
            Told::Unknown => panic!("a full log says so"),
        }
    };
    assert!(matches!(refusal, BusRefusal::LogFull { .. }) && refusal.is_temporary(), "{refusal:?}");
    assert!(kept >= 8, "it has room for more than {kept}");
    let again = bus.publish_facts(&facts_of("a"), &[sized_fact("a", 0, 1000)]).await;
    assert_eq!(again, [Told::Done(Published { seq: 1, duplicate: true })], "what stands there is still recognised");
    let seen = read_facts(&mut coordinator.read_log(0), usize::try_from(kept).unwrap()).await;
    assert_eq!(seen.first(), Some(&(1, 0)), "the oldest made no room");
    assert_eq!(count(&coordinator).await, kept);
}

pub(crate) async fn the_log_is_made_once_and_found_again(world: &mut World) {
    let first = world.connect(Role::Coordinator).await;
    make_log(&first, &world.settings()).await;
    let made = first.log_info().await.done().unwrap();
    let holder = at(Topic::CoordinatorFact("main".parse().unwrap()));
    assert!(first.publish_facts(&holder, &facts("main", 0..1)).await[0].is_done());
    let second = world.connect(Role::Coordinator).await;
    let found = second.ensure_log(&world.settings()).await.done().unwrap();
    assert_eq!((found.state.created, found.state.last_seq), (made.state.created, 1));
    let operator = world.connect(Role::Operator).await;
    assert_eq!(operator.log_info().await.done().unwrap().state.last_seq, 1);
}
