//! Stories of starts that are only tried: they tell what would happen, and nothing happens.

use landfall_proto::control::{Reply, Request};
use landfall_proto::limit::{LimitName, WaitReason};
use landfall_proto::rehearsal::RehearsalView;
use landfall_proto::report::{Outcome, Reason, TaskKind};
use landfall_proto::verdict::VerdictKind;
use proptest::prelude::proptest;
use proptest::sample::subsequence;
use uuid::Uuid;

use super::world::{Does, World, node, routine};
use crate::core::rehearse::rehearse;

fn tried(world: &World, nodes: &[&str]) -> Reply {
    let nodes: Vec<_> = nodes.iter().map(|name| node(name)).collect();
    rehearse(world.mesh(), &world.policy, world.now, &routine(), &nodes, TaskKind::Backup)
}

fn shown(world: &World, nodes: &[&str]) -> RehearsalView {
    let reply = tried(world, nodes);
    let Reply::Rehearsal(view) = reply else { panic!("{reply:?}") };
    view
}

fn waits(view: &RehearsalView, name: &str) -> Option<WaitReason> {
    view.nodes.iter().find(|row| row.node == node(name)).unwrap_or_else(|| panic!("{name}: {view:?}")).waits_for.clone()
}

#[test]
fn a_node_that_is_silent_is_named_even_where_a_limit_is_full() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    world.pass("10s");
    world.cut_off("d");
    world.pass("30s");
    world.limit(LimitName::Cluster, 2);
    let view = shown(&world, &[]);
    assert_eq!((view.expected, view.at_once, view.doubtful), (4, 2, 1));
    assert_eq!((waits(&view, "a"), waits(&view, "b")), (None, None));
    assert_eq!(waits(&view, "c"), Some(WaitReason::Limit { name: LimitName::Cluster, size: 2 }));
    assert_eq!(waits(&view, "d"), Some(WaitReason::NodeOffline { node: node("d") }));
    assert_eq!(view.nodes[0].node, node("d"), "whoever cannot be relied on comes first");
}

#[test]
fn who_was_retired_is_told_and_not_expected() {
    let mut world = World::new(&["a", "b"]);
    world.start(&[], 5);
    world.pass("10s");
    world.ask(Request::Retire { node: node("b"), by: "ann".to_owned() });
    let view = shown(&world, &[]);
    assert_eq!((view.expected, &view.retired), (1, &vec![node("b")]));
    assert!(matches!(tried(&world, &["b"]), Reply::Refused(problem) if problem.why.contains("retired")));
}

#[test]
fn what_a_start_would_refuse_a_try_refuses_in_the_same_words() {
    let mut world = World::new(&["a"]);
    world.pass("10s");
    assert_eq!(tried(&world, &["x"]), world.start(&["x"], 4));
    let hourly = "hourly".parse().unwrap();
    let tried = rehearse(world.mesh(), &world.policy, world.now, &hourly, &[], TaskKind::Backup);
    let request = Uuid::from_u128(5);
    let by = "ann".to_owned();
    let start = Request::Start { routine: hourly, nodes: Vec::new(), task: TaskKind::Backup, by, request };
    assert_eq!(tried, world.ask(start));
}

#[test]
fn those_that_wait_already_come_first() {
    let mut world = World::new(&["a", "b"]);
    world.limit(LimitName::Cluster, 1);
    world.agents.values_mut().for_each(|agent| agent.does = Does::Hold);
    world.pass("10s");
    world.start(&["a", "b"], 7);
    world.pass("5s");
    let view = shown(&world, &["b"]);
    assert_eq!((view.queued_before, view.at_once, view.open_rounds.len()), (1, 0, 1));
    assert_eq!(waits(&view, "b"), Some(WaitReason::Limit { name: LimitName::Cluster, size: 1 }));
    for name in ["a", "b"] {
        world.end(name, Outcome::Ok, Reason::Completed);
        world.pass("5s");
    }
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
}

proptest! {
    /// A try tells the truth: where it says of every node that its run would start at once, the start does that; and trying
    /// changes nothing.
    #[test]
    fn what_is_said_to_start_at_once_does(
        limit in 0..5_u32,
        away in subsequence(vec!["a", "b", "c"], 0..=3),
        wanted in subsequence(vec!["a", "b", "c"], 1..=3),
    ) {
        let mut world = World::new(&["a", "b", "c"]);
        world.agents.values_mut().for_each(|agent| agent.does = Does::Hold);
        world.pass("5s");
        away.iter().for_each(|name| world.cut_off(name));
        world.pass("20s");
        world.limit(LimitName::Cluster, limit);
        let decided = world.decided().count();
        let view = shown(&world, &wanted);
        assert_eq!(view, shown(&world, &wanted));
        assert_eq!(world.decided().count(), decided);
        world.start(&wanted, 9);
        world.pass("5s");
        for row in &view.nodes {
            let runs = world.run_of(row.node.as_str()).is_active();
            assert_eq!(runs, row.waits_for.is_none(), "{row:?}");
        }
    }
}
