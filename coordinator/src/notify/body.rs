//! What a receiver of notices is sent: one flat JSON object with stable field names.

use landfall_proto::alert::{Alert, Severity};
use landfall_proto::id::{ClusterName, NodeId, RoundId, RoutineName};
use landfall_proto::report::Reason;
use landfall_proto::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// The shape's number; fields are only ever added within one.
const VERSION: u32 = 1;

/// One notice as it is sent. Absent values are `null`, never missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoticeBody {
    pub version: u32,
    pub cluster: ClusterName,
    pub status: Status,
    /// The alert's own id: raised and resolved share it.
    pub id: Uuid,
    /// What the alert is about; the same trouble always has the same key.
    pub key: String,
    pub severity: Severity,
    pub title: String,
    pub routine: Option<RoutineName>,
    pub round: Option<RoundId>,
    pub nodes: Vec<NodeId>,
    pub reason: Option<Reason>,
    /// What the reason usually means.
    pub cause: Option<&'static str>,
    pub last_good_at: Option<Timestamp>,
    pub fix: String,
    pub runbook: Option<String>,
    pub sent_at: Timestamp,
}

/// Whether the trouble began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Raised,
    Resolved,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
        }
    }
}

impl NoticeBody {
    pub fn new(cluster: &ClusterName, alert: &Alert, resolved: bool, sent_at: Timestamp) -> Self {
        Self {
            version: VERSION,
            cluster: cluster.clone(),
            status: if resolved { Status::Resolved } else { Status::Raised },
            id: alert.id,
            key: alert.key.0.clone(),
            severity: alert.severity,
            title: alert.title.clone(),
            routine: alert.routine.clone(),
            round: alert.round,
            nodes: alert.nodes.clone(),
            reason: alert.reason,
            cause: alert.reason.map(Reason::cause),
            last_good_at: alert.last_good_at,
            fix: alert.fix.clone(),
            runbook: alert.runbook.clone(),
            sent_at,
        }
    }

    pub const fn is_resolved(&self) -> bool {
        matches!(self.status, Status::Resolved)
    }

    /// The same for every attempt; another one for the raising than for the resolving.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.id, self.status.as_str())
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("the body has only strings, numbers and lists, which JSON can hold")
    }

    /// For logs that people read line by line.
    pub fn sentence(&self) -> String {
        match (self.status, self.fix.is_empty()) {
            (Status::Resolved, _) => format!("resolved: {}", self.title),
            (Status::Raised, true) => self.title.clone(),
            (Status::Raised, false) => format!("{} — {}", self.title, self.fix),
        }
    }
}
