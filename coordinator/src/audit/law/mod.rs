//! One file for each promise.

mod alert_cause;
mod alert_once;
mod ambiguity;
mod authority;
mod autonomy;
mod boundedness;
mod cleanliness;
mod determinism;
mod fencing;
mod freshness;
mod honest;
mod identity;
mod limits;
mod liveness;
mod lost;
mod monotone;
mod notices;
mod order;
mod rebuild;
mod secrecy;
mod single_run;
mod slots;
mod verdict;
mod write_ahead;

use super::Law;

/// Every promise that can be looked at.
pub fn laws() -> Vec<Box<dyn Law>> {
    vec![
        Box::new(lost::NoLostFact),
        Box::new(ambiguity::Ambiguity),
        Box::new(identity::Identities),
        Box::new(write_ahead::WriteAhead),
        Box::new(slots::SlotUniqueness),
        Box::new(autonomy::Autonomy),
        Box::new(single_run::SingleRun),
        Box::new(honest::HonestSuccess),
        Box::new(fencing::Fencing),
        Box::new(determinism::Determinism),
        Box::new(rebuild::Rebuild),
        Box::new(authority::Authority),
        Box::new(order::OrderIndependence),
        Box::new(verdict::OneVerdict),
        Box::new(freshness::Freshness),
        Box::new(liveness::Liveness),
        Box::new(cleanliness::Cleanliness),
        Box::new(monotone::MonotoneSafety),
        Box::new(secrecy::Secrecy),
        Box::new(boundedness::Boundedness),
        Box::new(limits::Limits),
        Box::new(alert_once::AlertOnce),
        Box::new(alert_cause::AlertCause),
        Box::new(notices::Notices),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::story::Story;
    use super::super::{History, audit};
    use super::laws;

    #[test]
    fn every_law_has_a_name_of_its_own_and_one_sentence() {
        let laws = laws();
        let names: std::collections::BTreeSet<&str> = laws.iter().map(|law| law.name()).collect();
        assert_eq!(names.len(), laws.len());
        for law in laws {
            assert!(law.promise().ends_with('.') && !law.promise().trim_end_matches('.').contains(". "));
            assert!(law.name().chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'));
        }
    }

    #[test]
    fn a_good_night_breaks_no_promise() {
        for story in [Story::evening(), Story::night(), Story::morning(), Story::morning().at_rest()] {
            assert_eq!(audit(&story.history).violations, Vec::new());
        }
    }

    #[test]
    fn of_an_empty_history_nothing_is_said() {
        let audit = audit(&History::default());
        assert!(audit.violations.is_empty());
        assert_eq!(audit.checked.len() + audit.unchecked.len(), laws().len());
        assert!(audit.unchecked.iter().all(|(_, lack)| !lack.is_empty()));
    }
}
