//! One notice on its way to one sink.

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::id::ClusterName;
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use crate::core::record::Resolved;
use crate::core::step::{Delivery, Notice};
use crate::edge::clock;

/// What a notice is known by while it is under way: alert, whether it says "resolved", the number of the reminder, sink.
pub(super) type Ticket = (Uuid, bool, u32, String);

/// A notice for one sink.
#[derive(Debug, Clone)]
pub struct Letter {
    pub(super) sink: String,
    pub(super) alert: Alert,
    pub(super) raised_at: Timestamp,
    pub(super) resolved: Option<Resolved>,
    pub(super) reminder: u32,
}

/// How it ended, and after how many attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) attempts: u32,
    /// What the sink said when it took it, or the last error.
    pub(super) told: Result<String, String>,
}

impl Letter {
    /// The notice for each of its sinks.
    pub(super) fn of(notice: &Notice) -> impl Iterator<Item = Self> {
        notice.sinks.iter().map(|sink| Self {
            sink: sink.clone(),
            alert: notice.alert.clone(),
            raised_at: notice.raised_at,
            resolved: notice.resolved.clone(),
            reminder: notice.reminder,
        })
    }

    /// A notice that shows that a sink works, and says that it is about nothing.
    pub(super) fn test(cluster: &ClusterName, sink: &str) -> Self {
        let alert = Alert {
            key: AlertKey(format!("test/{sink}")),
            id: clock::command_id().0,
            severity: Severity::Info,
            title: format!("Test of the sink {sink} of cluster {cluster}: nothing has happened"),
            routine: None,
            round: None,
            nodes: Vec::new(),
            reason: None,
            last_good_at: None,
            fix: "Nothing has to be done; whoever reads this is told when a backup fails.".to_owned(),
            runbook: None,
            stakes: None,
        };
        Self { sink: sink.to_owned(), alert, raised_at: clock::now(), resolved: None, reminder: 0 }
    }

    pub(super) fn ticket(&self) -> Ticket {
        (self.alert.id, self.resolved.is_some(), self.reminder, self.sink.clone())
    }

    pub(super) fn delivery(&self, end: End) -> Delivery {
        let (answer, error) = match end.told {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error)),
        };
        Delivery {
            id: self.alert.id,
            resolved: self.resolved.is_some(),
            reminder: self.reminder,
            sink: self.sink.clone(),
            attempts: end.attempts,
            answer,
            error,
            at: clock::now(),
        }
    }
}
