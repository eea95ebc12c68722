//! Stories of alerts: what is told, how loud, how often, and what makes it go away.

use landfall_proto::alert::Severity;
use landfall_proto::fact::agent::{BrokenPlan, PlansAnnounced, RunFinished};
use landfall_proto::report::{Outcome, Reason, Statistics, TaskKind, Trigger};
use landfall_proto::time::Duration;

use super::world::{Does, GOOD, World, about, node, report, routine};
use crate::core::check::{self, FindingKind};

#[test]
fn when_several_nodes_fail_together_one_alert_says_so() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    for name in ["a", "b", "c"] {
        world.agents.get_mut(&node(name)).unwrap().does = Does::Hold;
    }
    world.pass("65s");
    world.end("a", Outcome::Failed, Reason::Network);
    world.end("b", Outcome::Failed, Reason::Network);
    world.pass("2s");
    assert_eq!(world.open_alerts(), ["failed/nightly/a", "failed/nightly/b"]);
    world.end("c", Outcome::Failed, Reason::Network);
    assert_eq!(world.open_alerts(), ["diverged/nightly"]);
    let alert = world.mesh().open_alerts().next().unwrap().alert.clone();
    assert_eq!((alert.nodes.len(), alert.reason), (3, Some(Reason::Network)));
    for agent in world.agents.values_mut() {
        agent.does = GOOD;
    }
    world.start(&["a"], 1);
    world.pass("10s");
    assert_eq!(world.open_alerts(), ["diverged/nightly"], "it does not crumble");
    world.start(&["b", "c"], 2);
    world.pass("10s");
    assert_eq!(world.open_alerts(), Vec::<String>::new());
    assert_eq!(world.told("diverged/nightly"), (1, 1));
}

#[test]
fn nodes_that_fail_within_a_moment_are_told_in_one_alert_and_one_alone_hardly_waits() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    for name in ["a", "b", "c", "d"] {
        world.agents.get_mut(&node(name)).unwrap().does = Does::Hold;
    }
    world.pass("65s");
    for name in ["a", "b", "c"] {
        assert_eq!(world.open_alerts(), Vec::<String>::new());
        world.end(name, Outcome::Failed, Reason::Network);
    }
    assert_eq!(world.open_alerts(), ["diverged/nightly"]);
    let singly = |name: &str| world.told(&format!("failed/nightly/{name}"));
    assert_eq!([singly("a"), singly("b"), singly("c")], [(0, 0); 3]);

    let mut world = World::new(&["a", "b"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.pass("65s");
    world.end("a", Outcome::Failed, Reason::Network);
    world.pass("2s");
    assert_eq!(world.told("failed/nightly/a"), (1, 0), "the others go on for hours");
    world.end("b", Outcome::Failed, Reason::Integrity);
    assert_eq!(world.told("failed/nightly/b"), (1, 0), "the verdict has fallen: nobody else can fail");
}

#[test]
fn a_node_that_is_down_for_a_round_is_told_of_as_overdue_and_not_as_late() {
    let mut world = World::new(&["a", "b"]);
    world.cut_off("b");
    world.pass("2h");
    assert_eq!(world.open_alerts(), ["node_silent/b"], "hours before the deadline somebody can still help");
    assert_eq!(world.told("late/nightly"), (0, 0));
    world.pass("6h 2m");
    assert_eq!(world.open_alerts(), ["node_silent/b", "overdue/nightly"]);
    world.bring_back("b");
    world.pass("10s");
    assert!(!world.is_open("node_silent/b"));

    let mut world = World::new(&["a", "b"]);
    world.pass("7h 59m");
    world.agents.get_mut(&node("b")).unwrap().does = Does::Hold;
    world.start(&["b"], 3);
    world.pass("7h 58m");
    world.cut_off("b");
    world.pass("10m");
    assert_eq!(world.told("node_silent/b"), (0, 0), "the deadline came first and says more");
    assert!(world.is_open("overdue/nightly"));
}

#[test]
fn an_alert_is_open_once_however_often_its_trouble_returns_and_grows_louder_with_it() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Partial, Reason::SourceUnreadable);
    for request in 1..4 {
        world.start(&["a"], request);
        world.pass("10s");
    }
    assert_eq!(world.told("failed/nightly/a"), (1, 0));
    assert_eq!(world.mesh().nodes()[&node("a")].routines[&routine()].backup.failures_since_good, 3);
    world.agents.get_mut(&node("a")).unwrap().does = Does::End(Outcome::Failed, Reason::NoSpace);
    world.start(&["a"], 5);
    world.pass("10s");
    assert_eq!(world.told("failed/nightly/a"), (2, 1));
    assert_eq!(world.mesh().open_alerts().next().unwrap().alert.severity, Severity::Critical);
}

#[test]
fn a_backup_that_is_too_old_is_told_also_where_nothing_failed() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().plan.rpo = Some(Duration::from_secs(3600));
    world.agents.get_mut(&node("a")).unwrap().plan.calendar = None;
    world.announce("a");
    world.settle();
    world.pass("59m");
    assert_eq!(world.open_alerts(), Vec::<String>::new());
    world.pass("2m");
    assert_eq!(world.open_alerts(), ["stale/nightly/a"]);
    world.start(&["a"], 1);
    world.pass("10s");
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn runs_that_have_not_started_in_time_are_mentioned() {
    let mut world = World::new(&["a", "b"]);
    world.limit(landfall_proto::limit::LimitName::Cluster, 0);
    world.pass("1h 2m");
    assert_eq!(world.open_alerts(), ["late/nightly"]);
    assert_eq!(world.mesh().open_alerts().next().unwrap().alert.severity, Severity::Info);
    world.limit(landfall_proto::limit::LimitName::Cluster, 2);
    world.pass("10s");
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn a_backup_that_shrank_or_is_empty_is_told_against_its_own_history() {
    let mut world = World::new(&["a"]);
    world.agents.get_mut(&node("a")).unwrap().does = Does::Hold;
    for (request, (files, bytes)) in (1..).zip([(100, 1000), (101, 1010), (99, 990), (40, 400), (0, 0)]) {
        world.start(&["a"], request);
        let run = world.run_of("a").clone();
        let about = about(run.id, run.round, routine(), None, TaskKind::Backup, Trigger::Dispatched);
        let mut report = report(world.now, &about, Outcome::Ok, Reason::Completed);
        report.statistics = Statistics { files: Some(files), bytes: Some(bytes), ..Statistics::default() };
        world.agents.get_mut(&node("a")).unwrap().live.clear();
        world.says("a", RunFinished { about, report });
        world.settle();
        let severity = world.mesh().open_alerts().next().map(|record| record.alert.severity);
        let expected = match files {
            40 => Some(Severity::Warning),
            0 => Some(Severity::Critical),
            _ => None,
        };
        assert_eq!(severity, expected, "{files} files");
        world.pass("5s");
    }
    assert_eq!(world.open_alerts(), ["guard/nightly/a"]);
}

#[test]
fn a_broken_plan_is_told_until_it_is_mended() {
    let mut world = World::new(&["a"]);
    let plans = vec![world.agents[&node("a")].plan.clone()];
    let broken = vec![BrokenPlan { file: "db.toml".to_owned(), error: "line 3: no target".to_owned() }];
    world.says("a", PlansAnnounced { plans, broken });
    world.settle();
    assert_eq!(world.open_alerts(), ["broken_plan/a"]);
    world.announce("a");
    world.settle();
    assert_eq!(world.open_alerts(), Vec::<String>::new());
}

#[test]
fn a_node_whose_schedule_differs_from_the_others_is_shown_and_the_majority_decides_the_slot() {
    let mut world = World::new(&["a", "b", "c"]);
    world.agents.get_mut(&node("c")).unwrap().plan.calendar = Some("*-*-* 03:00:00".to_owned());
    world.announce("c");
    world.pass("2m");
    assert_eq!(world.round().expected, 3);
    let findings = check::findings(world.mesh(), &world.policy, world.now, &node("c"));
    assert!(findings.iter().any(|finding| finding.kind == FindingKind::DefinitionDiffers), "{findings:?}");
    assert!(check::findings(world.mesh(), &world.policy, world.now, &node("a")).is_empty());
}

#[test]
fn a_disk_that_runs_full_is_told_and_told_again_when_it_happens_again() {
    let mut world = World::new(&["a"]);
    for (percent, open) in [(5, true), (50, false), (4, true)] {
        let mut live = world.mesh().live(&node("a")).unwrap().clone();
        let space = landfall_proto::report::Space { free_bytes: percent, total_bytes: 100 };
        live.vitals.disks.insert("/".to_owned(), space);
        world.now = landfall_proto::time::after(world.now, Duration::from_secs(5));
        let beat = landfall_proto::live::Beat {
            epoch: None,
            node: node("a"),
            incarnation: live.incarnation,
            version: "1".to_owned(),
            next_seq: live.next_seq,
            outbox: 0,
            vitals: live.vitals,
            live: Vec::new(),
            paused: None,
            sent_at: world.now,
        };
        world.feed(0, crate::core::step::Input::Heard(beat));
        world.settle();
        assert_eq!(world.is_open("storage_low/a"), open);
    }
    assert_eq!(world.told("storage_low/a"), (2, 1));
}
