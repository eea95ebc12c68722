//! Who may say and hear what, enforced by the bus and not by good manners.

use std::time::Duration;

use landfall_proto::bus::{Bus, BusRefusal, Told};
use landfall_proto::subject::{Filter, Role, Subject, Topic};
use tokio::time::Instant;

use super::world::{PATIENCE, World, agent, at, cluster, count, facts, facts_of, message, node};

const NOT_PERMITTED: &str = "a refusal for want of permission";

pub(crate) async fn a_question_that_is_not_permitted_is_refused(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    let begin = Instant::now();
    let told = bus.request(&at(Topic::Command(node("b"))), &message("q"), PATIENCE).await;
    assert!(matches!(told, Told::Refused(BusRefusal::NotPermitted { .. })), "{told:?}");
    assert!(begin.elapsed() < PATIENCE / 2, "the refusal is told when it comes");
    assert_eq!(bus.health().denials_total, 1);
}

pub(crate) async fn a_node_speaks_only_in_its_own_name(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&facts_of("b"), &facts("b", 0..3)).await;
    assert!(matches!(told[0], Told::Refused(BusRefusal::NotPermitted { .. })), "{told:?}");
    assert!(told.iter().all(|told| !told.is_done()));
    assert_eq!(count(&coordinator).await, 0);
}

pub(crate) async fn a_node_cannot_read_the_log(world: &mut World) {
    let _coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let info = bus.log_info().await;
    assert!(matches!(info, Told::Refused(BusRefusal::NotPermitted { .. })), "{info:?}");
    let mut reader = bus.read_log(0);
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the refusal was never told");
        match reader.next_batch(10, Duration::from_millis(500)).await {
            Told::Refused(BusRefusal::NotPermitted { .. }) => return,
            Told::Unknown => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn a_forbidden_subscription_ends(world: &mut World) {
    let node_bus = world.connect(agent("a")).await;
    let operator = world.connect(Role::Operator).await;
    for (bus, filter) in [
        (&node_bus, Filter::Facts.of(&cluster())),
        (&node_bus, at(Topic::Command(node("b"))).to_string()),
        (&node_bus, at(Topic::Sync(node("b"))).to_string()),
        (&operator, at(Topic::Command(node("a"))).to_string()),
        (&operator, Filter::Control.of(&cluster())),
    ] {
        let mut inbox = bus.listen(&filter).await.done().unwrap();
        let end = tokio::time::timeout(PATIENCE, inbox.next()).await;
        assert!(end.unwrap().is_none(), "{filter}");
        let denials = bus.health().denials;
        assert!(denials.iter().any(|denial| denial.subscription && denial.subject == filter), "{filter}: {denials:?}");
    }
}

pub(crate) async fn nobody_speaks_for_another(world: &mut World) {
    let coordinator = world.coordinator().await;
    let operator = world.connect(Role::Operator).await;
    let bus = world.connect(agent("a")).await;
    let holder = || Topic::CoordinatorFact("main".parse().unwrap());
    for (speaker, topic) in [(&coordinator, Topic::NodeFact(node("a"))), (&operator, holder()), (&bus, holder())] {
        let subject = at(topic);
        let told = speaker.publish_facts(&subject, &facts("a", 0..1)).await;
        assert!(matches!(told[0], Told::Refused(BusRefusal::NotPermitted { .. })), "{subject}: {told:?}");
    }
    for topic in [Topic::Command(node("a")), Topic::Sync(node("a")), Topic::Beacon] {
        is_not_told(&operator, &at(topic)).await;
    }
    for topic in [Topic::Beat(node("b")), Topic::Beacon, Topic::Control("status".to_owned())] {
        is_not_told(&bus, &at(topic)).await;
    }
    assert_eq!(count(&coordinator).await, 0);
}

/// A message has no answer, so that the refusal stands in the client's health, some time later.
async fn is_not_told(bus: &Bus, subject: &Subject) {
    assert!(bus.tell(subject, &message("in a foreign name")));
    let mut health = bus.watch_health();
    let wanted = subject.to_string();
    let denied = health.wait_for(|health| health.denials.iter().any(|denial| denial.subject == wanted));
    tokio::time::timeout(PATIENCE, denied).await.expect(NOT_PERMITTED).expect(NOT_PERMITTED);
}
