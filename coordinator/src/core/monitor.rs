//! One monitor as the log tells of it: what it expects, what it said last, and how that stands at an instant.

use std::collections::{BTreeMap, VecDeque};

use jiff::tz::TimeZone;
use landfall_proto::alert::Alert;
use landfall_proto::calendar::Calendar;
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{
    Expects, FailureView, KeyHash, MonitorSpec, MonitorState, Ping, PingKind, RunningView, Stage,
};
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp, after, between};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mesh::Mesh;
use super::monitor_alerts;

/// Pings of one monitor that are remembered.
pub const PINGS_KEPT_MAX: usize = 30;

/// Bodies of one monitor's pings that are kept.
pub const BODIES_KEPT_MAX: usize = 10;

/// A ping of the same run and kind within this is the client's repetition of the one before.
const REPEATED_WITHIN: Duration = Duration::from_secs(600);

/// A start that lies further back than this belongs to no end that comes.
const DURATION_MAX: Duration = Duration::from_secs(72 * 3600);

/// A monitor, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitor {
    pub spec: MonitorSpec,
    pub set_at: Timestamp,
    pub set_by: String,
    /// The latest pings without their bodies, oldest first.
    #[serde(default)]
    pub recent: VecDeque<Taken>,
    /// All pings that were ever taken.
    #[serde(default)]
    pub count: u64,
    /// The last one that told of an end.
    #[serde(default)]
    pub last_ping_at: Option<Timestamp>,
    #[serde(default)]
    pub last_good_at: Option<Timestamp>,
    /// The run that began last and has not ended.
    #[serde(default)]
    pub running: Option<RunningView>,
    /// What it said when it failed; absent once it is good again.
    #[serde(default)]
    pub failure: Option<FailureView>,
    #[serde(default)]
    pub failures_since_good: u32,
    /// How long the run took that ended last, where its start was told.
    #[serde(default)]
    pub last_duration_ms: Option<u64>,
    /// When the next ping is due. It follows from the rest, and from the zone files of this machine.
    #[serde(skip)]
    pub expected_at: Option<Timestamp>,
}

/// One ping that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub at: Timestamp,
    pub ping: Ping,
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// A key by which slugs are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingKey {
    pub key: KeyHash,
    pub creates: bool,
    pub set_at: Timestamp,
    pub set_by: String,
}

impl Taken {
    pub(super) const fn has_body(&self) -> bool {
        self.ping.body_bytes > 0
    }
}

impl Monitor {
    pub(super) fn new(spec: MonitorSpec, set_at: Timestamp, set_by: String) -> Self {
        let mut monitor = Self {
            spec,
            set_at,
            set_by,
            recent: VecDeque::new(),
            count: 0,
            last_ping_at: None,
            last_good_at: None,
            running: None,
            failure: None,
            failures_since_good: 0,
            last_duration_ms: None,
            expected_at: None,
        };
        monitor.expect();
        monitor
    }

    /// Another definition of the same monitor. What is not said again of its key stays.
    pub(super) fn redefine(&mut self, spec: MonitorSpec, set_at: Timestamp, set_by: String) {
        let key = self.spec.key.take();
        self.spec = MonitorSpec { key: spec.key.clone().or(key), ..spec };
        (self.set_at, self.set_by) = (set_at, set_by);
        self.expect();
    }

    /// Reckons anew when the next ping is due.
    pub(super) fn expect(&mut self) {
        // Who has never been heard of is expected from the moment on that somebody said so.
        let since = self.last_ping_at.unwrap_or(self.set_at);
        self.expected_at = match &self.spec.expects {
            Expects::Every { period } => Some(after(since, *period)),
            Expects::Slots { calendar, zone } => calendar.parse::<Calendar>().ok().and_then(|calendar| {
                let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
                calendar.next_after(since, &zone)
            }),
        };
    }

    /// Whether this says what was said before: the same question again, or a client that did not hear the answer.
    pub(super) fn knows(&self, ping: &Ping, at: Timestamp) -> bool {
        self.recent.iter().any(|taken| {
            let is_repeated = ping.rid.is_some()
                && ping.kind != PingKind::Log
                && (ping.rid, ping.kind, ping.said.stage) == (taken.ping.rid, taken.ping.kind, taken.ping.said.stage)
                && between(taken.at, at) < REPEATED_WITHIN;
            taken.ping.id == ping.id || is_repeated
        })
    }

    /// Takes a ping in, as healthchecks does: a start only opens a run; an end moves everything, and closes the run that it is
    /// the end of; a log changes nothing. Hands back the oldest ping where it is remembered no longer.
    pub(super) fn take(&mut self, ping: &Ping, at: Timestamp) -> Option<Taken> {
        let mut duration_ms = ping.said.duration_ms;
        match ping.kind.is_good() {
            None => self.progress(ping, at),
            Some(good) => {
                let measured = self.ended(ping.rid, good, at);
                duration_ms = duration_ms.or(measured);
                self.last_duration_ms = duration_ms;
                self.last_ping_at = Some(at);
                if good {
                    self.last_good_at = Some(at);
                    (self.failure, self.failures_since_good) = (None, 0);
                } else {
                    self.failure = Some(failure(ping, at));
                    self.failures_since_good = self.failures_since_good.saturating_add(1);
                }
                self.expect();
            }
        }
        self.count += 1;
        self.recent.push_back(Taken { at, ping: Ping { body: String::new(), ..ping.clone() }, duration_ms });
        if self.recent.len() > PINGS_KEPT_MAX { self.recent.pop_front() } else { None }
    }

    fn progress(&mut self, ping: &Ping, at: Timestamp) {
        let said = &ping.said;
        let same = self.running.filter(|running| running.rid == ping.rid);
        self.running = match (ping.kind, same) {
            // A run that prepares itself has begun before it says that it starts.
            (PingKind::Start, Some(running))
                if running.stage == Some(Stage::Preparing) && said.stage == Some(Stage::Started) =>
            {
                Some(RunningView { stage: said.stage, ..running })
            }
            (PingKind::Start, _) => {
                Some(RunningView { since: at, rid: ping.rid, stage: said.stage, percent: said.percent })
            }
            (_, Some(running)) => Some(RunningView {
                stage: said.stage.or(running.stage),
                percent: said.percent.or(running.percent),
                ..running
            }),
            (_, None) => self.running,
        };
    }

    /// Closes the run that this is the end of; how long it took, where its start was told.
    fn ended(&mut self, rid: Option<Uuid>, good: bool, at: Timestamp) -> Option<u64> {
        let running = self.running?;
        if running.rid == rid {
            self.running = None;
            return Some(between(running.since, at)).filter(|took| *took <= DURATION_MAX).map(Duration::as_ms);
        }
        // The good end of another run says nothing about this one.
        if !good || rid.is_none() {
            self.running = None;
        }
        None
    }

    /// When nothing that came in is no longer enough; `None` where nothing is expected, or the failure is known.
    pub fn overdue_at(&self) -> Option<Timestamp> {
        if self.failure.is_some() {
            return None;
        }
        let due = self.expected_at.into_iter().chain(self.running.map(|running| running.since)).min()?;
        Some(after(due, self.spec.grace))
    }

    /// When somebody is told quietly.
    pub(super) fn late_at(&self) -> Option<Timestamp> {
        let late = self.spec.late_after.filter(|_| self.failure.is_none())?;
        Some(after(self.expected_at?, late))
    }

    /// How it stands at this instant.
    pub fn state(&self, now: Timestamp) -> MonitorState {
        let is_past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if self.failure.is_some() {
            MonitorState::Failed
        } else if is_past(self.overdue_at()) {
            MonitorState::Overdue
        } else if is_past(self.expected_at) {
            MonitorState::Late
        } else if self.last_ping_at.is_none() {
            MonitorState::New
        } else {
            MonitorState::Up
        }
    }

    /// Pings that came with a body, the latest first.
    pub fn with_bodies(&self) -> impl Iterator<Item = &Taken> {
        self.recent.iter().rev().filter(|taken| taken.has_body())
    }
}

impl Mesh {
    pub const fn monitors(&self) -> &BTreeMap<RoutineName, Monitor> {
        &self.monitors
    }

    /// By their labels.
    pub const fn ping_keys(&self) -> &BTreeMap<String, PingKey> {
        &self.ping_keys
    }

    /// The monitor that an alert is about.
    pub(super) fn monitor_of(&self, alert: &Alert) -> Option<&Monitor> {
        self.monitors.get(alert.routine.as_ref().filter(|_| monitor_alerts::is_about(alert))?)
    }
}

/// What a failed ping says, in one sentence at most.
fn failure(ping: &Ping, at: Timestamp) -> FailureView {
    let (reason, said) = match ping.kind {
        PingKind::Exit { status } => (Reason::UnknownExit, format!("it ended with status {status}")),
        PingKind::Fail | PingKind::Success | PingKind::Start | PingKind::Log => {
            (Reason::Unknown, "it said that it failed".to_owned())
        }
    };
    let message = match &ping.said.error {
        Some(error) => format!("{said}: {error}"),
        None => said,
    };
    FailureView { ping: ping.id, at, reason: ping.said.reason.unwrap_or(reason), message }
}
