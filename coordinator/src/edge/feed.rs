//! What has changed, for whoever looks on: names of records only, so that each onlooker reads no more than it shows.

use std::sync::Arc;

use landfall_proto::alert::{Alert, AlertKey};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use tokio::sync::broadcast;

use crate::core::record::Changes;

/// Changes that a slow onlooker may be behind; one that is further behind reads everything afresh.
const FEED_MAX: usize = 1024;

/// Something that onlookers may want to show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "every news travels behind one shared pointer")]
pub enum News {
    /// Records that one commit has changed.
    Changed(Changed),
    /// New figures of a run that is alive.
    Moved(RunId),
}

/// The records of one commit, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Era and sequence of the log up to which the records tell.
    pub position: (u32, u64),
    pub rounds: Vec<RoundId>,
    pub runs: Vec<RunId>,
    pub nodes: Vec<NodeId>,
    pub routines: Vec<RoutineName>,
    pub alerts: Vec<AlertKey>,
    pub limits: bool,
    pub monitors: Vec<RoutineName>,
    /// What each of the runs belongs to, and where it runs.
    pub ran: Vec<(RunId, RoutineName, NodeId)>,
    /// What each of the rounds is of.
    pub rounded: Vec<(RoundId, RoutineName)>,
    /// What each of the alerts is about, where it is about one thing.
    pub alerted: Vec<(AlertKey, Option<RoutineName>, Option<NodeId>)>,
}

/// Hands news to every onlooker. Nobody waits for one.
#[derive(Debug, Clone)]
pub struct Feed {
    sender: broadcast::Sender<Arc<News>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { sender: broadcast::channel(FEED_MAX).0 }
    }
}

impl Feed {
    pub fn onlooker(&self) -> broadcast::Receiver<Arc<News>> {
        self.sender.subscribe()
    }

    pub(super) fn changed(&self, position: (u32, u64), changes: &Changes) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let changed = Changed {
            position,
            rounds: changes.rounds.keys().copied().collect(),
            runs: changes.runs.keys().copied().collect(),
            nodes: changes.nodes.keys().cloned().collect(),
            routines: changes.routines.keys().cloned().collect(),
            alerts: changes.alerts.values().map(|record| record.alert.key.clone()).collect(),
            limits: !changes.limits.is_empty(),
            monitors: changes.monitors.keys().cloned().collect(),
            ran: changes.runs.values().map(|run| (run.id, run.routine.clone(), run.node.clone())).collect(),
            rounded: changes.rounds.values().map(|round| (round.id, round.routine.clone())).collect(),
            alerted: changes.alerts.values().map(|record| about(&record.alert)).collect(),
        };
        self.send(News::Changed(changed));
    }

    pub(super) fn moved(&self, run: RunId) {
        if self.sender.receiver_count() > 0 {
            self.send(News::Moved(run));
        }
    }

    fn send(&self, news: News) {
        // The last onlooker may have gone meanwhile.
        let _ = self.sender.send(Arc::new(news));
    }
}

fn about(alert: &Alert) -> (AlertKey, Option<RoutineName>, Option<NodeId>) {
    let node = alert.nodes.first().filter(|_| alert.nodes.len() == 1).cloned();
    (alert.key.clone(), alert.routine.clone(), node)
}
