//! Shows receivers that forget what stands, again and again, for as long as somebody who knows says so.

use std::sync::Arc;

use landfall_proto::id::ClusterName;
use tokio::sync::watch;

use super::alertmanager::Alertmanager;
use super::answer::{Answer, Taken};
use crate::config::{AlertmanagerConfig, SinkConfig, SinkKind};
use crate::core::tell::Standing;

/// What stands, as the leader said last.
pub(super) type Stand = Arc<Vec<Standing>>;

/// Starts a task for each such sink. Each time something is sent, it is shown; of what comes faster than a sink takes it, the last
/// is shown.
pub(super) fn start(cluster: &ClusterName, sinks: &[SinkConfig], stand: &watch::Sender<Stand>) {
    for sink in sinks {
        if let SinkKind::Alertmanager(config) = &sink.kind {
            let presenter =
                Presenter { cluster: cluster.clone(), sink: sink.name.clone(), config: config.clone(), fails: false };
            tokio::spawn(presenter.run(stand.subscribe()));
        }
    }
}

struct Presenter {
    cluster: ClusterName,
    sink: String,
    config: AlertmanagerConfig,
    /// Whether the last showing failed; a person is told when it begins and when it ends.
    fails: bool,
}

impl Presenter {
    async fn run(mut self, mut stand: watch::Receiver<Stand>) {
        while stand.changed().await.is_ok() {
            let mine: Vec<Standing> = {
                let all = stand.borrow_and_update();
                all.iter().filter(|each| each.sinks.contains(&self.sink)).cloned().collect()
            };
            if mine.is_empty() {
                continue;
            }
            let answer = self.show(&mine).await;
            self.note(answer);
        }
    }

    async fn show(&self, standing: &[Standing]) -> Answer {
        Alertmanager::new(&self.config)?.show(&self.cluster, standing).await
    }

    fn note(&mut self, answer: Answer) {
        match answer {
            Ok(Taken(_)) if !self.fails => {}
            Ok(Taken(answer)) => {
                self.fails = false;
                tracing::info!(sink = self.sink, answer, "the sink is shown the standing alerts again");
            }
            Err(error) if self.fails => tracing::debug!(sink = self.sink, error = error.message, "still not shown"),
            Err(error) => {
                self.fails = true;
                tracing::error!(
                    sink = self.sink,
                    error = error.message,
                    "the sink cannot be shown the standing alerts"
                );
            }
        }
    }
}
