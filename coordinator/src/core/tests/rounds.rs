//! Stories of rounds: how they open, converge, diverge or run out of time.

use landfall_proto::fact::agent::{RunFinished, SlotMissed};
use landfall_proto::fact::coordinator::OpenedBy;
use landfall_proto::id::RunId;
use landfall_proto::report::{Outcome, Reason, TaskKind, Trigger};
use landfall_proto::verdict::{Rule, Standing, VerdictKind, Witness};

use super::world::{Does, GOOD, World, about, node, report, routine, slot};
use crate::core::policy::RoutinePolicy;
use crate::core::run::Stage;

fn with_rule(world: &mut World, rule: Rule) {
    world.policy.routines.insert(routine(), RoutinePolicy { rule, ..RoutinePolicy::default() });
}

#[test]
fn when_all_is_good_the_round_converges_and_every_snapshot_is_seen_by_a_neighbour() {
    let mut world = World::new(&["a", "b", "c"]);
    world.pass("2m");
    let verdict = world.round().verdict.clone().unwrap();
    assert_eq!(verdict.kind, VerdictKind::Converged);
    assert!(!verdict.late);
    for standing in &verdict.nodes {
        let Witness::Confirmed { by } = &standing.witness else { panic!("{standing:?}") };
        assert_ne!(*by, standing.node, "nobody is his own witness");
    }
    assert_eq!(world.notices, Vec::new());
    assert_eq!(world.round().slot, Some(slot()));
    assert_eq!(world.round().opened_by, OpenedBy::Slot);
}

#[test]
fn a_node_that_is_down_is_named_when_the_round_is_overdue_told_once_and_lifted_by_its_next_good_run() {
    let mut world = World::new(&["a", "b", "c"]);
    world.cut_off("c");
    world.pass("8h 2m");
    assert_eq!(world.kind(), Some(VerdictKind::Overdue));
    let verdict = world.round().verdict.clone().unwrap();
    let missing: Vec<_> = verdict.nodes.iter().filter(|node| node.standing == Standing::Missing).collect();
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].node.as_str(), missing[0].reason), ("c", Some(Reason::NodeSilent)));
    assert_eq!(world.told("overdue/nightly"), (1, 0));
    assert!(
        world.notices.iter().any(|notice| notice.alert.key.0 == "overdue/nightly" && notice.alert.nodes == [node("c")])
    );
    assert_eq!(world.told("node_silent/c"), (1, 0));
    let round = world.round().id;
    world.agents.get_mut(&node("c")).unwrap().up = true;
    world.runs_alone("c", slot(), Outcome::Ok);
    world.bring_back("c");
    assert_eq!(world.mesh().rounds()[&round].verdict, Some(verdict), "a verdict never changes");
    let late = world.run_of("c").end.clone().unwrap();
    assert!(late.late && late.outcome == Outcome::Ok);
    assert_eq!(world.told("overdue/nightly"), (1, 1));
    assert_eq!(world.told("node_silent/c"), (1, 1));
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn one_failed_node_makes_the_round_diverge_and_is_told_at_once() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.pass("2m");
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    assert_eq!(world.open_alerts(), ["failed/nightly/b"]);
    let record = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!(record.severity, landfall_proto::alert::Severity::Critical);
    assert_eq!(record.fix, Reason::NoSpace.fix());
}

#[test]
fn a_partial_backup_is_not_good_but_less_loud_than_a_failed_one() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::End(Outcome::Partial, Reason::SourceUnreadable);
    world.pass("2m");
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    let record = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!(
        (record.key.0.as_str(), record.severity),
        ("failed/nightly/b", landfall_proto::alert::Severity::Warning)
    );
}

#[test]
fn a_quorum_converges_with_one_bad_node_and_not_with_two() {
    for (bad, kind) in [(1, VerdictKind::Converged), (2, VerdictKind::Diverged)] {
        let mut world = World::new(&["a", "b", "c"]);
        with_rule(&mut world, Rule::Quorum(2));
        for name in ["a", "b", "c"].into_iter().take(bad) {
            world.agents.get_mut(&node(name)).unwrap().does = Does::End(Outcome::Failed, Reason::Network);
        }
        world.pass("2m");
        assert_eq!(world.kind(), Some(kind));
    }
}

#[test]
fn coverage_wants_every_shard_once() {
    let shards = [("a", "1"), ("b", "1"), ("c", "2")];
    for (bad, kind) in [("a", VerdictKind::Converged), ("c", VerdictKind::Diverged)] {
        let mut world = World::new(&["a", "b", "c"]);
        with_rule(&mut world, Rule::Coverage("shard".to_owned()));
        for (name, shard) in shards {
            world.agents.get_mut(&node(name)).unwrap().plan.labels.insert("shard".to_owned(), shard.to_owned());
            world.announce(name);
        }
        world.agents.get_mut(&node(bad)).unwrap().does = Does::End(Outcome::Failed, Reason::Network);
        world.pass("2m");
        assert_eq!(world.kind(), Some(kind));
    }
}

#[test]
fn a_snapshot_that_the_witness_does_not_find_makes_the_round_diverge_and_is_an_emergency() {
    let mut world = World::new(&["a", "b", "c"]);
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().blind_to.insert(node("c"));
    }
    world.pass("2m");
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    assert_eq!(world.open_alerts(), ["contradicted/nightly/c"]);
    let alert = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!(alert.severity, landfall_proto::alert::Severity::Emergency);
    for agent in world.agents.values_mut() {
        agent.blind_to.clear();
    }
    world.start(&["c"], 7);
    world.pass("1m");
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn where_nobody_else_can_look_the_round_converges_unwitnessed() {
    let mut world = World::new(&["a"]);
    world.pass("2m");
    let verdict = world.round().verdict.clone().unwrap();
    assert_eq!((verdict.kind, &verdict.nodes[0].witness), (VerdictKind::Converged, &Witness::Unwitnessed));
    assert_eq!(world.decisions("witness_asked"), 0);
}

#[test]
fn a_witness_that_never_answers_delays_the_verdict_and_does_not_change_it() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.pass("90s");
    world.end("a", Outcome::Ok, Reason::Completed);
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().does = Does::Deaf;
    }
    world.end("b", Outcome::Ok, Reason::Completed);
    assert_eq!(world.kind(), None);
    world.pass("11m");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    let verdict = world.round().verdict.clone().unwrap();
    assert!(verdict.nodes.iter().all(|node| node.witness == Witness::Unwitnessed));
}

#[test]
fn work_that_was_done_before_is_good_and_alarms_nobody() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::End(Outcome::Ok, Reason::AlreadyDone);
    world.pass("2m");
    assert_eq!((world.kind(), world.notices.len()), (Some(VerdictKind::Converged), 0));
}

#[test]
fn a_run_that_says_ok_without_evidence_is_not_good() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("2m");
    let run = world.run_of("a").clone();
    let about = about(run.id, run.round, routine(), run.slot, TaskKind::Backup, Trigger::Dispatched);
    let mut report = report(world.now, &about, Outcome::Ok, Reason::Completed);
    report.evidence = None;
    world.says("a", RunFinished { about, report });
    world.settle();
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    assert_eq!(world.open_alerts(), ["failed/nightly/a"]);
}

#[test]
fn without_a_coordinator_nodes_run_by_themselves_and_the_round_is_judged_afterwards() {
    let mut world = World::bare(&["a", "b"]);
    world.jump("2026-11-20T02:05:00Z");
    let run = world.runs_alone("a", slot(), Outcome::Ok);
    world.runs_alone("b", slot(), Outcome::Ok);
    world.start_coordinator("alpha");
    world.pass("1m");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.round().expected, 2);
    assert_eq!(world.mesh().runs()[&run].trigger, Some(Trigger::Autonomous));
    assert_eq!(world.decisions("dispatched"), 0);
    assert_eq!(world.decisions("round_opened"), 1);
}

#[test]
fn who_begins_without_a_memory_hears_who_there_is_before_it_freezes_whom_a_round_expects() {
    let mut world = World::bare(&[]);
    world.jump("2026-11-20T02:05:00Z");
    world.add_agent("a");
    world.runs_alone("a", slot(), Outcome::Ok);
    world.start_coordinator("alpha");
    world.beats();
    assert!(world.mesh().rounds().is_empty(), "only one of two nodes has announced itself");
    world.add_agent("b");
    world.pass("1m");
    assert_eq!(world.round().expected, 2);
}

#[test]
fn a_round_whose_deadline_passed_while_nobody_led_is_judged_late_and_says_so() {
    let mut world = World::bare(&["a", "b"]);
    world.jump("2026-11-20T02:05:00Z");
    world.runs_alone("a", slot(), Outcome::Ok);
    world.cut_off("b");
    world.jump("2026-11-20T12:00:00Z");
    world.start_coordinator("alpha");
    world.beats();
    assert!(world.mesh().rounds().is_empty(), "who there is may still be on its way, and so may results");
    world.pass("1m");
    let verdict = world.round().verdict.clone().unwrap();
    assert!(verdict.late && verdict.kind == VerdictKind::Overdue);
    assert!(verdict.summary.contains("judged late"), "{}", verdict.summary);
    assert_eq!(world.decisions("dispatched"), 0, "a slot whose time is over is not run");
}

#[test]
fn after_a_downtime_only_the_latest_slot_is_opened() {
    let mut world = World::new(&["a"]);
    world.coordinators[0].alive = false;
    world.jump("2026-11-24T03:00:00Z");
    world.restart(0);
    world.settle();
    world.pass("1m");
    assert_eq!(world.decisions("round_opened"), 1);
    assert_eq!(world.round().slot, Some("2026-11-24T02:00:00Z".parse().unwrap()));
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
}

#[test]
fn a_lost_run_that_reports_after_all_is_what_it_reports() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.pass("2m");
    world.cut_off("b");
    world.pass("8h");
    assert_eq!(world.kind(), Some(VerdictKind::Overdue));
    assert_eq!(world.run_of("b").outcome(), Some(Outcome::Lost));
    let run = world.run_of("b").id;
    world.ends("b", run, Outcome::Ok, Reason::Completed);
    world.bring_back("b");
    let end = world.run_of("b").end.clone().unwrap();
    assert_eq!((end.outcome, end.late), (Outcome::Ok, true));
    assert_eq!(world.kind(), Some(VerdictKind::Overdue));
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn a_run_that_goes_on_past_its_deadline_is_not_lost_while_its_node_shows_it_alive() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("9h");
    assert_eq!(world.kind(), Some(VerdictKind::Overdue));
    assert_eq!(world.run_of("a").stage, Stage::Running);
    world.end("a", Outcome::Ok, Reason::Completed);
    assert!(world.run_of("a").end.as_ref().unwrap().late);
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn a_run_that_its_node_forgot_ends_as_unreported_only_after_the_deadline() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("2m");
    world.agents.get_mut(&node("a")).unwrap().live.clear();
    world.pass("1h");
    assert_eq!(world.run_of("a").stage, Stage::Running);
    world.pass("8h");
    let end = world.run_of("a").end.clone().unwrap();
    assert_eq!((end.outcome, end.reason), (Outcome::Lost, Reason::NoReport));
}

#[test]
fn slots_that_a_node_slept_through_end_as_skipped() {
    let mut world = World::new(&["a", "b"]);
    world.cut_off("b");
    world.pass("10m");
    assert_eq!(world.run_of("b").stage, Stage::Queued);
    world.agents.get_mut(&node("b")).unwrap().up = true;
    world.says("b", SlotMissed { routine: routine(), first: slot(), last: slot(), count: 1 });
    world.settle();
    let end = world.run_of("b").end.clone().unwrap();
    assert_eq!((end.outcome, end.reason), (Outcome::Skipped, Reason::Missed));
    assert!(!world.is_open("failed/nightly/b"), "skipped is neutral");
}

#[test]
fn a_slot_that_a_wrong_clock_told_as_missed_is_what_its_node_reports_after_all() {
    let mut world = World::new(&["a", "b"]);
    world.says("b", SlotMissed { routine: routine(), first: slot(), last: slot(), count: 1 });
    world.pass("2m");
    let run = world.run_of("b").id;
    assert_eq!(world.run_of("b").end.as_ref().unwrap().reason, Reason::Missed);
    let own = about(run, world.round().id, routine(), Some(slot()), TaskKind::Backup, Trigger::Autonomous);
    world.starts("b", own);
    world.settle();
    assert_eq!(
        (world.run_of("b").stage, world.run_of("b").end.clone()),
        (Stage::Running, None),
        "whichever was read first"
    );
    world.ends("b", run, Outcome::Ok, Reason::Completed);
    world.settle();
    let end = world.run_of("b").end.clone().unwrap();
    assert_eq!((end.outcome, end.report.is_some(), world.mesh().active_count()), (Outcome::Ok, true, 0));
}

#[test]
fn a_follow_up_check_is_shown_and_alarms_but_does_not_count_for_convergence() {
    let mut world = World::new(&["a", "b"]);
    world.pass("2m");
    let round = world.round().id;
    let verdict = world.round().verdict.clone();
    let run = RunId::of(round, &node("a"), TaskKind::Check);
    world.starts("a", about(run, round, routine(), Some(slot()), TaskKind::Check, Trigger::Autonomous));
    world.ends("a", run, Outcome::Failed, Reason::Integrity);
    world.settle();
    assert_eq!(world.round().verdict, verdict);
    assert!(!world.mesh().runs()[&run].expected && world.round().runs.contains(&run));
    let alert = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!(
        (alert.key.0.as_str(), alert.severity),
        ("failed/nightly/a", landfall_proto::alert::Severity::Emergency)
    );
    world.agents.get_mut(&node("a")).unwrap().does = GOOD;
    world.start(&["a"], 9);
    world.pass("1m");
    assert!(world.is_open("failed/nightly/a"), "a good backup does not repair a damaged repository");
}

#[test]
fn what_a_person_ran_on_a_node_is_a_round_of_that_node_alone() {
    let mut world = World::new(&["a", "b"]);
    let round = landfall_proto::id::RoundId(uuid::Uuid::from_u128(42));
    let run = RunId::of(round, &node("a"), TaskKind::Backup);
    world.starts("a", about(run, round, routine(), None, TaskKind::Backup, Trigger::Hand));
    world.ends("a", run, Outcome::Ok, Reason::Completed);
    world.settle();
    assert_eq!((world.round().id, world.round().expected), (round, 1));
    assert_eq!(world.round().opened_by, OpenedBy::Node);
}

#[test]
fn what_a_witness_says_after_the_verdict_is_attached_and_alarms_but_changes_no_verdict() {
    let mut world = World::new(&["a", "b"]);
    world.policy.witness_within = landfall_proto::time::Duration::from_secs(3600);
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().does = Does::Hold;
    }
    world.pass("65s");
    world.end("b", Outcome::Ok, Reason::Completed);
    world.pass("7h 58m");
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().does = Does::Deaf;
    }
    world.end("a", Outcome::Ok, Reason::Completed);
    world.pass("3m");
    let (id, verdict) = (world.round().id, world.round().verdict.clone().unwrap());
    assert_eq!(verdict.kind, VerdictKind::Converged);
    assert!(verdict.nodes.iter().all(|node| node.witness == Witness::Pending));
    world.agents.get_mut(&node("a")).unwrap().blind_to.insert(node("b"));
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().does = GOOD;
    }
    world.pass("10s");
    assert_eq!(world.mesh().rounds()[&id].verdict, Some(verdict));
    assert_eq!(world.open_alerts(), ["contradicted/nightly/b"]);
    let run = RunId::of(id, &node("b"), TaskKind::Backup);
    assert_eq!(world.mesh().rounds()[&id].witness_of(run), Witness::Contradicted { by: node("a") });
}

#[test]
fn what_landed_in_an_overdue_round_is_looked_at_all_the_same() {
    let mut world = World::new(&["a", "b", "c"]);
    world.agents.get_mut(&node("b")).unwrap().blind_to.insert(node("a"));
    world.agents.get_mut(&node("c")).unwrap().does = Does::Hold;
    world.agents.get_mut(&node("a")).unwrap().blind_to.insert(node("b"));
    world.pass("8h 1m");
    assert_eq!(world.kind(), Some(VerdictKind::Overdue));
    let round = world.round();
    assert!(!round.asks.is_empty() && round.asks.iter().all(|ask| ask.answer.is_some()), "{:?}", round.asks);
    let verdict = round.verdict.as_ref().unwrap();
    let of = |name: &str| verdict.nodes.iter().find(|standing| standing.node == node(name)).unwrap();
    assert_eq!((of("a").standing, &of("a").witness), (Standing::Good, &Witness::Pending), "it does not wait for them");
    assert_eq!((of("c").standing, &of("c").witness), (Standing::Missing, &Witness::Unwitnessed));
    let answered = ["a", "b"].map(|name| round.witness_of(world.run_of(name).id));
    assert!(answered.iter().all(|witness| !matches!(witness, Witness::Pending | Witness::Unwitnessed)), "{answered:?}");
    assert_eq!(world.decisions("round_concluded"), 1);
}
