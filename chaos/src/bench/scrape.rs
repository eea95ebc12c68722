//! `/metrics` of thousands of nodes: how long, how large, and against the bare library that writes as many samples.

use std::time::Duration;

use anyhow::bail;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, sleep};

use super::past::House;
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, processor, tools};

/// Figures are shown again for two seconds; each scrape is to take its own.
const APART: Duration = Duration::from_millis(2200);

/// Scrapes of each round.
const SCRAPES: u32 = 3;

/// What Prometheus waits for by default is ten seconds.
const BUDGET_MS: f64 = 1000.0;

/// The labels that most samples have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    routine: String,
    node: String,
    task: String,
}

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let house = House::built("bench-scrape", options.agents as usize, 1, true).await?;
    let (mut first, mut whole, mut bare) = (Samples::default(), Samples::default(), Samples::default());
    let (mut bytes, mut samples) = (0, 0);
    let pid = house.mesh.coordinator().id();
    let before = processor::peak(pid)?;
    for _ in 0..options.rounds * SCRAPES {
        sleep(APART).await;
        let (answer, text) = house.visitor.read("/metrics").await?;
        first.push(answer.first_ms);
        whole.push(answer.whole_ms);
        bytes = answer.bytes;
        samples = text.lines().filter(|line| !line.starts_with('#')).count();
        bare.push(encoded(samples)?);
    }
    if samples < options.agents as usize {
        bail!("{samples} samples are fewer than there are nodes");
    }
    let conditions = vec![
        format!("{} nodes that send their beats, each with a backup and a check", options.agents),
        format!("{samples} samples, {bytes} bytes of text, uncompressed over loopback"),
    ];
    let mut table = Table::new("scrape", conditions);
    let one = |value: f64| [value].into_iter().collect::<Samples>();
    let against = format!("prometheus-client with {samples} samples");
    table.push(Row::median(against.clone(), Unit::Milliseconds, &bare));
    table.push(Row::median("/metrics: whole answer", Unit::Milliseconds, &whole).against(against, &bare));
    table.push(
        Row::new("/metrics: whole answer", Unit::Milliseconds, Statistic::P99, &whole)
            .budget(Budget::AtMost(BUDGET_MS)),
    );
    table.push(Row::median("/metrics: first byte", Unit::Milliseconds, &first));
    table.push(Row::median("coordinator: peak memory before", Unit::Mebibytes, &one(before)));
    table.push(Row::median("coordinator: peak memory", Unit::Mebibytes, &one(processor::peak(pid)?)));
    Ok(table)
}

/// Milliseconds in which the library writes so many gauges that are there already.
fn encoded(samples: usize) -> anyhow::Result<f64> {
    let mut registry = Registry::default();
    let family = Family::<Labels, Gauge>::default();
    registry.register("landfall_run_last_status", "How a node's last run stands.", family.clone());
    for number in 0..samples {
        let labels = Labels { routine: "nightly".to_owned(), node: format!("sim-{number}"), task: "backup".to_owned() };
        family.get_or_create(&labels).set(i64::try_from(number)?);
    }
    let begun = Instant::now();
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}
