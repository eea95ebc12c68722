//! The laws that both buses keep.

use std::time::Duration;

use landfall_proto::bus::{BusRefusal, LogSettings, MemoryBus, Published, Told};
use landfall_proto::subject::{Filter, Role, Topic};
use tokio::time::Instant;

use super::world::{World, agent, at, cluster, facts, message, node, read, sized_fact};

/// One test on each bus for every law.
macro_rules! laws {
    ($($law:ident)*) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $law() {
                super::$law(&mut super::World::memory()).await;
            })*
        }

        mod on_nats_server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law(&mut super::World::real()).await;
            })*
        }
    };
}

laws! {
    what_is_published_is_read_in_order
    a_repeated_id_is_done_and_stands_once
    a_reader_from_a_cursor_sees_the_next_fact
    a_reader_waits_for_what_is_not_there_yet
    a_question_is_answered_once
    a_question_that_nobody_answers_ends_unknown_in_time
    a_question_that_nobody_hears_is_refused
    a_question_that_is_not_permitted_is_refused
    an_answer_to_a_foreign_address_is_not_given
    a_node_speaks_only_in_its_own_name
    a_node_cannot_read_the_log
    a_forbidden_subscription_ends
    an_oversized_fact_is_refused
    facts_without_a_log_are_refused
    a_reader_goes_on_after_the_bus_died
    a_lost_disk_is_said_and_not_read_over
    telling_never_blocks_while_the_bus_is_away
    publishing_returns_at_once_while_the_bus_is_away
    the_bus_reports_whose_client_went_away
    the_log_is_made_once_and_found_again
}

async fn what_is_published_is_read_in_order(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&at(Topic::NodeFact(node("a"))), &facts("a", 0..300)).await;
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

async fn a_repeated_id_is_done_and_stands_once(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = at(Topic::NodeFact(node("a")));
    let first = bus.publish_facts(&subject, &facts("a", 0..1)).await;
    let again = bus.publish_facts(&subject, &facts("a", 0..2)).await;
    assert_eq!(first, [Told::Done(Published { seq: 1, duplicate: false })]);
    assert_eq!(again[0], Told::Done(Published { seq: 1, duplicate: true }));
    assert_eq!(again[1], Told::Done(Published { seq: 2, duplicate: false }));
    assert_eq!(coordinator.log_info().await.done().unwrap().state.messages, 2);
}

async fn a_reader_from_a_cursor_sees_the_next_fact(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let _ = bus.publish_facts(&at(Topic::NodeFact(node("a"))), &facts("a", 0..10)).await;
    assert_eq!(read(&mut coordinator.read_log(7), 3).await, [8, 9, 10]);
}

async fn a_reader_waits_for_what_is_not_there_yet(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let mut reader = coordinator.read_log(0);
    let mut empty = reader.next_batch(10, Duration::from_millis(300)).await;
    while empty.is_unknown() {
        empty = reader.next_batch(10, Duration::from_millis(300)).await;
    }
    assert!(empty.done().unwrap().messages.is_empty());
    let waiting = tokio::spawn(async move { read(&mut reader, 1).await });
    let _ = bus.publish_facts(&at(Topic::NodeFact(node("a"))), &facts("a", 0..1)).await;
    assert_eq!(waiting.await.unwrap(), [1]);
}

async fn a_question_is_answered_once(world: &mut World) {
    let coordinator = world.connect(Role::Coordinator).await;
    let bus = world.connect(agent("a")).await;
    let command = at(Topic::Command(node("a")));
    let mut inbox = bus.serve(&command.to_string(), &Role::Coordinator).await.done().unwrap();
    let serving = tokio::spawn(async move {
        let incoming = inbox.next().await.unwrap();
        assert_eq!(incoming.topic().unwrap(), Topic::Command(node("a")));
        let question = incoming.envelope().unwrap();
        assert!(incoming.reply(&message("yes")).await.is_done());
        let _ = incoming.reply(&message("yes again")).await;
        question.body
    });
    let answer = ask_until_heard(&coordinator, &command).await;
    assert_eq!(answer.body, b"yes");
    assert_eq!(serving.await.unwrap(), b"question");
}

/// A subscription takes a moment to reach the server.
async fn ask_until_heard(
    bus: &landfall_proto::bus::Bus,
    subject: &landfall_proto::subject::Subject,
) -> landfall_proto::envelope::Envelope {
    for _ in 0..100 {
        match bus.request(subject, &message("question"), Duration::from_secs(3)).await {
            Told::Done(answer) => return answer,
            Told::Refused(BusRefusal::NobodyListens { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("{other:?}"),
        }
    }
    panic!("the subscription never came to be");
}

async fn a_question_that_nobody_answers_ends_unknown_in_time(world: &mut World) {
    let coordinator = world.connect(Role::Coordinator).await;
    let bus = world.connect(agent("a")).await;
    let command = at(Topic::Command(node("a")));
    let mut inbox = bus.serve(&command.to_string(), &Role::Coordinator).await.done().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begin = Instant::now();
    let told = coordinator.request(&command, &message("question"), Duration::from_millis(300)).await;
    assert_eq!(told, Told::Unknown);
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(inbox.next().await.unwrap().envelope().unwrap().body, b"question", "it was heard all the same");
}

async fn a_question_that_nobody_hears_is_refused(world: &mut World) {
    let coordinator = world.connect(Role::Coordinator).await;
    let told = coordinator.request(&at(Topic::Command(node("a"))), &message("q"), Duration::from_secs(3)).await;
    assert!(matches!(told, Told::Refused(BusRefusal::NobodyListens { .. })), "{told:?}");
}

async fn a_question_that_is_not_permitted_is_refused(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    let begin = Instant::now();
    let told = bus.request(&at(Topic::Command(node("b"))), &message("q"), Duration::from_secs(5)).await;
    assert!(matches!(told, Told::Refused(BusRefusal::NotPermitted { .. })), "{told:?}");
    assert!(begin.elapsed() < Duration::from_secs(3), "the refusal is told when it comes");
    assert_eq!(bus.health().denials_total, 1);
}

async fn an_answer_to_a_foreign_address_is_not_given(world: &mut World) {
    let coordinator = world.connect(Role::Coordinator).await;
    let bus = world.connect(agent("a")).await;
    let command = at(Topic::Command(node("a")));
    let mut inbox = bus.serve(&command.to_string(), &Role::Operator).await.done().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let serving = tokio::spawn(async move { inbox.next().await.unwrap().reply(&message("yes")).await });
    let told = coordinator.request(&command, &message("q"), Duration::from_millis(300)).await;
    assert_eq!(told, Told::Unknown);
    assert!(matches!(serving.await.unwrap(), Told::Refused(BusRefusal::ReplySubject { .. })));
}

async fn a_node_speaks_only_in_its_own_name(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&at(Topic::NodeFact(node("b"))), &facts("b", 0..3)).await;
    assert!(matches!(told[0], Told::Refused(BusRefusal::NotPermitted { .. })), "{told:?}");
    assert!(told.iter().all(|told| !told.is_done()));
    assert_eq!(coordinator.log_info().await.done().unwrap().state.messages, 0);
}

async fn a_node_cannot_read_the_log(world: &mut World) {
    let _coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let info = bus.log_info().await;
    assert!(matches!(info, Told::Refused(BusRefusal::NotPermitted { .. })), "{info:?}");
    let mut reader = bus.read_log(0);
    for _ in 0..20 {
        match reader.next_batch(10, Duration::from_millis(500)).await {
            Told::Refused(BusRefusal::NotPermitted { .. }) => return,
            Told::Unknown => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the refusal was never told");
}

async fn a_forbidden_subscription_ends(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    let mut inbox = bus.listen(&Filter::Facts.of(&cluster())).await.done().unwrap();
    let end = tokio::time::timeout(Duration::from_secs(3), inbox.next()).await;
    assert!(end.unwrap().is_none());
    assert!(bus.health().denials.iter().any(|denial| denial.subscription));
}

async fn an_oversized_fact_is_refused(world: &mut World) {
    let _coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = at(Topic::NodeFact(node("a")));
    let told = bus.publish_facts(&subject, &[sized_fact("a", 0, 70_000)]).await;
    assert!(matches!(told[0], Told::Refused(BusRefusal::TooLong { .. })), "{told:?}");
    let told = bus.publish_facts(&subject, &[sized_fact("a", 1, 64_000)]).await;
    assert!(told[0].is_done(), "the longest permitted fact fits: {told:?}");
}

async fn facts_without_a_log_are_refused(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    let told = bus.publish_facts(&at(Topic::NodeFact(node("a"))), &facts("a", 0..1)).await;
    let Told::Refused(refusal) = &told[0] else { panic!("{told:?}") };
    assert!(matches!(refusal, BusRefusal::NoLog { .. }) && refusal.is_temporary(), "{told:?}");
}

async fn a_reader_goes_on_after_the_bus_died(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = at(Topic::NodeFact(node("a")));
    let all = facts("a", 0..200);
    let mut reader = coordinator.read_log(0);
    assert!(bus.publish_facts(&subject, &all[..100]).await.iter().all(Told::is_done));
    assert_eq!(read(&mut reader, 50).await.first(), Some(&1));
    world.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.revive();
    let mut next = 100;
    let deadline = Instant::now() + Duration::from_secs(30);
    while next < all.len() {
        assert!(Instant::now() < deadline, "publishing did not recover: {:?}", bus.health());
        bus.wait_up(Duration::from_secs(5)).await;
        let told = bus.publish_facts(&subject, &all[next..]).await;
        next += told.iter().take_while(|told| told.is_done()).count();
    }
    let mut seqs = Vec::new();
    while seqs.last() != Some(&200) {
        seqs.extend(read(&mut reader, 1).await);
    }
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap or a repeat: {seqs:?}");
    assert_eq!(coordinator.log_info().await.done().unwrap().state.messages, 200);
}

async fn a_lost_disk_is_said_and_not_read_over(world: &mut World) {
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = at(Topic::NodeFact(node("a")));
    let _ = bus.publish_facts(&subject, &facts("a", 0..5)).await;
    let mut reader = coordinator.read_log(0);
    read(&mut reader, 5).await;
    world.kill();
    world.lose_disk();
    world.revive();
    assert!(coordinator.wait_up(Duration::from_secs(20)).await);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !coordinator.ensure_log(&LogSettings::default()).await.is_done() {
        assert!(Instant::now() < deadline, "the log could not be made again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bus.wait_up(Duration::from_secs(20)).await;
    let _ = bus.publish_facts(&subject, &facts("a", 100..110)).await;
    loop {
        assert!(Instant::now() < deadline + Duration::from_secs(20), "the loss was never told");
        match reader.next_batch(64, Duration::from_millis(500)).await {
            Told::Refused(BusRefusal::LogReplaced) => break,
            Told::Done(batch) => assert!(batch.messages.is_empty(), "read over the loss: {batch:?}"),
            Told::Refused(_) | Told::Unknown => {}
        }
    }
    let again = reader.next_batch(64, Duration::from_millis(50)).await;
    assert_eq!(again, Told::Refused(BusRefusal::LogReplaced), "only a fresh reader reads on");
}

async fn telling_never_blocks_while_the_bus_is_away(world: &mut World) {
    let bus = world.connect(agent("a")).await;
    world.kill();
    let begin = Instant::now();
    for _ in 0..10_000 {
        bus.tell(&at(Topic::Beat(node("a"))), &message("beat"));
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

async fn publishing_returns_at_once_while_the_bus_is_away(world: &mut World) {
    let _coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    world.kill();
    for _ in 0..200 {
        if !bus.is_up() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begin = Instant::now();
    let told = bus.publish_facts(&at(Topic::NodeFact(node("a"))), &facts("a", 0..100)).await;
    assert_eq!(told, vec![Told::Unknown; 100]);
    let told = bus.request(&at(Topic::Beat(node("a"))), &message("q"), Duration::from_secs(5)).await;
    assert_eq!(told, Told::Unknown);
    assert!(begin.elapsed() < Duration::from_secs(1));
}

async fn the_bus_reports_whose_client_went_away(world: &mut World) {
    let mut gone = world.disconnects().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let operator = world.connect(Role::Operator).await;
    let bus = world.connect(agent("b")).await;
    drop(operator);
    drop(bus);
    let node_gone = tokio::time::timeout(Duration::from_secs(5), gone.next()).await;
    assert_eq!(node_gone.unwrap(), Some(node("b")), "and not the operator");
}

async fn the_log_is_made_once_and_found_again(world: &mut World) {
    let first = world.connect(Role::Coordinator).await;
    let made = first.ensure_log(&LogSettings::default()).await.done().unwrap();
    let _ = first.publish_facts(&at(Topic::CoordinatorFact("main".parse().unwrap())), &facts("main", 0..1)).await;
    let second = world.connect(Role::Coordinator).await;
    let found = second.ensure_log(&LogSettings::default()).await.done().unwrap();
    assert_eq!((found.state.created, found.state.last_seq), (made.state.created, 1));
    let operator = world.connect(Role::Operator).await;
    assert_eq!(operator.log_info().await.done().unwrap().state.last_seq, 1);
}

#[tokio::test]
async fn a_lost_confirmation_is_unknown_and_its_repeat_a_duplicate() {
    let memory = MemoryBus::new(&cluster());
    let world = World::Memory(memory.clone());
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = at(Topic::NodeFact(node("a")));
    memory.lose_acks(1);
    assert_eq!(bus.publish_facts(&subject, &facts("a", 0..2)).await, vec![Told::Unknown; 2]);
    let again = bus.publish_facts(&subject, &facts("a", 0..2)).await;
    assert_eq!(again[0], Told::Done(Published { seq: 1, duplicate: true }));
    assert_eq!(coordinator.log_info().await.done().unwrap().state.messages, 2);
}

#[tokio::test]
async fn a_torn_tail_is_said_and_a_full_log_refuses() {
    let memory = MemoryBus::new(&cluster());
    let world = World::Memory(memory.clone());
    let coordinator = world.coordinator().await;
    let bus = world.connect(agent("a")).await;
    let subject = at(Topic::NodeFact(node("a")));
    let _ = bus.publish_facts(&subject, &facts("a", 0..5)).await;
    let mut reader = coordinator.read_log(0);
    read(&mut reader, 5).await;
    memory.tear_tail(2);
    let told = reader.next_batch(10, Duration::from_secs(1)).await;
    assert_eq!(told, Told::Refused(BusRefusal::LogRewound { after: 5, last_seq: 3 }));
    let again = bus.publish_facts(&subject, &facts("a", 3..5)).await;
    assert_eq!(again[0], Told::Done(Published { seq: 4, duplicate: false }), "the sequence is handed out again");
    memory.set_full(true);
    let told = bus.publish_facts(&subject, &facts("a", 5..6)).await;
    assert!(matches!(told[0], Told::Refused(BusRefusal::LogFull { .. })));
}

#[tokio::test]
async fn messages_are_lost_or_late_when_told_so() {
    let memory = MemoryBus::new(&cluster());
    let world = World::Memory(memory.clone());
    let coordinator = world.connect(Role::Coordinator).await;
    let bus = world.connect(agent("a")).await;
    let mut beats = coordinator.listen(&Filter::Beats.of(&cluster())).await.done().unwrap();
    let beat = at(Topic::Beat(node("a")));
    memory.lose_messages(1);
    bus.tell(&beat, &message("lost"));
    memory.set_delay(Duration::from_millis(50));
    let begin = Instant::now();
    bus.tell(&beat, &message("late"));
    assert_eq!(beats.next().await.unwrap().envelope().unwrap().body, b"late");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    let mut gone = memory.disconnects();
    memory.set_cut(&agent("a"), true);
    assert_eq!(gone.next().await, Some(node("a")));
    assert!(!bus.tell(&beat, &message("cut off")));
}
