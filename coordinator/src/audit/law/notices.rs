//! Every alert reaches every sink, under the id by which its receivers know it.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::alert::{Alert, Severity};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::time::{Timestamp, after};
use uuid::Uuid;

use crate::audit::{Case, Law, Read, Violation};
use crate::core::Fact;
use crate::core::policy::AlertKind;
use crate::core::route::kind_of;
use crate::core::together::TOGETHER_WITHIN;

pub(super) struct Notices;

const NAME: &str = "notices";

impl Law for Notices {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Each raising and each end of an alert is handed to every sink or given up after tries, always under the alert's own id."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let handed = case.history.coordinators.iter().any(|trace| !trace.notices.is_empty());
        let can_count = case.is_whole() && case.is_at_rest() && has_to_reach_all(case);
        (!handed && !can_count).then_some("notices that were handed to sinks")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = strangers(case);
        if case.is_whole() && case.is_at_rest() && has_to_reach_all(case) {
            found.extend(untold(case));
        }
        found
    }
}

/// Routes choose by what nodes said of themselves at the time; without any, each sink is told everything.
fn has_to_reach_all(case: &Case<'_>) -> bool {
    !case.history.policy.sinks.is_empty() && case.history.policy.routes.is_empty()
}

/// Notices that no alert in the log explains.
fn strangers(case: &Case<'_>) -> Vec<Violation> {
    if case.history.is_cut {
        return Vec::new();
    }
    let mut known: BTreeSet<(Uuid, bool)> = BTreeSet::new();
    for read in case.reads() {
        match &read.fact {
            Some(Fact::Coordinator(_, CoordinatorFact::AlertRaised(body))) => {
                known.insert((body.alert.id, false));
            }
            Some(Fact::Coordinator(_, CoordinatorFact::AlertResolved(body))) => drop(known.insert((body.id, true))),
            Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => {}
        }
    }
    let mut found = Vec::new();
    for trace in &case.history.coordinators {
        for (id, resolved, sink, at) in
            trace.notices.iter().filter(|(id, resolved, ..)| !known.contains(&(*id, *resolved)))
        {
            let about = if *resolved { "the end of an alert" } else { "an alert" };
            let what = format!("{} told {sink} of {about} {id}, which is not in the log", trace.holder);
            found.push(Violation::new(NAME, what).shown(format!("handed out at {at}")));
        }
    }
    found
}

/// What every sink should have had, and has neither had nor been given up on. Who takes the lead repeats only what is still
/// so: of an alert that ended meanwhile the end is told.
fn untold(case: &Case<'_>) -> Vec<Violation> {
    let covered = covered(case);
    let mut state: BTreeMap<Uuid, (bool, &Read<'_>)> = BTreeMap::new();
    let mut noted: BTreeSet<(Uuid, bool, &str)> = BTreeSet::new();
    for (_, read, fact) in case.decided() {
        if let CoordinatorFact::AlertRaised(body) = fact {
            state.insert(body.alert.id, (false, read));
        }
        if let CoordinatorFact::AlertResolved(body) = fact {
            state.insert(body.id, (true, read));
        }
        if let CoordinatorFact::AlertDelivered(body) = fact {
            noted.insert((body.id, body.resolved, &body.sink));
        }
    }
    let mut found = Vec::new();
    for (id, (resolved, read)) in state {
        if covered.contains(&id) || case.is_recent(read.entry.at) {
            continue;
        }
        for sink in &case.history.policy.sinks {
            if !noted.contains(&(id, resolved, sink.as_str())) {
                let about = if resolved { "the end of alert" } else { "alert" };
                let what = format!("{about} {id} was never handed to {sink}");
                found.push(Violation::new(NAME, what).seen(read));
            }
        }
    }
    found
}

/// Alerts about failures that the alert for the whole cluster tells: it was raised before them, less than an hour before, and
/// lasted as long as they, or lasts still.
fn covered(case: &Case<'_>) -> BTreeSet<Uuid> {
    let mut lives: BTreeMap<Uuid, (&Alert, Timestamp, Timestamp)> = BTreeMap::new();
    for (_, _, fact) in case.decided() {
        if let CoordinatorFact::AlertRaised(body) = fact {
            lives.insert(body.alert.id, (&body.alert, body.raised_at, Timestamp::MAX));
        }
        if let CoordinatorFact::AlertResolved(body) = fact
            && let Some((_, _, until)) = lives.get_mut(&body.id)
        {
            *until = body.resolved_at;
        }
    }
    let is_of = |alert: &Alert, kind: AlertKind| kind_of(alert) == kind.as_str();
    let covers: Vec<(Timestamp, Timestamp)> = lives
        .values()
        .filter(|(alert, ..)| is_of(alert, AlertKind::ClusterFailing))
        .map(|(_, from, until)| (*from, *until))
        .collect();
    let is_covered = |(alert, from, until): &(&Alert, Timestamp, Timestamp)| {
        let is_failure = is_of(alert, AlertKind::Failed) || is_of(alert, AlertKind::Diverged);
        is_failure
            && alert.severity < Severity::Emergency
            && covers
                .iter()
                .any(|(began, ended)| began <= from && *from < after(*began, TOGETHER_WITHIN) && until <= ended)
    };
    lives.iter().filter(|(_, life)| is_covered(life)).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, slot};
    use landfall_proto::fact::coordinator::AlertDelivered;

    fn delivered(story: &Story, sink: &str, error: Option<&str>) -> AlertDelivered {
        AlertDelivered {
            epoch: story.epoch,
            id: Uuid::from_u128(1),
            sink: sink.to_owned(),
            resolved: false,
            attempts: 1,
            error: error.map(str::to_owned),
            at: slot(),
            reminder: 0,
            answer: None,
        }
    }

    #[test]
    fn a_notice_has_an_alerts_own_id() {
        let mut story = Story::evening();
        story.raises("late/nightly", 1);
        let notice = |number, resolved| (Uuid::from_u128(number), resolved, "journal".to_owned(), slot());
        story.coordinator().notices = vec![notice(1, false), notice(1, false)];
        story.keeps(&Notices);
        story.coordinator().notices = vec![notice(2, false)];
        story.breaks(&Notices, "not in the log");
        story.coordinator().notices = vec![notice(1, true)];
        story.breaks(&Notices, "the end of an alert");
    }

    #[test]
    fn every_sink_is_told_or_given_up() {
        let mut story = Story::evening();
        story.history.policy.sinks = vec!["journal".to_owned(), "mail".to_owned()];
        story.raises("late/nightly", 1);
        let fact = delivered(&story, "journal", None);
        story.leader("alpha", fact);
        story.clone().at_rest().breaks(&Notices, "never handed to mail");
        let fact = delivered(&story, "mail", Some("refused"));
        story.leader("alpha", fact);
        story.at_rest().keeps(&Notices);
    }
}
