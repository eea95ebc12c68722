//! Messages that are wrong, foreign, old or too many, and a node that loses its right to speak.

use std::time::Duration;

use landfall_proto::bus::{Seed, Signer};
use landfall_proto::codec::{FACT_BYTES_MAX, decode, encode};
use landfall_proto::command::{Action, Answer, COMMAND_KIND, Command};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{CommandId, Incarnation};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::view::RunState;

use super::links::receipt;
use super::stores::raw;
use crate::live::bus::{cluster, node, routine, run_of};
use crate::live::cluster::HOLDER;
use crate::live::raw::Raw;
use crate::live::wait::{seconds, until};
use crate::live::{Fact, fresh_id, now};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, TASK};

/// Messages that a coordinator finds when it comes back.
const BACKLOG: u64 = 20_000;

/// Messages that are published before their acknowledgements are waited for.
const WINDOW: u64 = 500;

/// How long a node is without its key.
const REVOKED: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "permission-revoked",
            "A node's key is taken out of the bus's permissions while its run ends.",
            |weather| Box::pin(revoked(weather)),
        ),
        Case::new(
            "publish-right-lost",
            "A node hears everything and may say nothing while its run ends, and gets its right back.",
            |weather| Box::pin(muted(weather)),
        ),
        Case::new(
            "forged-fact",
            "A node speaks in another node's name, on its own subject and on the other's.",
            |weather| Box::pin(forged(weather)),
        ),
        Case::new("replayed-command", "A command that was obeyed is sent again, twenty times.", |weather| {
            Box::pin(replayed(weather))
        }),
        Case::new(
            "poison",
            "Messages that nobody can read, and messages that are too long, on every subject.",
            |weather| Box::pin(poison(weather)),
        ),
        Case::new(
            "backlog",
            "A coordinator comes back to twenty thousand messages in the middle of a round.",
            |weather| Box::pin(backlog(weather)),
        ),
    ]
}

async fn revoked(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.complaints_allowed = true;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    let user = mesh.cluster.bus.revoke("a");
    mesh.fault(&format!("the bus no longer knows the key of a, for {REVOKED:?}"));
    mesh.release();
    receipt(&mesh, round, "a").await;
    let run = run_of(round, "a", TaskKind::Backup);
    tokio::time::sleep(REVOKED).await;
    assert!(mesh.cluster.operator.log().reports(run).is_empty(), "expected no word of a while it may not speak");
    mesh.cluster.bus.permit(user);
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

async fn muted(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.complaints_allowed = true;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        mesh.cluster.bus.mute("a");
        mesh.fault(&format!("the bus takes no word of a, for {REVOKED:?}"));
        mesh.release();
        receipt(&mesh, round, "a").await;
        tokio::time::sleep(REVOKED).await;
        let run = run_of(round, "a", TaskKind::Backup);
        assert!(mesh.cluster.operator.log().reports(run).is_empty(), "expected no word of a while it may not speak");
        let view = mesh.cluster.operator.run(round, "a").await;
        assert_ne!(view.state, RunState::Failed, "expected that silence is no failure");
        mesh.cluster.bus.unmute();
        mesh.verdict(round, seconds(90)).await;
    }
    close(mesh).await;
}

async fn forged(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.complaints_allowed = true;
    let first = mesh.open(TASK).await;
    mesh.verdict(first, seconds(60)).await;
    let mut thief = raw(&mesh, "node-b").await;
    let log = mesh.cluster.operator.log();
    let (_, _, finished) = log.runs_finished()[0];
    let mut lie = finished.clone();
    lie.report.outcome = landfall_proto::report::Outcome::Failed;
    let identity = Identity { writer: "a".to_owned(), incarnation: Incarnation(fresh_id()), seq: 0 };
    let envelope = Envelope::fact(identity, "run_finished", now(), encode(&lie));
    let foreign = Subject::new(&cluster(), Topic::NodeFact(node("a"))).to_string();
    thief.send(&foreign, encode(&envelope)).await;
    let complaint = thief.complaint("that b writes on the subject of a").await;
    mesh.fault(&format!("b lies about a on a's subject: {complaint}"));
    let own = Subject::new(&cluster(), Topic::NodeFact(node("b"))).to_string();
    thief.send(&own, encode(&envelope)).await;
    mesh.fault("b lies about a on its own subject");
    until("the lie is refused by name", seconds(15), async || {
        let status = mesh.cluster.operator.status().await?;
        status.refused.get("wrong_writer").is_some_and(|count| *count > 0).then_some(())
    })
    .await;
    let view = mesh.cluster.operator.run(first, "a").await;
    assert_eq!(view.state, RunState::Ok, "expected that nobody believed it: {view:?}");
    let second = mesh.open(TASK).await;
    mesh.verdict(second, seconds(60)).await;
    close(mesh).await;
}

async fn replayed(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    let round = mesh.open(TASK).await;
    mesh.verdict(round, seconds(60)).await;
    let thief = raw(&mesh, "coordinator").await;
    let log = mesh.cluster.operator.log();
    let run = run_of(round, "a", TaskKind::Backup);
    let dispatched = log.dispatched().into_iter().find(|(_, dispatched)| dispatched.run == run);
    let (_, dispatched) = dispatched.unwrap_or_else(|| panic!("expected that run {run} was dispatched"));
    let command = Command {
        id: dispatched.command,
        audience: node("a"),
        holder: HOLDER.parse().expect("it is a name"),
        epoch: dispatched.epoch,
        issued_at: now(),
        not_after: now() + jiff::SignedDuration::from_secs(20),
        action: Action::Start { run, round, routine: routine(TASK), slot: None, task: TaskKind::Backup },
    };
    for number in 0..20 {
        // The same command, and then one under another id that asks for the same run.
        let id = if number < 10 { command.id } else { CommandId(fresh_id()) };
        let answer = say(&mesh, &thief, &Command { id, ..command.clone() }).await;
        assert!(
            matches!(answer, Answer::AlreadyDone | Answer::Refused { .. }),
            "expected that a run which has ended is not begun again: {answer:?}"
        );
    }
    mesh.fault("a command that was obeyed is sent twenty times more");
    assert_eq!(mesh.works["a"].begun(run), 1, "expected that the program of run {run} began once");
    let second = mesh.open(TASK).await;
    mesh.verdict(second, seconds(60)).await;
    close(mesh).await;
}

async fn say(mesh: &Mesh, thief: &Raw, command: &Command) -> Answer {
    let seed: Seed = std::fs::read_to_string(mesh.cluster.seed("signing"))
        .expect("the seeds are drawn")
        .parse()
        .expect("a seed that was drawn is a seed");
    let reply_to = format!("{}.{}", Role::Coordinator.inbox_prefix(), fresh_id());
    let mut replies = thief.client.subscribe(reply_to.clone()).await.expect("a coordinator may hear answers");
    let identity = Identity { writer: HOLDER.to_owned(), incarnation: Incarnation(fresh_id()), seq: 0 };
    let body = encode(&Signer::from_seed(&seed).sign(command));
    let envelope = Envelope::fact(identity, COMMAND_KIND, now(), body);
    let subject = Subject::new(&cluster(), Topic::Command(command.audience.clone())).to_string();
    let sent = thief.client.publish_with_reply(subject, reply_to, encode(&envelope).into()).await;
    assert!(sent.is_ok(), "expected that the command leaves: {sent:?}");
    let reply = tokio::time::timeout(seconds(5), futures::StreamExt::next(&mut replies)).await;
    let reply = reply.ok().flatten().unwrap_or_else(|| panic!("expected an answer to {command:?}"));
    let envelope: Envelope = decode(&reply.payload, FACT_BYTES_MAX).expect("an agent's answer can be read");
    decode(&envelope.body, FACT_BYTES_MAX).expect("an agent's answer can be read")
}

async fn poison(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.complaints_allowed = true;
    let (agent, coordinator) = (raw(&mesh, "node-a").await, raw(&mesh, "coordinator").await);
    let holder = HOLDER.parse().expect("it is a name");
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        for bytes in poisons(&mut mesh) {
            let length = bytes.len();
            agent.send(&Subject::new(&cluster(), Topic::NodeFact(node("a"))).to_string(), bytes.clone()).await;
            agent.send(&Subject::new(&cluster(), Topic::Beat(node("a"))).to_string(), bytes.clone()).await;
            for topic in [
                Topic::CoordinatorFact(Clone::clone(&holder)),
                Topic::Command(node("a")),
                Topic::Sync(node("a")),
                Topic::Beacon,
            ] {
                coordinator.send(&Subject::new(&cluster(), topic).to_string(), bytes.clone()).await;
            }
            mesh.fault(&format!("{length} bytes of poison on every subject"));
        }
        mesh.release();
        mesh.verdict(round, seconds(60)).await;
    }
    let log = mesh.cluster.operator.log();
    assert!(log.0.iter().any(|seen| matches!(seen.fact, Fact::Refused(_))), "expected that some of it reached the log");
    close(mesh).await;
}

/// Nothing, noise, arrays deeper than any stack, and what is longer than a fact may be.
fn poisons(mesh: &mut Mesh) -> Vec<Vec<u8>> {
    let mut noise = || {
        let length = 1 + usize::try_from(mesh.weather.dice.below(2000)).unwrap_or(0);
        crate::live::source::noise(mesh.weather.dice.roll(), length)
    };
    vec![Vec::new(), noise(), noise(), noise(), vec![0x91; 60_000], vec![0x91; 200_000]]
}

async fn backlog(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    mesh.cluster.kill_coordinator();
    mesh.cluster.bus.permit_administrator();
    let administrator = raw(&mesh, "administrator").await;
    let context = async_nats::jetstream::new(administrator.client.clone());
    let subject =
        Subject::new(&cluster(), Topic::CoordinatorFact("ballast".parse().expect("it is a name"))).to_string();
    let incarnation = Incarnation(fresh_id());
    let mut waiting = Vec::new();
    for seq in 0..BACKLOG {
        let identity = Identity { writer: "ballast".to_owned(), incarnation, seq };
        let envelope = Envelope::fact(identity, "ballast", now(), vec![0x5a; 400]);
        let sent = context.publish(subject.clone(), encode(&envelope).into()).await;
        waiting.push(sent.unwrap_or_else(|error| panic!("the bus takes messages: {error}")));
        if seq % WINDOW == WINDOW - 1 {
            for acknowledgement in waiting.drain(..) {
                acknowledgement.await.unwrap_or_else(|error| panic!("the bus stores messages: {error}"));
            }
        }
    }
    mesh.fault(&format!("the coordinator is gone while {BACKLOG} messages are stored"));
    mesh.release();
    let begun = tokio::time::Instant::now();
    mesh.cluster.start_coordinator();
    mesh.verdict(round, seconds(120)).await;
    mesh.say(&format!("the verdict came {:.1} s after the coordinator's start", begun.elapsed().as_secs_f64()));
    close(mesh).await;
}
