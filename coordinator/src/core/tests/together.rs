//! Stories of many routines that fail at once: one alert tells them, and who does not hear that one hears each.

use landfall_proto::alert::Severity;
use landfall_proto::control::Request;
use landfall_proto::report::{Outcome, Reason, TaskKind};
use landfall_proto::time::Duration;
use uuid::Uuid;

use super::world::{Does, GOOD, World, node, plan};
use crate::core::policy::Policy;
use crate::core::route::Route;
use crate::core::together::covered_by;

const CLUSTER: &str = "cluster_failing/test";

/// A night in which each of these nodes runs a routine of its own, named as the node.
fn night(names: &[&str], policy: Option<Policy>) -> World {
    let mut world = World::bare(&[]);
    for name in names {
        let mut own = plan();
        own.routine = format!("of-{name}").parse().unwrap();
        own.repository = Some(format!("repository-{name}").parse().unwrap());
        world.add_agent_of(name, own);
        world.agents.get_mut(&node(name)).unwrap().does = Does::Hold;
    }
    world.policy = policy.unwrap_or(world.policy);
    world.start_coordinator("alpha");
    world.settle();
    world.limit(landfall_proto::limit::LimitName::Cluster, 100);
    world.beats();
    world.pass("65s");
    world
}

fn fails(world: &mut World, name: &str) {
    world.end(name, Outcome::Failed, Reason::Network);
    world.pass("2s");
}

fn mend(world: &mut World, name: &str, request: u128) {
    world.agents.get_mut(&node(name)).unwrap().does = GOOD;
    let routine = format!("of-{name}").parse().unwrap();
    let (task, by) = (TaskKind::Backup, "ann".to_owned());
    world.ask(Request::Start { routine, nodes: Vec::new(), task, by, request: Uuid::from_u128(request) });
    world.pass("10s");
}

fn told(world: &World, name: &str) -> (usize, usize) {
    world.told(&format!("failed/of-{name}/{name}"))
}

#[test]
fn routines_that_fail_together_are_told_in_one_alert_and_what_outlasts_it_is_told_then() {
    let mut world = night(&["a", "b", "c", "d", "e"], None);
    fails(&mut world, "a");
    fails(&mut world, "b");
    assert_eq!(world.open_alerts(), ["failed/of-a/a", "failed/of-b/b"], "two are told at once and alone");
    fails(&mut world, "c");
    fails(&mut world, "d");
    world.end("e", Outcome::Failed, Reason::Integrity);
    world.pass("2s");
    assert_eq!((told(&world, "a"), told(&world, "c"), told(&world, "d")), ((1, 0), (0, 0), (0, 0)));
    assert_eq!(told(&world, "e"), (1, 0), "damage speaks for itself");
    assert_eq!(world.told(CLUSTER), (1, 0));
    assert!(world.is_open("failed/of-c/c") && world.is_open("failed/of-d/d"), "they are seen all the same");
    let of_d = world.mesh().open_alerts().find(|record| record.alert.key.0 == "failed/of-d/d").unwrap();
    assert_eq!(covered_by(world.mesh(), of_d).unwrap().alert.key.0, CLUSTER);
    let cluster = world.mesh().open_alerts().find(|record| record.alert.key.0 == CLUSTER).unwrap().alert.clone();
    assert_eq!((cluster.nodes.len(), cluster.reason, cluster.severity), (3, Some(Reason::Network), Severity::Critical));

    world.restart(0);
    world.settle();
    world.pass("30s");
    assert_eq!(told(&world, "d"), (0, 0), "another process knows that it is covered");

    mend(&mut world, "c", 1);
    assert!(!world.is_open("failed/of-c/c"));
    assert_eq!(told(&world, "c"), (0, 0), "of what was never told the end is not told either");
    for (name, request) in [("a", 2), ("b", 3), ("e", 4)] {
        mend(&mut world, name, request);
    }
    assert_eq!(world.told(CLUSTER), (1, 1), "one routine is no trouble of the cluster");
    assert_eq!(told(&world, "d"), (1, 0), "it is not covered any more");
    mend(&mut world, "d", 5);
    assert_eq!((told(&world, "d"), told(&world, "c"), world.open_alerts()), ((1, 1), (0, 0), Vec::new()));
}

#[test]
fn nodes_that_are_retired_fail_no_more() {
    let mut world = night(&["a", "b", "c"], None);
    for name in ["a", "b", "c"] {
        fails(&mut world, name);
    }
    assert!(world.is_open(CLUSTER));
    for name in ["a", "b", "c"] {
        world.cut_off(name);
        world.ask(Request::Retire { node: node(name), by: "ann".to_owned() });
    }
    world.pass("2s");
    assert!(!world.is_open(CLUSTER), "{:?}", world.open_alerts());
}

#[test]
fn failures_hours_apart_are_no_trouble_of_the_cluster_and_later_ones_are_not_hidden_by_an_old_one() {
    let mut world = night(&["a", "b", "c"], None);
    for name in ["a", "b", "c"] {
        fails(&mut world, name);
        world.pass("61m");
    }
    assert_eq!(world.told(CLUSTER), (0, 0));

    let mut world = night(&["a", "b", "c", "d"], None);
    for name in ["a", "b", "c"] {
        fails(&mut world, name);
    }
    assert_eq!(world.told(CLUSTER), (1, 0));
    world.pass("61m");
    fails(&mut world, "d");
    assert_eq!(told(&world, "d"), (1, 0));
}

#[test]
fn who_is_not_told_of_the_cluster_is_told_of_what_is_its_own() {
    let mut own = Route::to(&["team"]);
    own.routines = vec!["of-c".to_owned()];
    own.goes_on = true;
    let (sinks, routes) = (vec!["journal".to_owned(), "team".to_owned()], vec![own, Route::to(&["journal"])]);
    let mut world = night(&["a", "b", "c"], Some(Policy { sinks, routes, ..Policy::default() }));
    for name in ["a", "b", "c"] {
        fails(&mut world, name);
    }
    let about: Vec<_> = world.notices.iter().filter(|notice| notice.alert.key.0 == "failed/of-c/c").collect();
    assert_eq!(about.iter().map(|notice| notice.sinks.clone()).collect::<Vec<_>>(), [["team".to_owned()]]);
    assert_eq!(world.told(CLUSTER), (1, 0));
}

#[test]
fn a_backup_that_is_not_what_it_claims_to_be_is_an_emergency_also_among_many() {
    for reason in [Reason::VerifyMissing, Reason::VerifyIncomplete, Reason::VerifyDoubled] {
        let mut world = World::new(&["a", "b", "c", "d"]);
        world.limit(landfall_proto::limit::LimitName::Cluster, 100);
        for agent in world.agents.values_mut() {
            agent.does = Does::Hold;
        }
        world.pass("65s");
        for name in ["a", "b", "c"] {
            world.end(name, Outcome::Failed, Reason::Network);
        }
        let severity = |world: &World| world.mesh().open_alerts().next().unwrap().alert.severity;
        assert_eq!((world.open_alerts(), severity(&world)), (vec!["diverged/nightly".to_owned()], Severity::Critical));
        world.end("d", Outcome::Failed, reason);
        world.wait(Duration::from_secs(2));
        world.settle();
        assert_eq!((world.open_alerts(), severity(&world)), (vec!["diverged/nightly".to_owned()], Severity::Emergency));
        assert_eq!(world.told("diverged/nightly"), (2, 1), "the graver one follows");
    }
}
