//! A mesh with a long history and many nodes that are heard, whose coordinator shows its pages; and somebody who may look at them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use landfall_proto::subject::Role;
use landfall_proto::time::Timestamp;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::clock::now;
use super::crowd::{Crowd, Past};
use super::fold::until_folded;
use super::http::Visitor;
use super::observer::{connect, last_seq};
use crate::live::bus::routine;
use crate::live::process::binary;
use crate::live::{Cluster, Node, Place, Setup};

/// What every simulated node has.
pub(super) const ROUTINE: &str = "nightly";

/// The node in whose name a benchmark speaks; its agent does not run.
pub(super) const TELLER: &str = "teller";

/// A coordinator answers one token fifty times a second and two hundred times at once; so many ask faster than any person.
const TOKENS: usize = 40;

/// How long everybody may take to be heard.
const KNOWN_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks at the coordinator.
const LOOK: Duration = Duration::from_millis(50);

/// How far back the first slot lies; the others follow a second apart.
const SLOTS_AGO_S: i64 = 3600;

/// What the bus may store: a fact takes less than this.
const STORE_BYTES: u64 = 256 << 20;
const STORE_BYTES_A_FACT: u64 = 1536;

/// A user's password, which lives as long as the folder of the benchmark.
const PASSWORD: &str = "looks at many pages";

/// The mesh, with what speaks in it.
pub(super) struct House {
    pub(super) mesh: Cluster,
    pub(super) visitor: Visitor,
    crowd: Crowd,
}

impl House {
    /// So many nodes, each with so many runs behind it; `has_checks` doubles them.
    pub(super) async fn built(name: &str, nodes: usize, nights: usize, has_checks: bool) -> anyhow::Result<Self> {
        let facts = nodes * (2 + nights * if has_checks { 4 } else { 2 });
        let bytes = STORE_BYTES + STORE_BYTES_A_FACT * facts as u64;
        let setup = Setup::new(Place::new(name)).store_bytes_max(bytes).pages().node(Node::new(TELLER));
        let mut mesh = setup.start().await;
        mesh.kill_agent(TELLER);
        let bus = connect(&mesh, Role::Operator, "operator").await?;
        let first_slot = Timestamp::from_second(now().as_second() - SLOTS_AGO_S)?;
        let past = Past { nights, first_slot, has_checks };
        let mut parts = 0;
        let crowd = Crowd::gather_with_past(&mesh, nodes, &routine(ROUTINE), &past, async || {
            // Decisions about what was told lead to others; it is over when the log grows no more.
            let mut before = 0;
            while before != last_seq(&bus).await? {
                before = last_seq(&bus).await?;
                until_folded(&mesh, before).await?;
                sleep(LOOK).await;
            }
            parts += 1;
            eprintln!("{name}: the log holds {before} facts after {parts} parts");
            Ok(())
        })
        .await?;
        let visitor = visitor(&mesh).await?;
        let mut house = Self { mesh, visitor, crowd };
        house.until_heard(nodes).await?;
        Ok(house)
    }

    async fn until_heard(&mut self, nodes: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + KNOWN_WITHIN;
        while Instant::now() < deadline {
            if let Some(complaint) = self.crowd.complaint() {
                bail!("a simulated agent cannot go on: {complaint}");
            }
            let status = self.mesh.operator.status().await;
            if status.is_some_and(|status| usize::try_from(status.nodes_online).is_ok_and(|online| online >= nodes)) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        bail!("expected that the coordinator hears {nodes} agents within {KNOWN_WITHIN:?}")
    }
}

/// Somebody with tokens enough.
pub(super) async fn visitor(mesh: &Cluster) -> anyhow::Result<Visitor> {
    user(mesh, &["add", "bench", "--role", "viewer"]).await?;
    let mut tokens = Vec::with_capacity(TOKENS);
    for number in 0..TOKENS {
        let said = user(mesh, &["token", "add", "bench", "--label", &number.to_string(), "--json"]).await?;
        let said: Value = serde_json::from_str(&said).context("a token as JSON")?;
        tokens.push(said["token"].as_str().context("a token")?.to_owned());
    }
    Visitor::new(&mesh.pages().pop().context("the coordinator says where its pages are")?, tokens)
}

/// The operator's tool on the coordinator's own users.
async fn user(mesh: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let mut child = Command::new(binary("landfall"))
        .args(["user", "--config"])
        .arg(mesh.place.path("coordinator/coordinator.toml"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the operator's tool starts")?;
    let mut input = child.stdin.take().context("it takes a password")?;
    // A verb that asks for nothing may have ended before.
    let _ = input.write_all(format!("{PASSWORD}\n").as_bytes()).await;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("`landfall user {}` ended with {}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}
