//! The same trouble is told once until it is over.

use std::collections::BTreeMap;

use landfall_proto::alert::AlertKey;
use landfall_proto::fact::coordinator::CoordinatorFact;
use uuid::Uuid;

use crate::audit::{Case, Law, Read, Violation};

pub(super) struct AlertOnce;

const NAME: &str = "alert-once";

impl Law for AlertOnce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "An alert's key is open at most once, an id is raised once, and only what is open is resolved."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut open: BTreeMap<&AlertKey, (Uuid, &Read<'_>)> = BTreeMap::new();
        let mut raised: BTreeMap<Uuid, &Read<'_>> = BTreeMap::new();
        let mut found = Vec::new();
        for (_, read, fact) in case.decided() {
            if let CoordinatorFact::AlertRaised(body) = fact {
                let (key, id) = (&body.alert.key, body.alert.id);
                if let Some((_, before)) = open.get(key) {
                    let what = format!("the alert {key} was raised while it was open");
                    found.push(Violation::new(NAME, what).seen(before).seen(read));
                } else if let Some(before) = raised.get(&id) {
                    let what = format!("the alert {key} was raised again under the id of before");
                    found.push(Violation::new(NAME, what).seen(before).seen(read));
                }
                open.insert(key, (id, read));
                raised.insert(id, read);
            }
            if let CoordinatorFact::AlertResolved(body) = fact {
                let is_open = open.get(&body.key).is_some_and(|(id, _)| *id == body.id);
                if !is_open && !case.history.is_cut {
                    let what = format!("the alert {} was resolved and was not open", body.key);
                    found.push(Violation::new(NAME, what).seen(read));
                }
                open.remove(&body.key);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::Story;
    use landfall_proto::fact::coordinator::AlertResolved;

    fn resolves(story: &mut Story, key: &str, number: u128) {
        let (key, id) = (AlertKey(key.to_owned()), Uuid::from_u128(number));
        let fact = AlertResolved { epoch: story.epoch, key, id, resolved_at: story.now, why: String::new() };
        story.leader("alpha", fact);
    }

    #[test]
    fn what_is_over_may_be_told_again_under_another_id() {
        let mut story = Story::evening();
        story.raises("late/nightly", 1);
        story.again();
        resolves(&mut story, "late/nightly", 1);
        story.raises("late/nightly", 2);
        story.keeps(&AlertOnce);
        let mut twice = story.clone();
        twice.raises("late/nightly", 3);
        twice.breaks(&AlertOnce, "while it was open");
        resolves(&mut story, "late/nightly", 2);
        let mut same = story.clone();
        same.raises("late/nightly", 2);
        same.breaks(&AlertOnce, "under the id of before");
        resolves(&mut story, "late/nightly", 2);
        story.breaks(&AlertOnce, "was not open");
    }
}
