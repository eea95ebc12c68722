//! Everything that grows has a bound, and stays below it.

use landfall_proto::codec::FACT_BYTES_MAX;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::{EXPECTED_PER_FACT_MAX, STANDINGS_PER_FACT_MAX};
use landfall_proto::report::RunReport;

use crate::audit::{Case, Law, Read, Violation};
use crate::core::Fact;
use landfall_proto::fact::coordinator::CoordinatorFact;

pub(super) struct Boundedness;

const NAME: &str = "boundedness";

/// What a report may hold at most; the agent cuts what is longer.
const MESSAGE_BYTES_MAX: usize = 1000;
const FINDINGS_MAX: usize = 50;
const TAIL_BYTES_MAX: usize = 8 << 10;
const UNREAD_NAMES_MAX: usize = 100;

/// The agent counts what is cut in characters or adds an ellipsis; so much is forgiven.
const SLACK: usize = 4;

impl Law for Boundedness {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Memory, outboxes, parked facts and messages stay below their bounds."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let nodes = case.history.nodes.values().any(|node| !node.sizes.is_empty());
        let coordinators = case.history.coordinators.iter().any(|trace| !trace.sizes.is_empty());
        (case.reads().is_empty() && !nodes && !coordinators).then_some("messages of the log, or sizes")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let nodes = case
            .history
            .nodes
            .iter()
            .flat_map(|(node, trace)| trace.sizes.iter().map(move |size| (node.as_str(), size)));
        let coordinators = case
            .history
            .coordinators
            .iter()
            .flat_map(|trace| trace.sizes.iter().map(move |size| (trace.holder.as_str(), size)));
        let large = nodes.chain(coordinators).filter(|(_, (_, size, cap))| size > cap);
        let mut found: Vec<Violation> = large
            .map(|(who, (name, size, cap))| {
                Violation::new(NAME, format!("{name} of {who} is {size}; {cap} is the most"))
            })
            .collect();
        found.extend(case.reads().iter().filter_map(too_large));
        found
    }
}

fn too_large(read: &Read<'_>) -> Option<Violation> {
    let say = |what: String| Some(Violation::new(NAME, what).seen(read));
    let bytes = read.entry.envelope.body.len();
    if bytes > FACT_BYTES_MAX {
        return say(format!("a message has {bytes} bytes; {FACT_BYTES_MAX} is the most"));
    }
    match &read.fact {
        Some(Fact::Agent(_, AgentFact::RunFinished(body))) => {
            let (what, size, most) = overlong(&body.report)?;
            say(format!("the report of run {} has {size} {what}; {most} is the most", body.about.run))
        }
        Some(Fact::Coordinator(_, CoordinatorFact::RoundOpened(body)))
            if body.expected.len() > EXPECTED_PER_FACT_MAX =>
        {
            say(format!("one fact expects {} runs; {EXPECTED_PER_FACT_MAX} is the most", body.expected.len()))
        }
        Some(Fact::Coordinator(_, CoordinatorFact::RoundConcluded(body)))
            if body.verdict.nodes.len() > STANDINGS_PER_FACT_MAX =>
        {
            say(format!("one fact judges {} nodes; {STANDINGS_PER_FACT_MAX} is the most", body.verdict.nodes.len()))
        }
        Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => None,
    }
}

fn overlong(report: &RunReport) -> Option<(&'static str, usize, usize)> {
    let sizes = [
        ("bytes of message", report.message.len(), MESSAGE_BYTES_MAX + SLACK),
        ("findings", report.findings.len(), FINDINGS_MAX),
        ("bytes of output", report.tail.len(), TAIL_BYTES_MAX + SLACK),
        ("names of what could not be read", report.unread.names.len(), UNREAD_NAMES_MAX),
    ];
    sizes.into_iter().find(|(_, size, most)| size > most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, about, report};
    use landfall_proto::fact::agent::RunFinished;
    use landfall_proto::report::{Outcome, Reason};

    #[test]
    fn sizes_stay_below_their_caps() {
        let mut story = Story::morning();
        story.trace("a").sizes = vec![("the outbox".to_owned(), 5, 5)];
        story.keeps(&Boundedness);
        story.coordinator().sizes = vec![("parked facts".to_owned(), 1001, 1000)];
        story.breaks(&Boundedness, "parked facts of alpha is 1001");
    }

    #[test]
    fn a_report_is_cut() {
        let mut story = Story::night();
        let mut report = report("a", Outcome::Failed, Reason::Network);
        report.tail = "x".repeat(9000);
        story.node("a", RunFinished { about: about("a"), report });
        story.breaks(&Boundedness, "9000 bytes of output");
    }
}
