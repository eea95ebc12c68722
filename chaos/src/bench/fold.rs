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
use super::{Options, processor, tools};
use crate::live::bus::{cluster, node, routine};
use crate::live::{Cluster, Node, Place, Setup};

const NODES: [&str; 3] = ["a", "b", "c"];

/// How long the coordinator may take for anything here, and for each fact besides.
const WITHIN: Duration = Duration::from_secs(120);
const WITHIN_A_FACT: Duration = Duration::from_micros(300);

/// Between two looks at the coordinator's position.
const LOOK: Duration = Duration::from_millis(10);

/// How long one look waits for its answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// How far back the first slot lies, in seconds, before the seconds that the rounds take: each needs one.
const SLOTS_AGO_S: i64 = 3600;

/// Messages asked for at once by the plain consumer.
const PULL_MESSAGES: usize = 1000;

/// Facts that are folded while they are published; a longer log is made of more of them, unmeasured.
const FOLDED_MAX: usize = 60_000;

/// Runs of each node that are published before the coordinator's decisions about them are waited for.
const RUNS_AT_ONCE: usize = 150;

/// What a run leaves in the log with its share of what is decided about its round, in tenths.
const TENTHS_A_RUN: usize = 10 * FACTS_A_RUN + 7;

/// What the bus may store: a fact takes less than half of this there.
const STORE_BYTES: u64 = 256 << 20;
const STORE_BYTES_A_FACT: u64 = 1024;

/// Between two lines that say how far it is.
const SAID_EVERY: Duration = Duration::from_secs(10);

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let mut mesh = start(options.facts).await;
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let mut writers = Writers::connect(&mesh, options.facts).await?;
    writers.greet().await?;
    let mut course = Course::default();
    let chunk = course.fold(&mut mesh, &bus, &mut writers, options).await?;
    let length = fill(&mesh, &bus, &mut writers, options.facts).await?;
    for round in 0..options.rounds {
        course.read_again(&mut mesh, &bus, round).await?;
        progress(format_args!("read again {} of {} times", round + 1, options.rounds));
    }
    Ok(report(length, chunk, &course))
}

/// What was measured: rates in facts a second, times in seconds, processor time in milliseconds for a thousand facts, memory in
/// MiB.
#[derive(Default)]
struct Course {
    published: Samples,
    folded: Samples,
    pulled: Samples,
    pulled_s: Samples,
    pulled_cpu: Samples,
    rebuilt: Samples,
    replayed: Samples,
    rebuilt_cpu: Samples,
    rebuilt_peak: Samples,
    restarted_s: Samples,
    restarted_peak: Samples,
}

impl Course {
    /// Publishes without and with a coordinator; returns how many facts each time.
    async fn fold(
        &mut self,
        mesh: &mut Cluster,
        bus: &Bus,
        writers: &mut Writers,
        options: &Options,
    ) -> anyhow::Result<usize> {
        let rounds = options.rounds as usize;
        let runs = (options.facts.min(FOLDED_MAX) / (2 * rounds * NODES.len() * FACTS_A_RUN)).max(1);
        let chunk = runs * NODES.len() * FACTS_A_RUN;
        for _ in 0..rounds {
            mesh.kill_coordinator();
            self.published.push(chunk as f64 / writers.publish(runs).await?);
            mesh.start_coordinator();
            until_folded(mesh, last_seq(bus).await?).await?;
            // Decisions about what was published meanwhile come to their end.
            sleep(Duration::from_secs(2)).await;
            self.folded.push(chunk as f64 / follow(mesh, bus, writers, runs).await?);
        }
        sleep(Duration::from_secs(2)).await;
        Ok(chunk)
    }

    /// Reads the whole log three times: by a consumer that does nothing, by a coordinator that knows nothing, and by the same one
    /// when it knows everything.
    async fn read_again(&mut self, mesh: &mut Cluster, bus: &Bus, round: u32) -> anyhow::Result<()> {
        mesh.kill_coordinator();
        let length = last_seq(bus).await?;
        let (own, thousands) = (std::process::id(), length as f64 / 1000.0);
        let before = processor::time(own)?;
        let pulled_s = pull(mesh, length).await?;
        self.pulled_cpu.push((processor::time(own)? - before) / thousands);
        self.pulled.push(length as f64 / pulled_s);
        self.pulled_s.push(pulled_s);
        let state = mesh.place.path("coordinator/state");
        std::fs::rename(&state, mesh.place.path(&format!("coordinator/state-{round}")))
            .context("the coordinator has a state")?;
        let start = started(mesh, length).await?;
        self.rebuilt.push(length as f64 / start.whole_s);
        start.pace.into_iter().for_each(|pace| self.replayed.push(pace));
        self.rebuilt_cpu.push(processor::time(mesh.coordinator().id())? / thousands);
        // Snapshots and what else follows a rebuild are not part of a restart.
        sleep(Duration::from_secs(15)).await;
        self.rebuilt_peak.push(processor::peak(mesh.coordinator().id())?);
        std::fs::remove_dir_all(mesh.place.path(&format!("coordinator/state-{round}")))?;
        mesh.kill_coordinator();
        self.restarted_s.push(started(mesh, last_seq(bus).await?).await?.whole_s);
        self.restarted_peak.push(processor::peak(mesh.coordinator().id())?);
        Ok(())
    }
}

/// How a coordinator came to the log's end.
struct Start {
    /// Seconds from the start of its process until it answers and has folded so much.
    whole_s: f64,
    /// Facts in a second between the first and the last place on the way that its figures showed, where they showed two.
    pace: Option<f64>,
}

async fn started(mesh: &mut Cluster, length: u64) -> anyhow::Result<Start> {
    let (begun, starts) = (Instant::now(), mesh.pages().len());
    mesh.start_coordinator();
    let mut places: Vec<(Instant, u64)> = Vec::new();
    let looking = async {
        loop {
            if let Some(folded) = folded(mesh, starts).await
                && places.last().is_none_or(|(_, before)| folded > *before)
                && folded < length
            {
                places.push((Instant::now(), folded));
            }
            sleep(LOOK * 5).await;
        }
    };
    tokio::select! {
        done = until_folded(mesh, length) => done?,
        () = looking => {}
    }
    let whole_s = begun.elapsed().as_secs_f64();
    let pace = |((from, first), (to, last)): (&(Instant, u64), &(Instant, u64))| {
        let span = (*to - *from).as_secs_f64();
        (last > first).then(|| (last - first) as f64 / span)
    };
    Ok(Start { whole_s, pace: places.first().zip(places.last()).and_then(pace) })
}

/// How far a coordinator is that began after so many others: its figures say it while nobody leads and no question is answered.
async fn folded(mesh: &Cluster, starts: usize) -> Option<u64> {
    let figures =
        reqwest::get(format!("http://{}/metrics", mesh.pages().get(starts)?)).await.ok()?.text().await.ok()?;
    figures.lines().find_map(|line| line.strip_prefix("landfall_log_position ")?.parse().ok())
}

/// Makes the log so long, with everything that the coordinator decides about it.
async fn fill(mesh: &Cluster, bus: &Bus, writers: &mut Writers, facts: usize) -> anyhow::Result<u64> {
    let mut said_at = Instant::now();
    loop {
        let length = last_seq(bus).await?;
        let left = facts.saturating_sub(usize::try_from(length)?);
        if left == 0 {
            return Ok(length);
        }
        if said_at.elapsed() > SAID_EVERY {
            said_at = Instant::now();
            progress(format_args!("the log holds {length} of {facts} facts"));
        }
        writers.publish((10 * left / (TENTHS_A_RUN * NODES.len())).clamp(1, RUNS_AT_ONCE)).await?;
        let mut before = 0;
        while before != last_seq(bus).await? {
            before = last_seq(bus).await?;
            until_folded(mesh, before).await?;
        }
    }
}

fn progress(what: std::fmt::Arguments<'_>) {
    eprintln!("fold: {what}");
}

fn report(length: u64, chunk: usize, course: &Course) -> Table {
    let conditions = vec![
        format!(
            "a log of {length} facts; of them folded as they came: parts of {chunk} by {} clients with 64 under way each",
            NODES.len()
        ),
        "each fact is on the disk before it is confirmed (sync_interval always)".to_owned(),
        format!("below {}", std::env::temp_dir().display()),
    ];
    let mut table = Table::new("fold", conditions);
    let row = |what: &str, unit, samples: &Samples| Row::median(what, unit, samples);
    let (rate, mebibytes) = (Unit::FactsPerSecond, Unit::Mebibytes);
    table.push(row("bus alone: publish and confirm", rate, &course.published));
    table.push(
        row("published → folded and committed by the coordinator", rate, &course.folded)
            .against("bus alone", &course.published)
            .budget(Budget::AtLeast(0.5)),
    );
    table.push(row("bus alone: plain pull-consume", rate, &course.pulled));
    table.push(
        row("coordinator from nothing → whole log folded and committed, its start included", rate, &course.rebuilt)
            .against("pull-consume", &course.pulled)
            .budget(Budget::AtLeast(0.5)),
    );
    // A short log is over before its coordinator has shown two places of it.
    if course.replayed.len() > 0 {
        table.push(
            row("the replay by itself, between two places on the way", rate, &course.replayed)
                .against("pull-consume", &course.pulled)
                .budget(Budget::AtLeast(0.5)),
        );
    }
    table.push(
        row("its processor time for a thousand facts", Unit::Milliseconds, &course.rebuilt_cpu)
            .against("pull-consume", &course.pulled_cpu),
    );
    table.push(row("its peak memory, its first snapshot included", mebibytes, &course.rebuilt_peak));
    table.push(
        row("coordinator killed with the whole log in its ledger → answers", Unit::Seconds, &course.restarted_s)
            .against("pull-consume", &course.pulled_s),
    );
    table.push(row("its peak memory", mebibytes, &course.restarted_peak));
    table
}

async fn start(facts: usize) -> Cluster {
    let setup =
        Setup::new(Place::new("bench-fold")).store_bytes_max(STORE_BYTES + STORE_BYTES_A_FACT * facts as u64).pages();
    let mut mesh = NODES.into_iter().fold(setup, |setup, name| setup.node(Node::new(name))).start().await;
    // The nodes' facts come from here.
    NODES.into_iter().for_each(|name| mesh.kill_agent(name));
    mesh
}

/// The three nodes' clients and what they have to say.
struct Writers(Vec<(Bus, Subject, Writer)>);

impl Writers {
    /// `facts` is how many there will be at most.
    async fn connect(mesh: &Cluster, facts: usize) -> anyhow::Result<Self> {
        let seconds = i64::try_from(facts / (NODES.len() * FACTS_A_RUN))?;
        let first_slot = Timestamp::from_second(now().as_second() - SLOTS_AGO_S - seconds)?;
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

pub(super) async fn until_folded(mesh: &Cluster, length: u64) -> anyhow::Result<()> {
    let within = WITHIN + WITHIN_A_FACT * u32::try_from(length)?;
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        // A coordinator that has just begun leaves a question unanswered while it does not know who leads.
        let status = timeout(PATIENCE, mesh.operator.status()).await;
        if status.ok().flatten().is_some_and(|status| status.log_seq >= length) {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    bail!("expected that the coordinator has folded {length} facts within {within:?}")
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
