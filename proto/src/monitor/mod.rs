//! Monitors: programs that Landfall does not run, and what they say of themselves by pings.

mod key;
mod ping;
mod shown;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::id::RoutineName;
use crate::time::Duration;

pub use key::{KeyHash, KeyHashError, Slug, SlugError};
pub use ping::{BODY_KEPT_BYTES_MAX, Ping, PingAnswer, PingKind, PingTo, Said, Stage, WORD_BYTES_MAX};
pub use shown::{
    FailureView, MonitorDetail, MonitorState, MonitorView, MonitorsView, PingKeyView, PingView, RunningView,
};

/// Monitors of one mesh at most.
pub const MONITORS_MAX: usize = 1000;

/// Ping keys of one mesh at most.
pub const PING_KEYS_MAX: usize = 100;

/// Periods and graces are at least a minute and at most a year long.
pub const SPAN_MIN: Duration = Duration::from_secs(60);
pub const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What a monitor that its first ping made expects, as long as nobody says otherwise.
pub const USUAL_PERIOD: Duration = Duration::from_secs(86_400);
pub const USUAL_GRACE: Duration = Duration::from_secs(3600);

const LABELS_MAX: usize = 20;

/// When the next good ping is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Expects {
    /// So long after the ping before.
    Every { period: Duration },
    /// At the first slot after the ping before.
    Slots {
        /// Normalised expression.
        calendar: String,
        /// IANA zone name.
        zone: String,
    },
}

/// What an operator says of one monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MonitorSpec {
    /// Shares its names with routines: a monitor is a routine without an agent.
    pub name: RoutineName,
    pub slug: Slug,
    /// Of the UUID that stands in its address; absent where only its slug reaches it, and in a change that keeps the one it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyHash>,
    pub expects: Expects,
    /// How long a ping may come after it is expected, and a run may take after its start, before somebody is told.
    pub grace: Duration,
    /// How long after it is expected somebody is told quietly; absent where nobody is before the grace has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it protects, and whatever else who is woken by it should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who is to be asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

impl MonitorSpec {
    /// What a first ping with `create=1` makes.
    pub fn created(name: RoutineName, slug: Slug) -> Self {
        Self {
            name,
            slug,
            key: None,
            expects: Expects::Every { period: USUAL_PERIOD },
            grace: USUAL_GRACE,
            late_after: None,
            labels: BTreeMap::new(),
            note: String::new(),
            owner: String::new(),
        }
    }

    /// Why this cannot be a monitor; `None` where it can.
    pub fn fault(&self) -> Option<String> {
        let is_span = |span: Duration| (SPAN_MIN..=SPAN_MAX).contains(&span);
        let wrong_span = |what: &str, span: Duration| format!("its {what} is {span}; it is between 1m and 366d");
        match &self.expects {
            Expects::Every { period } if !is_span(*period) => return Some(wrong_span("period", *period)),
            Expects::Every { .. } => {}
            Expects::Slots { calendar, zone } => {
                if let Err(error) = calendar.parse::<Calendar>() {
                    return Some(format!("its calendar cannot be read: {error}"));
                }
                if jiff::tz::TimeZone::get(zone).is_err() {
                    return Some(format!("{zone:?} is no time zone"));
                }
            }
        }
        if !is_span(self.grace) {
            return Some(wrong_span("grace", self.grace));
        }
        if self.late_after.is_some_and(|late| late >= self.grace) {
            return Some("it is to be told quietly only after its grace has passed, when it is told loudly".to_owned());
        }
        let words = self.labels.iter().flat_map(|(key, value)| [key, value]).chain([&self.note, &self.owner]);
        if self.labels.len() > LABELS_MAX || words.into_iter().any(|word| word.len() > WORD_BYTES_MAX) {
            return Some(format!(
                "it has more than {LABELS_MAX} labels, or a label, note or owner longer than {WORD_BYTES_MAX} bytes"
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_that_cannot_be_says_why() {
        let name: RoutineName = "db.daily".parse().unwrap();
        let good = MonitorSpec::created(name.clone(), Slug::of(&name));
        assert_eq!(good.fault(), None);
        let slots =
            |calendar: &str, zone: &str| Expects::Slots { calendar: calendar.to_owned(), zone: zone.to_owned() };
        let second = Duration::from_secs(1);
        let wrong = [
            MonitorSpec { expects: Expects::Every { period: second }, ..good.clone() },
            MonitorSpec { expects: slots("25:00", "UTC"), ..good.clone() },
            MonitorSpec { expects: slots("daily", "Mars/Olympus"), ..good.clone() },
            MonitorSpec { grace: second, ..good.clone() },
            MonitorSpec { late_after: Some(USUAL_GRACE), ..good.clone() },
            MonitorSpec { note: "x".repeat(501), ..good.clone() },
        ];
        for spec in wrong {
            assert!(spec.fault().is_some(), "{spec:?}");
        }
        assert_eq!(MonitorSpec { expects: slots("daily", "Europe/Berlin"), ..good }.fault(), None);
    }
}
