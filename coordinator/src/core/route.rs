//! Routes: which sinks are told of which alerts, whether they want to hear of the end, and how often they are reminded.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::alert::{Alert, Severity};
use landfall_proto::id::RoutineName;
use landfall_proto::time::Duration;
use serde::{Deserialize, Serialize};

/// One route, as the configuration writes it. A condition that is absent is met by everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Alerts at least as loud as this.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Patterns of routine names, of which one fits; `*` is any text and `?` any letter. Alerts of no routine fit none.
    #[serde(default)]
    pub routines: Vec<String>,
    /// Labels that one of the alert's nodes has, all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Kinds of alerts, of which one fits.
    #[serde(default)]
    pub kinds: BTreeSet<String>,
    /// Who is told; nobody where empty.
    pub sinks: Vec<String>,
    /// Whether the routes behind this one are looked at too.
    #[serde(default, rename = "continue")]
    pub goes_on: bool,
    /// Whether the end of an alert is told.
    #[serde(default = "yes")]
    pub resolved: bool,
    /// Whether a round that converged is told; for this, severity and kinds do not count.
    #[serde(default)]
    pub success: bool,
    /// After this an alert that is still open is told again.
    #[serde(default)]
    pub reminder_interval: Option<Duration>,
}

/// What one sink wants to hear of one alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub resolved: bool,
    pub reminder_interval: Option<Duration>,
}

/// Labels of one node.
pub type Labels = BTreeMap<String, String>;

const fn yes() -> bool {
    true
}

/// What kind of trouble an alert is about: the first part of its key.
pub fn kind_of(alert: &Alert) -> &str {
    alert.key.0.split('/').next().unwrap_or_default()
}

/// Who is told of an alert. `nodes` are the labels of the alert's nodes. What no route fits goes to every one of `sinks`: to be
/// silent about something takes a route without sinks.
pub fn told<'a>(
    routes: &'a [Route],
    sinks: &'a [String],
    alert: &Alert,
    nodes: &[&Labels],
) -> BTreeMap<&'a String, Wish> {
    let fits = |route: &&Route| {
        route.severity.is_none_or(|least| alert.severity >= least)
            && (route.kinds.is_empty() || route.kinds.contains(kind_of(alert)))
            && route.is_about(alert.routine.as_ref(), nodes)
    };
    let mut told: BTreeMap<&String, Wish> = BTreeMap::new();
    let mut is_fitted = false;
    for route in routes.iter().filter(fits) {
        is_fitted = true;
        let wish = Wish { resolved: route.resolved, reminder_interval: route.reminder_interval };
        for sink in known(&route.sinks, sinks) {
            told.entry(sink).and_modify(|before| *before = before.and(wish)).or_insert(wish);
        }
        if !route.goes_on {
            break;
        }
    }
    if !is_fitted {
        told.extend(sinks.iter().map(|sink| (sink, Wish { resolved: true, reminder_interval: None })));
    }
    told
}

/// Who is told that a round of this routine converged: those whose routes ask for it.
pub fn told_of_success<'a>(
    routes: &'a [Route],
    sinks: &'a [String],
    routine: &RoutineName,
    nodes: &[&Labels],
) -> BTreeSet<&'a String> {
    let wanting = routes.iter().filter(|route| route.success && route.is_about(Some(routine), nodes));
    wanting.flat_map(|route| known(&route.sinks, sinks)).collect()
}

/// Of the wanted sinks those that are there.
fn known<'a>(wanted: &'a [String], sinks: &'a [String]) -> impl Iterator<Item = &'a String> {
    wanted.iter().filter(|sink| sinks.contains(sink))
}

impl Route {
    fn is_about(&self, routine: Option<&RoutineName>, nodes: &[&Labels]) -> bool {
        let fits = |pattern: &String| routine.is_some_and(|name| matches(pattern, name.as_str()));
        let has_all =
            |labels: &&&Labels| self.labels.iter().all(|(key, value)| labels.get(key).is_some_and(|it| it == value));
        (self.routines.is_empty() || self.routines.iter().any(fits))
            && (self.labels.is_empty() || nodes.iter().any(|labels| has_all(&labels)))
    }
}

impl Wish {
    /// Both wishes: the end where either asks for it, and the shorter interval.
    fn and(self, other: Self) -> Self {
        let intervals = self.reminder_interval.into_iter().chain(other.reminder_interval);
        Self { resolved: self.resolved || other.resolved, reminder_interval: intervals.min() }
    }
}

/// Whether a name fits a pattern in which `*` is any text and `?` any letter. Takes time in proportion to both lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[seen] => {
                at += 1;
                seen += 1;
            }
            // The last star takes one letter more.
            Some(_) | None => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, seen) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
impl Route {
    /// Everything to these sinks, ends included, for tests that change what they are about.
    pub(super) fn to(sinks: &[&str]) -> Self {
        Self {
            severity: None,
            routines: Vec::new(),
            labels: BTreeMap::new(),
            kinds: BTreeSet::new(),
            sinks: sinks.iter().map(ToString::to_string).collect(),
            goes_on: false,
            resolved: true,
            success: false,
            reminder_interval: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::alert::AlertKey;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn alert(key: &str, severity: Severity, routine: Option<&str>) -> Alert {
        Alert {
            key: AlertKey(key.to_owned()),
            id: Uuid::nil(),
            severity,
            title: String::new(),
            routine: routine.map(|name| name.parse().unwrap()),
            round: None,
            nodes: Vec::new(),
            reason: None,
            last_good_at: None,
            fix: String::new(),
            runbook: None,
            stakes: None,
        }
    }

    fn names(sinks: &[&str]) -> Vec<String> {
        sinks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pattern_means_what_a_shell_means_by_it() {
        for (pattern, name) in
            [("*", ""), ("db.*", "db.daily"), ("*.d?ily", "db.daily"), ("a*b*c", "a-b-b-c"), ("", "")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("db.*", "web"), ("?", ""), ("a*b", "a-b-c"), ("", "a"), ("nightly", "Nightly")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn the_first_fitting_route_ends_the_way_unless_it_goes_on() {
        let sinks = names(&["journal", "mail", "pager"]);
        let mut loud = Route::to(&["pager"]);
        loud.severity = Some(Severity::Critical);
        let rest = Route::to(&["mail"]);
        let failed = alert("failed/nightly/a", Severity::Critical, Some("nightly"));
        let routes = [loud.clone(), rest.clone()];
        assert_eq!(told(&routes, &sinks, &failed, &[]).into_keys().collect::<Vec<_>>(), ["pager"]);
        let late = alert("late/nightly", Severity::Info, Some("nightly"));
        assert_eq!(told(&routes, &sinks, &late, &[]).into_keys().collect::<Vec<_>>(), ["mail"]);
        loud.goes_on = true;
        let routes = [loud, rest];
        assert_eq!(told(&routes, &sinks, &failed, &[]).into_keys().collect::<Vec<_>>(), ["mail", "pager"]);
    }

    #[test]
    fn what_no_route_fits_goes_to_all_and_only_an_empty_route_silences() {
        let sinks = names(&["journal", "mail"]);
        let mut silent = Route::to(&[]);
        silent.kinds.insert("late".to_owned());
        let late = alert("late/nightly", Severity::Info, Some("nightly"));
        assert!(told(std::slice::from_ref(&silent), &sinks, &late, &[]).is_empty());
        let lost = alert("history_lost/1", Severity::Critical, None);
        assert_eq!(told(&[silent], &sinks, &lost, &[]).len(), 2);
    }

    #[test]
    fn labels_are_one_nodes_and_successes_are_told_only_where_they_are_wanted() {
        let sinks = names(&["mail"]);
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let (one, two) = (Labels::from([label("site", "a")]), Labels::from([label("role", "db")]));
        let mut both = Route::to(&["mail"]);
        both.labels = Labels::from([label("site", "a"), label("role", "db")]);
        assert!(!both.is_about(None, &[&one, &two]), "no node has both");
        let whole = Labels::from([label("site", "a"), label("role", "db"), label("rack", "7")]);
        assert!(both.is_about(None, &[&one, &whole]));
        let routine = "nightly".parse().unwrap();
        assert!(told_of_success(std::slice::from_ref(&both), &sinks, &routine, &[&whole]).is_empty());
        both.success = true;
        assert_eq!(told_of_success(&[both], &sinks, &routine, &[&whole]).len(), 1);
    }

    prop_compose! {
        fn any_route()(
            severity in proptest::option::of(0_usize..4),
            kind in proptest::option::of(prop_oneof![Just("failed"), Just("late")]),
            pattern in proptest::option::of("[a-c*?]{0,4}"),
            sinks in proptest::collection::btree_set("[m-p]", 0..3),
            goes_on: bool,
            resolved: bool,
            interval in proptest::option::of(60_u64..10_000),
        ) -> Route {
            let severities = [Severity::Info, Severity::Warning, Severity::Critical, Severity::Emergency];
            Route {
                severity: severity.map(|at| severities[at]),
                routines: pattern.into_iter().collect(),
                labels: BTreeMap::new(),
                kinds: kind.into_iter().map(str::to_owned).collect(),
                sinks: sinks.into_iter().collect(),
                goes_on,
                resolved,
                success: false,
                reminder_interval: interval.map(Duration::from_secs),
            }
        }
    }

    proptest! {
        #[test]
        fn every_alert_has_a_way_and_no_sink_is_told_unasked(
            routes in proptest::collection::vec(any_route(), 0..6),
            name in "[a-c]{1,4}",
            kind in prop_oneof![Just("failed"), Just("late"), Just("stale")],
        ) {
            let sinks = names(&["m", "n", "o"]);
            let alert = alert(&format!("{kind}/{name}"), Severity::Warning, Some(&name));
            let found = told(&routes, &sinks, &alert, &[]);
            // Said again in other words: the fitting routes, up to the first that does not go on.
            let fits = |route: &&Route| {
                route.severity.is_none_or(|least| least <= Severity::Warning)
                    && (route.kinds.is_empty() || route.kinds.contains(kind))
                    && (route.routines.is_empty() || matches(&route.routines[0], &name))
            };
            let fitting: Vec<&Route> = routes.iter().filter(fits).collect();
            let end = fitting.iter().position(|route| !route.goes_on).map_or(fitting.len(), |at| at + 1);
            let used = &fitting[..end];
            for sink in &sinks {
                let asking: Vec<&&Route> = used.iter().filter(|route| route.sinks.contains(sink)).collect();
                let wish = found.get(sink);
                prop_assert_eq!(wish.is_some(), fitting.is_empty() || !asking.is_empty());
                if let (Some(wish), false) = (wish, fitting.is_empty()) {
                    prop_assert_eq!(wish.resolved, asking.iter().any(|route| route.resolved));
                    let shortest = asking.iter().filter_map(|route| route.reminder_interval).min();
                    prop_assert_eq!(wish.reminder_interval, shortest);
                }
            }
            prop_assert!(found.keys().all(|sink| sinks.contains(sink)), "no route makes a sink that is not there");
        }

        #[test]
        fn a_pattern_fits_what_is_made_from_it(parts in proptest::collection::vec("[a-c]{0,3}", 1..5), fill in "[a-c]{0,4}") {
            prop_assert!(matches(&parts.join("*"), &parts.join(&fill)));
            prop_assert!(matches(&parts.join("*"), &parts.join("")));
        }
    }
}
