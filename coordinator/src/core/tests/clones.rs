//! Stories of nodes that were cloned or set back: nothing is sent to them and nothing they report counts, until that is settled.

use landfall_proto::id::Incarnation;
use landfall_proto::limit::WaitReason;
use landfall_proto::live::Beat;
use landfall_proto::report::{Outcome, Reason, Vitals};
use landfall_proto::time::{Duration, after};
use landfall_proto::verdict::{Standing, VerdictKind};
use uuid::Uuid;

use super::world::{Does, GOOD, World, node};
use crate::core::permits::waits_for;
use crate::core::step::Input;

/// Another machine of the same name beats between the beats of the first.
fn twin_beats(world: &mut World, name: &str) {
    let beat = Beat {
        epoch: None,
        node: node(name),
        incarnation: Incarnation(Uuid::from_u128(0x7717)),
        version: "1".to_owned(),
        next_seq: 0,
        outbox: 0,
        vitals: Vitals::default(),
        live: Vec::new(),
        paused: None,
        sent_at: world.now,
    };
    world.feed(0, Input::Heard(beat));
}

fn alternate(world: &mut World, name: &str) {
    for _ in 0..3 {
        world.now = after(world.now, Duration::from_secs(2));
        twin_beats(world, name);
        world.now = after(world.now, Duration::from_secs(3));
        world.beats();
    }
}

#[test]
fn two_machines_of_one_name_are_quarantined_until_one_has_been_alone_for_a_while() {
    let mut world = World::new(&["a", "b"]);
    world.pass("5s");
    alternate(&mut world, "a");
    assert_eq!(world.open_alerts(), ["conflict/a"]);
    assert!(world.mesh().quarantine(&node("a")).is_some_and(|why| why.contains("two machines")));
    world.start(&[], 7);
    world.pass("10s");
    let run = world.run_of("a").clone();
    let reason = waits_for(world.mesh(), &world.policy, world.now, &run);
    assert_eq!(reason, WaitReason::NodeQuarantined { node: node("a") });
    assert!(world.run_of("b").is_ended(), "its neighbour is not held up");
    world.pass("11m");
    assert_eq!(world.open_alerts(), Vec::<String>::new());
    assert_eq!(world.mesh().quarantine(&node("a")), None);
    assert!(world.mesh().runs()[&run.id].is_good(), "what waited has run");
    assert_eq!(world.told("conflict/a"), (1, 1));
}

#[test]
fn what_a_quarantined_node_reports_is_not_counted_as_good() {
    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.pass("70s");
    alternate(&mut world, "a");
    world.end("a", Outcome::Ok, Reason::Completed);
    world.pass("10s");
    assert_eq!(world.kind(), Some(VerdictKind::Diverged));
    let verdict = world.round().verdict.clone().unwrap();
    let a = verdict.nodes.iter().find(|standing| standing.node == node("a")).unwrap();
    assert_eq!((a.standing, a.reason), (Standing::Bad, Some(Reason::Conflict)));
    let b = verdict.nodes.iter().find(|standing| standing.node == node("b")).unwrap();
    assert_eq!(b.standing, Standing::Good);
}

#[test]
fn a_journal_that_was_set_back_keeps_its_node_quarantined_for_a_while() {
    let mut world = World::new(&["a"]);
    world.pass("30s");
    let seq = world.agents[&node("a")].seq;
    world.agents.get_mut(&node("a")).unwrap().seq = 1;
    world.pass("10s");
    assert!(world.mesh().quarantine(&node("a")).is_some());
    world.agents.get_mut(&node("a")).unwrap().seq = seq;
    world.pass("5m");
    assert!(world.mesh().quarantine(&node("a")).is_some(), "two machines with one journal take turns");
    world.pass("6m");
    assert_eq!(world.mesh().quarantine(&node("a")), None);
}

#[test]
fn a_conflict_in_the_log_lasts_until_the_node_begins_a_fresh_journal_or_is_retired() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().seq = 1;
    world.agents.get_mut(&node("a")).unwrap().plan.hash = "h2".to_owned();
    world.announce("a");
    world.settle();
    world.pass("1h");
    assert!(world.mesh().quarantine(&node("a")).is_some());
    assert_eq!(world.decisions("dispatched"), 0);
    world.agents.get_mut(&node("a")).unwrap().does = GOOD;
    world.ask(landfall_proto::control::Request::Retire { node: node("a"), by: "ann".to_owned() });
    world.pass("10s");
    assert_eq!(world.mesh().quarantine(&node("a")), None);
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}
