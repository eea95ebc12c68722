//! How fast the coordinator folds what comes, against how fast the bus takes it; and how fast it reads the whole log again.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::jetstream::{self, consumer};
use futures::StreamExt;
use futures::future::try_join_all;
use landfall_proto::bus::{Bus, Told};
use landfall_proto::envelope::Envelope;
use landfall_proto::id::NodeId;
use landfall_proto::subject::{Role, Subject, Topic, stream_name};
use landfall_proto::time::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::clock::now;
use super::load::{FACTS_A_RUN, Writer};
use super::observer::{connect, last_seq};
use super::round_trip::client;
use super::samples::Samples;
use super::table::{Budget, Row, Table, Unit};
use super::{Options, tools};
use crate::live::bus::{cluster, node, routine};
use crate::live::{Cluster, Node, Place, Setup};

const NODES: [&str; 3] = ["a", "b", "c"];

/// How long the coordinator may take for anything here.
const WITHIN: Duration = Duration::from_secs(300);

/// Between two looks at the coordinator's position.
const LOOK: Duration = Duration::from_millis(10);

/// How long one look waits for its answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// How far back the first slot lies, in seconds; a round needs one second of slots.
const SLOTS_AGO_S: i64 = 6 * 3600;

/// Messages asked for at once by the plain consumer.
const PULL_MESSAGES: usize = 1000;

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let mut mesh = start().await;
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let mut writers = Writers::connect(&mesh).await?;
    let rounds = options.rounds as usize;
    let runs = (options.facts / (2 * rounds * NODES.len() * FACTS_A_RUN)).max(1);
    let chunk = runs * NODES.len() * FACTS_A_RUN;

    writers.greet().await?;
    let (mut published, mut folded) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        mesh.kill_coordinator();
        published.push(chunk as f64 / writers.publish(runs).await?);
        mesh.start_coordinator();
        until_folded(&mesh, last_seq(&bus).await?).await?;
        // Decisions about what was published meanwhile come to their end.
        sleep(Duration::from_secs(2)).await;
        folded.push(chunk as f64 / follow(&mesh, &bus, &mut writers, runs).await?);
    }
    sleep(Duration::from_secs(2)).await;
    let (length, mut pulled, mut replayed) = (last_seq(&bus).await?, Samples::default(), Samples::default());
    for round in 0..rounds {
        mesh.kill_coordinator();
        let length = last_seq(&bus).await?;
        pulled.push(length as f64 / pull(&mesh, length).await?);
        let state = mesh.place.path("coordinator/state");
        std::fs::rename(&state, mesh.place.path(&format!("coordinator/state-{round}")))
            .context("the coordinator has a state")?;
        let begun = Instant::now();
        mesh.start_coordinator();
        until_folded(&mesh, length).await?;
        replayed.push(length as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(report(length, chunk, &[published, folded, pulled, replayed]))
}

fn report(length: u64, chunk: usize, [published, folded, pulled, replayed]: &[Samples; 4]) -> Table {
    let conditions = vec![
        format!(
            "a log of {length} facts, published in parts of {chunk} by {} clients with 64 under way each",
            NODES.len()
        ),
        "each fact is on the disk before it is confirmed (sync_interval always)".to_owned(),
    ];
    let mut table = Table::new("fold", conditions);
    let row = |what: &str, samples: &Samples| Row::median(what, Unit::FactsPerSecond, samples);
    table.push(row("bus alone: publish and confirm", published));
    table.push(
        row("published → folded and committed by the coordinator", folded)
            .against("bus alone", published)
            .budget(Budget::AtLeast(0.5)),
    );
    table.push(row("bus alone: plain pull-consume", pulled));
    table.push(
        row("coordinator from nothing → whole log folded, its start included", replayed)
            .against("pull-consume", pulled)
            .budget(Budget::AtLeast(0.5)),
    );
    table
}

async fn start() -> Cluster {
    let place = Place::new("bench-fold");
    let mut mesh = NODES.into_iter().fold(Setup::new(place), |setup, name| setup.node(Node::new(name))).start().await;
    // The nodes' facts come from here.
    NODES.into_iter().for_each(|name| mesh.kill_agent(name));
    mesh
}

/// The three nodes' clients and what they have to say.
struct Writers(Vec<(Bus, Subject, Writer)>);

impl Writers {
    async fn connect(mesh: &Cluster) -> anyhow::Result<Self> {
        let first_slot = Timestamp::from_second(now().as_second() - SLOTS_AGO_S)?;
        let mut writers = Vec::new();
        for name in NODES {
            let id: NodeId = node(name);
            let bus = connect(mesh, Role::Agent(id.clone()), &format!("node-{name}")).await?;
            let subject = Subject::new(&cluster(), Topic::NodeFact(id.clone()));
            writers.push((bus, subject, Writer::new(id, routine("nightly"), first_slot)));
        }
        Ok(Self(writers))
    }

    async fn greet(&mut self) -> anyhow::Result<f64> {
        self.send(|writer| writer.greeting(now())).await
    }

    /// Publishes so many runs of each node; seconds until the last fact is confirmed.
    async fn publish(&mut self, runs: usize) -> anyhow::Result<f64> {
        self.send(|writer| writer.runs(runs, now())).await
    }

    async fn send(&mut self, make: impl Fn(&mut Writer) -> Vec<Envelope>) -> anyhow::Result<f64> {
        let facts: Vec<Vec<Envelope>> = self.0.iter_mut().map(|(_, _, writer)| make(writer)).collect();
        let begun = Instant::now();
        let sent = self.0.iter().zip(&facts).map(|((bus, subject, _), facts)| publish(bus, subject, facts));
        try_join_all(sent).await?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

async fn publish(bus: &Bus, subject: &Subject, facts: &[Envelope]) -> anyhow::Result<()> {
    for told in bus.publish_facts(subject, facts).await {
        match told {
            Told::Done(_) => {}
            Told::Refused(refusal) => return Err(refusal).context("the bus refuses a fact"),
            Told::Unknown => bail!("the bus does not confirm a fact"),
        }
    }
    Ok(())
}

/// Seconds from the first fact's publication until the coordinator has committed the last one.
async fn follow(mesh: &Cluster, bus: &Bus, writers: &mut Writers, runs: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    writers.publish(runs).await?;
    until_folded(mesh, last_seq(bus).await?).await?;
    Ok(begun.elapsed().as_secs_f64())
}

async fn until_folded(mesh: &Cluster, length: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        // A coordinator that has just begun leaves a question unanswered while it does not know who leads.
        let status = timeout(PATIENCE, mesh.operator.status()).await;
        if status.ok().flatten().is_some_and(|status| status.log_seq >= length) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    bail!("expected that the coordinator has folded {length} facts within {WITHIN:?}")
}

/// Seconds in which a plain consumer reads the whole log and does nothing with it.
async fn pull(mesh: &Cluster, length: u64) -> anyhow::Result<f64> {
    let client = client(mesh, &Role::Operator, "operator").await?;
    let begun = Instant::now();
    let config = consumer::pull::Config { ack_policy: consumer::AckPolicy::None, ..Default::default() };
    let consumer = jetstream::new(client)
        .get_stream(stream_name(&cluster()))
        .await?
        .create_consumer(config)
        .await
        .context("a consumer of the log")?;
    let mut messages = consumer.stream().max_messages_per_batch(PULL_MESSAGES).messages().await?;
    for _ in 0..length {
        messages.next().await.context("the log ends early")?.context("the log cannot be read")?;
    }
    Ok(begun.elapsed().as_secs_f64())
}
