//! Stories of a log that goes out of sight: nothing is decided blind, and what passed meanwhile is judged late and rightly.

use landfall_proto::control::{Reply, Request};
use landfall_proto::envelope::Epoch;
use landfall_proto::id::RunId;
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::time::{Duration, after};
use landfall_proto::verdict::VerdictKind;

use super::world::{Does, World, node};
use crate::core::LogSight;
use crate::core::step::{Input, Ticket};

/// Two nodes in the middle of a round whose deadline is ten seconds away.
fn before_the_deadline() -> World {
    let mut world = World::new(&["a", "b"]);
    for agent in world.agents.values_mut() {
        agent.does = Does::Hold;
    }
    world.pass("65s");
    world.jump("2026-11-20T09:59:50Z");
    world.beats();
    world
}

fn ends_unread(world: &mut World, name: &str) {
    let run: RunId = *world.agents[&node(name)].live.keys().next().unwrap();
    world.ends(name, run, Outcome::Ok, Reason::Completed);
}

#[test]
fn a_deadline_that_passes_out_of_sight_is_judged_by_what_was_reported_meanwhile() {
    let mut world = before_the_deadline();
    let raised = world.decisions("alert_raised");
    world.coordinators[0].sees = false;
    world.pass("20s");
    ends_unread(&mut world, "a");
    ends_unread(&mut world, "b");
    world.pass("40s");
    let decided = |world: &World| (world.decisions("round_concluded"), world.decisions("alert_raised") - raised);
    assert_eq!(decided(&world), (0, 0), "nothing is decided blind");
    world.coordinators[0].sees = true;
    world.settle();
    world.beats();
    let verdict = world.round().verdict.clone().unwrap();
    assert_eq!((verdict.kind, verdict.late), (VerdictKind::Converged, true));
    world.pass("5m");
    assert_eq!(decided(&world), (1, 0));
}

#[test]
fn after_an_outage_results_have_time_to_come_before_the_verdict_falls() {
    for comes in [true, false] {
        let mut world = before_the_deadline();
        world.coordinators[0].sees = false;
        world.pass("60s");
        world.coordinators[0].sees = true;
        world.pass("20s");
        assert_eq!(world.kind(), None, "it judges as one that has just begun to lead");
        if comes {
            ends_unread(&mut world, "a");
            ends_unread(&mut world, "b");
        }
        world.pass("20s");
        let verdict = world.round().verdict.clone().unwrap();
        let expected = if comes { VerdictKind::Converged } else { VerdictKind::Overdue };
        assert_eq!((verdict.kind, verdict.late), (expected, true));
        assert_eq!(world.is_open("overdue/nightly"), !comes);
    }
}

#[test]
fn a_process_that_stood_still_reads_the_log_to_its_end_before_it_decides() {
    let mut world = before_the_deadline();
    let raised = world.decisions("alert_raised");
    let before = world.log.len();
    world.now = after(world.now, Duration::from_secs(60));
    ends_unread(&mut world, "a");
    ends_unread(&mut world, "b");
    world.hand(0, Input::Woke);
    assert_eq!(world.log.len(), before + 2, "what it saw before it stood still is no sight");
    let last_seq = world.log.len() as u64;
    let sight = LogSight { asked_at: world.now, created: world.created, last_seq };
    world.hand(0, Input::Sight(Some(LogSight { asked_at: after(world.now, Duration::from_secs(1)), ..sight })));
    world.hand(0, Input::Sight(Some(sight)));
    world.hand(0, Input::Woke);
    assert_eq!(world.log.len(), before + 2, "it knows the end of the log, and has not read it");
    world.settle();
    world.beats();
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.told("overdue/nightly"), (0, 0));
    assert_eq!(world.decisions("alert_raised"), raised);
}

#[test]
fn a_verdict_that_was_long_on_its_way_does_not_fall_behind_the_results_that_it_misses() {
    let mut world = before_the_deadline();
    world.now = after(world.now, Duration::from_secs(10));
    let before = world.log.len();
    world.feed(0, Input::Woke);
    assert!(world.decisions("round_concluded") == 1, "the deadline has come");
    let decided = world.log.split_off(before);
    ends_unread(&mut world, "a");
    ends_unread(&mut world, "b");
    for (_, logged) in decided {
        world.append(logged);
    }
    world.settle();
    world.beats();
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.decisions("round_concluded"), 2, "it was made again");
    assert_eq!(world.told("overdue/nightly"), (0, 0));
}

#[test]
fn nobody_is_called_silent_because_the_bus_was() {
    let mut world = World::new(&["a"]);
    world.coordinators[0].sees = false;
    world.cut_off("a");
    world.pass("10m");
    world.coordinators[0].sees = true;
    world.pass("2m");
    assert!(!world.is_open("node_silent/a"));
    world.pass("5m");
    assert!(world.is_open("node_silent/a"), "who stays away is told of");
}

#[test]
fn who_does_not_see_the_log_neither_claims_nor_acts_nor_says_that_it_leads() {
    let mut world = World::new(&["a"]);
    world.start_coordinator("beta");
    world.settle();
    world.coordinators[1].sees = false;
    world.pass("1m");
    assert_eq!(
        world.decisions("leader_claimed"),
        1,
        "a standby that hears nobody because it is cut off does not claim"
    );
    world.coordinators[1].sees = true;
    world.pass("1m");
    assert_eq!(world.decisions("leader_claimed"), 1);
    world.coordinators[0].sees = false;
    world.now = after(world.now, Duration::from_secs(5));
    let length = world.log.len();
    let request = Request::Start {
        routine: super::world::routine(),
        nodes: Vec::new(),
        task: landfall_proto::report::TaskKind::Backup,
        by: "ann".to_owned(),
        request: uuid::Uuid::from_u128(1),
    };
    world.hand(0, Input::Asked(Ticket(9_999), request));
    assert!(matches!(world.replies.remove(&Ticket(9_999)), Some(Reply::Refused(_))));
    assert_eq!(world.log.len(), length);
    assert_eq!(world.coordinators[0].mesh.beacon(world.now), None);
    world.pass("10s");
    assert!(world.coordinators[1].mesh.leads(), "one who sees takes over");
    assert!(!world.coordinators[0].mesh.acts());
}

#[test]
fn a_leader_that_says_that_it_ends_is_replaced_at_once() {
    let mut world = World::new(&["a"]);
    world.start_coordinator("beta");
    world.pass("10s");
    let presence = world.coordinators[0].mesh.presence(world.now);
    world.coordinators[0].alive = false;
    world.feed(1, Input::Present(landfall_proto::live::Presence { is_ending: true, ..presence }));
    world.now = after(world.now, Duration::from_ms(250));
    world.feed(1, Input::Woke);
    world.settle();
    assert!(world.coordinators[1].mesh.leads());
    assert_eq!(world.coordinators[1].mesh.epoch().term, 2);
}

#[test]
fn a_silent_leader_is_replaced_within_four_seconds() {
    for standby in ["beta", "gamma", "zeta", "one"] {
        let mut world = World::new(&["a"]);
        world.start_coordinator(standby);
        world.pass("10s");
        world.coordinators[0].alive = false;
        world.wait(Duration::from_secs(4));
        world.settle();
        assert!(world.coordinators[1].mesh.leads(), "{standby}");
    }
}

#[test]
fn a_node_that_has_obeyed_a_later_leader_makes_this_one_claim_a_later_term_and_no_run_fails() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Refuse(landfall_proto::command::Refused::StaleEpoch);
    world.pass("70s");
    let claims = world.decisions("leader_claimed");
    assert!(claims > 1, "it claims a higher epoch");
    assert_eq!(world.run_of("a").end, None, "the run is not refused for good");
    world.pass("1m");
    assert!(world.mesh().epoch().era > 0, "at last an era, where no term is high enough");
    world.agents.get_mut(&node("a")).unwrap().does = super::world::GOOD;
    world.pass("1m");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    let settled = world.decisions("leader_claimed");
    world.pass("5m");
    assert_eq!(world.decisions("leader_claimed"), settled);
}

#[test]
fn a_beat_that_tells_of_a_later_leader_makes_this_one_claim_above_it_with_nothing_to_command() {
    for obeyed in [Epoch { era: 0, term: 3 }, Epoch { era: 2, term: 1 }] {
        let mut world = World::new(&["a"]);
        world.pass("10s");
        world.agents.get_mut(&node("a")).unwrap().obeyed = Some(obeyed);
        world.pass("5m");
        assert!(world.mesh().epoch() >= obeyed, "{:?}", world.mesh().epoch());
        let settled = world.decisions("leader_claimed");
        world.pass("5m");
        assert_eq!(world.decisions("leader_claimed"), settled);
    }
}
