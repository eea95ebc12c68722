//! One entry of the log in one sentence, for people.

use landfall_proto::fact::agent::{AgentFact, RunFinished, StartCause, Witnessed};
use landfall_proto::fact::coordinator::{CoordinatorFact, OpenedBy, RoundConcluded, RoundOpened};
use landfall_proto::report::{TaskKind, Trigger};

use super::line::{Body, FactLine, Line};
use crate::cli::human::{bytes, outcome_tone, short, short_round, verdict_tone};
use crate::cli::screen::Tone;

/// The sentence, and how it sounds.
pub(super) fn of(line: &Line) -> (Tone, String) {
    match line {
        Line::Refused(refused) => (Tone::Bad, format!("REFUSED {}: {}", refused.refused, refused.why)),
        Line::Fact(fact) => match &fact.body {
            Some(Body::Agent(body)) => agent(body),
            Some(Body::Coordinator(body)) => coordinator(body),
            None => unknown(fact),
        },
    }
}

fn unknown(fact: &FactLine) -> (Tone, String) {
    (Tone::Warn, format!("{:?}: a kind that this build does not know", fact.kind))
}

fn agent(fact: &AgentFact) -> (Tone, String) {
    match fact {
        AgentFact::AgentStarted(body) => {
            let how = match body.cause {
                StartCause::First => "for the first time",
                StartCause::Restarted => "again",
                StartCause::Rebuilt => "with a journal that was rebuilt from receipts",
            };
            (Tone::Plain, format!("agent {} started {how} on {}", body.version, body.host))
        }
        AgentFact::PlansAnnounced(body) => {
            let names: Vec<&str> = body.plans.iter().map(|plan| plan.routine.as_str()).collect();
            let broken: Vec<&str> = body.broken.iter().map(|plan| plan.file.as_str()).collect();
            let (tone, more) = if broken.is_empty() {
                (Tone::Plain, String::new())
            } else {
                (Tone::Bad, format!("; broken: {}", broken.join(", ")))
            };
            (tone, format!("plans: {}{more}", names.join(", ")))
        }
        AgentFact::RunStarted(body) => {
            let trigger = match body.about.trigger {
                Trigger::Dispatched => "dispatched",
                Trigger::Autonomous => "on its own",
                Trigger::Hand => "by hand",
            };
            let about = &body.about;
            (
                Tone::Plain,
                format!(
                    "run {} of {} {} started, {trigger}, attempt {}",
                    short(about.run),
                    about.routine,
                    about.task,
                    body.attempt
                ),
            )
        }
        AgentFact::RunPhase(body) => (Tone::Dim, format!("run {} is {}", short(body.run), body.phase)),
        AgentFact::RunMilestone(body) => (
            Tone::Dim,
            format!(
                "run {} at {} %: {} files, {}",
                short(body.run),
                body.percent,
                body.files_done,
                bytes(body.bytes_done)
            ),
        ),
        AgentFact::RunRetried(body) => (
            Tone::Warn,
            format!(
                "run {} attempt {} failed ({}: {}); again in {}",
                short(body.run),
                body.attempt,
                body.reason,
                body.message,
                body.delay
            ),
        ),
        AgentFact::RunFinished(body) => finished(body),
        AgentFact::SlotMissed(body) => {
            (Tone::Warn, format!("{} missed {} slots from {} to {}", body.routine, body.count, body.first, body.last))
        }
        AgentFact::Witnessed(body) => witnessed(body),
    }
}

fn finished(body: &RunFinished) -> (Tone, String) {
    let (about, report) = (&body.about, &body.report);
    let mut text =
        format!("run {} of {} {}: {} ({})", short(about.run), about.routine, about.task, report.outcome, report.reason);
    match &report.evidence {
        Some(evidence) if about.task == TaskKind::Backup => {
            let (snapshot, files) = (short(&evidence.snapshot), evidence.files);
            text.push_str(&format!(", snapshot {snapshot} with {files} files, {}", bytes(evidence.bytes)));
        }
        Some(_) | None if report.outcome.is_good() => {}
        Some(_) | None => text.push_str(&format!(": {}", report.message)),
    }
    (outcome_tone(report.outcome), text)
}

fn witnessed(body: &Witnessed) -> (Tone, String) {
    let repository = short(body.repository.as_str());
    match &body.unknown {
        Some(reason) => (Tone::Warn, format!("cannot look at repository {repository} ({reason})")),
        None if body.absent.is_empty() => {
            (Tone::Good, format!("sees {} of {} runs in repository {repository}", body.seen.len(), body.asked))
        }
        None => {
            (Tone::Bad, format!("does NOT see {} of {} runs in repository {repository}", body.absent.len(), body.asked))
        }
    }
}

fn coordinator(fact: &CoordinatorFact) -> (Tone, String) {
    match fact {
        CoordinatorFact::LeaderClaimed(body) => {
            (Tone::Plain, format!("{} claims to lead, term {}", body.holder, body.epoch.term))
        }
        CoordinatorFact::RoundOpened(body) => opened(body),
        CoordinatorFact::Dispatched(body) => (Tone::Dim, format!("run {} goes to {}", short(body.run), body.node)),
        CoordinatorFact::Answered(body) => match body.refused {
            Some(reason) => {
                (Tone::Warn, format!("run {} is refused by its node ({reason}): {}", short(body.run), body.message))
            }
            None => (Tone::Dim, format!("run {} is taken on", short(body.run))),
        },
        CoordinatorFact::CancelAsked(body) => (Tone::Warn, format!("{} cancels run {}", body.by, short(body.run))),
        CoordinatorFact::RunLost(body) => (Tone::Warn, format!("run {} is lost ({})", short(body.run), body.reason)),
        CoordinatorFact::WitnessAsked(body) => (
            Tone::Dim,
            format!(
                "{} shall look for {} runs in repository {}",
                body.witness,
                body.runs.len(),
                short(body.repository.as_str())
            ),
        ),
        CoordinatorFact::RoundConcluded(body) => concluded(body),
        CoordinatorFact::AlertRaised(body) => {
            (Tone::Bad, format!("ALERT {} {}: {}", body.alert.severity, body.alert.key, body.alert.title))
        }
        CoordinatorFact::AlertResolved(body) => (Tone::Good, format!("alert {} is resolved: {}", body.key, body.why)),
        CoordinatorFact::AlertDelivered(body) => match &body.error {
            Some(error) => (Tone::Bad, format!("{} could not be told, {} attempts: {error}", body.sink, body.attempts)),
            None if body.reminder > 0 => (Tone::Dim, format!("{} was told again", body.sink)),
            None => (Tone::Dim, format!("{} was told", body.sink)),
        },
        CoordinatorFact::LimitSet(body) => {
            (Tone::Plain, format!("{} sets the limit {} to {}", body.by, body.name, body.value))
        }
        CoordinatorFact::NodeRetired(body) => (Tone::Plain, format!("{} retires {}", body.by, body.node)),
        CoordinatorFact::MonitorSet(body) => {
            (Tone::Plain, format!("{} sets the monitor {}", body.by, body.monitor.name))
        }
        CoordinatorFact::MonitorRemoved(body) => {
            (Tone::Plain, format!("{} removes the monitor {}", body.by, body.name))
        }
        CoordinatorFact::PingKeySet(body) => {
            let verb = if body.key.is_some() { "makes" } else { "ends" };
            (Tone::Plain, format!("{} {verb} the ping key {}", body.by, body.label))
        }
        CoordinatorFact::Pinged(body) => {
            let tone = match body.ping.kind.is_good() {
                Some(true) => Tone::Good,
                Some(false) => Tone::Bad,
                None => Tone::Dim,
            };
            let stage = body.ping.said.stage.map(|stage| format!(" ({stage})")).unwrap_or_default();
            (tone, format!("the monitor {} says {}{stage}", body.monitor, body.ping.kind))
        }
        CoordinatorFact::SpaceSampled(body) => {
            (Tone::Dim, format!("the room of {} destinations is noted for the day", body.storages.len()))
        }
    }
}

fn opened(body: &RoundOpened) -> (Tone, String) {
    let by = match &body.opened_by {
        OpenedBy::Slot => "for its slot".to_owned(),
        OpenedBy::Operator => format!("by {}", body.by.as_deref().unwrap_or("an operator")),
        OpenedBy::Retry { of } => {
            let by = body.by.as_ref().map(|by| format!(", asked by {by}")).unwrap_or_default();
            format!("to retry run {}{by}", short(of))
        }
        OpenedBy::Node => "because a node ran on its own".to_owned(),
    };
    let nodes: Vec<&str> = body.expected.iter().take(10).map(|expected| expected.node.as_str()).collect();
    let more = body.expected.len().saturating_sub(nodes.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!(
        "round {} of {} {} opened {by}; expected: {}{more}",
        short_round(body.round),
        body.routine,
        body.task,
        nodes.join(", ")
    );
    (Tone::Plain, text)
}

fn concluded(body: &RoundConcluded) -> (Tone, String) {
    let verdict = &body.verdict;
    (
        verdict_tone(verdict.kind),
        format!("VERDICT of round {}: {} — {}", short_round(body.round), verdict.kind, verdict.summary),
    )
}
