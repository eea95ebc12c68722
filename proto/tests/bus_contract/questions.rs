//! Questions and their answers: once, in time, to those who asked.

use std::time::Duration;

use landfall_proto::bus::{Bus, BusRefusal, Inbox, Told};
use landfall_proto::envelope::Envelope;
use landfall_proto::subject::{Role, Subject, Topic};
use tokio::time::Instant;

use super::world::{PATIENCE, World, agent, at, message, node};

fn command() -> Subject {
    at(Topic::Command(node("a")))
}

/// A coordinator, a node that listens for its commands, and the inbox where they come.
async fn both(world: &World) -> (Bus, Bus, Inbox) {
    let coordinator = world.connect(Role::Coordinator).await;
    let bus = world.connect(agent("a")).await;
    let inbox = bus.serve(&command().to_string(), &Role::Coordinator).await.done().unwrap();
    (coordinator, bus, inbox)
}

/// Asks until somebody hears it: a subscription takes a moment to reach every server.
async fn ask(bus: &Bus, text: &str, timeout: Duration) -> Told<Envelope> {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the subscription never came to be");
        match bus.request(&command(), &message(text), timeout).await {
            Told::Refused(BusRefusal::NobodyListens { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            told => return told,
        }
    }
}

pub(crate) async fn a_question_is_answered_once(world: &mut World) {
    let (coordinator, _bus, mut inbox) = both(world).await;
    let serving = tokio::spawn(async move {
        let incoming = inbox.next().await.unwrap();
        assert_eq!(incoming.topic().unwrap(), Topic::Command(node("a")));
        let question = incoming.envelope().unwrap();
        assert!(incoming.reply(&message("yes")).await.is_done());
        assert!(incoming.reply(&message("yes again")).await.is_done(), "it leaves, and reaches nobody");
        question.body
    });
    let answer = ask(&coordinator, "question", PATIENCE).await.done().unwrap();
    assert_eq!(answer.body, b"yes");
    assert_eq!(serving.await.unwrap(), b"question");
}

pub(crate) async fn a_question_that_nobody_answers_ends_unknown_in_time(world: &mut World) {
    let (coordinator, _bus, mut inbox) = both(world).await;
    let begin = Instant::now();
    let told = ask(&coordinator, "question", Duration::from_millis(500)).await;
    assert_eq!(told, Told::Unknown);
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(inbox.next().await.unwrap().envelope().unwrap().body, b"question", "it was heard all the same");
}

pub(crate) async fn a_question_that_nobody_hears_is_refused(world: &mut World) {
    let coordinator = world.connect(Role::Coordinator).await;
    let told = coordinator.request(&command(), &message("q"), PATIENCE).await;
    let Told::Refused(refusal) = &told else { panic!("{told:?}") };
    assert!(matches!(refusal, BusRefusal::NobodyListens { .. }) && refusal.is_temporary(), "{told:?}");
}

pub(crate) async fn a_late_answer_is_unknown_and_answers_nothing_else(world: &mut World) {
    let (coordinator, _bus, mut inbox) = both(world).await;
    let told = ask(&coordinator, "first", Duration::from_millis(500)).await;
    assert_eq!(told, Told::Unknown);
    let first = inbox.next().await.unwrap();
    let asking = tokio::spawn(async move { ask(&coordinator, "second", PATIENCE).await });
    let second = inbox.next().await.unwrap();
    assert!(first.reply(&message("to the first")).await.is_done(), "who answers cannot know that nobody waits");
    assert!(second.reply(&message("to the second")).await.is_done());
    assert_eq!(asking.await.unwrap().done().unwrap().body, b"to the second");
}

pub(crate) async fn an_answer_to_a_foreign_address_is_not_given(world: &mut World) {
    let (coordinator, bus, _inbox) = both(world).await;
    let mut inbox = bus.serve(&command().to_string(), &Role::Operator).await.done().unwrap();
    let serving = tokio::spawn(async move { inbox.next().await.unwrap().reply(&message("yes")).await });
    let told = ask(&coordinator, "q", Duration::from_millis(500)).await;
    assert_eq!(told, Told::Unknown);
    // The first subscription may have been alone when the question came.
    while !serving.is_finished() {
        assert_eq!(ask(&coordinator, "q", Duration::from_millis(500)).await, Told::Unknown);
    }
    assert!(matches!(serving.await.unwrap(), Told::Refused(BusRefusal::ReplySubject { .. })));
}

pub(crate) async fn questions_end_at_once_when_the_bus_dies(world: &mut World) {
    let (coordinator, _bus, mut inbox) = both(world).await;
    let asking = tokio::spawn(async move {
        let begin = Instant::now();
        (ask(&coordinator, "question", PATIENCE).await, begin.elapsed())
    });
    let _question = inbox.next().await.unwrap();
    world.kill();
    let (told, waited) = asking.await.unwrap();
    assert_eq!(told, Told::Unknown, "it was heard, and whether it was obeyed is not known");
    assert!(waited < PATIENCE / 2, "{waited:?}");
}
