//! Stories of who is told: routes, reminders, and sinks that take nothing for a while.

use landfall_proto::report::{Outcome, Reason};
use landfall_proto::time::Duration;

use super::world::{Does, GOOD, World, node};
use crate::core::route::Route;
use crate::core::tell::standing;

const KEY: &str = "failed/nightly/a";

/// A world in which the night's backup has failed on its one node.
fn failed(routes: Vec<Route>) -> World {
    let mut world = World::new(&["a"]);
    world.policy.sinks = vec!["journal".to_owned(), "pager".to_owned()];
    world.policy.routes = routes;
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.pass("2m");
    world
}

fn mend(world: &mut World) {
    world.agents.get_mut(&node("a")).unwrap().does = GOOD;
    world.start(&["a"], 77);
    world.pass("30s");
    assert!(world.open_alerts().is_empty(), "{:?}", world.open_alerts());
}

/// The reminders that each sink was given, in order.
fn heard(world: &World, sink: &str) -> Vec<(bool, u32)> {
    let about = world.notices.iter().filter(|notice| notice.alert.key.0 == KEY);
    let to = about.filter(|notice| notice.sinks.iter().any(|name| name == sink));
    to.map(|notice| (notice.resolved.is_some(), notice.reminder)).collect()
}

#[test]
fn a_route_sends_to_its_sinks_only_and_tells_the_end_only_where_it_is_wanted() {
    let mut quiet = Route::to(&["pager"]);
    quiet.resolved = false;
    quiet.goes_on = true;
    let mut world = failed(vec![quiet, Route::to(&["journal"])]);
    mend(&mut world);
    assert_eq!(heard(&world, "pager"), [(false, 0)]);
    assert_eq!(heard(&world, "journal"), [(false, 0), (true, 0)]);
}

#[test]
fn what_is_still_open_is_told_again_and_a_restart_neither_repeats_nor_forgets() {
    let mut loud = Route::to(&["pager"]);
    loud.reminder_interval = Some(Duration::from_secs(3600));
    loud.goes_on = true;
    let mut world = failed(vec![loud, Route::to(&["journal"])]);
    world.pass("50m");
    assert_eq!(heard(&world, "pager"), [(false, 0)]);
    world.restart(0);
    world.settle();
    world.pass("5m");
    assert_eq!(heard(&world, "pager"), [(false, 0)], "the restart repeats nothing");
    world.pass("10m");
    assert_eq!(heard(&world, "pager"), [(false, 0), (false, 1)], "and forgets nothing");
    world.restart(0);
    world.settle();
    world.pass("61m");
    assert_eq!(heard(&world, "pager"), [(false, 0), (false, 1), (false, 2)]);
    assert_eq!(heard(&world, "journal"), [(false, 0)]);
    let deliveries = &world.mesh().open_alerts().next().unwrap().deliveries;
    let kept: Vec<(&str, u32)> = deliveries.iter().map(|done| (done.sink.as_str(), done.reminder)).collect();
    assert_eq!(kept, [("journal", 0), ("pager", 2)], "the state keeps the last one of each");
    mend(&mut world);
    world.pass("3h");
    assert_eq!(heard(&world, "pager").len(), 4, "nobody is reminded of what is over");
}

#[test]
fn another_leader_goes_on_where_the_last_one_stopped() {
    let mut loud = Route::to(&["pager"]);
    loud.reminder_interval = Some(Duration::from_secs(600));
    let mut world = failed(vec![loud]);
    world.start_coordinator("beta");
    world.settle();
    world.pass("8m");
    world.coordinators[0].alive = false;
    world.pass("30s");
    assert!(world.coordinators[1].mesh.leads());
    assert_eq!(heard(&world, "pager"), [(false, 0)], "taking over is no reason to say it again");
    world.pass("2m");
    assert_eq!(heard(&world, "pager"), [(false, 0), (false, 1)]);
    world.pass("7m");
    assert_eq!(heard(&world, "pager").len(), 2, "each once");
}

#[test]
fn a_sink_that_took_nothing_is_tried_again_until_it_does_the_end_included() {
    let mut world = World::new(&["a"]);
    world.sinks_say = Some("503 away".to_owned());
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.pass("2m");
    assert_eq!(heard(&world, "journal"), [(false, 0)]);
    world.pass("16m");
    assert_eq!(heard(&world, "journal"), [(false, 0), (false, 1)]);
    world.sinks_say = None;
    world.pass("16m");
    world.pass("2h");
    assert_eq!(heard(&world, "journal"), [(false, 0), (false, 1), (false, 2)], "taken is taken");
    world.sinks_say = Some("503 away".to_owned());
    mend(&mut world);
    world.sinks_say = None;
    world.pass("16m");
    assert_eq!(heard(&world, "journal")[3..], [(true, 0), (true, 1)]);
    world.pass("2h");
    assert_eq!(heard(&world, "journal").len(), 5);
}

#[test]
fn an_end_that_nobody_took_is_not_told_behind_a_later_beginning() {
    let mut world = failed(Vec::new());
    world.sinks_say = Some("503 away".to_owned());
    mend(&mut world);
    world.sinks_say = None;
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.start(&["a"], 78);
    world.pass("2h");
    assert_eq!(heard(&world, "pager"), [(false, 0), (true, 0), (false, 0)]);
}

#[test]
fn who_was_told_the_beginning_hears_the_end_though_the_routes_have_changed() {
    let mut world = failed(vec![Route::to(&["pager"])]);
    world.policy.routes = vec![Route::to(&["journal"])];
    mend(&mut world);
    assert_eq!(heard(&world, "pager"), [(false, 0), (true, 0)]);
}

#[test]
fn a_round_that_converged_is_told_only_where_a_route_asks_for_it() {
    let mut world = World::new(&["a", "b"]);
    let mut glad = Route::to(&["journal"]);
    glad.success = true;
    glad.kinds.insert("none".to_owned());
    world.policy.routes = vec![glad];
    world.pass("2m");
    let told: Vec<&str> = world.notices.iter().map(|notice| notice.alert.key.0.as_str()).collect();
    assert_eq!(told, ["converged/nightly"]);
    assert!(world.notices[0].alert.title.contains("2 of 2"), "{}", world.notices[0].alert.title);
    world.restart(0);
    world.settle();
    world.pass("5m");
    assert_eq!(world.notices.len(), 1, "once");
}

#[test]
fn what_stands_is_what_is_open_and_what_ended_lately() {
    let mut world = failed(Vec::new());
    let shown = |world: &World| standing(world.mesh(), &world.policy, world.now);
    assert_eq!(shown(&world).len(), 1);
    assert_eq!((shown(&world)[0].resolved_at, shown(&world)[0].sinks.len()), (None, 2));
    mend(&mut world);
    assert!(shown(&world)[0].resolved_at.is_some());
    world.pass("16m");
    assert!(shown(&world).is_empty());
}
