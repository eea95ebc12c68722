//! The link: nothing blocks while it is away, its end is noticed, and what it broke off is harmless to repeat.

use std::time::Duration;

use landfall_proto::bus::{PUBLISH_WINDOW, Published, Told};
use landfall_proto::subject::{Role, Topic};
use tokio::time::Instant;

use super::world::{PATIENCE, World, agent, at, count, facts, facts_of, message, node, publish_all, read_facts};

pub(crate) async fn telling_never_blocks_while_the_bus_is_away(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    world.kill();
    let begin = Instant::now();
    for _ in 0..10_000 {
        bus.tell(&at(Topic::Beat(node("a"))), &message("beat"));
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

pub(crate) async fn publishing_returns_at_once_while_the_bus_is_away(world: &mut World) {
    let _coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    world.kill();
    let until = Instant::now() + PATIENCE;
    while bus.is_up() {
        assert!(Instant::now() < until, "the loss was never noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begin = Instant::now();
    let told = bus.publish_facts(&facts_of("a"), &facts("a", 0..100)).await;
    assert_eq!(told, vec![Told::Unknown; 100]);
    let told = bus.request(&at(Topic::Beat(node("a"))), &message("q"), PATIENCE).await;
    assert_eq!(told, Told::Unknown);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

pub(crate) async fn the_bus_reports_whose_client_went_away(world: &mut World) {
    let mut gone = world.disconnects().await;
    let until = Instant::now() + PATIENCE;
    loop {
        // The report's way may not be open yet when the first client goes.
        assert!(Instant::now() < until, "nobody was reported");
        let operator = world.connect(Role::Operator).await;
        let bus = world.connect(agent("b")).await;
        drop(operator);
        drop(bus);
        if let Ok(reported) = tokio::time::timeout(Duration::from_secs(2), gone.next()).await {
            assert_eq!(reported, Some(node("b")), "and not the operator");
            break;
        }
    }
}

pub(crate) async fn a_lost_confirmation_is_unknown_and_its_repeat_harmless(world: &mut World) {
    let coordinator = world.coordinator().await;
    let (bus, wire) = world.wired(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..1)).await;
    wire.lose_confirmation();
    let publisher = bus.clone();
    let publishing = tokio::spawn(async move { publisher.publish_facts(&facts_of("a"), &facts("a", 1..3)).await });
    let until = Instant::now() + PATIENCE;
    while count(&coordinator).await < 2 {
        assert!(Instant::now() < until, "it never arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wire.cut();
    assert_eq!(publishing.await.unwrap(), vec![Told::Unknown; 2]);
    assert!(bus.wait_up(PATIENCE).await);
    let again = bus.publish_facts(&facts_of("a"), &facts("a", 1..2)).await;
    assert_eq!(again, [Told::Done(Published { seq: 2, duplicate: true })]);
    publish_all(&bus, &facts_of("a"), &facts("a", 0..4)).await;
    assert_eq!(read_facts(&mut coordinator.read_log(0), 4).await, [(1, 0), (2, 1), (3, 2), (4, 3)]);
    assert_eq!(count(&coordinator).await, 4);
}

/// What waits in the client when a connection breaks leaves on the next one, before what was lost with the old one is
/// repeated. So a fact may overtake others, by one window for each break; whoever reads has to put them in order.
pub(crate) async fn facts_of_one_writer_stand_once_over_broken_links_and_overtake_by_little(world: &mut World) {
    const FACTS: u64 = 1500;
    const BREAKS_MS: [u64; 8] = [70, 20, 110, 5, 160, 40, 90, 10];
    let coordinator = world.coordinator().await;
    let (bus, wire) = world.wired(agent("a")).await;
    let storm = tokio::spawn(async move {
        for wait_ms in BREAKS_MS {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            wire.cut();
        }
        wire
    });
    publish_all(&bus, &facts_of("a"), &facts("a", 0..FACTS)).await;
    let _wire = storm.await.unwrap();
    let seen = read_facts(&mut coordinator.read_log(0), usize::try_from(FACTS).unwrap()).await;
    let furthest = seen.iter().map(|(position, seq)| (position - 1).abs_diff(*seq)).max().unwrap();
    assert!(furthest <= (BREAKS_MS.len() * PUBLISH_WINDOW) as u64, "a fact overtook {furthest} others");
    let mut each: Vec<u64> = seen.iter().map(|(_, seq)| *seq).collect();
    each.sort_unstable();
    assert_eq!(each, (0..FACTS).collect::<Vec<u64>>(), "each stands once");
    assert_eq!(count(&coordinator).await, FACTS);
}
