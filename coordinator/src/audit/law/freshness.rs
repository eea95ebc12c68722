//! What proves a backup is young, read in the run itself, and a failed proof is told until a good one follows.

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::report::TaskKind;
use landfall_proto::time::after;

use crate::audit::case::SETTLE;
use crate::audit::health::{Health, Stand};
use crate::audit::{Case, Law, Violation};

pub(super) struct Freshness;

const NAME: &str = "freshness-of-proof";

impl Law for Freshness {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "A failed check and a backup older than its recovery point are told for as long as they last, and evidence is read in the run that shows it."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = remembered(case);
        let is_led = case.history.coordinators.iter().any(|trace| trace.leads && trace.cursor.is_some());
        if !case.is_whole() || !case.is_at_rest() || !is_led {
            return found;
        }
        let mut health = Health::default();
        case.folded().for_each(|(_, read)| health.take(read, &case.history.policy));
        for ((node, routine), stand) in &health.stands {
            let is_told = |kind: &str| health.open.contains_key(&format!("{kind}/{routine}/{node}"));
            let is_told_together = health.open.contains_key(&format!("diverged/{routine}"));
            if let Some(read) = stand.trouble.get(&TaskKind::Check).filter(|read| !case.is_recent(read.entry.at))
                && !is_told("failed")
                && !is_told_together
            {
                let what = format!("the last check of {routine} on {node} failed, and no alert says so");
                found.push(Violation::new(NAME, what).seen(read));
            }
            if let Some(what) = too_old(case, stand).filter(|_| !is_told("stale")) {
                found.push(Violation::new(NAME, format!("{routine} on {node} {what}, and no alert says so")));
            }
        }
        found
    }
}

fn too_old(case: &Case<'_>, stand: &Stand<'_>) -> Option<String> {
    let rpo = stand.rpo?;
    let since = stand.last_good_at.unwrap_or(stand.announced_at);
    let stale_at = after(after(since, rpo), SETTLE);
    let is_stale = case.history.ended_at.is_some_and(|ended| ended > after(stale_at, SETTLE));
    is_stale.then(|| format!("has no good backup since {since}, and should have one every {rpo}"))
}

/// Evidence from before the run began. A clock that was set back within the run shows in the report itself: it ends before
/// it began, or, as the runner writes it, at the same instant. When it was told says little: a receipt is told again later.
fn remembered(case: &Case<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (read, node, fact) in case.told_ever() {
        let AgentFact::RunFinished(body) = fact else { continue };
        let report = &body.report;
        let Some(evidence) = report.evidence.as_ref().filter(|_| report.outcome.is_good()) else { continue };
        let has_steady_clock =
            read.entry.envelope.sent_at >= report.started_at && report.finished_at > report.started_at;
        if has_steady_clock && after(evidence.read_at, SETTLE) < report.started_at {
            let what =
                format!("run {} on {node} shows evidence from {}, before it began", body.about.run, evidence.read_at);
            found.push(Violation::new(NAME, what).seen(read));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, about, report, slot};
    use landfall_proto::fact::agent::{RunAbout, RunFinished};
    use landfall_proto::id::RunId;
    use landfall_proto::report::{Outcome, Reason};
    use landfall_proto::time::Duration;

    fn led(story: Story) -> Story {
        let mut story = story.at_rest();
        let last = story.history.log.last().unwrap().position;
        let coordinator = story.coordinator();
        (coordinator.cursor, coordinator.leads) = (Some(last), true);
        story
    }

    fn checked(story: &mut Story, outcome: Outcome, reason: Reason, number: u64) {
        let round = landfall_proto::id::RoundId(uuid::Uuid::from_u128(u128::from(number)));
        let run = RunId::of(round, &crate::audit::story::node("a"), TaskKind::Check);
        let about = RunAbout { run, round, task: TaskKind::Check, ..about("a") };
        story.node("a", RunFinished { about, report: report("a", outcome, reason) });
    }

    #[test]
    fn a_failed_check_is_told_until_a_good_one_follows() {
        let mut story = Story::morning();
        checked(&mut story, Outcome::Failed, Reason::Integrity, 1);
        led(story.clone()).breaks(&Freshness, "the last check of nightly on a failed");
        let mut told = story.clone();
        told.raises("failed/nightly/a", 1);
        led(told).keeps(&Freshness);
        checked(&mut story, Outcome::Ok, Reason::Completed, 2);
        led(story).keeps(&Freshness);
    }

    #[test]
    fn an_old_backup_is_told() {
        let mut story = led(Story::morning());
        story.keeps(&Freshness);
        story.history.ended_at = Some(after(slot(), Duration::from_secs(90_000)));
        story.breaks(&Freshness, "no good backup since");
    }

    #[test]
    fn evidence_is_read_in_its_own_run() {
        let told = |took_secs| {
            let mut story = Story::night();
            let mut report = report("a", Outcome::Ok, Reason::Completed);
            report.evidence.as_mut().unwrap().read_at = slot() - jiff::SignedDuration::from_hours(1);
            report.finished_at = after(report.started_at, Duration::from_secs(took_secs));
            story.node("a", RunFinished { about: about("a"), report });
            story
        };
        told(60).breaks(&Freshness, "before it began");
        // Its clock was set back within the run; what is told may come from its receipt, long after.
        told(0).keeps(&Freshness);
    }
}
