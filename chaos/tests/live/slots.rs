//! Time comes: slots fire by themselves, with a coordinator and without, and clocks that jump are no trouble.

use jiff::tz::TimeZone;
use landfall_chaos::live::wait::{seconds, until_true};
use landfall_chaos::live::{Gate, Node, Place, Setup, now, tool};
use landfall_proto::calendar::Calendar;
use landfall_proto::fact::coordinator::OpenedBy;
use landfall_proto::plan::Schedule;
use landfall_proto::report::Trigger;
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::VerdictKind;

use crate::table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_falls_due_opens_its_round_and_is_run_once() {
    let place = Place::new("slot");
    let gates = ["a", "b"].map(|name| (name, Gate::new(&place, name)));
    let setup = gates.iter().fold(Setup::new(place), |setup, (name, gate)| {
        let mut plan = gate.plan("task");
        plan.schedule = Some(every("*-*-* *:*:0/6"));
        setup.node(Node::new(name).plan(plan).target(gate.target()))
    });
    let cluster = setup.start().await;
    gates.iter().for_each(|(_, gate)| gate.open());

    let round = cluster.operator.seen("a round of a slot with both nodes", seconds(20), |log| {
        let opened = log
            .rounds_opened()
            .into_iter()
            .find(|(_, opened)| opened.opened_by == OpenedBy::Slot && opened.expected.len() == 2);
        opened.map(|(_, opened)| (opened.round, opened.slot.expect("a slot's round has a slot")))
    });
    let (round, slot) = round.await;
    let detail = cluster.operator.verdict(round, seconds(20)).await;

    assert_eq!(slot.as_second() % 6, 0, "expected a slot of the calendar: {slot}");
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    for run in &detail.runs {
        assert_eq!(log.reports(run.id).len(), 1, "expected one run of {}", run.node);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_coordinator_a_node_keeps_its_schedule_and_is_believed_afterwards() {
    let place = Place::new("autonomous");
    let gate = Gate::new(&place, "a");
    let mut plan = gate.plan("task");
    plan.schedule = Some(every("*-*-* *:*:0/10"));
    let node = Node::new("a").plan(plan).target(gate.target()).line("leader_patience = \"1s\"");
    let mut cluster = Setup::new(place).node(node).start().await;
    cluster.kill_coordinator();
    gate.open();
    let killed_at = now();

    let begun = gate.processes().len();
    until_true("the node runs its plan by itself", seconds(25), || gate.ended() > begun).await;
    cluster.start_coordinator();

    let started = cluster.operator.seen("an autonomous run in the log", seconds(20), |log| {
        let mut runs = log.runs_started().into_iter().map(|(_, _, started)| started);
        runs.find(|started| started.about.trigger == Trigger::Autonomous && started.started_at > killed_at).cloned()
    });
    let started = started.await;
    let detail = cluster.operator.verdict(started.about.round, seconds(20)).await;
    assert_eq!(
        detail.round.verdict,
        Some(VerdictKind::Converged),
        "expected that its round converges: {}",
        table(&detail)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_can_be_run_by_hand_with_the_daemon_and_without_daemon_and_bus() {
    let place = Place::new("by-hand");
    let gate = Gate::new(&place, "a");
    let node = Node::new("a").plan(gate.plan("task")).target(gate.target());
    let mut cluster = Setup::new(place).node(node).start().await;
    gate.open();
    let config = cluster.agent_config("a");

    tool::agent(&config, &["run", "task"]).await.good();
    let by_hand = cluster.operator.seen("the run by hand in the log", seconds(10), |log| {
        log.runs_finished()
            .into_iter()
            .find(|(_, _, finished)| finished.about.trigger == Trigger::Hand)
            .map(|(_, _, finished)| finished.about.run)
    });
    let first = by_hand.await;

    cluster.kill_agent("a");
    cluster.bus.kill();
    tool::agent(&config, &["run", "task"]).await.good();
    assert_eq!(gate.ended(), 2, "expected that the program ran twice");
    cluster.bus.start();
    cluster.start_agent("a");
    let found = cluster.operator.seen("the second run by hand, told once the bus is back", seconds(20), |log| {
        log.runs_finished().into_iter().map(|(_, _, finished)| finished.about.run).find(|run| *run != first)
    });
    found.await;
}

/// Europe leaves out an hour in March: 02:30 does not exist on that day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_in_the_hour_that_summer_time_leaves_out_still_comes_once_that_day() {
    let calendar: Calendar = "*-*-* 02:30:00".parse().unwrap();
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let before: Timestamp = "2027-03-27T12:00:00Z".parse().unwrap();
    let slots: Vec<String> =
        std::iter::successors(calendar.next_after(before, &zone), |slot| calendar.next_after(*slot, &zone))
            .take(3)
            .map(|slot| slot.to_string())
            .collect();
    assert_eq!(slots.len(), 3, "expected three slots");
    let days: Vec<&str> = slots.iter().map(|slot| &slot[..10]).collect();
    assert_eq!(days, ["2027-03-28", "2027-03-29", "2027-03-30"], "expected one slot a day: {slots:?}");
    assert_eq!(slots[1], "2027-03-29T00:30:00Z", "expected 02:30 of summer time on the next day");

    let explained = tool::landfall(
        std::path::Path::new("/nowhere"),
        &["calendar", "2027-03-28 02:30:00", "--zone", "Europe/Berlin", "--json"],
    )
    .await
    .good();
    assert!(explained.out.contains("2027-03-28"), "expected that the tool shows the day's slot: {explained:?}");
}

fn every(calendar: &str) -> Schedule {
    Schedule { calendar: calendar.parse().unwrap(), zone: "UTC".to_owned(), catch_up: true }
}
