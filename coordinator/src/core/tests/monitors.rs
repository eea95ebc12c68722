//! Stories of monitors: programs that only ping, their silence, their failures, and what a repetition does.

use landfall_proto::alert::Severity;
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{
    Expects, KeyHash, MonitorSpec, MonitorState, Ping, PingAnswer, PingKind, PingTo, Said, Slug, Stage,
};
use landfall_proto::report::Reason;
use landfall_proto::time::Duration;
use proptest::prelude::*;
use uuid::Uuid;

use super::world::World;
use crate::core::mesh::Mesh;
use crate::core::monitor::{BODIES_KEPT_MAX, Monitor, PINGS_KEPT_MAX};

fn name(text: &str) -> RoutineName {
    text.parse().unwrap()
}

/// A monitor that is to ping every hour, ten minutes later at most.
fn hourly(text: &str) -> MonitorSpec {
    MonitorSpec {
        key: Some(KeyHash::of(text)),
        expects: Expects::Every { period: Duration::from_secs(3600) },
        grace: Duration::from_secs(600),
        ..MonitorSpec::created(name(text), Slug::of(&name(text)))
    }
}

fn set(world: &mut World, monitor: MonitorSpec) {
    let reply = world.ask(Request::SetMonitor { monitor, replaces: false, by: "ann".to_owned() });
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
}

fn says(kind: PingKind) -> Ping {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    Ping {
        id: Uuid::from_u64_pair(7, NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
        kind,
        rid: None,
        from: "192.0.2.1".to_owned(),
        method: "GET".to_owned(),
        agent: "curl".to_owned(),
        body: String::new(),
        body_bytes: 0,
        said: Said::default(),
    }
}

fn ping(world: &mut World, text: &str, ping: Ping) -> Reply {
    world.ask(Request::Ping { to: PingTo::Key { key: KeyHash::of(text) }, ping })
}

fn slug(world: &mut World, key: &str, slug: &str, create: bool) -> Reply {
    let to = PingTo::Slug { key: KeyHash::of(key), slug: slug.parse().unwrap(), create };
    world.ask(Request::Ping { to, ping: says(PingKind::Success) })
}

fn taken(world: &mut World, text: &str, kind: PingKind) {
    assert_eq!(ping(world, text, says(kind)), Reply::Pinged(PingAnswer::Taken));
}

fn monitor<'a>(world: &'a World, text: &str) -> &'a Monitor {
    &world.mesh().monitors()[&name(text)]
}

fn state(world: &World, text: &str) -> MonitorState {
    monitor(world, text).state(world.now)
}

fn world() -> World {
    let mut world = World::new(&[]);
    set(&mut world, hourly("db"));
    world
}

#[test]
fn silence_is_told_after_the_grace_and_a_ping_ends_it() {
    let mut world = world();
    taken(&mut world, "db", PingKind::Success);
    assert_eq!(state(&world, "db"), MonitorState::Up);
    world.pass("1h 5m");
    assert_eq!((state(&world, "db"), world.open_alerts().len()), (MonitorState::Late, 0), "late is not overdue");
    world.pass("5m");
    assert_eq!(state(&world, "db"), MonitorState::Overdue);
    let alert = &world.mesh().open_alerts().next().unwrap().alert;
    assert_eq!((alert.key.0.as_str(), alert.severity), ("monitor_overdue/db", Severity::Critical));
    assert!(alert.title.contains("unknown"), "silence is no failure: {}", alert.title);
    world.pass("3h");
    assert_eq!(world.told("monitor_overdue/db"), (1, 0), "one trouble is told once");
    taken(&mut world, "db", PingKind::Success);
    assert_eq!((world.told("monitor_overdue/db"), state(&world, "db")), ((1, 1), MonitorState::Up));
    world.pass("1h 10m");
    assert_eq!(world.told("monitor_overdue/db"), (2, 1), "the next silence is another one");
}

#[test]
fn a_monitor_that_was_never_heard_of_is_missed_too() {
    let mut world = world();
    assert_eq!(state(&world, "db"), MonitorState::New);
    world.pass("1h 10m");
    assert!(world.is_open("monitor_overdue/db"));
    assert!(world.mesh().open_alerts().next().unwrap().alert.title.contains("ever"));
}

#[test]
fn a_failure_is_told_at_once_and_damage_louder() {
    let mut world = world();
    taken(&mut world, "db", PingKind::Exit { status: 3 });
    let alert = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!((alert.key.0.as_str(), alert.reason), ("monitor_failed/db", Some(Reason::UnknownExit)));
    assert!(alert.title.contains("status 3"), "{}", alert.title);
    world.pass("3h");
    assert_eq!(world.open_alerts(), ["monitor_failed/db"], "who has failed is not called silent beside it");
    let damaged = Said { reason: Some(Reason::Integrity), error: Some("hash differs".to_owned()), ..Said::default() };
    ping(&mut world, "db", Ping { said: damaged, ..says(PingKind::Fail) });
    let alert = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!((alert.severity, alert.title.contains("hash differs")), (Severity::Emergency, true));
    assert_eq!(monitor(&world, "db").failures_since_good, 2);
    taken(&mut world, "db", PingKind::Exit { status: 0 });
    assert_eq!((world.open_alerts().len(), monitor(&world, "db").failures_since_good), (0, 0));
}

#[test]
fn a_run_that_began_and_does_not_end_is_missed_even_where_the_next_is_not_due() {
    let mut world = world();
    taken(&mut world, "db", PingKind::Success);
    world.pass("10m");
    taken(&mut world, "db", PingKind::Start);
    assert_eq!(monitor(&world, "db").last_ping_at, monitor(&world, "db").last_good_at, "a start is no end");
    world.pass("9m");
    assert_eq!(world.open_alerts().len(), 0);
    world.pass("1m");
    assert!(world.mesh().open_alerts().next().unwrap().alert.title.contains("begins"));
    taken(&mut world, "db", PingKind::Success);
    assert_eq!((world.open_alerts().len(), monitor(&world, "db").last_duration_ms), (0, Some(600_000)));
}

#[test]
fn an_end_closes_the_run_that_it_is_the_end_of() {
    let with = |kind, rid: u128| Ping { rid: Some(Uuid::from_u128(rid)), ..says(kind) };
    let mut world = world();
    let is_running = |world: &World| monitor(world, "db").running.is_some();
    ping(&mut world, "db", with(PingKind::Start, 1));
    world.pass("10s");
    ping(&mut world, "db", with(PingKind::Success, 2));
    assert!(is_running(&world), "the good end of another run says nothing about this one");
    assert_eq!(monitor(&world, "db").last_duration_ms, None);
    ping(&mut world, "db", with(PingKind::Success, 1));
    assert_eq!((is_running(&world), monitor(&world, "db").last_duration_ms), (false, Some(10_000)));
    ping(&mut world, "db", with(PingKind::Start, 3));
    ping(&mut world, "db", with(PingKind::Fail, 4));
    assert!(!is_running(&world), "a failure ends whatever there is");
    ping(&mut world, "db", with(PingKind::Start, 5));
    taken(&mut world, "db", PingKind::Success);
    assert!(!is_running(&world), "an end without an id ends whatever there is");
}

#[test]
fn what_is_said_twice_counts_once() {
    let mut world = world();
    let once = Ping { rid: Some(Uuid::from_u128(1)), ..says(PingKind::Success) };
    for _ in 0..3 {
        assert_eq!(ping(&mut world, "db", once.clone()), Reply::Pinged(PingAnswer::Taken));
    }
    ping(&mut world, "db", Ping { id: Uuid::from_u128(99), ..once.clone() });
    assert_eq!((monitor(&world, "db").count, world.decisions("pinged")), (1, 1), "also without a new line in the log");
    world.pass("11m");
    ping(&mut world, "db", Ping { id: Uuid::from_u128(100), ..once });
    assert_eq!(monitor(&world, "db").count, 2, "who never changes his id is heard all the same");
    taken(&mut world, "db", PingKind::Log);
    taken(&mut world, "db", PingKind::Log);
    assert_eq!(monitor(&world, "db").count, 4);
}

#[test]
fn stages_are_seen_and_a_preparing_run_has_begun() {
    let mut world = world();
    let stage =
        |kind, stage, percent| Ping { said: Said { stage: Some(stage), percent, ..Said::default() }, ..says(kind) };
    ping(&mut world, "db", stage(PingKind::Start, Stage::Preparing, None));
    world.pass("1m");
    ping(&mut world, "db", stage(PingKind::Start, Stage::Started, None));
    ping(&mut world, "db", stage(PingKind::Log, Stage::Progress, Some(40)));
    let running = monitor(&world, "db").running.unwrap();
    assert_eq!((running.stage, running.percent), (Some(Stage::Progress), Some(40)));
    assert_eq!(monitor(&world, "db").last_ping_at, None);
    ping(&mut world, "db", stage(PingKind::Success, Stage::Completed, None));
    assert_eq!(monitor(&world, "db").last_duration_ms, Some(60_000));
}

#[test]
fn slugs_are_found_refused_and_made_by_ping_keys() {
    let mut world = world();
    let answer = |reply| if let Reply::Pinged(answer) = reply { answer } else { panic!("{reply:?}") };
    assert_eq!(answer(slug(&mut world, "wrong", "db", true)), PingAnswer::NotFound);
    for (label, creates) in [("makes", true), ("finds", false)] {
        let (key, by) = (Some(KeyHash::of(label)), "ann".to_owned());
        world.ask(Request::SetPingKey { label: label.to_owned(), key, creates, by });
    }
    assert_eq!(answer(slug(&mut world, "finds", "db", false)), PingAnswer::Taken);
    assert_eq!(answer(slug(&mut world, "finds", "fresh", true)), PingAnswer::NotFound);
    assert_eq!(answer(slug(&mut world, "makes", "fresh", false)), PingAnswer::NotFound);
    assert_eq!(answer(slug(&mut world, "makes", "fresh", true)), PingAnswer::Created);
    assert_eq!(answer(slug(&mut world, "makes", "fresh", true)), PingAnswer::Taken);
    assert_eq!((state(&world, "fresh"), monitor(&world, "fresh").count), (MonitorState::Up, 2));
    set(&mut world, MonitorSpec { slug: "db".parse().unwrap(), ..hourly("other") });
    assert_eq!(answer(slug(&mut world, "finds", "db", false)), PingAnswer::Ambiguous);
    world.ask(Request::SetPingKey { label: "finds".to_owned(), key: None, creates: false, by: "ann".to_owned() });
    assert_eq!(answer(slug(&mut world, "finds", "fresh", false)), PingAnswer::NotFound);
    assert_eq!(ping(&mut world, "nobody", says(PingKind::Success)), Reply::Pinged(PingAnswer::NotFound));
}

#[test]
fn many_that_are_bad_at_once_are_one_trouble_more() {
    let mut world = world();
    for text in ["a", "b", "c"] {
        set(&mut world, hourly(text));
    }
    taken(&mut world, "a", PingKind::Fail);
    taken(&mut world, "b", PingKind::Fail);
    assert!(!world.is_open("monitors_together"));
    taken(&mut world, "c", PingKind::Fail);
    assert!(world.is_open("monitors_together"));
    taken(&mut world, "a", PingKind::Success);
    assert_eq!(world.told("monitors_together"), (1, 1));
}

#[test]
fn quiet_comes_before_loud_where_that_is_wanted() {
    let mut world = World::new(&[]);
    set(&mut world, MonitorSpec { late_after: Some(Duration::from_secs(300)), ..hourly("db") });
    taken(&mut world, "db", PingKind::Success);
    world.pass("1h 5m");
    assert_eq!(world.mesh().open_alerts().next().unwrap().alert.severity, Severity::Info);
    world.pass("5m");
    assert_eq!(world.open_alerts(), ["monitor_overdue/db"]);
}

#[test]
fn a_monitor_can_be_changed_and_removed_and_what_cannot_be_is_refused() {
    let mut world = world();
    let by = || "ann".to_owned();
    let refused = |reply| assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    refused(world.ask(Request::SetMonitor { monitor: hourly("x"), replaces: true, by: by() }));
    let other = MonitorSpec { note: "x".to_owned(), ..hourly("db") };
    refused(world.ask(Request::SetMonitor { monitor: other.clone(), replaces: false, by: by() }));
    let same_key = MonitorSpec { key: Some(KeyHash::of("db")), ..hourly("x") };
    refused(world.ask(Request::SetMonitor { monitor: same_key, replaces: false, by: by() }));
    let wrong = MonitorSpec { grace: Duration::from_secs(1), ..hourly("x") };
    refused(world.ask(Request::SetMonitor { monitor: wrong, replaces: false, by: by() }));
    taken(&mut world, "db", PingKind::Fail);
    let change = MonitorSpec { key: None, ..other };
    world.ask(Request::SetMonitor { monitor: change, replaces: true, by: by() });
    assert_eq!((monitor(&world, "db").spec.note.as_str(), monitor(&world, "db").count), ("x", 1));
    taken(&mut world, "db", PingKind::Fail);
    world.ask(Request::RemoveMonitor { name: name("db"), by: by() });
    assert_eq!(world.open_alerts().len(), 0, "whoever is gone troubles nobody");
    assert_eq!(ping(&mut world, "db", says(PingKind::Success)), Reply::Pinged(PingAnswer::NotFound));
    refused(world.ask(Request::RemoveMonitor { name: name("db"), by: by() }));
}

#[test]
fn a_routine_and_a_monitor_do_not_share_a_name() {
    let mut world = World::new(&["a"]);
    let reply = world.ask(Request::SetMonitor { monitor: hourly("nightly"), replaces: false, by: "ann".to_owned() });
    assert!(matches!(reply, Reply::Refused(problem) if problem.why.contains("plan")));
}

#[test]
fn who_does_not_lead_takes_no_ping() {
    let mut world = world();
    let standby = world.start_coordinator("beta");
    world.settle();
    let ticket = crate::core::step::Ticket(99);
    let request = Request::Ping { to: PingTo::Key { key: KeyHash::of("db") }, ping: says(PingKind::Success) };
    world.feed(standby, crate::core::step::Input::Asked(ticket, request));
    world.settle();
    assert!(matches!(world.replies.remove(&ticket), Some(Reply::Refused(_))));
    assert_eq!(monitor(&world, "db").count, 0);
}

#[test]
fn a_new_leader_waits_for_those_who_say_it_again() {
    let mut world = world();
    taken(&mut world, "db", PingKind::Success);
    world.coordinators[0].alive = false;
    world.jump("2026-11-20T05:00:00Z");
    world.restart(0);
    world.settle();
    world.pass("20s");
    assert_eq!(world.open_alerts().len(), 0, "it could hear nobody until now");
    world.pass("20s");
    let alert = &world.mesh().open_alerts().next().unwrap().alert;
    assert!(alert.title.contains("could hear nobody"), "{}", alert.title);
}

#[test]
fn memory_and_bodies_are_bounded() {
    let mut world = world();
    for _ in 0..3 * PINGS_KEPT_MAX {
        ping(&mut world, "db", Ping { body: "text".to_owned(), body_bytes: 4, ..says(PingKind::Log) });
    }
    assert_eq!(monitor(&world, "db").recent.len(), PINGS_KEPT_MAX);
    assert_eq!(world.coordinators[0].bodies.len(), BODIES_KEPT_MAX);
    assert!(monitor(&world, "db").recent.iter().all(|taken| taken.ping.body.is_empty()));
    let me = world.mesh().me().clone();
    let restored = Mesh::restore(me.cluster, me.holder, me.incarnation, world.coordinators[0].records.clone());
    assert_eq!(restored.monitors(), world.mesh().monitors(), "the ledger gives back what there was");
    world.ask(Request::RemoveMonitor { name: name("db"), by: "ann".to_owned() });
    assert!(world.coordinators[0].bodies.is_empty(), "nothing is left behind");
}

#[test]
fn a_body_goes_with_its_ping() {
    let mut world = world();
    let with_body = || Ping { body: "text".to_owned(), body_bytes: 4, ..says(PingKind::Log) };
    ping(&mut world, "db", with_body());
    for _ in 0..PINGS_KEPT_MAX {
        assert_eq!(world.coordinators[0].bodies.len(), 1);
        taken(&mut world, "db", PingKind::Log);
    }
    assert!(world.coordinators[0].bodies.is_empty(), "nobody could find it any more");
}

fn any_ping() -> impl Strategy<Value = (PingKind, Option<u128>, u32)> {
    let kind = prop_oneof![
        Just(PingKind::Start),
        Just(PingKind::Success),
        Just(PingKind::Fail),
        Just(PingKind::Log),
        any::<u8>().prop_map(|status| PingKind::Exit { status }),
    ];
    (kind, proptest::option::of(1_u128..4), 1_u32..4000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_pinged_only_the_last_end_says_whether_it_is_bad(pings in proptest::collection::vec(any_ping(), 1..40)) {
        let mut monitor = Monitor::new(hourly("db"), "2026-11-20T01:59:00Z".parse().unwrap(), "ann".to_owned());
        let mut now: landfall_proto::time::Timestamp = monitor.set_at;
        let mut last = None;
        for (kind, rid, seconds) in pings {
            now = landfall_proto::time::after(now, Duration::from_secs(seconds.into()));
            monitor.take(&Ping { rid: rid.map(Uuid::from_u128), ..says(kind) }, now);
            last = kind.is_good().or(last);
            prop_assert_eq!(monitor.failure.is_some(), last == Some(false));
            prop_assert_eq!(monitor.failures_since_good > 0, last == Some(false));
            prop_assert!(monitor.recent.len() <= PINGS_KEPT_MAX);
            prop_assert!(monitor.state(now) != MonitorState::Up || last == Some(true));
        }
    }
}
