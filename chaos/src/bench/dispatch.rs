//! How fast runs are dispatched, how soon one starts on an idle mesh, and how soon its verdict stands in the log.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::join_all;
use landfall_proto::bus::Bus;
use landfall_proto::control::{Reply, Request};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{NodeId, RoundId, RunId};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::Role;
use landfall_proto::time::Timestamp;
use tokio::time::{Instant, sleep};

use super::clock::{milliseconds, now};
use super::observer::{Observer, connect};
use super::round_trip::{ECHO, RoundTrip};
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, tiny, tools};
use crate::live::bus::{node, routine};
use crate::live::{Cluster, Fact, Node, Place, Seen, Setup, fresh_id};

const NODES: [&str; 3] = ["a", "b", "c"];
const LIMIT: u32 = 20;
const ONE: &str = "one";

/// Between two single starts the mesh comes to rest.
const REST: Duration = Duration::from_millis(50);
const WITHIN: Duration = Duration::from_secs(120);

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let routines: Vec<String> =
        (0..options.runs.div_ceil(NODES.len())).map(|number| format!("tiny-{number}")).collect();
    let mut mesh = start(&routines).await?;
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let round_trip = RoundTrip::connect(&mesh).await?;
    let runs = routines.len() * NODES.len();
    let conditions = vec![
        format!("{runs} runs of a shell's `echo` with its evidence, limit {LIMIT}, {} agents", NODES.len()),
        format!("single starts: {}", options.starts),
        "each fact is on the disk before it counts (sync_interval always)".to_owned(),
    ];
    let mut table = Table::new("dispatch", conditions);
    many(&mut mesh, &bus, &routines, options, &mut table).await?;
    let starts = single(&mesh, &bus, &round_trip, options.starts).await?;
    let by_tool = by_tool(&mesh, &bus, options.starts.div_ceil(4)).await?;
    report(&mut table, &starts, &by_tool);
    Ok(table)
}

async fn start(routines: &[String]) -> anyhow::Result<Cluster> {
    let place = Place::new("bench-dispatch");
    let script = place.script("tiny", tiny::AT_ONCE);
    let one = [ONE.to_owned()];
    let made =
        |name| tiny::node(&place, &script, name, one.iter().chain(routines)).line(&format!("parallel = {LIMIT}"));
    let nodes = NODES.map(made);
    let setup = Setup::new(place).policy(&format!("limits = {{ cluster = {LIMIT}, node = {LIMIT} }}"));
    let mut mesh = nodes.into_iter().fold(setup, Setup::node).node(Node::new(ECHO)).start().await;
    // Only its user of the bus is needed.
    mesh.kill_agent(ECHO);
    sleep(Duration::from_secs(1)).await;
    Ok(mesh)
}

/// All routines at once on all nodes.
async fn many(
    mesh: &mut Cluster,
    bus: &Bus,
    routines: &[String],
    options: &Options,
    table: &mut Table,
) -> anyhow::Result<()> {
    let runs = routines.len() * NODES.len();
    let (mut dispatched, mut finished, mut concluded) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..options.rounds {
        let mut observer = Observer::at_the_end(bus).await?;
        let begun = now();
        let asked = join_all(routines.iter().map(|name| ask(mesh, name, Vec::new())));
        let mut ends = Ends::default();
        let watched = observer.until("all runs and verdicts", WITHIN, |seen| {
            ends.take(seen);
            ends.dispatched >= runs && ends.finished >= runs && ends.concluded >= routines.len()
        });
        let (rounds, watched) = tokio::join!(asked, watched);
        rounds.into_iter().collect::<anyhow::Result<Vec<RoundId>>>()?;
        watched?;
        if ends.bad > 0 {
            bail!("{} of {runs} runs did not end well", ends.bad);
        }
        let rate =
            |count: usize, last: Option<Timestamp>| count as f64 * 1000.0 / milliseconds(begun, last.unwrap_or(begun));
        dispatched.push(rate(runs, ends.last_dispatched));
        finished.push(rate(runs, ends.last_finished));
        concluded.push(rate(runs, ends.last_concluded));
        sleep(Duration::from_secs(2)).await;
    }
    let row = |what: &str, samples: &Samples| Row::median(what, Unit::RunsPerSecond, samples);
    table.push(row("first start asked for → last run dispatched", &dispatched).budget(Budget::AtLeast(100.0)));
    table.push(row("first start asked for → last run finished", &finished).budget(Budget::AtLeast(100.0)));
    table.push(row("first start asked for → last verdict", &concluded));
    Ok(())
}

/// What the log said so far.
#[derive(Default)]
struct Ends {
    dispatched: usize,
    finished: usize,
    concluded: usize,
    bad: usize,
    last_dispatched: Option<Timestamp>,
    last_finished: Option<Timestamp>,
    last_concluded: Option<Timestamp>,
    seen: BTreeSet<RunId>,
}

impl Ends {
    fn take(&mut self, seen: &Seen) {
        if let Some((_, AgentFact::RunFinished(finished))) = seen.agent()
            && self.seen.insert(finished.about.run)
        {
            self.finished += 1;
            self.bad += usize::from(!finished.report.outcome.is_good());
            self.last_finished = Some(seen.at);
        }
        match seen.coordinator() {
            Some(CoordinatorFact::Dispatched(_)) => {
                self.dispatched += 1;
                self.last_dispatched = Some(seen.at);
            }
            Some(CoordinatorFact::RoundConcluded(_)) => {
                self.concluded += 1;
                self.last_concluded = Some(seen.at);
            }
            Some(_) | None => {}
        }
    }
}

async fn ask(mesh: &Cluster, name: &str, nodes: Vec<NodeId>) -> anyhow::Result<RoundId> {
    let request = Request::Start {
        routine: routine(name),
        nodes,
        task: TaskKind::Backup,
        by: "bench".to_owned(),
        request: fresh_id(),
    };
    match mesh.operator.ask(&request).await {
        Some(Reply::Opened { round }) => Ok(round),
        Some(other) => bail!("expected a round of {name}, and the coordinator said {other:?}"),
        None => bail!("expected a round of {name}, and the coordinator said nothing"),
    }
}

/// Single starts on an idle mesh, in milliseconds.
#[derive(Default)]
struct Starts {
    round_trip: Samples,
    answered: Samples,
    dispatched: Samples,
    started: Samples,
    judged: Samples,
}

async fn single(mesh: &Cluster, bus: &Bus, round_trip: &RoundTrip, count: usize) -> anyhow::Result<Starts> {
    let mut starts = Starts::default();
    let mut observer = Observer::at_the_end(bus).await?;
    for number in 0..count {
        sleep(REST).await;
        starts.round_trip.push(round_trip.measure().await?);
        let begun = now();
        let clock = Instant::now();
        ask(mesh, ONE, vec![node(NODES[number % NODES.len()])]).await?;
        starts.answered.push(clock.elapsed().as_secs_f64() * 1000.0);
        let life = Life::watch(&mut observer).await?;
        starts.dispatched.push(milliseconds(begun, life.dispatched));
        starts.started.push(milliseconds(begun, life.started));
        starts.judged.push(milliseconds(life.finished, life.concluded));
    }
    Ok(starts)
}

/// When each step of the only run under way was read from the log, which is a little later than it was stored; the bus's
/// own times come in whole milliseconds, and that is too coarse here.
struct Life {
    dispatched: Timestamp,
    started: Timestamp,
    finished: Timestamp,
    concluded: Timestamp,
}

impl Life {
    async fn watch(observer: &mut Observer) -> anyhow::Result<Self> {
        let (mut dispatched, mut started, mut finished, mut concluded) = (None, None, None, None);
        observer
            .until("one run and its verdict", WITHIN, |seen| {
                match &seen.fact {
                    Fact::Coordinator(CoordinatorFact::Dispatched(_)) => dispatched = Some(now()),
                    Fact::Agent(_, AgentFact::RunStarted(_)) => started = Some(now()),
                    Fact::Agent(_, AgentFact::RunFinished(_)) => finished = Some(now()),
                    Fact::Coordinator(CoordinatorFact::RoundConcluded(_)) => concluded = Some(now()),
                    Fact::Agent(..) | Fact::Coordinator(_) | Fact::Unknown(_) | Fact::Refused(_) => {}
                }
                concluded.is_some()
            })
            .await?;
        let step =
            |at: Option<Timestamp>, what: &str| at.with_context(|| format!("the log has no {what} before the verdict"));
        Ok(Self {
            dispatched: step(dispatched, "dispatch")?,
            started: step(started, "start")?,
            finished: step(finished, "end")?,
            concluded: step(concluded, "verdict")?,
        })
    }
}

/// The same through the operator's tool as a process of its own, its start and its connection included.
async fn by_tool(mesh: &Cluster, bus: &Bus, count: usize) -> anyhow::Result<Samples> {
    let mut observer = Observer::at_the_end(bus).await?;
    let mut samples = Samples::default();
    for number in 0..count {
        sleep(REST).await;
        let begun = now();
        let arguments = ["start", ONE, "--node", NODES[number % NODES.len()]];
        let (answer, life) = tokio::join!(mesh.tool(&arguments), Life::watch(&mut observer));
        answer.good();
        samples.push(milliseconds(begun, life?.started));
    }
    Ok(samples)
}

fn report(table: &mut Table, starts: &Starts, by_tool: &Samples) {
    let row = |what: &str, statistic, samples: &Samples| Row::new(what, Unit::Milliseconds, statistic, samples);
    let bare = "bare round trip";
    table.push(row("bare round trip of the bus, p50", Statistic::Median, &starts.round_trip));
    table.push(
        row("start asked for → answered, p50", Statistic::Median, &starts.answered).against(bare, &starts.round_trip),
    );
    table.push(
        row("start asked for → dispatch read from the log, p50", Statistic::Median, &starts.dispatched)
            .against(bare, &starts.round_trip),
    );
    let started = |statistic| {
        row(
            if statistic == Statistic::P99 {
                "start asked for → RunStarted read from the log, p99"
            } else {
                "start asked for → RunStarted read from the log, p50"
            },
            statistic,
            &starts.started,
        )
    };
    table.push(started(Statistic::Median).against(bare, &starts.round_trip).budget(Budget::AtMost(20.0)));
    table.push(started(Statistic::P99).budget(Budget::AtMost(10.0)));
    table.push(
        row("`landfall start` as a process → RunStarted, p50", Statistic::Median, by_tool)
            .against(bare, &starts.round_trip),
    );
    table.push(row("`landfall start` as a process → RunStarted, p99", Statistic::P99, by_tool));
    table.push(row("RunFinished → verdict, both read from the log, p50", Statistic::Median, &starts.judged));
    table.push(
        row("RunFinished → verdict, both read from the log, p99", Statistic::P99, &starts.judged)
            .budget(Budget::AtMost(50.0)),
    );
}
