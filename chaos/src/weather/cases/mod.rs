//! Every kind of bad weather that there is.

mod agents;
mod bus;
mod clocks;
mod coordinators;
mod disks;
mod links;
mod messages;
mod papers;
mod states;
mod stores;
mod storm;
mod three;

use super::case::Case;

/// All cases, in the order in which `all` tells them.
pub fn all() -> Vec<Case> {
    [
        agents::cases(),
        coordinators::cases(),
        bus::cases(),
        stores::cases(),
        three::cases(),
        links::cases(),
        disks::cases(),
        states::cases(),
        clocks::cases(),
        messages::cases(),
        papers::cases(),
        storm::cases(),
    ]
    .concat()
}

/// The case of a name.
pub fn named(name: &str) -> Option<Case> {
    all().into_iter().find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_and_a_sentence() {
        let mut names = BTreeSet::new();
        for case in all() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            let is_plain = case.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            assert!(is_plain, "{} is lower case with hyphens", case.name);
            assert!(case.about.ends_with('.') && case.rounds > 0, "{}", case.name);
        }
    }
}
