//! Stories of a bus that forgets: a new era begins, nothing that was known is lost, and what was lost is told and sent again.

use landfall_proto::alert::Severity;
use landfall_proto::envelope::Epoch;
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::verdict::VerdictKind;

use super::world::{Does, World, node};
use crate::core::run::Stage;

fn holding(nodes: &[&str]) -> World {
    let mut world = World::new(nodes);
    for agent in world.agents.values_mut() {
        agent.does = Does::Hold;
    }
    world
}

#[test]
fn decisions_that_a_torn_tail_took_are_made_again_in_the_next_era() {
    let mut world = holding(&["a", "b"]);
    world.pass("55s");
    let before = world.log.len();
    world.now = super::world::slot();
    world.feed(0, crate::core::step::Input::Woke);
    assert_eq!(world.decisions("round_opened"), 1);
    world.tear(world.log.len() - before + 1);
    assert_eq!(world.decisions("round_opened"), 0);
    world.pass("30s");
    assert_eq!(world.mesh().epoch(), Epoch { era: 1, term: 1 });
    assert_eq!(world.decisions("round_opened"), 1);
    world.end("a", Outcome::Ok, Reason::Completed);
    world.end("b", Outcome::Ok, Reason::Completed);
    assert_eq!((world.kind(), world.decisions("round_concluded")), (Some(VerdictKind::Converged), 1));
    world.pass("1m");
    assert_eq!(world.told("history_lost/1"), (1, 1), "it is told, and resolved once every node has caught up");
}

#[test]
fn a_wiped_store_in_the_middle_of_a_round_costs_neither_the_round_nor_a_second_verdict() {
    let mut world = holding(&["a", "b"]);
    world.start_coordinator("beta");
    world.pass("65s");
    world.wipe();
    world.pass("10s");
    assert!(world.coordinators[0].mesh.leads(), "the leader of the era before claims the next one");
    assert_eq!(world.coordinators[1].mesh.epoch(), Epoch { era: 1, term: 1 });
    let begun = world.coordinators[1].mesh.meta().era.clone().unwrap();
    assert_eq!((begun.log.created, begun.log.lost_from), (world.created, Some(1)));
    world.end("a", Outcome::Ok, Reason::Completed);
    world.end("b", Outcome::Ok, Reason::Completed);
    world.pass("1m");
    for coordinator in &world.coordinators {
        let round = coordinator.mesh.rounds().values().next().unwrap();
        assert_eq!(round.verdict.as_ref().map(|verdict| verdict.kind), Some(VerdictKind::Converged));
    }
    assert_eq!(world.decisions("round_concluded"), 1);
    assert_eq!(world.coordinators[0].mesh.digest(), world.coordinators[1].mesh.digest());
    assert_eq!(world.told("history_lost/1"), (1, 1));
    assert_eq!(world.notices[0].alert.severity, Severity::Warning, "everything had been read");
}

#[test]
fn where_the_old_leader_is_gone_with_the_log_a_standby_begins_the_era() {
    let mut world = holding(&["a"]);
    world.start_coordinator("beta");
    world.pass("65s");
    world.coordinators[0].alive = false;
    world.wipe();
    world.pass("10s");
    let mesh = &world.coordinators[1].mesh;
    assert!(mesh.leads());
    assert_eq!(mesh.epoch(), Epoch { era: 1, term: 1 });
    assert_eq!(mesh.runs().values().next().unwrap().stage, Stage::Running, "what was known is known still");
}

#[test]
fn facts_that_were_lost_before_anybody_read_them_are_sent_again() {
    let mut world = holding(&["a", "b"]);
    world.pass("65s");
    world.coordinators[0].sees = false;
    let run = *world.agents[&node("a")].live.keys().next().unwrap();
    world.ends("a", run, Outcome::Ok, Reason::Completed);
    world.coordinators[0].sees = true;
    // The leader knows that there was more than it had read.
    let last_seq = world.log.len() as u64;
    let sight = crate::core::LogSight { asked_at: world.now, created: world.created, last_seq };
    world.hand(0, crate::core::step::Input::Sight(Some(sight)));
    world.tear(2);
    assert_eq!(world.mesh().runs()[&run].stage, Stage::Running);
    for _ in 0..6 {
        world.pass("5s");
        world.syncs();
    }
    assert_eq!(world.mesh().runs()[&run].outcome(), Some(Outcome::Ok));
    world.end("b", Outcome::Ok, Reason::Completed);
    world.pass("30s");
    assert_eq!(world.kind(), Some(VerdictKind::Converged));
    assert_eq!(world.told("history_lost/1"), (1, 1));
    let notice = world.notices.iter().find(|notice| notice.alert.key.0 == "history_lost/1").unwrap();
    assert_eq!(notice.alert.severity, Severity::Critical, "{}", notice.alert.title);
}

#[test]
fn a_follower_that_never_read_what_was_lost_does_not_agree_any_more_and_stands_down() {
    let mut world = holding(&["a", "b"]);
    world.start_coordinator("beta");
    world.pass("65s");
    world.coordinators[1].sees = false;
    world.end("a", Outcome::Ok, Reason::Completed);
    let taken = world.log.len() - 1;
    assert_eq!(world.log[taken].1.envelope.kind, "run_finished");
    world.tear(1);
    // The node may let go of what the leader holds.
    world.agents.get_mut(&node("a")).unwrap().kept_from = usize::MAX;
    world.pass("5s");
    world.coordinators[1].sees = true;
    world.pass("5s");
    assert_eq!(
        world.coordinators[1].mesh.epoch(),
        Epoch { era: 1, term: 1 },
        "it follows the era that it did not notice"
    );
    assert_eq!(world.coordinators[1].mesh.cursor(), world.coordinators[0].mesh.cursor());
    // The claim itself is a place where everybody looks.
    world.presences();
    assert_eq!(world.coordinators[1].mesh.diverged().map(|leader| leader.as_str()), Some("alpha"));
    assert_eq!(world.coordinators[0].mesh.diverged(), None);
    assert!(world.is_open("coordinator_differs/beta"), "{:?}", world.open_alerts());
    let alert = world.mesh().open_alerts().find(|record| record.alert.key.0.starts_with("coordinator")).unwrap();
    assert!(alert.alert.title.contains("alpha") && alert.alert.title.contains("beta"), "{}", alert.alert.title);
    world.coordinators[0].alive = false;
    world.pass("1m");
    assert!(!world.coordinators[1].mesh.leads(), "who does not agree does not claim");
}

#[test]
fn an_empty_ledger_reads_every_era_that_the_log_holds() {
    let mut world = holding(&["a"]);
    world.pass("65s");
    for _ in 0..2 {
        world.wipe();
        world.pass("10s");
    }
    world.end("a", Outcome::Ok, Reason::Completed);
    world.start_coordinator("beta");
    world.pass("10s");
    assert_eq!(world.coordinators[1].mesh.epoch(), Epoch { era: 2, term: 1 });
    assert_eq!(world.coordinators[1].mesh.cursor(), world.coordinators[0].mesh.cursor());
    assert!(!world.coordinators[1].mesh.leads());
}
