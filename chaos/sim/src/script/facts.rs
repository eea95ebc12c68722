//! Facts in one line each, as far as they count in a story.

use landfall_proto::envelope::{Envelope, Epoch};
use landfall_proto::fact::agent::{AgentFact, RunFinished, StartCause, Witnessed};
use landfall_proto::fact::coordinator::{CoordinatorFact, LeaderClaimed, OpenedBy, RoundConcluded, RoundOpened};
use landfall_proto::id::NodeId;
use landfall_proto::verdict::{NodeStanding, Standing, VerdictKind, Witness};

use super::names::Names;

/// Nodes that are named one by one; beyond it only those that a reader has to look at.
const NAMED_MAX: usize = 5;

/// A line for what a node wrote, unless it is a detail.
pub(super) fn of_node(names: &mut Names, node: &NodeId, fact: &AgentFact) -> Option<String> {
    Some(match fact {
        AgentFact::AgentStarted(started) => match started.cause {
            StartCause::First => format!("{node} begins its first life"),
            StartCause::Restarted => return None,
            StartCause::Rebuilt => format!("{node} begins a new life, rebuilt from what its disk still held"),
        },
        AgentFact::PlansAnnounced(_) | AgentFact::RunPhase(_) | AgentFact::RunMilestone(_) => return None,
        AgentFact::RunStarted(started) => {
            let run = names.about(node, &started.about);
            let again = if started.attempt > 1 { format!(", attempt {}", started.attempt) } else { String::new() };
            format!("{node} starts {run}{again}")
        }
        AgentFact::RunRetried(retried) => {
            let (run, reason, delay) = (names.run(retried.run), retried.reason, retried.delay);
            format!("{run} failed ({reason}) and is tried again in {delay}")
        }
        AgentFact::RunFinished(finished) => finished_line(names, node, finished),
        AgentFact::SlotMissed(missed) => {
            let (first, last) = (names.time(missed.first), names.time(missed.last));
            format!("{node} says that it missed {} slots, from {first} to {last}", missed.count)
        }
        AgentFact::Witnessed(witnessed) => witnessed_line(names, node, witnessed),
    })
}

fn finished_line(names: &mut Names, node: &NodeId, finished: &RunFinished) -> String {
    let (run, report) = (names.about(node, &finished.about), &finished.report);
    let mut line = format!("{node} ends {run}: {} ({})", report.outcome, report.reason);
    if report.attempts > 1 {
        line.push_str(&format!(", {} attempts", report.attempts));
    }
    if report.unread.count > 0 {
        line.push_str(&format!(", {} files could not be read", report.unread.count));
    }
    if !report.findings.is_empty() {
        line.push_str(&format!(", {} findings", report.findings.len()));
    }
    line
}

fn witnessed_line(names: &Names, node: &NodeId, witnessed: &Witnessed) -> String {
    let round = names.round(witnessed.round);
    if let Some(reason) = witnessed.unknown {
        return format!("{node} cannot look at the repository for {round} ({reason})");
    }
    let mut line = format!("{node} sees {} of {} snapshots of {round}", witnessed.seen.len(), witnessed.asked);
    if !witnessed.absent.is_empty() {
        let absent: Vec<String> = witnessed.absent.iter().map(|run| names.run(*run)).collect();
        line.push_str(&format!("; absent: {}", absent.join(", ")));
    }
    line
}

/// Under which epoch a coordinator decided it; a claim makes its own.
pub(super) const fn epoch(fact: &CoordinatorFact) -> Option<Epoch> {
    Some(match fact {
        CoordinatorFact::LeaderClaimed(_) => return None,
        CoordinatorFact::RoundOpened(fact) => fact.epoch,
        CoordinatorFact::Dispatched(fact) => fact.epoch,
        CoordinatorFact::Answered(fact) => fact.epoch,
        CoordinatorFact::CancelAsked(fact) => fact.epoch,
        CoordinatorFact::RunLost(fact) => fact.epoch,
        CoordinatorFact::WitnessAsked(fact) => fact.epoch,
        CoordinatorFact::RoundConcluded(fact) => fact.epoch,
        CoordinatorFact::AlertRaised(fact) => fact.epoch,
        CoordinatorFact::AlertResolved(fact) => fact.epoch,
        CoordinatorFact::AlertDelivered(fact) => fact.epoch,
        CoordinatorFact::LimitSet(fact) => fact.epoch,
        CoordinatorFact::NodeRetired(fact) => fact.epoch,
        CoordinatorFact::MonitorSet(fact) => fact.epoch,
        CoordinatorFact::MonitorRemoved(fact) => fact.epoch,
        CoordinatorFact::PingKeySet(fact) => fact.epoch,
        CoordinatorFact::Pinged(fact) => fact.epoch,
        CoordinatorFact::SpaceSampled(fact) => fact.epoch,
    })
}

/// A line for what a coordinator decided, unless it is a detail.
pub(super) fn of_coordinator(
    names: &mut Names,
    writer: &Envelope,
    highest: Epoch,
    fact: &CoordinatorFact,
) -> Option<String> {
    let who = &writer.writer;
    Some(match fact {
        CoordinatorFact::LeaderClaimed(claim) => claimed_line(claim, highest),
        CoordinatorFact::RoundOpened(opened) => opened_line(names, who, opened),
        CoordinatorFact::Dispatched(dispatched) => {
            let again =
                if dispatched.dispatch > 1 { format!(", command {}", dispatched.dispatch) } else { String::new() };
            format!("{who} starts {}{again}", names.run(dispatched.run))
        }
        CoordinatorFact::Answered(answered) => {
            let reason = answered.refused?;
            format!("{} is refused by its node: {reason}", names.run(answered.run))
        }
        CoordinatorFact::CancelAsked(asked) => format!("{who} cancels {} for {}", names.run(asked.run), asked.by),
        CoordinatorFact::RunLost(lost) => format!("{who} counts {} as lost: {}", names.run(lost.run), lost.reason),
        CoordinatorFact::WitnessAsked(asked) => {
            let (witness, count, round) = (&asked.witness, asked.runs.len(), names.round(asked.round));
            format!("{who} asks {witness} to look for {count} snapshots of {round}")
        }
        CoordinatorFact::RoundConcluded(concluded) => concluded_line(names, who, concluded),
        CoordinatorFact::AlertRaised(raised) => {
            let alert = &raised.alert;
            let severity = format!("{:?}", alert.severity).to_lowercase();
            format!("{who} raises {} ({severity}): {}", alert.key, names.tell(&alert.title))
        }
        CoordinatorFact::AlertResolved(resolved) => {
            format!("{who} resolves {}: {}", resolved.key, names.tell(&resolved.why))
        }
        CoordinatorFact::AlertDelivered(delivered) => {
            let error = delivered.error.as_deref()?;
            format!("a notice did not reach {} in {} attempts: {error}", delivered.sink, delivered.attempts)
        }
        CoordinatorFact::LimitSet(set) => format!("{who} sets the limit {} to {} for {}", set.name, set.value, set.by),
        CoordinatorFact::NodeRetired(retired) => format!("{who} retires {} for {}", retired.node, retired.by),
        CoordinatorFact::MonitorSet(set) => format!("{who} sets the monitor {} for {}", set.monitor.name, set.by),
        CoordinatorFact::MonitorRemoved(gone) => format!("{who} removes the monitor {} for {}", gone.name, gone.by),
        CoordinatorFact::PingKeySet(set) => format!("{who} sets the ping key {} for {}", set.label, set.by),
        CoordinatorFact::Pinged(body) => format!("the monitor {} says {}", body.monitor, body.ping.kind),
        CoordinatorFact::SpaceSampled(_) => return None,
    })
}

fn claimed_line(claim: &LeaderClaimed, highest: Epoch) -> String {
    let Epoch { era, term } = claim.epoch;
    let mut line = format!("{} claims term {term} of era {era}", claim.holder);
    if let Some(log) = &claim.log {
        let lost = log.lost_from.map_or_else(|| "nothing is lost".to_owned(), |from| format!("lost from {from} on"));
        line.push_str(&format!(", because the log is another one ({lost}; {} was known)", log.known_to));
    }
    if claim.epoch <= highest {
        line.push_str(", too late");
    }
    line
}

fn opened_line(names: &mut Names, who: &str, opened: &RoundOpened) -> String {
    names.opened(opened);
    let by = match &opened.opened_by {
        OpenedBy::Slot => "for its slot".to_owned(),
        OpenedBy::Operator => "for a person".to_owned(),
        OpenedBy::Retry { of } => format!("as a retry of {}", names.run(*of)),
        OpenedBy::Node => "because a node began".to_owned(),
    };
    let nodes: Vec<&str> = opened.expected.iter().map(|expected| expected.node.as_str()).collect();
    let nodes = if nodes.len() > NAMED_MAX { format!("{} nodes", nodes.len()) } else { nodes.join(" ") };
    format!("{who} opens {} {by}, expecting {nodes}, until {}", names.round(opened.round), names.time(opened.deadline))
}

fn concluded_line(names: &Names, who: &str, concluded: &RoundConcluded) -> String {
    let verdict = &concluded.verdict;
    let is_fine =
        |node: &&NodeStanding| node.standing == Standing::Good && matches!(node.witness, Witness::Confirmed { .. });
    let few = verdict.nodes.len() <= NAMED_MAX;
    let mut named: Vec<String> = verdict.nodes.iter().filter(|node| few || !is_fine(node)).map(standing).collect();
    let others = verdict.nodes.len() - named.len();
    if others > 0 {
        named.insert(0, format!("{others} nodes good and seen by a neighbour"));
    }
    let kind = match verdict.kind {
        VerdictKind::Converged => "CONVERGED",
        VerdictKind::Diverged => "DIVERGED",
        VerdictKind::Overdue => "OVERDUE",
    };
    let late = if verdict.late { ", late" } else { "" };
    format!("{who}: {} is {kind}{late}; {}", names.round(concluded.round), named.join(", "))
}

fn standing(node: &NodeStanding) -> String {
    let how = match (node.standing, node.outcome, node.reason) {
        (Standing::Good, _, _) => "good".to_owned(),
        (Standing::Bad, Some(outcome), Some(reason)) => format!("bad ({outcome}, {reason})"),
        (Standing::Missing, _, Some(reason)) => format!("missing ({reason})"),
        (Standing::Bad, _, _) => "bad".to_owned(),
        (Standing::Missing, _, None) => "missing".to_owned(),
    };
    let witness = match &node.witness {
        Witness::Confirmed { by } => format!(" seen by {by}"),
        Witness::Contradicted { by } => format!(" NOT seen by {by}"),
        Witness::Pending => " not looked at yet".to_owned(),
        Witness::Unwitnessed => " unwitnessed".to_owned(),
    };
    let is_good = node.standing == Standing::Good || matches!(node.witness, Witness::Contradicted { .. });
    format!("{} {how}{}", node.node, if is_good { witness } else { String::new() })
}
