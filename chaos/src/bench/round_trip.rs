//! Bare request and reply on the mesh's own bus: the unit in which the mesh's latency is counted.

use anyhow::Context;
use async_nats::{Client, ConnectOptions};
use futures::StreamExt;
use landfall_proto::subject::{Role, Subject, Topic};
use tokio::time::Instant;

use crate::live::Cluster;
use crate::live::bus::{cluster, node};

/// Two clients of the bus library alone: one asks as the coordinator does, the other answers as a node does.
pub(super) struct RoundTrip {
    asks: Client,
    subject: String,
}

/// The node that only answers here; its agent must not run.
pub(super) const ECHO: &str = "echo";

impl RoundTrip {
    pub(super) async fn connect(mesh: &Cluster) -> anyhow::Result<Self> {
        let asks = client(mesh, &Role::Coordinator, "coordinator").await?;
        let answers = client(mesh, &Role::Agent(node(ECHO)), &format!("node-{ECHO}")).await?;
        let subject = Subject::new(&cluster(), Topic::Command(node(ECHO))).to_string();
        let mut questions = answers.subscribe(subject.clone()).await.context("the echo listens")?;
        answers.flush().await?;
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                if let Some(reply) = question.reply {
                    // A lost answer shows as an error on the asking side.
                    let _ = answers.publish(reply, question.payload).await;
                }
            }
        });
        Ok(Self { asks, subject })
    }

    /// Milliseconds for one question of the size of a command.
    pub(super) async fn measure(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        self.asks.request(self.subject.clone(), vec![7; 400].into()).await.context("the echo answers")?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }
}

/// A bare client with the rights of one of the mesh's users.
pub(super) async fn client(mesh: &Cluster, role: &Role, user: &str) -> anyhow::Result<Client> {
    let seed = std::fs::read_to_string(mesh.seed(user)).with_context(|| format!("the seed of {user}"))?;
    let options = ConnectOptions::with_nkey(seed.trim().to_owned()).custom_inbox_prefix(role.inbox_prefix());
    options.connect(mesh.bus.url()).await.with_context(|| format!("{user} connects"))
}
