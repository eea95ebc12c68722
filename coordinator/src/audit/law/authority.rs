//! Everything that a node does is explained by its own schedule, a person, or one valid command.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{CommandId, NodeId, RunId};
use landfall_proto::report::Trigger;
use landfall_proto::subject::Topic;

use crate::audit::{Case, Law, NodeTrace, Obeyed, Violation};
use crate::core::Fact;

pub(super) struct Authority;

const NAME: &str = "authority";

impl Law for Authority {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Every effect on a node is explained by its own schedule, a person there, or one signed command that was decided in the log, and a writer's facts come on its own subject only."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = strangers(case);
        found.extend(undecided_starts(case));
        let decided = decided_commands(case);
        for (node, trace) in &case.history.nodes {
            for obeyed in &trace.obeyed {
                found.extend(objection(case, node, obeyed, &decided).map(|why| {
                    let what = format!("{node} obeyed command {} {why}", obeyed.command);
                    Violation::new(NAME, what).shown(format!("of {}, at {}", obeyed.holder, obeyed.at))
                }));
            }
            found.extend(doubled(node, trace));
            found.extend(unexplained(node, trace));
        }
        found
    }
}

/// Messages on a subject that is not their writer's, or of a kind that does not belong there.
fn strangers(case: &Case<'_>) -> Vec<Violation> {
    let is_own = |read: &&crate::audit::Read<'_>| {
        let envelope = &read.entry.envelope;
        match &read.entry.topic {
            Topic::NodeFact(node) => {
                node.as_str() == envelope.writer && !CoordinatorFact::KINDS.contains(&envelope.kind.as_str())
            }
            Topic::CoordinatorFact(holder) => {
                holder.as_str() == envelope.writer && !AgentFact::KINDS.contains(&envelope.kind.as_str())
            }
            Topic::Command(_)
            | Topic::Sync(_)
            | Topic::Beacon
            | Topic::Beat(_)
            | Topic::Live(..)
            | Topic::Out(..)
            | Topic::Control(_) => false,
        }
    };
    let say = |read: &crate::audit::Read<'_>| {
        let what = format!("a fact in the name of {} came on another's subject", read.entry.envelope.writer);
        Violation::new(NAME, what).seen(read)
    };
    case.reads().iter().filter(|read| !is_own(read)).map(say).collect()
}

/// Commands that stand in the log, lost parts included: whoever acted on them had read them.
fn decided_commands(case: &Case<'_>) -> BTreeSet<CommandId> {
    let commands = case.reads().iter().filter_map(|read| match &read.fact {
        Some(Fact::Coordinator(_, CoordinatorFact::Dispatched(body))) => Some(body.command),
        Some(Fact::Coordinator(_, CoordinatorFact::CancelAsked(body))) => Some(body.command),
        Some(Fact::Coordinator(_, CoordinatorFact::WitnessAsked(body))) => Some(body.command),
        Some(_) | None => None,
    });
    commands.collect()
}

fn undecided_starts(case: &Case<'_>) -> Vec<Violation> {
    if case.history.is_cut {
        return Vec::new();
    }
    let mut dispatched: BTreeSet<RunId> = BTreeSet::new();
    let mut found = Vec::new();
    for read in case.reads() {
        match &read.fact {
            Some(Fact::Coordinator(_, CoordinatorFact::Dispatched(body))) => drop(dispatched.insert(body.run)),
            Some(Fact::Agent(node, AgentFact::RunStarted(body)))
                if body.about.trigger == Trigger::Dispatched && !dispatched.contains(&body.about.run) =>
            {
                let what = format!("{node} says that run {} was dispatched, but nobody had decided it", body.about.run);
                found.push(Violation::new(NAME, what).seen(read));
            }
            Some(_) | None => {}
        }
    }
    found
}

fn objection(case: &Case<'_>, node: &NodeId, obeyed: &Obeyed, decided: &BTreeSet<CommandId>) -> Option<String> {
    if !obeyed.is_signed {
        return Some("though no known key had signed it".to_owned());
    }
    if obeyed.audience != *node {
        return Some(format!("though it was for {}", obeyed.audience));
    }
    if obeyed.at > obeyed.not_after {
        return Some(format!("though it was good until {} only", obeyed.not_after));
    }
    let is_unknown = !case.history.is_cut && !decided.contains(&obeyed.command);
    is_unknown.then(|| "which nobody had decided".to_owned())
}

fn doubled(node: &NodeId, trace: &NodeTrace) -> Vec<Violation> {
    let mut started: BTreeMap<CommandId, Vec<RunId>> = BTreeMap::new();
    for obeyed in &trace.obeyed {
        started.entry(obeyed.command).or_default().extend(obeyed.started);
    }
    let twice = started.into_iter().filter(|(_, runs)| runs.len() > 1 && trace.set_back.is_empty());
    let say = |(command, runs): (CommandId, Vec<RunId>)| {
        let what = format!("on {node} the one command {command} started {} runs", runs.len());
        let shown = runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Violation::new(NAME, what).shown(shown)
    };
    twice.map(say).collect()
}

fn unexplained(node: &NodeId, trace: &NodeTrace) -> Vec<Violation> {
    let obeyed: BTreeSet<CommandId> = trace.obeyed.iter().map(|obeyed| obeyed.command).collect();
    let strange = trace.processes.iter().filter_map(|process| Some((process, process.command?)));
    let strange = strange.filter(|(_, command)| !obeyed.contains(command));
    let say = |(process, command): (&crate::audit::ProcessSeen, CommandId)| {
        let what =
            format!("a process of run {} on {node} names command {command}, which was never obeyed", process.run);
        Violation::new(NAME, what).shown(format!("started at {}", process.started_at))
    };
    strange.map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, about, command, holder, life, node, run, slot};
    use landfall_proto::envelope::Epoch;
    use landfall_proto::fact::agent::RunStarted;
    use landfall_proto::time::{Duration, after};

    fn obeyed() -> Obeyed {
        Obeyed {
            command: command("a", 1),
            epoch: Epoch { era: 0, term: 1 },
            holder: holder("alpha"),
            audience: node("a"),
            is_signed: true,
            not_after: after(slot(), Duration::from_secs(30)),
            at: slot(),
            incarnation: life("a"),
            started: Some(run("a")),
        }
    }

    #[test]
    fn a_command_is_signed_decided_in_time_and_for_this_node() {
        let mut story = Story::night();
        story.trace("a").obeyed = vec![obeyed(), Obeyed { started: None, ..obeyed() }];
        story.keeps(&Authority);
        let late = after(slot(), Duration::from_secs(31));
        for (bad, why) in [
            (Obeyed { is_signed: false, ..obeyed() }, "no known key"),
            (Obeyed { audience: node("b"), ..obeyed() }, "it was for b"),
            (Obeyed { at: late, ..obeyed() }, "it was good until"),
            (Obeyed { command: command("a", 7), ..obeyed() }, "nobody had decided"),
        ] {
            story.trace("a").obeyed = vec![bad];
            story.breaks(&Authority, why);
        }
        story.trace("a").obeyed = vec![obeyed(), obeyed()];
        story.breaks(&Authority, "started 2 runs");
    }

    #[test]
    fn a_dispatched_run_was_decided_before() {
        let mut story = Story::evening();
        story.node("a", RunStarted { about: about("a"), started_at: slot(), attempt: 1 });
        story.breaks(&Authority, "nobody had decided it");
        story.history.is_cut = true;
        story.keeps(&Authority);
    }

    #[test]
    fn nobody_speaks_in_anothers_name() {
        let mut story = Story::night();
        let last = story.history.log.last_mut().unwrap();
        last.topic = Topic::NodeFact(node("c"));
        story.breaks(&Authority, "another's subject");
    }
}
