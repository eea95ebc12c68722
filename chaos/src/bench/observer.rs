//! Reads the log beside a running mesh, and keeps nothing that it is not asked for.

use std::time::Duration;

use anyhow::{Context, bail};
use landfall_proto::bus::{Bus, ConnectOptions, LogReader, Seed, Told};
use landfall_proto::subject::Role;
use tokio::time::Instant;

use crate::live::bus::cluster;
use crate::live::{Cluster, Seen};

/// A reader of the log from its present end on.
pub(super) struct Observer {
    reader: LogReader,
}

/// A client of the mesh's bus in one of its roles.
pub(super) async fn connect(mesh: &Cluster, role: Role, user: &str) -> anyhow::Result<Bus> {
    let seed = std::fs::read_to_string(mesh.seed(user)).with_context(|| format!("the seed of {user}"))?;
    let seed: Seed = seed.parse().with_context(|| format!("the seed of {user}"))?;
    let options = ConnectOptions::new(vec![mesh.bus.url()], role, cluster(), seed).impatient(Duration::from_secs(5));
    Bus::connect(options).await.with_context(|| format!("{user} connects"))
}

/// The last position of the log.
pub(super) async fn last_seq(bus: &Bus) -> anyhow::Result<u64> {
    match bus.log_info().await {
        Told::Done(info) => Ok(info.state.last_seq),
        Told::Refused(refusal) => Err(refusal).context("the log's end"),
        Told::Unknown => bail!("the bus does not say where the log ends"),
    }
}

impl Observer {
    pub(super) async fn at_the_end(bus: &Bus) -> anyhow::Result<Self> {
        let mut observer = Self { reader: bus.read_log(last_seq(bus).await?) };
        // The first look sets the reader up, which must not fall into a measurement.
        observer.take(Duration::from_millis(300)).await?;
        Ok(observer)
    }

    /// Hands every entry to `take` until that says that it has seen enough.
    pub(super) async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut take: impl FnMut(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            for seen in self.take(Duration::from_secs(1)).await? {
                if take(&seen) {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                bail!("expected in the log within {within:?}: {what}");
            }
        }
    }

    async fn take(&mut self, wait: Duration) -> anyhow::Result<Vec<Seen>> {
        match self.reader.next_batch(1000, wait).await {
            Told::Done(batch) => Ok(batch.messages.iter().map(Seen::of).collect()),
            Told::Refused(refusal) => Err(refusal).context("reading the log"),
            Told::Unknown => Ok(Vec::new()),
        }
    }
}
