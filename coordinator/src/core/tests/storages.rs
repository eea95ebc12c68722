//! Stories of destinations: one sample a day, a forecast, and the alert that does not flutter.

use landfall_proto::alert::{Risk, Severity};
use landfall_proto::card::Card;
use landfall_proto::control::Request;
use landfall_proto::overview::Forecast;
use landfall_proto::report::{Outcome, Reason, Space};
use landfall_proto::time::Duration;

use super::world::{Does, World, node, routine};

const GB: u64 = 1_000_000_000;

const KEY: &str = "filling/shelf";

/// Two nodes that back up to one storage of 1,000 GB.
fn shared() -> World {
    let mut world = World::bare(&["a", "b"]);
    world.start_coordinator("alpha");
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().plan.storage = Some("shelf".to_owned());
        world.announce(name);
    }
    world.settle();
    world
}

fn room(world: &mut World, gb: u64) {
    for agent in world.agents.values_mut() {
        agent.targets.insert("nas".parse().unwrap(), Space { free_bytes: (1000 - gb) * GB, total_bytes: 1000 * GB });
    }
}

/// The storage's use at noon of a day of November and the days after it.
fn used(world: &mut World, day: u32, gb: u64) {
    room(world, gb);
    world.jump(&format!("2026-{:02}-{:02}T12:00:00Z", 11 + (day - 1) / 30, (day - 1) % 30 + 1));
    world.pass("2m");
}

fn samples(world: &World) -> usize {
    world.mesh().spaces().get("shelf").map_or(0, |history| history.samples.len())
}

#[test]
fn a_storage_that_several_see_is_sampled_once_a_day() {
    let mut world = shared();
    used(&mut world, 20, 500);
    world.pass("2h");
    assert_eq!(samples(&world), 1);
    used(&mut world, 21, 510);
    assert_eq!(samples(&world), 2);
    let last = *world.mesh().spaces()["shelf"].samples.back().unwrap();
    assert_eq!(last.free_bytes, 490 * GB);
    world.restart(0);
    world.settle();
    world.pass("5m");
    assert_eq!(samples(&world), 2, "a restart notes nothing twice and forgets nothing");
}

#[test]
fn what_no_node_sees_leaves_a_gap_and_no_zero() {
    let mut world = shared();
    used(&mut world, 20, 500);
    for name in ["a", "b"] {
        world.cut_off(name);
    }
    world.jump("2026-11-21T12:00:00Z");
    world.pass("2m");
    assert_eq!(samples(&world), 1);
}

#[test]
fn a_destination_that_fills_up_is_told_and_the_end_needs_more_than_the_limit() {
    let mut world = shared();
    // Ten a day leave seven weeks; sixty a day leave a few days.
    for day in 20..=24 {
        used(&mut world, day, 470 + u64::from(day - 20) * 10);
        assert!(!world.is_open(KEY), "day {day}");
    }
    for day in 25..=29 {
        used(&mut world, day, 510 + u64::from(day - 24) * 60);
    }
    assert!(world.is_open(KEY), "{:?}", world.mesh().spaces()["shelf"].forecast());
    let alert = &world.mesh().open_alert(&landfall_proto::alert::AlertKey(KEY.to_owned())).unwrap().alert;
    assert_eq!((alert.severity, alert.nodes.len()), (Severity::Warning, 2));
    assert!(alert.title.contains("shelf will be full in about"), "{}", alert.title);
    assert_eq!(alert.routine, Some(routine()), "one routine uses it, so its people are called");
    // A forecast between the limit and half as much again keeps it open.
    world.policy.filling_within = Duration::from_secs(days(&world) * 86_400);
    world.pass("70m");
    assert!(world.is_open(KEY), "it is at its limit, and stays told");
    world.policy.filling_within = Duration::from_secs(days(&world) / 2 * 86_400);
    world.pass("70m");
    assert!(!world.is_open(KEY));
    assert_eq!(world.told(KEY), (1, 1));
}

#[test]
fn too_little_room_is_told_once_for_all_who_see_it_and_only_when_it_lasts() {
    const LOW: &str = "destination_low/shelf";
    let mut world = shared();
    used(&mut world, 20, 860);
    world.pass("20m");
    assert!(!world.is_open(LOW), "it may be a passing need");
    world.pass("12m");
    assert!(world.is_open(LOW), "{:?}", world.open_alerts());
    assert_eq!(world.mesh().open_alert(&landfall_proto::alert::AlertKey(LOW.to_owned())).unwrap().alert.nodes.len(), 2);
    room(&mut world, 830);
    world.pass("3m");
    assert!(world.is_open(LOW), "at its limit it does not flutter");
    room(&mut world, 790);
    world.pass("3m");
    assert!(!world.is_open(LOW));
    assert_eq!(world.told(LOW), (1, 1));
    room(&mut world, 900);
    world.pass("10m");
    room(&mut world, 500);
    world.pass("40m");
    assert_eq!(world.told(LOW), (1, 1), "what passes within half an hour is not told");
}

#[test]
fn what_nobody_backs_up_to_any_more_troubles_nobody() {
    const LOW: &str = "destination_low/shelf";
    let mut world = shared();
    for day in 20..=29 {
        used(&mut world, day, 285 + u64::from(day - 20) * 65);
    }
    world.pass("40m");
    assert!(world.is_open(LOW) && world.is_open(KEY), "{:?}", world.open_alerts());
    world.cut_off("a");
    world.cut_off("b");
    world.pass("2h");
    assert!(world.is_open(LOW) && world.is_open(KEY), "out of sight is not well");
    for name in ["a", "b"] {
        world.ask(Request::Retire { node: node(name), by: "ann".to_owned() });
    }
    world.pass("2m");
    assert!(!world.is_open(LOW) && !world.is_open(KEY), "{:?}", world.open_alerts());
    assert_eq!((world.told(LOW), world.told(KEY)), ((1, 1), (1, 1)));
}

#[test]
fn a_storage_that_plans_call_otherwise_is_another_one() {
    const LOW: &str = "destination_low/shelf";
    let mut world = shared();
    used(&mut world, 20, 860);
    world.pass("40m");
    assert!(world.is_open(LOW));
    for name in ["a", "b"] {
        world.agents.get_mut(&node(name)).unwrap().plan.storage = Some("rack".to_owned());
        world.announce(name);
    }
    world.pass("35m");
    assert!(!world.is_open(LOW) && world.is_open("destination_low/rack"), "{:?}", world.open_alerts());
}

fn days(world: &World) -> u64 {
    match world.mesh().spaces()["shelf"].forecast() {
        Forecast::Filling { days, .. } => days,
        other @ (Forecast::Unknown | Forecast::Steady) => panic!("{other:?}"),
    }
}

#[test]
fn an_alert_says_whose_data_it_is_who_is_called_and_how_much_is_at_stake() {
    let mut world = World::new(&["a"]);
    let agent = world.agents.get_mut(&node("a")).unwrap();
    agent.does = Does::End(Outcome::Failed, Reason::NoSpace);
    let card = Card {
        owner: Some("Ann".to_owned()),
        contact: Some("#orders".to_owned()),
        escalation: vec!["Bob".to_owned()],
        runbook: Some("https://wiki.example/orders".to_owned()),
        ..Card::default()
    };
    agent.plan.card = Some(card);
    agent.plan.rpo = Some(Duration::from_secs(86_400));
    world.announce("a");
    let own = world.policy.routines.entry(routine()).or_default();
    own.card = Some(Card { owner: Some("Eve".to_owned()), ..Card::default() });
    world.pass("2m");
    let notice = world.notices.iter().find(|notice| notice.alert.key.0 == "failed/nightly/a").unwrap();
    let stakes = *notice.alert.stakes.clone().unwrap();
    assert_eq!(stakes.owner.as_deref(), Some("Eve"), "the policy wins over the plan");
    assert_eq!((stakes.contact.as_deref(), stakes.escalation), (Some("#orders"), vec!["Bob".to_owned()]));
    assert_eq!(stakes.rpo, Some(Duration::from_secs(86_400)));
    assert_eq!(stakes.risk, Some(Risk::Critical), "it failed, and nothing good is there");
    assert_eq!(notice.alert.runbook.as_deref(), Some("https://wiki.example/orders"));
}
