//! Messages that are wrong in every way, and clients that try what is not theirs.

use landfall_chaos::live::bus::{cluster, node, run_of};
use landfall_chaos::live::cluster::HOLDER;
use landfall_chaos::live::raw::{Raw, is_open_to_anybody};
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Cluster, Fact, Gate, Node, Place, Setup, fresh_id, now};
use landfall_proto::bus::{Seed, Signer};
use landfall_proto::codec::{FACT_BYTES_MAX, encode};
use landfall_proto::command::{Action, Answer, COMMAND_KIND, Command, Refused};
use landfall_proto::control::{REQUEST_KIND, Request};
use landfall_proto::envelope::{Envelope, Epoch, Identity};
use landfall_proto::id::{CommandId, Incarnation, RoundId, RunId};
use landfall_proto::live::{BEACON_KIND, BEAT_KIND, SYNC_KIND};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::{Role, Subject, Topic, stream_name};
use landfall_proto::verdict::VerdictKind;

use crate::table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_messages_on_every_subject_are_counted_by_name_and_stop_nothing() {
    let mesh = two_nodes("wrong-messages").await;
    let url = mesh.bus.url();
    let agent = Raw::connect(&url, &mesh.seed("node-a")).await;
    let operator = Raw::connect(&url, &mesh.seed("operator")).await;
    let coordinator = Raw::connect(&url, &mesh.seed("coordinator")).await;
    let garbage = || vec![0xc1, 0xff, 0x00, 0x93];

    for bytes in wrong_facts() {
        agent.send(&at(Topic::NodeFact(node("a"))), bytes).await;
    }
    coordinator.send(&at(Topic::CoordinatorFact(HOLDER.parse().unwrap())), garbage()).await;
    let run = RunId(fresh_id());
    for topic in [Topic::Beat(node("a")), Topic::Live(node("a"), run), Topic::Out(node("a"), run)] {
        agent.send(&at(topic.clone()), garbage()).await;
        agent.send(&at(topic.clone()), encode(&message("b", BEAT_KIND, garbage()))).await;
        agent.send(&at(topic), encode(&message("a", "from_the_future", garbage()))).await;
    }
    for verb in ["status", "start", "teleport"] {
        operator.send(&at(Topic::Control(verb.to_owned())), garbage()).await;
        operator
            .send(
                &at(Topic::Control(verb.to_owned())),
                encode(&message("operator", REQUEST_KIND, encode(&Request::Limits))),
            )
            .await;
        operator.send(&at(Topic::Control(verb.to_owned())), vec![0x91; 200_000]).await;
    }
    for (topic, kind) in
        [(Topic::Command(node("a")), COMMAND_KIND), (Topic::Sync(node("a")), SYNC_KIND), (Topic::Beacon, BEACON_KIND)]
    {
        coordinator.send(&at(topic.clone()), garbage()).await;
        coordinator.send(&at(topic.clone()), encode(&message(HOLDER, kind, garbage()))).await;
        coordinator.send(&at(topic), vec![0x91; 200_000]).await;
    }

    let names = ["malformed", "too_long", "left_over", "protocol", "wrong_writer", "wrong_id", "wrong_kind"];
    until(&format!("the refusals {names:?} are counted, and the kind from the future too"), seconds(15), async || {
        let status = mesh.operator.status().await?;
        let all = names.iter().all(|name| status.refused.get(*name).is_some_and(|count| *count > 0));
        (all && status.unknown_kinds.contains_key("run_teleported")).then_some(())
    })
    .await;
    let round = mesh.operator.start("task").await;
    let detail = mesh.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected that nothing stops: {}", table(&detail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_nobody_trusted_has_signed_is_refused_with_its_reason() {
    let mesh = two_nodes("forged").await;
    // An agent knows an epoch from the commands it obeyed.
    let first = mesh.operator.start("task").await;
    mesh.operator.verdict(first, seconds(25)).await;
    let coordinator = Raw::connect(&mesh.bus.url(), &mesh.seed("coordinator")).await;
    let true_seed: Seed = std::fs::read_to_string(mesh.seed("signing")).unwrap().parse().unwrap();
    let stranger = Seed::generate();
    let start = |audience: &str, not_after, term| {
        let round = RoundId(fresh_id());
        let run = run_of(round, audience, TaskKind::Backup);
        let routine = "task".parse().unwrap();
        Command {
            id: CommandId(fresh_id()),
            audience: node(audience),
            holder: HOLDER.parse().unwrap(),
            epoch: Epoch { era: 0, term },
            issued_at: now(),
            not_after,
            action: Action::Start { run, round, routine, slot: None, task: TaskKind::Backup },
        }
    };
    let soon = now() + jiff::SignedDuration::from_secs(30);
    let past = now() - jiff::SignedDuration::from_secs(30);
    let cases = [
        ("signed by a stranger", &stranger, start("a", soon, 1), Refused::Signature),
        ("meant for another node", &true_seed, start("b", soon, 1), Refused::WrongAudience),
        ("too old", &true_seed, start("a", past, 1), Refused::Expired),
        ("of a lower epoch", &true_seed, start("a", soon, 0), Refused::StaleEpoch),
    ];
    for (what, seed, command, expected) in cases {
        let reply_to = format!("{}.{}", Role::Coordinator.inbox_prefix(), fresh_id());
        let mut replies = coordinator.client.subscribe(reply_to.clone()).await.unwrap();
        let body = encode(&message(HOLDER, COMMAND_KIND, encode(&Signer::from_seed(seed).sign(&command))));
        coordinator.client.publish_with_reply(at(Topic::Command(node("a"))), reply_to, body.into()).await.unwrap();
        let reply = tokio::time::timeout(seconds(5), futures::StreamExt::next(&mut replies)).await;
        let reply = reply.ok().flatten().unwrap_or_else(|| panic!("expected an answer to a command {what}"));
        let envelope: Envelope = landfall_proto::codec::decode(&reply.payload, FACT_BYTES_MAX).unwrap();
        let answer: Answer = landfall_proto::codec::decode(&envelope.body, FACT_BYTES_MAX).unwrap();
        assert!(
            matches!(answer, Answer::Refused { reason, .. } if reason == expected),
            "expected {expected:?} for a command {what}: {answer:?}"
        );
    }
    // An agent that answered anywhere could be made to write in another node's name.
    let forged =
        encode(&message(HOLDER, COMMAND_KIND, encode(&Signer::from_seed(&true_seed).sign(&start("b", soon, 1)))));
    let foreign = at(Topic::NodeFact(node("b")));
    coordinator.client.publish_with_reply(at(Topic::Command(node("a"))), foreign, forged.into()).await.unwrap();
    let second = mesh.operator.start("task").await;
    mesh.operator.verdict(second, seconds(25)).await;
    let log = mesh.operator.log();
    assert!(log.0.iter().all(|seen| !matches!(seen.fact, Fact::Refused(_))), "expected no answer in the log");
    assert_eq!(log.runs_started().len(), 4, "expected the runs of the two rounds and no other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_refuses_clients_without_a_key_and_nodes_that_touch_what_is_not_theirs() {
    let mesh = two_nodes("refused").await;
    let url = mesh.bus.url();
    assert!(!is_open_to_anybody(&url).await, "expected that nobody is let in without a key");

    let mut agent = Raw::connect(&url, &mesh.seed("node-a")).await;
    let run = RunId(fresh_id());
    let foreign = [
        Topic::NodeFact(node("b")),
        Topic::CoordinatorFact(HOLDER.parse().unwrap()),
        Topic::Command(node("b")),
        Topic::Sync(node("b")),
        Topic::Beacon,
        Topic::Beat(node("b")),
        Topic::Live(node("b"), run),
        Topic::Control("start".to_owned()),
    ];
    for topic in foreign {
        let subject = at(topic);
        agent.send(&subject, b"x".to_vec()).await;
        let complaint = agent.complaint(&format!("that node a writes to {subject}")).await;
        assert!(complaint.contains(&subject), "expected a complaint about {subject}: {complaint}");
    }
    for topic in [
        Topic::Command(node("b")),
        Topic::Sync(node("b")),
        Topic::NodeFact(node("b")),
        Topic::Control("start".to_owned()),
    ] {
        let subject = at(topic);
        let _subscription = agent.client.subscribe(subject.clone()).await.unwrap();
        let complaint = agent.complaint(&format!("that node a listens to {subject}")).await;
        assert!(complaint.contains(&subject), "expected a complaint about {subject}: {complaint}");
    }
    let mut context = async_nats::jetstream::new(agent.client.clone());
    context.set_timeout(seconds(1));
    assert!(
        context.delete_stream(stream_name(&cluster())).await.is_err(),
        "expected that node a cannot delete the log"
    );
    let log = mesh.operator.log();
    assert!(
        log.0.iter().all(|seen| !matches!(seen.fact, Fact::Refused(_))),
        "expected that nothing foreign reached the log"
    );
}

/// Facts that node `a` may send and nobody should believe, one for each way to be wrong.
fn wrong_facts() -> Vec<Vec<u8>> {
    let fact = |writer: &str, kind: &str| {
        let identity = Identity { writer: writer.to_owned(), incarnation: Incarnation(fresh_id()), seq: 0 };
        Envelope::fact(identity, kind, now(), vec![0x80])
    };
    let mut left_over = encode(&fact("a", "agent_started"));
    left_over.push(0);
    let mut too_long = fact("a", "run_finished");
    too_long.body = vec![0; FACT_BYTES_MAX];
    let too_old = Envelope { protocol: 0, ..fact("a", "agent_started") };
    let wrong_id = Envelope { id: fresh_id(), ..fact("a", "agent_started") };
    vec![
        Vec::new(),
        vec![0xc1; 40],
        // Arrays in arrays, deeper than any stack.
        vec![0x91; 60_000],
        left_over,
        encode(&too_long),
        encode(&too_old),
        encode(&wrong_id),
        encode(&fact("b", "agent_started")),
        encode(&fact("a", "run_finished")),
        encode(&fact("a", "leader_claimed")),
        encode(&fact("a", "run_teleported")),
    ]
}

fn message(writer: &str, kind: &str, body: Vec<u8>) -> Envelope {
    let identity = Identity { writer: writer.to_owned(), incarnation: Incarnation(fresh_id()), seq: 0 };
    Envelope::fact(identity, kind, now(), body)
}

fn at(topic: Topic) -> String {
    Subject::new(&cluster(), topic).to_string()
}

async fn two_nodes(story: &str) -> Cluster {
    let place = Place::new(story);
    let gates = ["a", "b"].map(|name| (name, Gate::new(&place, name)));
    gates.iter().for_each(|(_, gate)| gate.open());
    let setup = gates.iter().fold(Setup::new(place), |setup, (name, gate)| {
        setup.node(Node::new(name).plan(gate.plan("task")).target(gate.target()))
    });
    setup.start().await
}
