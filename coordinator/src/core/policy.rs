//! What the operator decided for the whole mesh: per-routine rules, deadlines, alert thresholds and limits.

use std::collections::BTreeMap;

use landfall_proto::alert::Severity;
use landfall_proto::calendar::Calendar;
use landfall_proto::card::Card;
use landfall_proto::id::RoutineName;
use landfall_proto::limit::LimitName;
use landfall_proto::time::Duration;
use landfall_proto::verdict::Rule;
use serde::{Deserialize, Serialize};

use super::route::Route;

/// The coordinator's policy file. Every field has a sane default; an unknown field is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// How long a node may be silent before somebody is told.
    pub silent_alert_after: Duration,
    /// How long a witness may take to look at a repository.
    pub witness_within: Duration,
    /// How long a leader waits for results on their way before it judges a round whose deadline passed before it led.
    pub settle_within: Duration,
    /// A file system with a smaller share of free space is a finding.
    pub storage_low_percent: u8,
    /// A destination with a smaller share of free space is a warning once that has lasted; it ends with five percent more.
    pub destination_low_percent: u8,
    pub destination_low_for: Duration,
    /// A destination that will be full within this is a warning, until there is half as much time again.
    pub filling_within: Duration,
    /// A node whose clock differs more from the leader's is a finding.
    pub clock_skew_max: Duration,
    /// Where alerts point for help; `{key}` stands for the alert's key.
    pub runbook_url: Option<String>,
    /// Sizes of limits that nobody set by command.
    pub limits: BTreeMap<LimitName, u32>,
    /// Severities other than the built-in ones.
    pub severity: BTreeMap<AlertKind, Severity>,
    pub routines: BTreeMap<RoutineName, RoutinePolicy>,
    /// Names of the sinks that notices go to; filled in by the shell from its own configuration.
    #[serde(skip)]
    pub sinks: Vec<String>,
    /// Which of the sinks are told what; filled in by the shell. Without any, all are told everything.
    #[serde(skip)]
    pub routes: Vec<Route>,
}

/// What the operator decided for one routine; wins over what the plans say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutinePolicy {
    /// The schedule of the rounds; absent is the one that most nodes announce.
    pub calendar: Option<Calendar>,
    /// IANA zone of `calendar`; UTC where absent.
    pub zone: Option<String>,
    pub start_within: Option<Duration>,
    /// Counted from the slot.
    pub finish_within: Option<Duration>,
    pub rpo: Option<Duration>,
    pub rule: Rule,
    /// False where no neighbour should look at the destination.
    pub witness: Option<bool>,
    pub runbook_url: Option<String>,
    /// What people have to know of the routine; each key wins over what the plans say.
    pub card: Option<Card>,
    pub severity: BTreeMap<AlertKind, Severity>,
}

/// What alerts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    Failed,
    Overdue,
    Diverged,
    ClusterFailing,
    Late,
    NodeSilent,
    Stale,
    Guard,
    ChainBroken,
    Contradicted,
    Conflict,
    BrokenPlan,
    StorageLow,
    ClockSkew,
    HistoryLost,
    CoordinatorDiffers,
    MonitorFailed,
    MonitorOverdue,
    MonitorLate,
    MonitorsTogether,
    Filling,
    DestinationLow,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            silent_alert_after: Duration::from_secs(300),
            witness_within: Duration::from_secs(600),
            settle_within: Duration::from_secs(30),
            storage_low_percent: 10,
            destination_low_percent: 15,
            destination_low_for: Duration::from_secs(1800),
            filling_within: Duration::from_secs(14 * 86_400),
            clock_skew_max: Duration::from_secs(30),
            runbook_url: None,
            limits: BTreeMap::new(),
            severity: BTreeMap::new(),
            routines: BTreeMap::new(),
            sinks: Vec::new(),
            routes: Vec::new(),
        }
    }
}

impl Policy {
    pub fn routine(&self, name: &RoutineName) -> Option<&RoutinePolicy> {
        self.routines.get(name)
    }

    /// The operator's severity for a kind of alert, the routine's own first.
    pub fn severity(&self, kind: AlertKind, routine: Option<&RoutineName>, default: Severity) -> Severity {
        let own = routine.and_then(|name| self.routine(name)).and_then(|routine| routine.severity.get(&kind));
        own.or_else(|| self.severity.get(&kind)).copied().unwrap_or(default)
    }

    /// Where help for this alert is to be found.
    pub fn runbook(&self, key: &str, routine: Option<&RoutineName>) -> Option<String> {
        let own = routine.and_then(|name| self.routine(name)).and_then(|routine| routine.runbook_url.as_ref());
        own.or(self.runbook_url.as_ref()).map(|url| url.replace("{key}", key))
    }

    /// The rule by which rounds of this routine converge.
    pub fn rule(&self, name: &RoutineName) -> Rule {
        self.routine(name).map(|routine| routine.rule.clone()).unwrap_or_default()
    }

    /// Whether neighbours look at the destination for this routine.
    pub fn wants_witness(&self, name: &RoutineName) -> bool {
        self.routine(name).and_then(|routine| routine.witness).unwrap_or(true)
    }
}

impl AlertKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Overdue => "overdue",
            Self::Diverged => "diverged",
            Self::ClusterFailing => "cluster_failing",
            Self::Late => "late",
            Self::NodeSilent => "node_silent",
            Self::Stale => "stale",
            Self::Guard => "guard",
            Self::ChainBroken => "chain_broken",
            Self::Contradicted => "contradicted",
            Self::Conflict => "conflict",
            Self::BrokenPlan => "broken_plan",
            Self::StorageLow => "storage_low",
            Self::ClockSkew => "clock_skew",
            Self::HistoryLost => "history_lost",
            Self::CoordinatorDiffers => "coordinator_differs",
            Self::MonitorFailed => "monitor_failed",
            Self::MonitorOverdue => "monitor_overdue",
            Self::MonitorLate => "monitor_late",
            Self::MonitorsTogether => "monitors_together",
            Self::Filling => "filling",
            Self::DestinationLow => "destination_low",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default_policy() {
        assert_eq!(toml::from_str::<Policy>("").unwrap(), Policy::default());
    }

    #[test]
    fn a_full_file_is_read_and_a_misspelt_field_is_refused() {
        let text = r#"
            silent_alert_after = "2m"
            runbook_url = "https://wiki.example/landfall/{key}"
            limits = { cluster = 8, "storage:nas" = 2, "label:rack=1" = 1 }
            severity = { stale = "warning" }
            [routines."db.daily"]
            calendar = "daily"
            rule = "coverage(shard)"
            rpo = "1d 6h"
            severity = { failed = "emergency" }
        "#;
        let policy: Policy = toml::from_str(text).unwrap();
        let name: RoutineName = "db.daily".parse().unwrap();
        assert_eq!(policy.limits[&LimitName::Storage("nas".to_owned())], 2);
        assert_eq!(policy.rule(&name), Rule::Coverage("shard".to_owned()));
        assert_eq!(policy.severity(AlertKind::Failed, Some(&name), Severity::Critical), Severity::Emergency);
        assert_eq!(policy.severity(AlertKind::Stale, Some(&name), Severity::Critical), Severity::Warning);
        assert_eq!(policy.runbook("stale/x", None).unwrap(), "https://wiki.example/landfall/stale/x");
        assert!(toml::from_str::<Policy>("silent_after = \"2m\"").is_err());
        assert!(toml::from_str::<Policy>("[routines.db]\nquorum = 2").is_err());
    }
}
