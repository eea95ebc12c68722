//! Stories of operators: start, cancel, retry, retire, limits, and what they are told when it cannot be.

use landfall_proto::command::{Action, Refused};
use landfall_proto::control::{Problem, Reply, Request};
use landfall_proto::fact::agent::RunMilestone;
use landfall_proto::fact::coordinator::{CoordinatorFact, OpenedBy};
use landfall_proto::id::{NodeId, RoundId};
use landfall_proto::limit::{LimitName, WaitReason};
use landfall_proto::report::{Outcome, Reason, TaskKind};
use landfall_proto::verdict::{Standing, VerdictKind};
use uuid::Uuid;

use super::world::{Does, GOOD, World, node, routine, slot};
use crate::core::run::Stage;

fn refused(reply: Reply) -> Problem {
    let Reply::Refused(problem) = reply else { panic!("{reply:?}") };
    assert!(!problem.what.is_empty() && !problem.why.is_empty() && !problem.fix.is_empty());
    problem
}

fn cancel(world: &mut World, id: Uuid) -> Reply {
    world.ask(Request::Cancel { id, by: "ann".to_owned() })
}

fn retry(world: &mut World, id: Uuid, request: u128) -> Reply {
    world.ask(Request::Retry { id, by: "ann".to_owned(), request: Uuid::from_u128(request) })
}

fn retire(world: &mut World, name: &str) -> Reply {
    world.ask(Request::Retire { node: node(name), by: "ann".to_owned() })
}

#[test]
fn a_start_opens_one_round_however_often_it_is_asked_for() {
    let mut world = World::new(&["a", "b"]);
    let round = RoundId(Uuid::from_u128(5));
    assert_eq!(world.start(&[], 5), Reply::Opened { round });
    assert_eq!(world.start(&[], 5), Reply::Opened { round });
    assert_eq!(world.decisions("round_opened"), 1);
    assert_eq!((world.round().expected, &world.round().opened_by), (2, &OpenedBy::Operator));
    world.pass("10s");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
}

#[test]
fn a_start_on_some_nodes_expects_just_those() {
    let mut world = World::new(&["a", "b", "c"]);
    world.start(&["b"], 5);
    assert_eq!(world.round().expected, 1);
    assert_eq!(world.run_of("b").round, world.round().id);
}

#[test]
fn what_does_not_exist_cannot_be_started_and_the_reply_says_what_does() {
    let mut world = World::new(&["a", "b"]);
    let name = "hourly".parse().unwrap();
    let request = Uuid::from_u128(1);
    let reply = world.ask(Request::Start {
        routine: name,
        nodes: Vec::new(),
        task: TaskKind::Backup,
        by: "ann".to_owned(),
        request,
    });
    assert!(refused(reply).fix.contains("nightly"));
    let problem = refused(world.start(&["x"], 2));
    assert!(problem.why.contains("no node x") && problem.fix.contains("a, b"), "{problem:?}");
    assert_eq!(world.decisions("round_opened"), 0);
    refused(world.ask(Request::Status));
}

#[test]
fn a_coordinator_that_does_not_lead_does_not_act() {
    let mut world = World::new(&["a"]);
    let standby = world.start_coordinator("beta");
    world.settle();
    let ticket = crate::core::step::Ticket(99);
    let start = Request::Start {
        routine: routine(),
        nodes: Vec::new(),
        task: TaskKind::Backup,
        by: "ann".to_owned(),
        request: Uuid::from_u128(3),
    };
    world.feed(standby, crate::core::step::Input::Asked(ticket, start));
    let reply = world.replies.remove(&ticket).unwrap();
    assert!(refused(reply).why.contains("alpha leads"));
}

#[test]
fn a_queued_run_that_is_cancelled_ends_at_once_and_is_never_started() {
    let mut world = World::new(&["a"]);
    world.limit(LimitName::Cluster, 0);
    world.pass("65s");
    let run = world.run_of("a").id;
    assert!(matches!(cancel(&mut world, run.0), Reply::Done { .. }));
    assert_eq!(world.run_of("a").outcome(), Some(Outcome::Cancelled));
    world.limit(LimitName::Cluster, 4);
    world.pass("1m");
    assert!(world.commands.iter().all(|command| matches!(command.action, Action::Cancel { .. })));
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    assert!(refused(cancel(&mut world, run.0)).why.contains("cancelled"));
    assert_eq!(world.open_alerts(), Vec::<String>::new(), "who cancels knows it");
}

#[test]
fn a_running_run_is_asked_to_end_until_it_has_ended() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("65s");
    world.agents.get_mut(&node("a")).unwrap().does = Does::Deaf;
    let round = world.round().id;
    cancel(&mut world, round.0);
    assert_eq!(world.run_of("a").stage, Stage::Running);
    world.pass("1m");
    let asked = world.commands.iter().filter(|command| matches!(command.action, Action::Cancel { .. })).count();
    assert!(asked > 5, "{asked}");
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("10s");
    assert_eq!(world.run_of("a").outcome(), Some(Outcome::Cancelled));
    let sent = world.commands.len();
    world.pass("1m");
    assert_eq!(world.commands.len(), sent);
    assert_eq!(world.decisions("cancel_asked"), 1);
}

#[test]
fn a_retry_is_a_round_of_its_own_for_the_nodes_that_failed() {
    let mut world = World::new(&["a", "b", "c"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::End(Outcome::Failed, Reason::Network);
    world.pass("2m");
    let (first, run) = (world.round().id, world.run_of("b").id);
    world.agents.get_mut(&node("b")).unwrap().does = GOOD;
    assert_eq!(retry(&mut world, first.0, 8), Reply::Opened { round: RoundId(Uuid::from_u128(8)) });
    assert_eq!((world.round().expected, &world.round().opened_by), (1, &OpenedBy::Retry { of: run }));
    world.pass("10s");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.mesh().rounds()[&first].verdict.as_ref().unwrap().kind, VerdictKind::Diverged);
    assert_eq!(world.open_alerts(), Vec::<String>::new());
    assert!(refused(retry(&mut world, RoundId(Uuid::from_u128(8)).0, 9)).why.contains("good"));
    assert!(refused(retry(&mut world, Uuid::from_u128(1), 10)).why.contains("no run or round"));
}

#[test]
fn a_node_that_the_verdict_called_missing_is_tried_again_at_once_and_waits_for_what_still_runs() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.pass("65s");
    let (first, run) = (world.round().id, world.run_of("b").id);
    assert!(refused(retry(&mut world, first.0, 7)).fix.contains("deadline"), "its round goes on");
    world.pass("8h 1m");
    assert_eq!(world.kind(), Some(VerdictKind::Overdue));
    world.agents.get_mut(&node("b")).unwrap().does = GOOD;
    assert_eq!(retry(&mut world, first.0, 8), Reply::Opened { round: RoundId(Uuid::from_u128(8)) });
    world.pass("10s");
    let waits = crate::core::permits::waits_for(world.mesh(), &world.policy, world.now, world.run_of("b"));
    assert_eq!(waits, WaitReason::EarlierRun { run });
    world.ends("b", run, Outcome::Ok, Reason::Completed);
    world.settle();
    let late = world.mesh().runs()[&run].end.clone().unwrap();
    assert_eq!((late.outcome, late.late), (Outcome::Ok, true), "the first result is recorded all the same");
    world.pass("40s");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    let begun = world.commands.iter().filter(|command| matches!(command.action, Action::Start { .. })).count();
    assert_eq!(begun, 3, "a and b once in the round, b once more");
}

#[test]
fn a_run_that_its_node_has_forgotten_does_not_stand_in_the_way_of_a_retry() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.pass("65s");
    let (first, run) = (world.round().id, world.run_of("b").id);
    world.pass("7h 59m 50s");
    let agent = world.agents.get_mut(&node("b")).unwrap();
    agent.live.clear();
    // As long as it has something to say, its result may be among it.
    agent.outbox.push(RunMilestone { run, percent: 10, files_done: 0, bytes_done: 0 }.into());
    agent.does = GOOD;
    world.pass("10s");
    assert_eq!((world.kind(), world.run_of("b").stage), (Some(VerdictKind::Overdue), Stage::Running));
    retry(&mut world, first.0, 8);
    assert_eq!(world.mesh().runs()[&run].outcome(), Some(Outcome::Lost));
    world.pass("10s");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
}

#[test]
fn a_node_without_room_says_so_and_so_does_the_verdict() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::Refuse(Refused::NoSpace);
    world.pass("65s");
    let waits = crate::core::permits::waits_for(world.mesh(), &world.policy, world.now, world.run_of("b"));
    assert_eq!(waits, WaitReason::NodeFull { node: node("b") });
    world.pass("8h 1m");
    let verdict = world.round().verdict.clone().unwrap();
    let standing = verdict.nodes.iter().find(|standing| standing.node == node("b")).unwrap();
    assert_eq!((standing.standing, standing.reason), (Standing::Missing, Some(Reason::NoSpace)));
}

#[test]
fn a_retired_node_is_not_expected_and_nothing_it_says_brings_it_back_but_its_plans() {
    let mut world = World::new(&["a", "b"]);
    world.cut_off("b");
    world.pass("8h 2m");
    assert!(world.is_open("overdue/nightly") && world.is_open("node_silent/b"));
    assert!(matches!(retire(&mut world, "b"), Reply::Done { .. }));
    assert_eq!(world.open_alerts(), Vec::<String>::new());
    assert!(matches!(retire(&mut world, "b"), Reply::Done { .. }), "twice is once");
    refused(retire(&mut world, "x"));
    assert_eq!(world.decisions("node_retired"), 1);
    world.agents.get_mut(&node("b")).unwrap().up = true;
    world.runs_alone("b", "2026-11-21T02:00:00Z".parse().unwrap(), Outcome::Ok);
    world.settle();
    assert!(world.mesh().nodes()[&node("b")].is_retired());
    world.pass("18h");
    let nodes: Vec<NodeId> =
        world.round().verdict.as_ref().unwrap().nodes.iter().map(|node| node.node.clone()).collect();
    assert_eq!(nodes, [node("a")]);
    world.announce("b");
    world.settle();
    assert!(!world.mesh().nodes()[&node("b")].is_retired());
    world.start(&[], 4);
    assert_eq!(world.round().expected, 2);
}

#[test]
fn a_limit_of_zero_is_a_pause_and_says_so() {
    let mut world = World::new(&["a"]);
    let reply = world.ask(Request::SetLimit { name: LimitName::Cluster, value: 0, by: "ann".to_owned() });
    let Reply::Done { message } = reply else { panic!("{reply:?}") };
    assert!(message.contains("nothing"));
    world.pass("5m");
    assert_eq!(world.run_of("a").stage, Stage::Queued);
    world.limit(LimitName::Cluster, 1);
    assert_eq!(world.run_of("a").outcome(), Some(Outcome::Ok));
}

#[test]
fn who_asked_for_a_round_or_for_another_try_stands_in_the_log() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::Network);
    let (nodes, task, by) = (vec![node("a")], TaskKind::Backup, "ann".repeat(50));
    world.ask(Request::Start { routine: routine(), nodes, task, by, request: Uuid::from_u128(5) });
    let first = RoundId(Uuid::from_u128(5));
    assert_eq!(world.mesh().rounds()[&first].by.as_ref().unwrap().len(), 100, "a name has its bounds");
    world.pass("10s");
    retry(&mut world, first.0, 6);
    world.pass("10s");
    let asked: Vec<Option<String>> = world
        .decided()
        .filter_map(|fact| if let CoordinatorFact::RoundOpened(body) = fact { Some(body.by) } else { None })
        .collect();
    assert_eq!(asked[1], Some("ann".to_owned()));
    world.pass("65s");
    assert_eq!(world.mesh().rounds()[&world.round_of(slot())].by, None, "nobody asks for a slot");
}
