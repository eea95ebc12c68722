//! Stories of coordinators: restarts, takeovers, two at once, and a log that repeats or reorders.

use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::time::{Duration, after};
use landfall_proto::verdict::VerdictKind;

use super::world::{Does, World, node, slot};
use crate::core::LogSight;
use crate::core::run::Stage;
use crate::core::step::Input;

#[test]
fn a_coordinator_that_restarts_in_the_middle_expects_the_same_and_judges_once() {
    let mut world = World::new(&["a", "b", "c"]);
    for agent in world.agents.values_mut() {
        agent.does = Does::Deaf;
    }
    world.pass("65s");
    let expected = world.round().expected;
    let sent: Vec<_> = world.commands.iter().map(|command| command.id).collect();
    world.restart(0);
    world.agents.get_mut(&node("c")).unwrap().plan.priority = 9;
    for agent in world.agents.values_mut() {
        agent.does = Does::Hold;
    }
    world.add_agent("d");
    world.settle();
    world.pass("5s");
    assert_eq!(world.round().expected, expected, "who is expected is frozen");
    let again = &world.commands[sent.len()..];
    assert!(!again.is_empty(), "what was sent and not answered is sent again");
    assert!(again.iter().all(|command| sent.contains(&command.id)), "under the same ids");
    for name in ["a", "b", "c"] {
        world.end(name, Outcome::Ok, Reason::Completed);
    }
    world.restart(0);
    world.settle();
    world.pass("1m");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.decisions("round_concluded"), 1);
    assert_eq!(world.decisions("round_opened"), 1);
}

#[test]
fn an_alert_that_was_told_is_not_told_again_after_a_restart() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.pass("2m");
    world.restart(0);
    world.settle();
    world.pass("1m");
    assert_eq!(world.told("failed/nightly/a"), (1, 0));
}

#[test]
fn a_notice_that_nobody_confirmed_is_given_out_again_by_the_next_leader() {
    let mut world = World::new(&["a"]);
    world.policy.sinks.clear();
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.pass("2m");
    assert_eq!(world.notices.len(), 0);
    world.policy.sinks.push("pager".to_owned());
    world.restart(0);
    world.settle();
    assert_eq!(world.told("failed/nightly/a"), (1, 0));
    assert_eq!(world.mesh().open_alerts().next().unwrap().deliveries.len(), 1);
}

#[test]
fn a_standby_takes_over_when_the_leader_is_silent_and_what_the_old_one_decides_then_does_not_count() {
    let mut world = World::new(&["a", "b"]);
    world.start_coordinator("beta");
    world.settle();
    world.pass("30s");
    assert!(!world.coordinators[1].mesh.leads());
    world.coordinators[0].alive = false;
    world.pass("10s");
    assert!(world.coordinators[1].mesh.leads());
    assert_eq!(world.coordinators[1].mesh.epoch().term, 2);
    world.pass("1m");
    world.coordinators[0].alive = true;
    world.now = slot();
    world.feed(0, Input::Woke);
    world.settle();
    assert!(!world.coordinators[0].mesh.leads());
    world.pass("2m");
    let mesh = &world.coordinators[1].mesh;
    assert_eq!(mesh.rounds().len(), 1);
    let verdicts = mesh.rounds().values().filter(|round| round.verdict.is_some()).count();
    assert_eq!(verdicts, 1);
    assert_eq!(world.coordinators[0].records.rounds, world.coordinators[1].records.rounds, "both fold the same");
    assert_eq!(world.coordinators[0].records.runs, world.coordinators[1].records.runs);
}

#[test]
fn of_two_claims_for_one_term_the_first_in_the_log_wins() {
    let mut world = World::bare(&["a"]);
    world.start_coordinator("alpha");
    world.start_coordinator("beta");
    let (log, end) = (world.log.clone(), world.log.len() as u64);
    for index in 0..2 {
        // Both look before either has claimed.
        let sight = LogSight { asked_at: world.now, created: world.created, last_seq: end };
        world.hand(index, Input::Sight(Some(sight)));
        for (position, logged) in &log {
            world.hand(index, Input::Logged(*position, logged.clone()));
        }
    }
    assert_eq!(world.decisions("leader_claimed"), 2);
    world.settle();
    assert!(world.coordinators[0].mesh.leads() && !world.coordinators[1].mesh.leads());
    world.pass("1m");
    assert_eq!(world.decisions("leader_claimed"), 2, "the loser waits as long as it hears the winner");
}

#[test]
fn a_second_process_of_the_same_name_does_not_fight_for_the_lead() {
    let mut world = World::new(&["a"]);
    world.start_coordinator("alpha");
    world.settle();
    world.pass("1m");
    let claims = world.decisions("leader_claimed");
    world.pass("5m");
    assert_eq!(world.decisions("leader_claimed"), claims);
    assert!(claims <= 3, "{claims}");
}

#[test]
fn repeated_and_reordered_facts_change_nothing() {
    let mut world = World::new(&["a", "b"]);
    world.pass("2m");
    let before = world.coordinators[0].records.clone();
    let mut facts: Vec<_> = world.log.iter().map(|(_, logged)| logged.clone()).collect();
    facts.reverse();
    for logged in facts {
        world.append(logged);
    }
    world.settle();
    let mut after = world.coordinators[0].records.clone();
    (after.meta.cursor, after.meta.folded_at) = (before.meta.cursor, before.meta.folded_at);
    assert_eq!(after, before);
}

#[test]
fn a_fact_behind_a_hole_waits_for_it_also_across_a_restart() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("65s");
    let run = world.run_of("a").id;
    let length = world.log.len();
    world.ends("a", run, Outcome::Ok, Reason::Completed);
    world.announce("a");
    let hidden = world.log.remove(length);
    world.log[length].0.seq = length as u64 + 1;
    world.settle();
    assert_eq!(world.run_of("a").stage, Stage::Running);
    assert_eq!(world.mesh().sync_for(&node("a")).unwrap().resend_from, Some(hidden.1.envelope.seq));
    world.restart(0);
    world.settle();
    world.beats();
    assert_eq!(world.mesh().sync_for(&node("a")).unwrap().resend_from, Some(hidden.1.envelope.seq));
    world.append(hidden.1);
    world.settle();
    assert_eq!(world.run_of("a").outcome(), Some(Outcome::Ok));
    assert_eq!(world.mesh().sync_for(&node("a")).unwrap().resend_from, None);
    assert!(world.coordinators[0].records.parked.is_empty());
}

#[test]
fn another_content_under_a_known_identity_is_a_conflict_that_people_hear_of() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().seq = 1;
    world.agents.get_mut(&node("a")).unwrap().plan.hash = "h2".to_owned();
    world.announce("a");
    world.settle();
    assert_eq!(world.open_alerts(), ["conflict/a"]);
    assert_eq!(world.mesh().nodes()[&node("a")].routines.values().next().unwrap().plan.hash, "h1");
}

#[test]
fn a_journal_that_was_set_back_shows_in_the_beats() {
    let mut world = World::new(&["a"]);
    world.pass("2m");
    world.agents.get_mut(&node("a")).unwrap().seq = 1;
    world.pass("10s");
    assert_eq!(world.open_alerts(), ["conflict/a"]);
}

#[test]
fn beats_that_waited_while_this_process_stood_still_set_no_journal_back() {
    for sees_first in [false, true] {
        let mut world = World::new(&["a"]);
        world.pass("2m");
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(world.agents[&node("a")].beat(&node("a"), world.now));
            world.agents.get_mut(&node("a")).unwrap().plan.hash.push('x');
            world.announce("a");
        }
        world.coordinators[0].sees = false;
        world.now = after(world.now, Duration::from_secs(20));
        world.read(0);
        assert!(waiting[2].next_seq < world.agents[&node("a")].seq, "the log holds more than the last of them knew");
        world.coordinators[0].sees = sees_first;
        world.feed(0, Input::Woke);
        assert_eq!(world.mesh().sees_the_log(), sees_first, "what the bus says of the log's end may come before them");
        for beat in waiting {
            world.feed(0, Input::Heard(beat));
        }
        world.coordinators[0].sees = true;
        world.pass("30s");
        assert_eq!(world.mesh().quarantine(&node("a")), None, "{sees_first}");
    }
}

#[test]
fn what_cannot_be_read_is_counted_and_stops_nothing() {
    let mut world = World::new(&["a"]);
    let (mut position, logged) = world.log.last().unwrap().clone();
    position.seq = world.log.len() as u64 + 1;
    world.log.push((position, logged));
    world.feed(0, Input::Refused(position, "malformed"));
    assert_eq!(world.mesh().meta().refused["malformed"], 1);
    assert_eq!(world.mesh().cursor(), position);
    let mut unknown = world.log[0].1.clone();
    unknown.envelope.seq = world.agents[&node("a")].seq;
    unknown.envelope.kind = "from_the_future".to_owned();
    unknown.fact = None;
    world.agents.get_mut(&node("a")).unwrap().seq += 1;
    world.append(unknown);
    world.pass("2m");
    assert_eq!(world.mesh().meta().unknown_kinds["from_the_future"], 1);
    assert_eq!(world.kind(), Some(VerdictKind::Converged), "no hole is left in the sequence");
}

#[test]
fn two_thousand_nodes_make_one_round_of_facts_that_fit() {
    let names: Vec<String> = (0..2000).map(|number| format!("node-{number:04}")).collect();
    let mut world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.policy.limits.insert(landfall_proto::limit::LimitName::Cluster, 500);
    world.jump("2026-11-20T02:00:00Z");
    world.beats();
    world.now = landfall_proto::time::after(world.now, landfall_proto::time::Duration::from_secs(5));
    world.beats();
    assert_eq!(world.round().expected, 2000);
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.round().verdict.as_ref().unwrap().nodes.len(), 2000);
    assert!(world.most_active <= 500);
    let verdicts = world.decided().filter(|fact| matches!(fact, CoordinatorFact::RoundConcluded(_))).count();
    assert_eq!(verdicts, 10, "in parts");
}

#[test]
fn a_leader_that_dies_between_the_parts_of_a_round_is_followed_by_one_that_opens_it_whole() {
    let names: Vec<String> = (0..450).map(|number| format!("node-{number:04}")).collect();
    let mut world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.policy.limits.insert(landfall_proto::limit::LimitName::Cluster, 500);
    world.jump("2026-11-20T02:00:00Z");
    world.feed(0, Input::Woke);
    assert_eq!(world.decisions("round_opened"), 3);
    world.log.pop();
    world.coordinators[0].alive = false;
    world.start_coordinator("beta");
    world.settle();
    world.pass("30s");
    let mesh = &world.coordinators[1].mesh;
    let round = mesh.rounds().values().next().unwrap();
    assert_eq!((round.expected, round.opening, mesh.rounds().len()), (450, None, 1));
    assert_eq!(round.counts.ended, 450);
    let standings = round.verdict.as_ref().map(|verdict| (verdict.kind, verdict.nodes.len()));
    assert_eq!(standings, Some((VerdictKind::Converged, 450)));
}

#[test]
fn a_verdict_of_which_a_part_is_missing_has_not_fallen_and_is_judged_again_whole() {
    let names: Vec<String> = (0..250).map(|number| format!("node-{number:04}")).collect();
    let mut world = World::bare(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.policy.routines.insert(
        super::world::routine(),
        crate::core::policy::RoutinePolicy { witness: Some(false), ..Default::default() },
    );
    world.policy.settle_within = landfall_proto::time::Duration::from_ms(0);
    world.jump("2026-11-20T02:05:00Z");
    for name in &names {
        world.runs_alone(name, slot(), Outcome::Ok);
    }
    world.start_coordinator("alpha");
    for _ in 0..4 {
        world.read(0);
    }
    assert_eq!(world.decisions("round_concluded"), 2);
    world.log.pop();
    world.coordinators[0].alive = false;
    world.start_coordinator("beta");
    world.settle();
    world.pass("30s");
    let round = world.coordinators[1].mesh.rounds().values().next().unwrap();
    assert_eq!(round.verdict.as_ref().map(|verdict| verdict.nodes.len()), Some(250));
    assert_eq!(round.concluding, None);
}
