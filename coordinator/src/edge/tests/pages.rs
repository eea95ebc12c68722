//! Stories of the pages that a coordinator serves itself.

use landfall_proto::limit::LimitName;
use landfall_proto::metrics::Status;

use super::*;
use crate::edge::feed::News;

impl Story {
    /// What a page of the coordinator `name` is told.
    pub(super) async fn page(&self, name: &str, request: Request) -> Reply {
        let asking = self.asking.lock().unwrap()[name].clone();
        let (answer, told) = oneshot::channel();
        asking.send(Ask { request, answer }).await.unwrap();
        timeout(WITHIN, told).await.unwrap().unwrap()
    }

    async fn cluster_limit(&self, name: &str) -> Option<u32> {
        match self.page(name, Request::Limits).await {
            Reply::Limits(limits) => limits.iter().find(|limit| limit.name == LimitName::Cluster).unwrap().size,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standbys_page_shows_what_it_knows_and_passes_acts_on_to_the_leader() {
    let story = Story::new().await;
    let first = story.live("one", &Arc::default());
    story.until(Request::Status, |reply| matches!(reply, Reply::Status(it) if it.leader.is_some()).then_some(())).await;
    let second = story.live("two", &Arc::default());
    story
        .until(Request::Status, |reply| matches!(reply, Reply::Status(it) if it.standbys.len() == 1).then_some(()))
        .await;
    let request = Request::SetLimit { name: LimitName::Cluster, value: 7, by: "ann".to_owned() };
    let told = story.page("two", request).await;
    assert!(matches!(told, Reply::Done { .. }), "{told:?}");
    let both = async {
        while story.cluster_limit("one").await != Some(7) || story.cluster_limit("two").await != Some(7) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WITHIN, both).await.unwrap();
    second.end().await;
    first.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_onlooker_hears_of_each_record_that_a_round_changes() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let mut onlooker = story.feed.onlooker();
    let round = story.start().await;
    story.verdict(round).await;
    let (mut rounds, mut runs, mut nodes) = (0, 0, 0);
    while rounds == 0 || runs == 0 || nodes == 0 {
        let news = timeout(WITHIN, onlooker.recv()).await.unwrap().unwrap();
        if let News::Changed(changed) = &*news {
            rounds += changed.rounds.iter().filter(|id| **id == round).count();
            runs += changed.runs.len();
            nodes += changed.nodes.len();
        }
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_told_the_figures_and_the_bus_where_they_are() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.verdict(round).await;
    let Reply::Metrics(figures) = story.page("one", Request::Metrics).await else { panic!("expected the figures") };
    let backup = figures.nodes[0].plans[0].backup.unwrap();
    assert_eq!(backup.status, Some(Status::Ok), "{figures:?}");
    assert_eq!(figures.routines[0].last_verdict, Some(VerdictKind::Converged), "{figures:?}");
    assert!(figures.coordinator.leads && figures.coordinator.last_pass_at.is_some(), "{figures:?}");
    let refused = |reply: &Reply| if let Reply::Refused(problem) = reply { Some(problem.fix.clone()) } else { None };
    let fix = story.until(Request::Metrics, |reply| refused(&reply)).await;
    assert!(fix.contains("/metrics"), "expected where the figures are: {fix}");
    drop(agent);
    life.end().await;
}
