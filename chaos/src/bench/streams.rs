//! From a fact to the browser: how long until an open page and an open stream of the API show it, and what open streams cost.

use std::time::Duration;

use anyhow::{Context, bail};
use landfall_proto::bus::{Bus, Told};
use landfall_proto::envelope::Envelope;
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::time::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::clock::now;
use super::http::Following;
use super::load::Writer;
use super::observer::connect;
use super::past::{House, ROUTINE, TELLER};
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, processor};
use crate::live::bus::{cluster, node, routine};

/// Facts whose way is measured, in each round.
const TOLD: u32 = 20;

/// How long a frame may take to come.
const WITHIN: Duration = Duration::from_secs(20);

/// How long the fact before is past: longer than any page stands still, or shorter than many do.
const RESTED_MS: std::ops::Range<u64> = 1200..1700;
const FLOWING_MS: std::ops::Range<u64> = 20..320;

/// How long memory is let come to rest before it is read.
const SETTLED: Duration = Duration::from_secs(12);

/// From a fact to a frame.
const BUDGET_MS: f64 = 250.0;

/// Delays alone and beside many others, and what those others take.
pub(super) async fn measure(house: &House, options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let mut teller = Teller::connect(house).await?;
    let alone = delays(house, &mut teller, options, RESTED_MS).await?;
    report("one page and one stream of the API open", &alone, table);
    let flowing = delays(house, &mut teller, options, FLOWING_MS).await?;
    report("the same in a flow of facts", &flowing, table);
    let pid = house.mesh.coordinator().id();
    sleep(SETTLED).await;
    let before = processor::own_memory(pid)?;
    let others = open(house, options.streams).await?;
    sleep(SETTLED).await;
    let after = processor::own_memory(pid)?;
    let crowded = delays(house, &mut teller, options, RESTED_MS).await?;
    let busy = processor::own_memory(pid)?;
    drop(others);
    report(&format!("{} streams open beside", options.streams), &crowded, table);
    let one = |value: f64| [value].into_iter().collect::<Samples>();
    let mut memory = |what: String, value| table.push(Row::median(what, Unit::Mebibytes, &one(value)));
    memory("coordinator's own memory before".to_owned(), before);
    memory(format!("with {} streams open", options.streams), after);
    memory("after the facts above".to_owned(), busy);
    Ok(())
}

/// Milliseconds from just before a fact is published.
#[derive(Default)]
struct Delays {
    confirmed: Samples,
    page: Samples,
    api: Samples,
}

fn report(beside: &str, delays: &Delays, table: &mut Table) {
    let row = |what: &str, statistic, samples: &Samples| {
        Row::new(format!("{beside}: fact → {what}"), Unit::Milliseconds, statistic, samples)
    };
    table.push(row("confirmed by the bus", Statistic::Median, &delays.confirmed));
    for (what, samples) in [("stream of the API", &delays.api), ("open page", &delays.page)] {
        table.push(row(what, Statistic::Median, samples).against("confirmed", &delays.confirmed));
        table.push(row(what, Statistic::P99, samples).budget(Budget::AtMost(BUDGET_MS)));
    }
}

async fn delays(
    house: &House,
    teller: &mut Teller,
    options: &Options,
    rest_ms: std::ops::Range<u64>,
) -> anyhow::Result<Delays> {
    let mut delays = Delays::default();
    let mut page = house.visitor.follow("/events?page=/queue").await?;
    let mut api = house.visitor.follow(&format!("/api/v1/events?node={TELLER}")).await?;
    page.until("event: parts", WITHIN).await?;
    api.until("event: hello", WITHIN).await?;
    for number in 0..options.rounds * TOLD {
        // Not in step with anything that the coordinator does at intervals.
        let spread = u64::from(number) * 37 % (rest_ms.end - rest_ms.start);
        sleep(Duration::from_millis(rest_ms.start + spread)).await;
        let (run, facts) = teller.run();
        let begun = Instant::now();
        let mut confirmed_at = begun;
        let (told, shown, sent) = tokio::join!(
            async {
                let told = teller.publish(&facts[..1]).await;
                confirmed_at = Instant::now();
                told
            },
            page.until(&run, WITHIN),
            api.until(&run, WITHIN)
        );
        told?;
        let ms = |at: Instant| (at - begun).as_secs_f64() * 1000.0;
        delays.confirmed.push(ms(confirmed_at));
        delays.page.push(ms(shown?));
        delays.api.push(ms(sent?));
        teller.publish(&facts[1..]).await?;
    }
    Ok(delays)
}

/// Streams beside those that are measured: one half of pages, the other of the API.
async fn open(house: &House, count: u32) -> anyhow::Result<JoinSet<()>> {
    const PAGES: [&str; 4] = ["/", "/queue", "/rounds", "/nodes"];
    let pages = count / 2;
    let mut open = JoinSet::new();
    for (number, page) in (0..pages).zip(PAGES.into_iter().cycle()) {
        // As fast as people open pages: one token may ask fifty times a second.
        let mut following = house.visitor.follow(&format!("/events?page={page}")).await?;
        following.until("event: parts", WITHIN).await.with_context(|| format!("the stream {number}"))?;
        open.spawn(Following::drain(following));
    }
    for _ in pages..count {
        open.spawn(Following::drain(house.visitor.follow("/api/v1/events").await?));
    }
    Ok(open)
}

/// One node that begins and ends runs.
struct Teller {
    bus: Bus,
    subject: Subject,
    writer: Writer,
}

impl Teller {
    async fn connect(house: &House) -> anyhow::Result<Self> {
        let id = node(TELLER);
        let bus = connect(&house.mesh, Role::Agent(id.clone()), &format!("node-{TELLER}")).await?;
        let subject = Subject::new(&cluster(), Topic::NodeFact(id.clone()));
        // Later than every slot of the others: what is older than the rounds that have left memory is not taken up again.
        let first_slot = Timestamp::from_second(now().as_second() - 1800)?;
        let mut teller =
            Self { bus, subject, writer: Writer::new(id, routine(&format!("{ROUTINE}-{TELLER}")), first_slot) };
        let greeting = teller.writer.greeting(now());
        teller.publish(&greeting).await?;
        Ok(teller)
    }

    /// The id of a run, and its beginning and end.
    fn run(&mut self) -> (String, Vec<Envelope>) {
        let run = self.writer.next_run();
        (run.to_string(), self.writer.night(true, false, now()))
    }

    async fn publish(&self, facts: &[Envelope]) -> anyhow::Result<()> {
        for told in self.bus.publish_facts(&self.subject, facts).await {
            match told {
                Told::Done(_) => {}
                Told::Refused(refusal) => return Err(refusal).context("the bus refuses a fact"),
                Told::Unknown => bail!("the bus does not confirm a fact"),
            }
        }
        Ok(())
    }
}
