//! One round over thousands of simulated agents on a real bus: does it complete, how fast are its runs dispatched, and what
//! does the coordinator need for it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use landfall_proto::bus::Bus;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::Role;
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{Verdict, VerdictKind};
use tokio::time::{Instant, sleep};

use super::clock::{milliseconds, now};
use super::crowd::Crowd;
use super::observer::{Observer, connect, last_seq};
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, processor, tools};
use crate::live::bus::routine;
use crate::live::{Cluster, Place, Seen, Setup, fresh_id};

const ROUTINE: &str = "nightly";
const LIMIT: usize = 500;

/// For greeting everybody, and for the round.
const WITHIN: Duration = Duration::from_secs(300);

/// Between two looks at the coordinator.
const LOOK: Duration = Duration::from_millis(50);

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let setup = Setup::new(Place::new("bench-scale")).policy(&format!("limits = {{ cluster = {LIMIT}, node = 1 }}"));
    let mesh = setup.start().await;
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let agents = options.agents as usize;
    let (begun, greeted_from) = (Instant::now(), last_seq(&bus).await?);
    let mut crowd = Crowd::gather(&mesh, agents, &routine(ROUTINE)).await?;
    let greetings = (last_seq(&bus).await? - greeted_from) as f64 / begun.elapsed().as_secs_f64();
    until_known(&mesh, &bus, agents, &mut crowd).await?;
    let known = begun.elapsed().as_secs_f64();
    let before = processor::peak(mesh.coordinator().id())?;
    let mut observer = Observer::at_the_end(&bus).await?;
    let asked_at = now();
    let round = mesh.operator.start_as(ROUTINE, &[], TaskKind::Backup, fresh_id()).await;
    let mut course = Course::new(round);
    let watched = observer.until("the round's verdict", WITHIN, |seen| course.take(seen)).await;
    if let Some(complaint) = crowd.complaint() {
        bail!("a simulated agent cannot go on: {complaint}");
    }
    watched.with_context(|| course.standing(agents))?;
    let peak = processor::peak(mesh.coordinator().id())?;
    Ok(report(&Gathered { agents, known, greetings, before }, &course, asked_at, peak))
}

/// What was measured before the round.
struct Gathered {
    agents: usize,
    /// Seconds until everybody had greeted and was known.
    known: f64,
    /// Greetings that the bus confirmed in a second.
    greetings: f64,
    /// The coordinator's peak memory in MiB.
    before: f64,
}

/// Waits until the coordinator has folded every greeting and has heard everybody.
async fn until_known(mesh: &Cluster, bus: &Bus, count: usize, crowd: &mut Crowd) -> anyhow::Result<()> {
    let length = last_seq(bus).await?;
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        if let Some(complaint) = crowd.complaint() {
            bail!("a simulated agent cannot go on: {complaint}");
        }
        if let Some(status) = mesh.operator.status().await
            && status.log_seq >= length
            && usize::try_from(status.nodes_online).is_ok_and(|online| online >= count)
        {
            return Ok(());
        }
        sleep(LOOK).await;
    }
    bail!("expected that the coordinator knows {count} agents within {WITHIN:?}")
}

/// What the log shows of the round.
struct Course {
    round: RoundId,
    under_way: BTreeSet<RunId>,
    most: usize,
    dispatched: usize,
    ended: usize,
    bad: usize,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    last_end: Option<Timestamp>,
    concluded: Option<(Timestamp, Verdict)>,
    /// Entries of the log from the first dispatch on.
    entries: usize,
}

impl Course {
    const fn new(round: RoundId) -> Self {
        Self {
            round,
            under_way: BTreeSet::new(),
            most: 0,
            dispatched: 0,
            ended: 0,
            bad: 0,
            first: None,
            last: None,
            last_end: None,
            concluded: None,
            entries: 0,
        }
    }

    /// Whether that was the last of it.
    fn take(&mut self, seen: &Seen) -> bool {
        match (seen.agent(), seen.coordinator()) {
            (Some((_, AgentFact::RunFinished(finished))), _) if finished.about.round == self.round => {
                self.under_way.remove(&finished.about.run);
                self.ended += 1;
                self.bad += usize::from(!finished.report.outcome.is_good());
                self.last_end = Some(seen.at);
            }
            (_, Some(CoordinatorFact::Dispatched(dispatched))) => {
                self.under_way.insert(dispatched.run);
                self.most = self.most.max(self.under_way.len());
                self.dispatched += 1;
                self.first.get_or_insert(seen.at);
                self.last = Some(seen.at);
            }
            (_, Some(CoordinatorFact::RoundConcluded(concluded))) if concluded.round == self.round => {
                self.concluded = Some((seen.at, concluded.verdict.clone()));
            }
            (_, _) => {}
        }
        self.entries += usize::from(self.first.is_some());
        self.concluded.is_some()
    }

    fn standing(&self, agents: usize) -> String {
        format!("of {agents} runs {} were dispatched and {} ended", self.dispatched, self.ended)
    }
}

fn report(gathered: &Gathered, course: &Course, asked_at: Timestamp, peak: f64) -> Table {
    let &Gathered { agents, known, greetings, before } = gathered;
    let conditions = vec![
        format!("{agents} simulated agents, limit {LIMIT}; a run begins and ends at once, and leaves two facts"),
        "bus, coordinator, agents and this program share one machine; agents do not check signatures".to_owned(),
        "each fact is on the disk before it counts (sync_interval always)".to_owned(),
        format!("all agents greeted and known after {known:.1} s"),
    ];
    let mut table = Table::new("scale", conditions);
    let one = |value: f64| [value].into_iter().collect::<Samples>();
    let row = |what: &str, unit, value: f64| Row::new(what, unit, Statistic::Max, &one(value));
    let since = |from: Option<Timestamp>, to: Option<Timestamp>| {
        from.zip(to).map_or(f64::NAN, |(from, to)| milliseconds(from, to) / 1000.0)
    };
    let missing = agents.abs_diff(course.ended) + course.bad + agents.abs_diff(course.dispatched);
    let concluded = course.concluded.as_ref().map(|(at, _)| *at);
    let is_converged = course.concluded.as_ref().is_some_and(|(_, verdict)| verdict.kind == VerdictKind::Converged);
    table.push(
        row("runs that were not dispatched, did not end, or not well, once each", Unit::Count, missing as f64)
            .budget(Budget::AtMost(0.0)),
    );
    table.push(
        row("rounds that converged", Unit::Count, f64::from(u8::from(is_converged))).budget(Budget::AtLeast(1.0)),
    );
    table.push(
        row("most runs under way at once, by the log", Unit::Count, course.most as f64)
            .budget(Budget::AtMost(LIMIT as f64)),
    );
    let rate = course.dispatched as f64 / since(course.first, course.last);
    table.push(row("first dispatch → last dispatch", Unit::RunsPerSecond, rate).budget(Budget::AtLeast(2000.0)));
    let pace = course.entries as f64 / since(course.first, concluded);
    let paces = "bus: greetings confirmed while nothing else was to do";
    table.push(row(paces, Unit::FactsPerSecond, greetings));
    table.push(
        row("facts in the log from the first dispatch to the verdict", Unit::FactsPerSecond, pace)
            .against("greetings", &one(greetings)),
    );
    table.push(row("start asked for → first dispatch", Unit::Seconds, since(Some(asked_at), course.first)));
    table.push(row("start asked for → verdict", Unit::Seconds, since(Some(asked_at), concluded)));
    table.push(row("last end → verdict", Unit::Seconds, since(course.last_end, concluded)));
    table.push(row("coordinator: peak memory before the round", Unit::Mebibytes, before));
    table.push(row("coordinator: peak memory", Unit::Mebibytes, peak).budget(Budget::AtMost(256.0)));
    table
}
