//! Each round ends in one verdict, and the verdict says what the facts say.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::envelope::Epoch;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::{CoordinatorFact, ExpectedRun, RoundConcluded, RoundOpened};
use landfall_proto::id::{NodeId, RoundId, RunId};
use landfall_proto::time::{Timestamp, after};
use landfall_proto::verdict::{NodeStanding, Rule, Standing, VerdictKind};

use crate::audit::case::SETTLE;
use crate::audit::{Case, Law, Read, Violation};
use crate::core::Fact;
use crate::core::run::is_good;

pub(super) struct OneVerdict;

const NAME: &str = "one-verdict";

/// A round as the leaders' decisions make it.
#[derive(Default)]
struct Round<'a> {
    rule: Rule,
    deadline: Option<Timestamp>,
    expected: Vec<&'a ExpectedRun>,
    /// The epoch whose facts open it, how many of them came, and of how many.
    opening: Option<(Epoch, u32, u32)>,
    opened: Option<&'a Read<'a>>,
    concluding: Option<(Epoch, u32, u32)>,
    standings: Vec<&'a NodeStanding>,
    concluded: Option<&'a Read<'a>>,
}

#[derive(Default)]
struct Told<'a> {
    rounds: BTreeMap<RoundId, Round<'a>>,
    /// The first report of each run: whether it proves a good result, and where it stands.
    reports: BTreeMap<RunId, (bool, &'a Read<'a>)>,
}

impl Law for OneVerdict {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Each round is opened once and judged once, about everybody who was expected, and converged means that the good ones had proved it before."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut told = Told::default();
        let mut found = Vec::new();
        for (_, read) in case.first_life().filter(|(_, read)| read.counts) {
            match &read.fact {
                Some(Fact::Agent(_, AgentFact::RunFinished(body))) => {
                    let good = is_good(&body.report, body.about.task);
                    told.reports.entry(body.about.run).or_insert((good, read));
                }
                Some(Fact::Coordinator(_, CoordinatorFact::RoundOpened(body))) => found.extend(told.opens(read, body)),
                Some(Fact::Coordinator(_, CoordinatorFact::RoundConcluded(body))) => {
                    found.extend(told.concludes(read, body));
                }
                Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => {}
            }
        }
        found
    }
}

impl<'a> Told<'a> {
    fn opens(&mut self, read: &'a Read<'a>, body: &'a RoundOpened) -> Option<Violation> {
        let round = self.rounds.entry(body.round).or_default();
        if let Some(before) = round.opened {
            let what = format!("round {} of {} was opened twice", body.round, body.routine);
            return Some(Violation::new(NAME, what).seen(before).seen(read));
        }
        let of = body.parts.max(1);
        if body.part == 0 {
            (round.rule, round.deadline) = (body.rule.clone(), Some(body.deadline));
            round.expected = body.expected.iter().collect();
            round.opening = Some((body.epoch, 1, of));
        } else if round.opening == Some((body.epoch, body.part, of)) {
            round.expected.extend(&body.expected);
            round.opening = Some((body.epoch, body.part + 1, of));
        }
        if round.opening.is_some_and(|(_, seen, of)| seen == of) {
            round.opened = Some(read);
        }
        None
    }

    fn concludes(&mut self, read: &'a Read<'a>, body: &'a RoundConcluded) -> Vec<Violation> {
        // A log without its beginning shows verdicts on rounds whose opening nobody sees.
        let Some(round) = self.rounds.get_mut(&body.round) else { return Vec::new() };
        if let Some(before) = round.concluded {
            let what = format!("round {} was judged twice", body.round);
            return vec![Violation::new(NAME, what).seen(before).seen(read)];
        }
        let of = body.parts.max(1);
        if body.part == 0 {
            round.standings = body.verdict.nodes.iter().collect();
            round.concluding = Some((body.epoch, 1, of));
        } else if round.concluding == Some((body.epoch, body.part, of)) {
            round.standings.extend(&body.verdict.nodes);
            round.concluding = Some((body.epoch, body.part + 1, of));
        }
        if round.concluding.is_none_or(|(_, seen, of)| seen < of) {
            return Vec::new();
        }
        // One that calls a node missing whose report stands before it does not fall: it was long on its way, and is made again.
        let is_outrun =
            round.standings.iter().any(|it| it.standing == Standing::Missing && self.reports.contains_key(&it.run));
        round.concluded = (!is_outrun).then_some(read);
        let mut found = Vec::new();
        let mut say = |what: String, also: Option<&Read<'_>>| {
            let violation = Violation::new(NAME, format!("the verdict on round {} {what}", body.round));
            found.push(also.into_iter().fold(violation, Violation::seen).seen(read));
        };
        if let Some(why) = differs(round) {
            say(why, round.opened);
        }
        let wanted = kind_of(round);
        if body.verdict.kind != wanted {
            say(format!("is {}, though its own standings make it {wanted}", body.verdict.kind), None);
        }
        for standing in &round.standings {
            let report = self.reports.get(&standing.run);
            let node = &standing.node;
            match (standing.standing, report) {
                (Standing::Good, None) => say(format!("calls {node} good, which had not reported"), None),
                (Standing::Good, Some((false, report))) => {
                    say(format!("calls {node} good, whose report was not"), Some(report));
                }
                (Standing::Missing, _) if round.deadline.is_some_and(|deadline| body.concluded_at < deadline) => {
                    say(format!("calls {node} missing before the deadline"), None);
                }
                // A report that came just before the verdict may have met it on the way.
                (Standing::Missing, Some((_, report))) if after(report.entry.at, SETTLE) < read.entry.at => {
                    say(format!("calls {node} missing, which had reported long before"), Some(report));
                }
                (Standing::Good | Standing::Bad | Standing::Missing, _) => {}
            }
        }
        found
    }
}

/// How the judged nodes are not the expected ones.
fn differs(round: &Round<'_>) -> Option<String> {
    let expected: BTreeSet<(&NodeId, RunId)> = round.expected.iter().map(|run| (&run.node, run.run)).collect();
    let judged: BTreeSet<(&NodeId, RunId)> = round.standings.iter().map(|node| (&node.node, node.run)).collect();
    if let Some((node, _)) = expected.difference(&judged).next() {
        return Some(format!("says nothing of {node}, which was expected"));
    }
    if let Some((node, _)) = judged.difference(&expected).next() {
        return Some(format!("speaks of {node}, which was not expected"));
    }
    (round.standings.len() != judged.len()).then(|| "names a node twice".to_owned())
}

/// What follows from the standings by the round's rule.
fn kind_of(round: &Round<'_>) -> VerdictKind {
    let labels: BTreeMap<RunId, &ExpectedRun> = round.expected.iter().map(|run| (run.run, *run)).collect();
    let good = || round.standings.iter().filter(|node| node.standing == Standing::Good);
    let holds = match &round.rule {
        Rule::All => good().count() > 0 && good().count() == round.standings.len(),
        Rule::Quorum(needed) => good().count() >= usize::try_from(*needed).unwrap_or(usize::MAX),
        Rule::Coverage(label) => {
            let value = |node: &&&NodeStanding| labels.get(&node.run).and_then(|run| run.labels.get(label));
            let wanted: BTreeSet<&String> = round.standings.iter().filter_map(|node| value(&node)).collect();
            let covered: BTreeSet<&String> = good().filter_map(|node| value(&node)).collect();
            let unlabelled = round.standings.iter().filter(|node| value(node).is_none());
            good().count() > 0 && wanted == covered && unlabelled.clone().all(|node| node.standing == Standing::Good)
        }
    };
    let is_missing = round.standings.iter().any(|node| node.standing == Standing::Missing);
    match (holds, is_missing) {
        (true, _) => VerdictKind::Converged,
        (false, true) => VerdictKind::Overdue,
        (false, false) => VerdictKind::Diverged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::Story;
    use landfall_proto::report::{Outcome, Reason};
    use landfall_proto::time::Duration;

    const BOTH: [(&str, Standing); 2] = [("a", Standing::Good), ("b", Standing::Good)];

    #[test]
    fn a_round_is_opened_and_judged_once() {
        let mut story = Story::morning();
        story.again();
        story.keeps(&OneVerdict);
        let mut twice = story.clone();
        twice.concludes(VerdictKind::Converged, &BOTH);
        twice.breaks(&OneVerdict, "judged twice");
        story.opens(&["a", "b"]);
        story.breaks(&OneVerdict, "opened twice");
    }

    #[test]
    fn decisions_of_one_who_lost_the_lead_do_not_count() {
        let mut story = Story::morning();
        story.claims("beta", 2);
        story.epoch.term = 1;
        story.concludes(VerdictKind::Overdue, &BOTH);
        story.keeps(&OneVerdict);
    }

    #[test]
    fn converged_means_that_everybody_proved_it_before() {
        let mut story = Story::night();
        story.ends("a", Outcome::Ok, Reason::Completed);
        let mut early = story.clone();
        early.concludes(VerdictKind::Converged, &BOTH);
        early.breaks(&OneVerdict, "b good, which had not reported");
        let mut partial = story.clone();
        partial.concludes(VerdictKind::Converged, &[("a", Standing::Good)]);
        partial.breaks(&OneVerdict, "nothing of b");
        story.ends("b", Outcome::Failed, Reason::Network);
        let mut wrong = story.clone();
        wrong.concludes(VerdictKind::Converged, &BOTH);
        wrong.breaks(&OneVerdict, "b good, whose report was not");
        story.concludes(VerdictKind::Diverged, &[("a", Standing::Good), ("b", Standing::Bad)]);
        story.keeps(&OneVerdict);
    }

    #[test]
    fn the_kind_follows_from_the_standings_and_missing_only_from_the_deadline() {
        let missing = [("a", Standing::Good), ("b", Standing::Missing)];
        let mut story = Story::night();
        story.ends("a", Outcome::Ok, Reason::Completed);
        let mut early = story.clone();
        early.concludes(VerdictKind::Overdue, &missing);
        early.breaks(&OneVerdict, "before the deadline");
        story.now = landfall_proto::time::after(story.now, Duration::from_secs(7200));
        let mut wrong = story.clone();
        wrong.concludes(VerdictKind::Diverged, &missing);
        wrong.breaks(&OneVerdict, "standings make it overdue");
        story.concludes(VerdictKind::Overdue, &missing);
        story.ends("b", Outcome::Ok, Reason::Completed);
        story.keeps(&OneVerdict);
    }

    #[test]
    fn a_round_in_parts_is_opened_and_judged_as_a_whole() {
        let mut story = Story::evening();
        for (part, name) in [(0, "a"), (1, "b")] {
            let fact = RoundOpened { part, parts: 2, ..story.opening(&[name]) };
            story.leader("alpha", fact);
        }
        for name in ["a", "b"] {
            story.ends(name, Outcome::Ok, Reason::Completed);
        }
        for (part, name) in [(0, "a"), (1, "b")] {
            let judged = story.conclusion(VerdictKind::Converged, &[(name, Standing::Good)]);
            story.leader("alpha", RoundConcluded { part, parts: 2, ..judged });
        }
        story.keeps(&OneVerdict);
        story.concludes(VerdictKind::Converged, &BOTH);
        story.breaks(&OneVerdict, "judged twice");
    }
}
