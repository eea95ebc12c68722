//! What a receiver of notices is sent: one flat JSON object with stable field names.

use landfall_proto::alert::{Risk, Severity};
use landfall_proto::card::called;
use landfall_proto::id::{ClusterName, NodeId, RoundId, RoutineName};
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::letter::Letter;
use crate::core::route::kind_of;
use crate::core::tell::CONVERGED;

/// The shape's number; fields are only ever added within one.
const VERSION: u32 = 1;

/// Nodes that a sentence names.
const NODES_SHOWN: usize = 20;

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
    /// The first part of the key.
    pub kind: String,
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
    /// Whose data it is.
    pub owner: Option<String>,
    /// Whom to ask first.
    pub contact: Option<String>,
    /// Who is called next, in this order.
    pub escalation: Vec<String>,
    /// How old the last good backup may be, and how long a restore may take.
    pub rpo: Option<Duration>,
    pub rto: Option<Duration>,
    /// How much is at stake.
    pub risk: Option<Risk>,
    pub raised_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// Why it is over.
    pub resolved_why: Option<String>,
    /// How often this receiver has been told the same before.
    pub reminder: u32,
    pub sent_at: Timestamp,
}

/// Whether the trouble began or ended, or there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Raised,
    Resolved,
    /// A round converged.
    Succeeded,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
            Self::Succeeded => "succeeded",
        }
    }
}

impl NoticeBody {
    pub fn new(cluster: &ClusterName, letter: &Letter, sent_at: Timestamp) -> Self {
        let alert = &letter.alert;
        let kind = kind_of(alert).to_owned();
        let stakes = alert.stakes.as_deref().cloned().unwrap_or_default();
        let status = match &letter.resolved {
            Some(_) => Status::Resolved,
            None if kind == CONVERGED => Status::Succeeded,
            None => Status::Raised,
        };
        Self {
            version: VERSION,
            cluster: cluster.clone(),
            status,
            id: alert.id,
            key: alert.key.0.clone(),
            kind,
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
            owner: stakes.owner,
            contact: stakes.contact,
            escalation: stakes.escalation,
            rpo: stakes.rpo,
            rto: stakes.rto,
            risk: stakes.risk,
            raised_at: letter.raised_at,
            resolved_at: letter.resolved.as_ref().map(|resolved| resolved.at),
            resolved_why: letter.resolved.as_ref().map(|resolved| resolved.why.clone()),
            reminder: letter.reminder,
            sent_at,
        }
    }

    /// The same for every attempt; another one for the raising than for the resolving, and for each reminder.
    pub fn idempotency_key(&self) -> String {
        let told = format!("{}/{}", self.id, self.status.as_str());
        if self.reminder == 0 { told } else { format!("{told}/{}", self.reminder) }
    }

    /// What an address of a page becomes for this alert.
    pub fn link(&self, pattern: &str) -> String {
        pattern.replace("{key}", &self.key)
    }

    /// Names of the nodes, as many as a person reads, and how many more there are.
    pub fn node_names(&self) -> String {
        let shown: Vec<&str> = self.nodes.iter().take(NODES_SHOWN).map(NodeId::as_str).collect();
        match self.nodes.len().checked_sub(NODES_SHOWN).filter(|more| *more > 0) {
            Some(more) => format!("{} and {more} more", shown.join(", ")),
            None => shown.join(", "),
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("the body has only strings, numbers and lists, which JSON can hold")
    }

    /// What was promised and how much is at stake, in one line; empty where nobody wrote it down.
    pub fn promise(&self) -> String {
        let said = [
            self.risk.map(|risk| format!("risk {risk}: {}", risk.meaning())),
            self.rpo.map(|rpo| format!("RPO {rpo}")),
            self.rto.map(|rto| format!("RTO {rto}")),
        ];
        said.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Whom to call: the owner with the contact, and who is called next.
    pub fn called(&self) -> Option<String> {
        called(self.owner.as_deref(), self.contact.as_deref(), &self.escalation)
    }

    /// The title, with what became of it in front.
    pub fn headline(&self) -> String {
        match (self.status, self.reminder) {
            (Status::Resolved, _) => format!("resolved: {}", self.title),
            (Status::Succeeded, _) | (Status::Raised, 0) => self.title.clone(),
            (Status::Raised, _) => format!("still open: {}", self.title),
        }
    }

    /// For logs that people read line by line.
    pub fn sentence(&self) -> String {
        let headline = self.headline();
        match self.status {
            Status::Raised => {
                let fix = if self.fix.is_empty() { String::new() } else { format!(" — {}", self.fix) };
                let call = self.called().map(|called| format!(" Call {called}.")).unwrap_or_default();
                format!("{headline}{fix}{call}")
            }
            Status::Resolved | Status::Succeeded => headline,
        }
    }
}
