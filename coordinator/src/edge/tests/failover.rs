//! Stories of several coordinators, of a bus that goes out of sight, and of one that forgets.

use landfall_proto::limit::LimitName;
use landfall_proto::time::Duration as Span;
use landfall_proto::view::AlertView;

use super::*;
use crate::core::policy::RoutinePolicy;
use crate::core::record::Changes;

/// Long enough for a round to begin and for its coordinator to notice that the bus is away, and short enough to be waited for.
const DEADLINE: Span = Span::from_secs(8);

async fn hurried() -> Story {
    let mut story = Story::new().await;
    let routine = RoutinePolicy { finish_within: Some(DEADLINE), witness: Some(false), ..RoutinePolicy::default() };
    story.policy.routines.insert("nightly".parse().unwrap(), routine);
    story.policy.settle_within = Span::from_secs(1);
    story
}

async fn alerts(story: &Story) -> Vec<AlertView> {
    story
        .until(Request::Alerts { all: true, paging: Paging::default() }, |reply| match reply {
            Reply::Alerts(page) => Some(page.rows),
            other => panic!("{other:?}"),
        })
        .await
}

/// The deadline passes while the bus is away; the node lands its backup meanwhile.
async fn an_outage_over_the_deadline(away: impl Fn(&MemoryBus), back: impl Fn(&MemoryBus)) {
    let story = hurried().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.run_in(round, RunState::Running).await;
    let about = agent.started().await.unwrap();
    away(&story.hub);
    let landing = {
        let agent = Arc::clone(&agent);
        tokio::spawn(async move { agent.finish(about).await })
    };
    sleep(DEADLINE.as_std() + Duration::from_secs(2)).await;
    back(&story.hub);
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    landing.await.unwrap();
    let Some(Reply::Round(detail)) = story.ask(Request::Round { id: round }).await else { panic!("no round") };
    assert!(detail.verdict.unwrap().late);
    assert_eq!(story.verdicts_in_the_log().await, 1);
    assert_eq!(alerts(&story).await, Vec::new());
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_while_the_bus_is_gone_is_judged_by_what_landed_meanwhile() {
    an_outage_over_the_deadline(|hub| hub.set_online(false), |hub| hub.set_online(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_while_the_bus_stands_still_is_judged_by_what_landed_meanwhile() {
    an_outage_over_the_deadline(|hub| hub.set_paused(true), |hub| hub.set_paused(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_shown_with_its_lag_and_takes_over_at_once_when_the_leader_ends() {
    let story = Story::new().await;
    let first = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let second = story.live("two", &Arc::default());
    let standby = story
        .until(Request::Status, |reply| match reply {
            Reply::Status(status) => status
                .standbys
                .first()
                .filter(|standby| standby.lag == Some(0))
                .cloned()
                .map(|standby| (status, standby)),
            other => panic!("{other:?}"),
        })
        .await;
    let (status, standby) = standby;
    assert_eq!((status.leader.unwrap().as_str(), standby.holder.as_str()), ("one", "two"));
    assert!(status.leader_since.is_some() && standby.epoch == status.epoch);
    first.end().await;
    let leader =
        |status: StatusView| status.leader.filter(|leader| leader.as_str() == "two").map(|_| status.epoch.term);
    let term = story
        .until(Request::Status, |reply| match reply {
            Reply::Status(status) => leader(status),
            other => panic!("{other:?}"),
        })
        .await;
    assert_eq!(term, 2);
    story.nodes_online(1).await;
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    let commands = agent.commands.lock().await;
    assert!(commands.iter().all(|command| command.holder.as_str() == "two" && command.epoch.term == 2));
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_has_one_answer_however_many_coordinators_hear_it() {
    let story = Story::new().await;
    let lives = ["one", "two", "three"].map(|name| story.live(name, &Arc::default()));
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let leader = story.status().await.leader.unwrap();
    let leads = |name: &str| leader.as_str() == name;
    for _ in 0..20 {
        assert_eq!(story.status().await.leader.as_ref(), Some(&leader));
    }
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    assert_eq!(story.verdicts_in_the_log().await, 1);
    let (leading, standing_by): (Vec<_>, Vec<_>) =
        lives.into_iter().zip(["one", "two", "three"]).partition(|(_, name)| leads(name));
    for (life, _) in standing_by {
        life.end().await;
    }
    assert_eq!(story.status().await.leader, Some(leader.clone()), "who stays goes on");
    for (life, _) in leading {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_lost_in_the_middle_of_a_round_costs_two_coordinators_neither_round_nor_verdict() {
    let story = Story::new().await;
    let (first, second) = (story.live("one", &Arc::default()), story.live("two", &Arc::default()));
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.run_in(round, RunState::Running).await;
    let about = agent.started().await.unwrap();
    story.hub.wipe();
    let mut lives = Vec::new();
    for (name, life) in [("one", first), ("two", second)] {
        assert_eq!(timeout(WITHIN, life.task).await.unwrap().unwrap(), Ended::LogReplaced);
        lives.push(story.live(name, &life.ledger));
    }
    agent.finish(about).await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    let status = story.status().await;
    assert_eq!(status.epoch.era, 1);
    assert_eq!(story.verdicts_in_the_log().await, 1);
    let lost: Vec<String> = alerts(&story).await.into_iter().map(|alert| alert.alert.key.0).collect();
    assert_eq!(lost, ["history_lost/1"]);
    assert_eq!(agent.commands.lock().await.len(), 1, "nothing is started twice");
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_a_server_does_not_have_for_some_seconds_was_never_lost() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.run_in(round, RunState::Running).await;
    let about = agent.started().await.unwrap();
    story.hub.set_log_hidden(true);
    sleep(Duration::from_secs(3)).await;
    story.hub.set_log_hidden(false);
    agent.finish(about).await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    assert_eq!(story.status().await.epoch.era, 0);
    assert_eq!(alerts(&story).await, Vec::new());
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_whose_state_is_not_the_leaders_stands_down_and_says_so() {
    let story = Story::new().await;
    let first = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let crooked: Arc<MemoryLedger> = Arc::default();
    let mut changes = Changes::default();
    changes.limits.insert(LimitName::Storage("nowhere".to_owned()), 7);
    crooked.commit(&changes).unwrap();
    let second = story.live("two", &crooked);
    for value in 0..80 {
        let request = Request::SetLimit { name: LimitName::Cluster, value: 4 + value, by: "ann".to_owned() };
        assert!(matches!(story.ask(request).await, Some(Reply::Done { .. })));
    }
    let ended = timeout(WITHIN, second.task).await.unwrap().unwrap();
    assert_eq!(ended, Ended::Diverged { leader: "one".parse().unwrap() });
    let open = |alert: &AlertView| alert.alert.key.0 == "coordinator_differs/two" && alert.open;
    story
        .until(Request::Alerts { all: false, paging: Paging::default() }, |reply| match reply {
            Reply::Alerts(page) => page.rows.iter().any(open).then_some(()),
            other => panic!("{other:?}"),
        })
        .await;
    first.end().await;
}
