//! Stories of the queue: limits, order, repositories, nodes that are away or busy.

use landfall_proto::command::{Action, Refused};
use landfall_proto::id::RunId;
use landfall_proto::limit::{LimitName, WaitReason};
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::{Outcome, Reason, TaskKind, Trigger};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::RunState;

use super::world::{Does, World, about, command_of, node, routine, slot};
use crate::core::permits;
use crate::core::run::Stage;

fn all(world: &mut World, does: Does) {
    world.agents.values_mut().for_each(|agent| agent.does = does);
}

fn waits(world: &World, name: &str) -> WaitReason {
    permits::waits_for(world.mesh(), &world.policy, world.now, world.run_of(name))
}

fn running(world: &World) -> Vec<String> {
    let active = world.mesh().runs().values().filter(|run| run.is_active());
    let mut names: Vec<String> = active.map(|run| run.node.to_string()).collect();
    names.sort();
    names
}

#[test]
fn with_a_limit_of_one_twenty_runs_go_one_by_one_in_order() {
    let names: Vec<String> = (0..20).map(|number| format!("n{number:02}")).collect();
    let mut world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.limit(LimitName::Cluster, 1);
    all(&mut world, Does::Hold);
    world.pass("65s");
    for name in &names {
        assert_eq!(running(&world), std::slice::from_ref(name));
        assert_eq!(world.mesh().active_count(), 1);
        world.pass("5s");
        world.end(name, Outcome::Ok, Reason::Completed);
    }
    assert_eq!(world.most_active, 1);
    world.pass("1m");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
}

#[test]
fn a_waiting_run_says_what_it_waits_for() {
    let mut world = World::new(&["a", "b", "c"]);
    world.limit(LimitName::Cluster, 2);
    world.cut_off("a");
    all(&mut world, Does::Hold);
    world.pass("65s");
    assert_eq!(running(&world), ["b", "c"], "a node that is away holds no permit");
    assert_eq!(waits(&world, "a"), WaitReason::Limit { name: LimitName::Cluster, size: 2 });
    world.limit(LimitName::Cluster, 5);
    assert_eq!(waits(&world, "a"), WaitReason::NodeOffline { node: node("a") });
    let sync = world.mesh().sync_for(&node("a")).unwrap();
    assert_eq!(sync.queued, [world.run_of("a").id]);
}

#[test]
fn a_repository_that_is_not_shared_serves_one_at_a_time() {
    let mut world = World::new(&["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        world.agents.get_mut(&node(name)).unwrap().plan.lock = RepositoryLock::Exclusive;
        world.announce(name);
    }
    world.agents.get_mut(&node("c")).unwrap().plan.repository = Some("repo2".parse().unwrap());
    world.announce("c");
    all(&mut world, Does::Hold);
    world.pass("65s");
    assert_eq!(running(&world), ["a", "c"]);
    assert_eq!(waits(&world, "b"), WaitReason::RepositoryExclusive { repository: "repo1".parse().unwrap() });
    world.end("a", Outcome::Ok, Reason::Completed);
    assert_eq!(running(&world), ["b", "c"]);
}

#[test]
fn storage_label_and_task_limits_hold_for_what_they_name() {
    let mut world = World::new(&["a", "b", "c"]);
    for (name, rack) in [("a", "1"), ("b", "1"), ("c", "2")] {
        let plan = &mut world.agents.get_mut(&node(name)).unwrap().plan;
        plan.labels.insert("rack".to_owned(), rack.to_owned());
        plan.storage = Some("nas".to_owned());
        world.announce(name);
    }
    let rack = LimitName::Label("rack".to_owned(), "1".to_owned());
    world.limit(rack.clone(), 1);
    all(&mut world, Does::Hold);
    world.pass("65s");
    assert_eq!(running(&world), ["a", "c"]);
    assert_eq!(waits(&world, "b"), WaitReason::Limit { name: rack.clone(), size: 1 });
    world.limit(LimitName::Storage("nas".to_owned()), 2);
    assert_eq!(waits(&world, "b"), WaitReason::Limit { name: LimitName::Storage("nas".to_owned()), size: 2 });
    world.limit(LimitName::Storage("nas".to_owned()), 9);
    world.limit(rack, 2);
    assert_eq!(running(&world), ["a", "b", "c"]);
    let limits = permits::limits(world.mesh(), &world.policy);
    assert!(limits.iter().any(|limit| limit.name == LimitName::Storage("nas".to_owned()) && limit.used == 3));
}

#[test]
fn a_higher_priority_goes_first_until_the_others_have_waited_long() {
    let mut world = World::new(&["a", "b", "c"]);
    world.agents.get_mut(&node("c")).unwrap().plan.priority = 1;
    world.announce("c");
    world.limit(LimitName::Cluster, 0);
    world.pass("65s");
    assert_eq!(running(&world), Vec::<String>::new());
    let order =
        |world: &World| -> Vec<String> { world.mesh().queue(world.now).map(|run| run.node.to_string()).collect() };
    assert_eq!(order(&world), ["c", "a", "b"]);
    world.pass("1h");
    world.agents.get_mut(&node("c")).unwrap().does = Does::Hold;
    world.start(&["c"], 5);
    let queue: Vec<(String, bool)> =
        world.mesh().queue(world.now).map(|run| (run.node.to_string(), run.slot.is_some())).collect();
    let expected = [("c", true), ("a", true), ("b", true), ("c", false)];
    assert_eq!(
        queue,
        expected.map(|(name, slot)| (name.to_owned(), slot)),
        "who waited an hour goes before a fresh run of higher priority"
    );
}

#[test]
fn runs_that_nodes_started_by_themselves_hold_permits_too() {
    let mut world = World::new(&["a", "b"]);
    world.limit(LimitName::Cluster, 1);
    world.jump("2026-11-20T01:59:50Z");
    world.beats();
    let round = world.round_of(slot());
    let run = RunId::of(round, &node("a"), TaskKind::Backup);
    world.starts("a", about(run, round, routine(), Some(slot()), TaskKind::Backup, Trigger::Autonomous));
    all(&mut world, Does::Hold);
    world.pass("1m");
    assert_eq!(running(&world), ["a"]);
    world.end("a", Outcome::Ok, Reason::Completed);
    assert_eq!(running(&world), ["b"]);
    assert_eq!(world.decisions("dispatched"), 1, "what runs already is not started");
}

#[test]
fn a_busy_node_is_asked_again_later() {
    let mut world = World::new(&["a"]);
    all(&mut world, Does::Refuse(Refused::Busy));
    world.pass("65s");
    assert_eq!(world.run_of("a").stage, Stage::Queued);
    assert_eq!(waits(&world, "a"), WaitReason::NodeBusy { node: node("a") });
    assert_eq!(world.decisions("dispatched"), 1);
    all(&mut world, Does::Hold);
    world.pass("40s");
    assert_eq!((world.run_of("a").stage, world.run_of("a").dispatches), (Stage::Running, 2));
}

#[test]
fn a_paused_node_is_left_alone() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().paused = Some("on battery".to_owned());
    world.pass("2m");
    assert_eq!(waits(&world, "a"), WaitReason::NodeBusy { node: node("a") });
    world.agents.get_mut(&node("a")).unwrap().paused = None;
    world.pass("10s");
    assert_eq!(world.run_of("a").outcome(), Some(Outcome::Ok));
}

#[test]
fn a_node_without_the_plan_fails_its_run_at_once() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::Refuse(Refused::NoPlan);
    world.pass("2m");
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    let end = world.run_of("b").end.clone().unwrap();
    assert_eq!((end.outcome, end.reason), (Outcome::Failed, Reason::NoPlan));
    assert_eq!(world.open_alerts(), ["failed/nightly/b"]);
}

#[test]
fn no_answer_is_not_a_failure_the_command_is_sent_again_under_the_same_id() {
    let mut world = World::new(&["a"]);
    all(&mut world, Does::Deaf);
    world.pass("80s");
    let run = world.run_of("a").id;
    assert_eq!(world.run_of("a").stage, Stage::Sent);
    assert!(world.commands.len() > 2);
    assert!(world.commands.iter().all(|command| command.id == command_of("start", run)));
    world.pass("20s");
    assert!(world.run_of("a").dispatches > 1, "an expired command is dispatched again, under another id");
    all(&mut world, Does::Mute);
    world.pass("20s");
    assert_eq!(world.run_of("a").stage, Stage::Running, "the fact says what the answer did not");
}

#[test]
fn a_run_whose_node_went_away_before_it_answered_frees_its_permit() {
    let mut world = World::new(&["a", "b"]);
    world.limit(LimitName::Cluster, 1);
    all(&mut world, Does::Deaf);
    world.pass("65s");
    assert_eq!(running(&world), ["a"]);
    world.cut_off("a");
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.pass("40s");
    assert_eq!(running(&world), ["b"]);
    assert_eq!(world.run_of("a").stage, Stage::Queued);
}

#[test]
fn a_silent_node_makes_its_run_unknown_and_a_beat_makes_it_running_again() {
    let mut world = World::new(&["a"]);
    all(&mut world, Does::Hold);
    world.pass("65s");
    let state = |world: &World| world.mesh().run_state(world.run_of("a"), world.now);
    assert_eq!(state(&world), RunState::Running);
    world.feed(0, crate::core::step::Input::Gone(node("a")));
    assert_eq!(state(&world), RunState::Unknown, "at once where the bus says so");
    world.beats();
    assert_eq!(state(&world), RunState::Running);
    world.cut_off("a");
    world.pass("15s");
    assert_eq!(state(&world), RunState::Running);
    world.pass("5s");
    assert_eq!(state(&world), RunState::Unknown);
    assert_eq!(world.notices.len(), 0);
}

#[test]
fn of_several_slots_that_queue_for_one_node_only_the_latest_is_started() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().plan.calendar = Some("*-*-* *:00:00".to_owned());
    world.announce("a");
    world.cut_off("a");
    world.pass("3h 5m");
    assert_eq!(world.mesh().queued_count(), 4);
    world.bring_back("a");
    let started: Vec<_> =
        world.commands.iter().filter(|command| matches!(command.action, Action::Start { .. })).collect();
    assert_eq!(started.len(), 1);
    assert!(
        matches!(started[0].action, Action::Start { slot, .. } if slot == Some("2026-11-20T05:00:00Z".parse().unwrap()))
    );
}
