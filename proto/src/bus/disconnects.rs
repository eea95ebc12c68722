//! Hearing from the bus itself that a node's client went away: sooner than any missed beat.

use std::sync::Arc;

use async_nats::Subscriber;
use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::connect::{AGENT_NAME_PREFIX, BusError, ConnectOptions, Tls};
use super::nats::Nats;
use super::signing::Seed;
use crate::id::{ClusterName, NodeId};
use crate::subject::{DISCONNECTS, Role, WATCH_INBOX_PREFIX};

/// Longest report that is read.
const REPORT_BYTES_MAX: usize = 64 * 1024;

/// How to connect as the system account's user `watch`.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    pub urls: Vec<String>,
    pub cluster: ClusterName,
    /// The seed of the user whose public key is `watch` in [`super::ServerConfig`].
    pub seed: Seed,
    pub tls: Option<Tls>,
}

/// Nodes whose clients went away. The name in a report is the client's own word: a beat from the node outweighs it.
#[derive(Debug)]
pub struct Disconnects {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Nats { reports: Subscriber, connection: Arc<Nats> },
    Memory(mpsc::Receiver<NodeId>),
}

impl Disconnects {
    pub(super) async fn connect(options: WatchOptions) -> Result<Self, BusError> {
        let WatchOptions { urls, cluster, seed, tls } = options;
        // The role only names an inbox here, and that is replaced: the system account has users of its own.
        let mut connect = ConnectOptions::new(urls, Role::Coordinator, cluster, seed);
        connect.name = "watch".to_owned();
        connect.tls = tls;
        let urls = connect.urls.join(", ");
        let seconds = connect.timeout.as_secs();
        let nats = Nats::connect_as(&connect, WATCH_INBOX_PREFIX).await?;
        let reports = nats.subscribe(DISCONNECTS.to_owned()).await.ok_or(BusError::Silent { urls, seconds })?;
        Ok(Self { source: Source::Nats { reports, connection: Arc::new(nats) } })
    }

    pub(super) const fn memory(receiver: mpsc::Receiver<NodeId>) -> Self {
        Self { source: Source::Memory(receiver) }
    }

    /// Whether reports can come at all; while false, only missed beats tell of a node's end.
    pub fn is_up(&self) -> bool {
        match &self.source {
            Source::Nats { connection, .. } => connection.is_up(),
            Source::Memory(_) => true,
        }
    }

    /// The next node that went away; `None` when this connection is closed for good. Other clients' disconnects and
    /// reports of unknown shape are passed over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<NodeId> {
        match &mut self.source {
            Source::Memory(receiver) => receiver.recv().await,
            Source::Nats { reports, .. } => loop {
                let report = reports.next().await?;
                if let Some(node) = node_in(&report.payload) {
                    return Some(node);
                }
            },
        }
    }
}

#[derive(Deserialize)]
struct Report {
    client: ReportedClient,
}

#[derive(Deserialize)]
struct ReportedClient {
    #[serde(default)]
    name: Option<String>,
}

fn node_in(report: &[u8]) -> Option<NodeId> {
    if report.len() > REPORT_BYTES_MAX {
        return None;
    }
    let report: Report = serde_json::from_slice(report).ok()?;
    report.client.name?.strip_prefix(AGENT_NAME_PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_agents_name_names_a_node() {
        let of = |name: &str| node_in(format!(r#"{{"type":"t","client":{{"id":3,"name":"{name}"}}}}"#).as_bytes());
        assert_eq!(of("agent-a"), Some("a".parse().unwrap()));
        for other in ["coordinator", "agent-", "agent-A B", "xagent-a"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn reports_of_unknown_shape_are_passed_over() {
        for report in ["", "[]", "{}", r#"{"client":7}"#, r#"{"client":{}}"#, r#"{"client":{"name":4}}"#] {
            assert_eq!(node_in(report.as_bytes()), None, "{report}");
        }
        assert_eq!(node_in(&vec![b'['; REPORT_BYTES_MAX + 1]), None);
    }
}
