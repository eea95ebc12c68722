//! A slot that is due on a working node begins in time, whatever bus and coordinators do.

use crate::audit::{Case, DueSlot, Law, SlotFate, Violation};

pub(super) struct Autonomy;

const NAME: &str = "autonomy";

impl Law for Autonomy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "A slot that is due on a node with working disk and tool begins in time, whether or not anybody is heard."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let told = case.history.nodes.values().any(|node| !node.due.is_empty());
        (!told).then_some("which slots were due while the machines worked")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let nodes = case.history.nodes.iter();
        let due = nodes.flat_map(|(node, trace)| trace.due.iter().map(move |due| (node, due)));
        let broken = due.filter_map(|(node, due)| {
            let DueSlot { routine, slot, start_by, became } = due;
            let why = match became {
                None if case.history.ended_at.is_some_and(|ended| ended > *start_by) => "never began".to_owned(),
                Some(SlotFate::Ran { at }) if at > start_by => format!("began at {at}"),
                Some(SlotFate::Missed) => "was told as missed".to_owned(),
                Some(SlotFate::Expired) => "expired".to_owned(),
                // The run before was still under way.
                None | Some(SlotFate::Ran { .. } | SlotFate::Skipped) => return None,
            };
            let what = format!("the slot {slot} of {routine} on {node} {why}");
            Some(Violation::new(NAME, what).shown(format!("it had to begin by {start_by}")))
        });
        broken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, routine, slot};
    use landfall_proto::time::{Duration, after};

    #[test]
    fn a_due_slot_runs_in_time_or_says_why_not() {
        let start_by = after(slot(), Duration::from_secs(60));
        let due = |became| vec![DueSlot { routine: routine(), slot: slot(), start_by, became }];
        let mut story = Story::morning();
        for good in [None, Some(SlotFate::Ran { at: start_by }), Some(SlotFate::Skipped)] {
            story.trace("a").due = due(good);
            story.keeps(&Autonomy);
        }
        let mut story = story.at_rest();
        let late = after(start_by, Duration::from_secs(1));
        for bad in [None, Some(SlotFate::Ran { at: late }), Some(SlotFate::Missed), Some(SlotFate::Expired)] {
            story.trace("a").due = due(bad);
            story.breaks(&Autonomy, "on a");
        }
    }
}
