//! The tables `[[routes]]`: checked against the sinks and the kinds of alerts that there are.

use landfall_proto::time::Duration;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::Finder;
use super::receivers::SinkConfig;
use crate::core::policy::AlertKind;
use crate::core::route::Route;
use crate::core::tell::CONVERGED;

/// Routes, and entries of one list of a route.
const ROUTES_MAX: usize = 64;
const ENTRIES_MAX: usize = 64;

/// Longest pattern and label.
const PATTERN_CHARS_MAX: usize = 128;

/// Reminders come no more often, or people stop reading them, and no more seldom, or nobody waits for them.
const REMINDER_INTERVAL_MIN: Duration = Duration::from_secs(60);
const REMINDER_INTERVAL_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Alerts about a coordinator itself, which its state cannot hold, and what is no alert: a route for it alone tells successes only.
const OWN_KINDS: [&str; 3] = ["ledger_full", "ledger_rebuilt", CONVERGED];

impl Finder<'_> {
    pub(super) fn routes(&mut self, routes: Vec<Route>, sinks: &[SinkConfig]) -> Vec<Route> {
        if routes.len() > ROUTES_MAX {
            let what = format!("{} routes are given; {ROUTES_MAX} is the most", routes.len());
            self.problem("routes", &what, "put several conditions into one route");
        }
        for (index, route) in routes.iter().enumerate().take(ROUTES_MAX) {
            let table = ("routes", index);
            self.targets(table, route, sinks);
            for kind in route.kinds.iter().filter(|kind| !OWN_KINDS.contains(&kind.as_str())) {
                let read: Result<AlertKind, Error> = AlertKind::deserialize(known(kind));
                if let Err(error) = read {
                    let fix = format!("choose from the kinds that the message names, or {}", OWN_KINDS.join(", "));
                    self.problem_in(table, "kinds", &format!("there are no alerts of this kind: {error}"), &fix);
                }
            }
            let lists =
                [("sinks", route.sinks.len()), ("routines", route.routines.len()), ("labels", route.labels.len())];
            for (key, length) in lists.into_iter().filter(|(_, length)| *length > ENTRIES_MAX) {
                let what = format!("{length} entries are given; {ENTRIES_MAX} is the most");
                self.problem_in(table, key, &what, "use patterns, or another route");
            }
            let is_good = |pattern: &String| !pattern.is_empty() && pattern.chars().count() <= PATTERN_CHARS_MAX;
            for pattern in route.routines.iter().filter(|pattern| !is_good(pattern)) {
                let what = format!("{pattern:?} is empty or longer than {PATTERN_CHARS_MAX} letters");
                self.problem_in(table, "routines", &what, "write names of routines; `*` is any text, `?` any letter");
            }
            let is_apt = |interval: &Duration| (REMINDER_INTERVAL_MIN..=REMINDER_INTERVAL_MAX).contains(interval);
            if let Some(interval) = route.reminder_interval.filter(|interval| !is_apt(interval)) {
                let what = format!("{interval} is no time after which people can be reminded");
                let fix = format!("choose {REMINDER_INTERVAL_MIN} to {REMINDER_INTERVAL_MAX}");
                self.problem_in(table, "reminder_interval", &what, &fix);
            }
        }
        routes
    }

    fn targets(&mut self, table: (&str, usize), route: &Route, sinks: &[SinkConfig]) {
        for name in &route.sinks {
            let known: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
            match sinks.iter().find(|sink| sink.name == *name) {
                None if known.is_empty() => {
                    self.problem_in(table, "sinks", &format!("there is no sink {name:?}"), "write a [[sink]] first");
                }
                None => {
                    let fix = format!("the sinks are: {}", known.join(", "));
                    self.problem_in(table, "sinks", &format!("there is no sink {name:?}"), &fix);
                }
                Some(sink) if route.success && !sink.kind.takes_successes() => self.problem_in(
                    table,
                    "success",
                    &format!("{name} takes alerts only, and a round that converged is none"),
                    "send successes to a journal, jsonl, webhook, mail or slack sink by a route of their own",
                ),
                Some(_) => {}
            }
        }
    }
}

fn known(kind: &str) -> StrDeserializer<'_, Error> {
    kind.into_deserializer()
}
