//! Stories and laws of chains: increments that stand on a base.

use landfall_proto::alert::Severity;
use landfall_proto::fact::agent::{PlanAnnouncement, PlansAnnounced};
use landfall_proto::id::{RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, Reason, TaskKind, Trigger};
use landfall_proto::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::world::{World, about, node, plan};
use crate::core::chain::{Broken, broken};
use crate::core::check::{FindingKind, NodeState, check};
use crate::core::node::{History, LastGood, LastRun};

const KEY: &str = "chain_broken/wal";

fn name(text: &str) -> RoutineName {
    text.parse().unwrap()
}

fn a_plan(text: &str, builds_on: Option<&str>) -> PlanAnnouncement {
    PlanAnnouncement { routine: name(text), builds_on: builds_on.map(name), calendar: None, ..plan() }
}

/// Nodes whose log archive stands on a base backup.
fn chained(nodes: &[&str]) -> World {
    let mut world = World::new(nodes);
    for id in nodes {
        announce(&mut world, id, &[("base", None), ("wal", Some("base"))]);
    }
    world.settle();
    world
}

fn announce(world: &mut World, id: &str, plans: &[(&str, Option<&str>)]) {
    let plans = plans.iter().map(|(text, builds_on)| a_plan(text, *builds_on)).collect();
    world.says(id, PlansAnnounced { plans, broken: Vec::new() });
}

/// A run that a person began on the node.
fn begins(world: &mut World, id: &str, routine: &str) -> RunId {
    world.pass("10s");
    let round = RoundId(Uuid::from_u128(u128::from(world.now.as_second().unsigned_abs())));
    let run = RunId::of(round, &node(id), TaskKind::Backup);
    world.starts(id, about(run, round, name(routine), None, TaskKind::Backup, Trigger::Autonomous));
    world.settle();
    run
}

fn ran(world: &mut World, id: &str, routine: &str, outcome: Outcome) {
    let run = begins(world, id, routine);
    world.pass("5s");
    let reason = if outcome == Outcome::Ok { Reason::Completed } else { Reason::Network };
    world.ends(id, run, outcome, reason);
    world.settle();
}

fn severity(world: &World) -> Option<Severity> {
    let key = landfall_proto::alert::AlertKey(KEY.to_owned());
    world.mesh().open_alert(&key).map(|record| record.alert.severity)
}

fn bad_chains(world: &World, id: &str) -> Vec<String> {
    let node = &world.mesh().nodes()[&node(id)];
    let found = check(NodeState { node, live: None }, &world.policy, world.now);
    let bad = found.into_iter().filter(|finding| finding.kind == FindingKind::BadChain);
    bad.map(|finding| finding.message).collect()
}

#[test]
fn an_increment_without_any_good_base_is_told_until_the_base_is_good() {
    let mut world = chained(&["a", "b"]);
    ran(&mut world, "b", "base", Outcome::Ok);
    ran(&mut world, "b", "wal", Outcome::Ok);
    assert!(!world.is_open(KEY));
    ran(&mut world, "a", "wal", Outcome::Ok);
    assert_eq!(severity(&world), Some(Severity::Critical));
    let alert = world.notices.iter().find(|notice| notice.alert.key.0 == KEY).unwrap().alert.clone();
    assert_eq!(alert.nodes, [node("a")]);
    assert!(alert.title.contains("a (base has never been good there)"), "{}", alert.title);
    assert!(alert.fix.contains("landfall start base --node a"), "{}", alert.fix);
    ran(&mut world, "a", "wal", Outcome::Ok);
    assert_eq!(world.told(KEY), (1, 0), "one more increment tells nothing more");
    ran(&mut world, "a", "base", Outcome::Ok);
    assert!(!world.is_open(KEY));
    assert_eq!(world.told(KEY), (1, 1));
}

#[test]
fn an_increment_after_a_failed_base_is_told_and_one_before_it_is_not() {
    let mut world = chained(&["a"]);
    ran(&mut world, "a", "base", Outcome::Ok);
    ran(&mut world, "a", "wal", Outcome::Ok);
    ran(&mut world, "a", "base", Outcome::Failed);
    assert!(!world.is_open(KEY), "what the increment left stands on the base before");
    ran(&mut world, "a", "wal", Outcome::Ok);
    assert_eq!(severity(&world), Some(Severity::Warning), "with luck it stands on the base before");
    ran(&mut world, "a", "wal", Outcome::Failed);
    assert_eq!(severity(&world), Some(Severity::Critical), "it grows louder");
    ran(&mut world, "a", "base", Outcome::Ok);
    assert!(!world.is_open(KEY));
    ran(&mut world, "a", "wal", Outcome::Ok);
    assert!(!world.is_open(KEY));
}

#[test]
fn one_alert_names_every_node_and_a_further_one_is_added() {
    let mut world = chained(&["a", "b", "c"]);
    ran(&mut world, "a", "wal", Outcome::Ok);
    ran(&mut world, "b", "wal", Outcome::Ok);
    let open: Vec<String> = world.open_alerts().into_iter().filter(|key| key.starts_with("chain")).collect();
    assert_eq!(open, [KEY]);
    let key = landfall_proto::alert::AlertKey(KEY.to_owned());
    assert_eq!(world.mesh().open_alert(&key).unwrap().alert.nodes, [node("a"), node("b")]);
    for id in ["a", "b"] {
        ran(&mut world, id, "base", Outcome::Ok);
    }
    assert!(!world.is_open(KEY));
}

#[test]
fn a_base_that_is_under_way_or_lost_says_nothing_and_takes_nothing_back() {
    let mut world = chained(&["a"]);
    let base = begins(&mut world, "a", "base");
    ran(&mut world, "a", "wal", Outcome::Ok);
    assert!(!world.is_open(KEY), "it may be good in a moment");
    world.ends("a", base, Outcome::Failed, Reason::Network);
    world.settle();
    assert_eq!(severity(&world), Some(Severity::Critical));
    let base = begins(&mut world, "a", "base");
    ran(&mut world, "a", "wal", Outcome::Ok);
    assert!(world.is_open(KEY), "it has not ended yet");
    world.ends("a", base, Outcome::Ok, Reason::Completed);
    world.settle();
    assert!(!world.is_open(KEY));
}

#[test]
fn a_relation_that_makes_no_sense_is_a_finding_and_tells_nobody() {
    let mut world = World::new(&["a"]);
    for (plans, part) in [
        (&[("wal", Some("base"))][..], "no such plan"),
        (&[("wal", Some("wal"))][..], "builds on itself"),
        (&[("wal", Some("base")), ("base", Some("wal"))][..], "wal builds on base and so on"),
    ] {
        announce(&mut world, "a", plans);
        ran(&mut world, "a", "wal", Outcome::Ok);
        assert!(!world.is_open(KEY), "{plans:?}");
        let found = bad_chains(&world, "a");
        assert!(found.iter().any(|message| message.contains(part)), "{plans:?}: {found:?}");
    }
    announce(&mut world, "a", &[("wal", Some("base")), ("base", None)]);
    world.settle();
    assert!(bad_chains(&world, "a").is_empty() && world.is_open(KEY), "what makes sense again is judged again");
    announce(&mut world, "a", &[("wal", None), ("base", None)]);
    world.settle();
    assert!(!world.is_open(KEY), "it builds on nothing any more");
}

#[test]
fn a_retired_node_and_a_restarted_coordinator_agree_on_what_is_open() {
    let mut world = chained(&["a"]);
    ran(&mut world, "a", "wal", Outcome::Ok);
    world.restart(0);
    world.settle();
    assert_eq!(world.told(KEY).1, 0);
    assert!(world.is_open(KEY), "the index is made anew from the records");
    let request = landfall_proto::control::Request::Retire { node: node("a"), by: "ann".to_owned() };
    world.ask(request);
    world.settle();
    assert!(!world.is_open(KEY));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A history as the fold makes it of ends at these seconds: true is good.
fn history(ends: &[(i64, bool)]) -> History {
    let mut history = History::default();
    for (second, good) in ends {
        let (run, round) = (RunId(Uuid::from_u128(second.unsigned_abs().into())), RoundId(Uuid::nil()));
        if *good {
            history.trouble = None;
            history.last_good = Some(LastGood { run, round, at: at(*second), evidence: None });
        } else {
            let (outcome, reason, finished_at) = (Outcome::Failed, Reason::Network, at(*second));
            history.trouble = Some(LastRun { run, round, outcome, reason, message: String::new(), finished_at });
        }
    }
    history
}

proptest! {
    #[test]
    fn the_rule_holds_for_every_past(
        ends in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..12),
    ) {
        let timed: Vec<(i64, bool, bool)> = (1..).zip(ends).map(|(second, (base, good))| (second, base, good)).collect();
        let of = |wanted: bool| -> Vec<(i64, bool)> {
            timed.iter().filter(|(_, base, _)| *base == wanted).map(|(second, _, good)| (*second, *good)).collect()
        };
        let (base, increment) = (of(true), of(false));
        let found = broken(&history(&base), &history(&increment));
        match base.last() {
            // A good base mends everything; what came after it stands on it.
            Some((_, true)) => prop_assert_eq!(found, None),
            Some((failed, false)) => {
                let after = increment.last().is_some_and(|(second, _)| second > failed);
                let never = base.iter().all(|(_, good)| !good) && increment.iter().any(|(_, good)| *good);
                prop_assert_eq!(found.is_some(), after || never);
                prop_assert_eq!(found == Some(Broken::Never), never);
            }
            None => prop_assert_eq!(found.is_some(), increment.iter().any(|(_, good)| *good)),
        }
        if increment.is_empty() {
            prop_assert_eq!(found, None);
        }
    }
}
