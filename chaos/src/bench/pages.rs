//! Pages and lists of the API over a long history of many nodes: when the first byte is there, and how that compares with a file.

use anyhow::Context;
use landfall_proto::control::{Paging, Reply, Request, RunFilter};

use super::past::{House, ROUTINE};
use super::samples::Samples;
use super::streams;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, tools};
use crate::live::bus::routine;

/// Answers of each address in one round.
const ASKED: usize = 20;

/// A file of the server that nobody has to make.
const STATIC: &str = "/assets/x/style.css";

/// First byte of any page.
const BUDGET_MS: f64 = 50.0;

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let nodes = options.nodes as usize;
    let nights = options.history.div_ceil(nodes);
    let house = House::built("bench-pages", nodes, nights, false).await?;
    let mut table = Table::new("pages", conditions(options, nights));
    let addresses = addresses(&house).await?;
    let mut file = Samples::default();
    let mut asked: Vec<Asked> = addresses.into_iter().map(Asked::new).collect();
    house.visitor.look(STATIC).await?;
    for round in 0..options.rounds {
        for _ in 0..ASKED {
            file.push(house.visitor.look(STATIC).await?.first_ms);
            for asked in &mut asked {
                asked.push(house.visitor.look(&asked.address).await?);
            }
        }
        eprintln!("pages: asked {} of {} times", (round as usize + 1) * ASKED, options.rounds as usize * ASKED);
    }
    table.push(Row::median("a file: first byte", Unit::Milliseconds, &file));
    table.push(Row::new("a file: first byte", Unit::Milliseconds, Statistic::P99, &file));
    asked.iter().for_each(|asked| asked.report(&file, &mut table));
    streams::measure(&house, options, &mut table).await?;
    Ok(table)
}

fn conditions(options: &Options, nights: usize) -> Vec<String> {
    vec![
        format!(
            "{} nodes that send their beats, {} runs in {nights} rounds",
            options.nodes,
            options.nodes as usize * nights
        ),
        "HTTP/1.1 over loopback with a token, gzip; this program, the nodes and the bus share the machine".to_owned(),
        "each fact is on the disk before it counts (sync_interval always)".to_owned(),
        format!("below {}", std::env::temp_dir().display()),
    ]
}

/// Every page, and every list of the API.
async fn addresses(house: &House) -> anyhow::Result<Vec<String>> {
    let paging = Paging { rows: Some(1), after: None };
    let filter = RunFilter { routine: Some(routine(ROUTINE)), ..RunFilter::default() };
    let run = match house.mesh.operator.ask(&Request::Runs { filter, paging }).await {
        Some(Reply::Runs(page)) => page.rows.into_iter().next().context("there is a run")?,
        other => anyhow::bail!("the coordinator does not list runs: {other:?}"),
    };
    let places =
        ["/", "/queue", "/rounds", "/nodes", "/routines", "/monitors", "/alerts", "/trends", "/report", "/snapshots"];
    let mut addresses: Vec<String> = places.map(str::to_owned).into();
    addresses.extend([
        "/?search=sim-77".to_owned(),
        "/?from=900".to_owned(),
        "/queue?node=sim-77".to_owned(),
        "/nodes?search=sim-77".to_owned(),
        format!("/rounds/{}", run.round),
        format!("/runs/{}", run.id),
        format!("/nodes/{}", run.node),
        format!("/routines/{}", run.routine),
    ]);
    let api = [
        "status".to_owned(),
        "runs".to_owned(),
        "runs?state=failed".to_owned(),
        format!("runs?node={}", run.node),
        format!("runs?routine={}", run.routine),
        format!("runs/{}", run.id),
        "rounds".to_owned(),
        format!("rounds/{}", run.round),
        "nodes".to_owned(),
        "routines".to_owned(),
        "alerts".to_owned(),
        "snapshots".to_owned(),
        "storages".to_owned(),
        "monitors".to_owned(),
        "limits".to_owned(),
    ];
    addresses.extend(api.into_iter().map(|place| format!("/api/v1/{place}")));
    Ok(addresses)
}

/// One address with what was measured of it.
struct Asked {
    address: String,
    first: Samples,
    whole: Samples,
    bytes: usize,
}

impl Asked {
    fn new(address: String) -> Self {
        Self { address, first: Samples::default(), whole: Samples::default(), bytes: 0 }
    }

    fn push(&mut self, answer: super::http::Answer) {
        self.first.push(answer.first_ms);
        self.whole.push(answer.whole_ms);
        self.bytes = answer.bytes;
    }

    fn report(&self, file: &Samples, table: &mut Table) {
        // Ids would make the column as wide as the screen.
        let mut name: String = self.address.chars().take(24).collect();
        if name.len() < self.address.len() {
            name.push('…');
        }
        let size = self.bytes.div_ceil(1024);
        table.push(
            Row::median(format!("{name} ({size} KiB): first byte"), Unit::Milliseconds, &self.first)
                .against("a file", file),
        );
        table.push(
            Row::new(format!("{name}: first byte"), Unit::Milliseconds, Statistic::P99, &self.first)
                .budget(Budget::AtMost(BUDGET_MS)),
        );
    }
}
