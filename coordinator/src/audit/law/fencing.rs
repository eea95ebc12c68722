//! Only who leads by the log is obeyed, and nobody goes back to an older leader.

use std::collections::BTreeMap;

use landfall_proto::envelope::Epoch;
use landfall_proto::id::{Holder, Incarnation, NodeId};

use crate::audit::{Case, CoordinatorTrace, Law, NodeTrace, Violation};

pub(super) struct Fencing;

const NAME: &str = "fencing";

impl Law for Fencing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Every command is of a leader whose claim the log accepted, and no node obeys a lower epoch or another holder of the same one afterwards."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let nodes = case.history.nodes.values().any(|node| !node.obeyed.is_empty());
        let coordinators = case.history.coordinators.iter().any(|trace| !trace.commands.is_empty());
        (!nodes && !coordinators).then_some("commands that were sent or obeyed")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = Vec::new();
        for (node, trace) in case.history.nodes.iter().filter(|(node, _)| !case.is_set_back(node)) {
            found.extend(unled(case, node, trace));
            found.extend(backwards(node, trace));
        }
        found.extend(case.history.coordinators.iter().flat_map(|trace| usurped(case, trace)));
        found
    }
}

fn is_accepted(case: &Case<'_>, epoch: Epoch, holder: &Holder) -> bool {
    case.history.is_cut || case.claims().iter().any(|claim| claim.epoch == epoch && claim.holder == *holder)
}

fn unled(case: &Case<'_>, node: &NodeId, trace: &NodeTrace) -> Vec<Violation> {
    let strange = trace.obeyed.iter().filter(|obeyed| !is_accepted(case, obeyed.epoch, &obeyed.holder));
    let say = |obeyed: &crate::audit::Obeyed| {
        let (Epoch { era, term }, holder) = (obeyed.epoch, &obeyed.holder);
        let what = format!("{node} obeyed {holder} in term {term} of era {era}, which the log never gave to it");
        Violation::new(NAME, what).shown(format!("command {} at {}", obeyed.command, obeyed.at))
    };
    strange.map(say).collect()
}

/// A journal that was built again from receipts has forgotten its fence, so each life is judged by itself.
fn backwards(node: &NodeId, trace: &NodeTrace) -> Vec<Violation> {
    let mut highest: BTreeMap<Incarnation, (Epoch, &Holder)> = BTreeMap::new();
    let mut found = Vec::new();
    for obeyed in &trace.obeyed {
        let before = highest.get(&obeyed.incarnation).copied();
        let Some((epoch, holder)) = before else {
            highest.insert(obeyed.incarnation, (obeyed.epoch, &obeyed.holder));
            continue;
        };
        let shown = format!("command {} at {}", obeyed.command, obeyed.at);
        let (now, then) = (obeyed.epoch, epoch);
        if now < then {
            let what = format!(
                "{node} obeyed {} in term {} of era {} after term {} of era {}",
                obeyed.holder, now.term, now.era, then.term, then.era
            );
            found.push(Violation::new(NAME, what).shown(shown));
        } else if now == then && obeyed.holder != *holder {
            let what = format!("{node} obeyed both {holder} and {} in term {}", obeyed.holder, now.term);
            found.push(Violation::new(NAME, what).shown(shown));
        } else {
            highest.insert(obeyed.incarnation, (now, &obeyed.holder));
        }
    }
    found
}

fn usurped(case: &Case<'_>, trace: &CoordinatorTrace) -> Vec<Violation> {
    let strange = trace.commands.iter().filter(|(_, _, epoch, _)| !is_accepted(case, *epoch, &trace.holder));
    let say = |(at, command, epoch, folded): &(jiff::Timestamp, _, Epoch, landfall_proto::envelope::Position)| {
        let what = format!(
            "{} commanded in term {} of era {}, which the log never gave to it",
            trace.holder, epoch.term, epoch.era
        );
        Violation::new(NAME, what).shown(format!("command {command} at {at}, folded up to {}", folded.seq))
    };
    strange.map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Obeyed;
    use crate::audit::story::{Story, command, hash, holder, life, node, slot};
    use landfall_proto::envelope::Position;
    use landfall_proto::time::{Duration, after};

    fn obeyed(name: &str, term: u64) -> Obeyed {
        Obeyed {
            command: command("a", 1),
            epoch: Epoch { era: 0, term },
            holder: holder(name),
            audience: node("a"),
            is_signed: true,
            not_after: after(slot(), Duration::from_secs(30)),
            at: slot(),
            incarnation: life("a"),
            started: None,
        }
    }

    fn two_leaders() -> Story {
        let mut story = Story::night();
        story.claims("beta", 2);
        story.claims("gamma", 2);
        story
    }

    #[test]
    fn the_first_claim_of_a_term_is_obeyed() {
        let mut story = two_leaders();
        story.trace("a").obeyed = vec![obeyed("alpha", 1), obeyed("beta", 2), obeyed("beta", 2)];
        story.keeps(&Fencing);
        story.trace("a").obeyed = vec![obeyed("gamma", 2)];
        story.breaks(&Fencing, "never gave to it");
    }

    #[test]
    fn nobody_goes_back() {
        let mut story = two_leaders();
        story.trace("a").obeyed = vec![obeyed("beta", 2), obeyed("alpha", 1)];
        story.breaks(&Fencing, "after term 2");
        let rebuilt = Obeyed { incarnation: life("later"), ..obeyed("alpha", 1) };
        story.trace("a").obeyed = vec![obeyed("beta", 2), rebuilt];
        story.keeps(&Fencing);
    }

    #[test]
    fn a_claim_that_was_lost_may_come_again_from_another() {
        let mut story = Story::night();
        story.claims("beta", 2);
        story.loses_tail(1);
        story.claims("gamma", 2);
        story.trace("a").obeyed = vec![obeyed("gamma", 2)];
        story.trace("b").obeyed = vec![obeyed("beta", 2)];
        story.keeps(&Fencing);
        story.trace("a").obeyed = vec![obeyed("beta", 2), obeyed("gamma", 2)];
        story.breaks(&Fencing, "obeyed both");
    }

    #[test]
    fn who_does_not_lead_commands_nothing() {
        let mut story = two_leaders();
        let sent = |term| (slot(), command("a", 1), Epoch { era: 0, term }, Position { era: 0, seq: 1, hash: hash(1) });
        story.coordinator().commands = vec![sent(1)];
        story.keeps(&Fencing);
        story.coordinator().commands = vec![sent(2)];
        story.breaks(&Fencing, "alpha commanded in term 2");
    }
}
