//! Three servers with three copies of the log: what survives the loss of one, and what nobody may say without two.

use std::time::Duration;

use landfall_proto::bus::Told;
use tokio::time::Instant;

use super::world::{PATIENCE, World, agent, count, facts, facts_of, publish_all, read_facts};

pub(crate) async fn one_of_three_dies_and_publishing_goes_on(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let mut reader = coordinator.read_log(0);
    publish_all(&bus, &facts_of("a"), &facts("a", 0..20)).await;
    let mut seen = read_facts(&mut reader, 20).await;
    let leader = world.real().log_leader().await;
    world.real().servers[leader].kill();
    publish_all(&bus, &facts_of("a"), &facts("a", 20..40)).await;
    seen.extend(read_facts(&mut reader, 20).await);
    world.real().start_all();
    // One that has not caught up would be a second loss, not the next one.
    world.real().copies_settled().await;
    let other = (world.real().log_leader().await + 1) % 3;
    world.real().servers[other].kill();
    publish_all(&bus, &facts_of("a"), &facts("a", 40..60)).await;
    seen.extend(read_facts(&mut reader, 20).await);
    let wanted: Vec<(u64, u64)> = (0..60).map(|seq| (seq + 1, seq)).collect();
    assert_eq!(seen, wanted);
}

pub(crate) async fn two_of_three_die_and_nothing_is_said_to_have_failed(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..20)).await;
    let leader = world.real().log_leader().await;
    // The leader survives in one lane's life and a follower in the other's: both are said in one story.
    for survivor in [leader, (leader + 1) % 3] {
        for server in (0..3).filter(|server| *server != survivor) {
            world.real().servers[server].kill();
        }
        let begin = Instant::now();
        let mut next = 20;
        while begin.elapsed() < Duration::from_secs(4) {
            assert!(bus.wait_up(PATIENCE).await, "one server is left to connect to");
            let told = bus.publish_facts(&facts_of("a"), &facts("a", next..next + 1)).await;
            match &told[0] {
                Told::Unknown => {}
                Told::Refused(refusal) => {
                    assert!(refusal.is_temporary(), "{refusal:?}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // What had been handed to a second server before it died may stand.
                Told::Done(_) => next += 1,
            }
        }
        assert!(next < 40, "one copy alone accepts nothing");
        world.real().start_all();
        world.real().copies_settled().await;
    }
    publish_all(&bus, &facts_of("a"), &facts("a", 0..40)).await;
    let mut seen = read_facts(&mut coordinator.read_log(0), 40).await;
    seen.sort_by_key(|(_, seq)| *seq);
    let each: Vec<u64> = seen.iter().map(|(_, seq)| *seq).collect();
    assert_eq!(each, (0..40).collect::<Vec<u64>>(), "each once");
    assert_eq!(count(&coordinator).await, 40);
}

pub(crate) async fn a_torn_copy_is_healed_by_the_other_two(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    publish_all(&bus, &facts_of("a"), &facts("a", 0..30)).await;
    let mut reader = coordinator.read_log(0);
    let mut seen = read_facts(&mut reader, 30).await;
    let torn = (world.real().log_leader().await + 1) % 3;
    world.real().servers[torn].kill();
    world.real().tear(torn);
    publish_all(&bus, &facts_of("a"), &facts("a", 30..40)).await;
    world.real().start_all();
    publish_all(&bus, &facts_of("a"), &facts("a", 40..60)).await;
    seen.extend(read_facts(&mut reader, 30).await);
    let wanted: Vec<(u64, u64)> = (0..60).map(|seq| (seq + 1, seq)).collect();
    assert_eq!(seen, wanted);
    assert_eq!(count(&coordinator).await, 60);
}
