//! Stories of the whole shell: a bus in memory, a ledger in memory, agents that follow a script, and an operator who asks.
#![allow(clippy::wildcard_enum_match_arm, reason = "a reply of any other kind ends the story")]

mod agent;
mod browser;
mod divergence;
mod failover;
mod http;
mod pages;
mod replay;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall_proto::bus::{Bus, LogSettings, MemoryBus, Seed, Signer};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::control::{Paging, REPLY_KIND, REQUEST_KIND, Reply, Request, RunFilter};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{ClusterName, RoundId, RunId};
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::{RunState, StatusView};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::asker::{Ask, asks};
use super::feed::Feed;
use super::ledger::{Ledger, MemoryLedger};
use super::shell::{Ended, Parts, run};
use super::{clock, message};
use crate::config::{SinkConfig, SinkKind};
use crate::core::policy::Policy;
use crate::core::record::Records;
use agent::{Agent, Script, TASK};

const WITHIN: Duration = Duration::from_secs(20);

struct Story {
    hub: MemoryBus,
    operator: Bus,
    sinks: Vec<SinkConfig>,
    policy: Policy,
    feed: Feed,
    /// The ways into each coordinator from its own pages, by its name.
    asking: Mutex<BTreeMap<String, mpsc::Sender<Ask>>>,
}

/// One coordinator process.
struct Life {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Ended>,
    ledger: Arc<MemoryLedger>,
}

impl Story {
    async fn new() -> Self {
        let cluster: ClusterName = "home".parse().unwrap();
        let hub = MemoryBus::new(&cluster);
        assert!(hub.connect(Role::Coordinator).ensure_log(&Default::default()).await.is_done());
        Self {
            operator: hub.connect(Role::Operator),
            hub,
            sinks: Vec::new(),
            policy: Policy::default(),
            feed: Feed::default(),
            asking: Mutex::default(),
        }
    }

    fn live(&self, name: &str, ledger: &Arc<MemoryLedger>) -> Life {
        let (stop, task) = self.begin(name, Arc::clone(ledger) as Arc<dyn Ledger>, ledger.load().unwrap());
        Life { stop, task, ledger: Arc::clone(ledger) }
    }

    fn begin(&self, name: &str, ledger: Arc<dyn Ledger>, records: Records) -> (oneshot::Sender<()>, JoinHandle<Ended>) {
        let (stop, stopped) = oneshot::channel();
        let parts = Parts {
            bus: self.hub.connect(Role::Coordinator),
            log: LogSettings::default(),
            ledger,
            records,
            holder: name.parse().unwrap(),
            policy: self.policy.clone(),
            signer: Signer::from_seed(&Seed::generate()),
            sinks: self.sinks.clone(),
            disconnects: Some(self.hub.disconnects()),
            alert: None,
            pass: Arc::default(),
            feed: self.feed.clone(),
        };
        let (asking, mut asks) = asks();
        self.asking.lock().unwrap().insert(name.to_owned(), asking);
        let task = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            run(parts, &mut asks, || {}, stop).await.unwrap()
        });
        (stop, task)
    }

    async fn ask(&self, request: Request) -> Option<Reply> {
        let subject = Subject::new(self.operator.cluster(), Topic::Control(request.verb().to_owned()));
        let question = message(REQUEST_KIND, "operator", clock::incarnation(), encode(&request));
        let answer = self.operator.request(&subject, &question, Duration::from_secs(3)).await.done()?;
        assert_eq!(answer.kind, REPLY_KIND);
        Some(decode(&answer.body, MESSAGE_BYTES_MAX).unwrap())
    }

    /// Asks until the answer is what the story waits for.
    async fn until<T>(&self, request: Request, found: impl Fn(Reply) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(value) = self.ask(request.clone()).await.and_then(&found) {
                    return value;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(WITHIN, wait).await.unwrap_or_else(|_| panic!("{request:?} never had the awaited answer"))
    }

    async fn status(&self) -> StatusView {
        self.until(Request::Status, |reply| match reply {
            Reply::Status(status) => Some(status),
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn nodes_online(&self, count: u32) {
        let ready =
            |status: &StatusView| status.nodes_online == count && status.leader.is_some() && status.routines.len() == 1;
        self.until(Request::Status, |reply| match reply {
            Reply::Status(status) => ready(&status).then_some(()),
            other => panic!("{other:?}"),
        })
        .await;
    }

    async fn start(&self) -> RoundId {
        let request = Request::Start {
            routine: "nightly".parse().unwrap(),
            nodes: Vec::new(),
            task: TASK,
            by: "ann".to_owned(),
            request: clock::command_id().0,
        };
        match self.ask(request).await {
            Some(Reply::Opened { round }) => round,
            other => panic!("{other:?}"),
        }
    }

    async fn verdict(&self, round: RoundId) -> VerdictKind {
        self.until(Request::Round { id: round }, |reply| match reply {
            Reply::Round(detail) => detail.verdict.map(|verdict| verdict.kind),
            Reply::Refused(_) => None,
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn run_in(&self, round: RoundId, wanted: RunState) -> RunId {
        let filter = RunFilter { round: Some(round), ..RunFilter::default() };
        self.until(Request::Runs { filter, paging: Paging::default() }, |reply| match reply {
            Reply::Runs(page) => page.rows.iter().find(|run| run.state == wanted).map(|run| run.id),
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn verdicts_in_the_log(&self) -> usize {
        let mut reader = self.operator.read_log(0);
        let batch = reader.next_batch(100_000, Duration::from_secs(1)).await.done().unwrap();
        batch.messages.iter().filter(|message| message.fact().unwrap().1.kind == "round_concluded").count()
    }
}

impl Life {
    async fn end(self) -> Arc<MemoryLedger> {
        let _ = self.stop.send(());
        assert_eq!(timeout(WITHIN, self.task).await.unwrap().unwrap(), Ended::Stopped);
        self.ledger
    }

    /// As a kill does: nothing is finished, nothing is written.
    async fn kill(self) -> Arc<MemoryLedger> {
        self.task.abort();
        let _ = self.task.await;
        self.ledger
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_starts_a_routine_and_the_round_converges_with_witnesses() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let (_a, _b) =
        (Agent::start(&story.hub, "a", Script::Lands).await, Agent::start(&story.hub, "b", Script::Lands).await);
    story.nodes_online(2).await;
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    let Some(Reply::Round(detail)) = story.ask(Request::Round { id: round }).await else { panic!("no round") };
    assert_eq!((detail.round.expected, detail.round.good, detail.round.bad, detail.round.missing), (2, 2, 0, 0));
    let run = detail.runs[0].clone();
    assert_eq!((run.state, run.files, run.attempts), (RunState::Ok, Some(3), 1));
    assert!(matches!(run.witness, Some(landfall_proto::verdict::Witness::Confirmed { .. })), "{:?}", run.witness);
    let Some(Reply::Run(detail)) = story.ask(Request::Run { id: run.id }).await else { panic!("no run") };
    assert_eq!(detail.report.unwrap().tail, "the end of the output");
    assert!(detail.timeline.len() >= 4, "{:?}", detail.timeline);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_mid_run_goes_on_where_it_was() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.run_in(round, RunState::Running).await;
    let ledger = life.kill().await;
    let about = agent.started().await.unwrap();
    agent.finish(about).await;
    let life = story.live("one", &ledger);
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    assert_eq!(story.verdicts_in_the_log().await, 1);
    assert_eq!(agent.commands.lock().await.len(), 1, "the run was started once");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_is_rebuilt_from_the_log() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.verdict(round).await;
    let before = life.end().await.load().unwrap();
    let life = story.live("one", &Arc::default());
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    let after = life.end().await.load().unwrap();
    assert_eq!((after.rounds, after.runs), (before.rounds, before.runs));
    assert_eq!(story.verdicts_in_the_log().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_whose_confirmation_is_lost_are_made_once() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    story.hub.lose_acks(3);
    let round = story.start().await;
    story.hub.lose_facts(2);
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    let Some(Reply::Rounds(page)) =
        story.ask(Request::Rounds { routine: None, open: None, paging: Paging::default() }).await
    else {
        panic!("no rounds")
    };
    assert_eq!((page.rows.len(), story.verdicts_in_the_log().await), (1, 1));
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_make_no_sense_are_counted_by_name_and_stop_nothing() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let foreign = message("beat", "b", clock::incarnation(), vec![0xc1]);
    let beat = Subject::new(agent.bus.cluster(), Topic::Beat(agent.node.clone()));
    assert!(agent.bus.tell(&beat, &foreign));
    assert!(agent.bus.tell(&beat, &Envelope { kind: "progress".to_owned(), ..foreign.clone() }));
    assert!(agent.bus.tell(&beat, &Envelope { protocol: 0, ..foreign }));
    let facts = Subject::new(agent.bus.cluster(), Topic::NodeFact(agent.node.clone()));
    let identity = |writer: &str, seq| Identity { writer: writer.to_owned(), incarnation: clock::incarnation(), seq };
    let forged = Envelope::fact(identity("b", 0), "run_started", clock::now(), Vec::new());
    let misnamed =
        Envelope { id: Uuid::nil(), ..Envelope::fact(identity("a", 0), "run_started", clock::now(), Vec::new()) };
    let unknown = Envelope::fact(identity("a", 0), "kind_of_tomorrow", clock::now(), vec![1]);
    for fact in [forged, misnamed, unknown] {
        assert!(agent.bus.publish_facts(&facts, &[fact]).await[0].is_done());
    }
    let control = Subject::new(story.operator.cluster(), Topic::Control("status".to_owned()));
    let wrong_verb = message(REQUEST_KIND, "operator", clock::incarnation(), encode(&Request::Limits));
    assert!(story.operator.tell(&control, &wrong_verb));
    let counted = |name: &'static str, count: u64| {
        story.until(Request::Status, move |reply| match reply {
            Reply::Status(status) if status.refused.get(name) == Some(&count) => Some(status),
            Reply::Status(_) => None,
            other => panic!("{other:?}"),
        })
    };
    counted("malformed", 1).await;
    counted("protocol", 1).await;
    counted("wrong_writer", 1).await;
    counted("wrong_id", 1).await;
    let status = counted("wrong_kind", 2).await;
    assert_eq!(status.unknown_kinds.get("kind_of_tomorrow"), Some(&1));
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_told_to_the_sink_and_the_delivery_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let mut story = Story::new().await;
    story.sinks.push(SinkConfig { name: "file".to_owned(), kind: SinkKind::Jsonl { path: path.clone() } });
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Fails).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Diverged);
    let alert = story
        .until(Request::Alerts { all: false, paging: Paging::default() }, |reply| match reply {
            Reply::Alerts(page) => page.rows.into_iter().find(|alert| !alert.deliveries.is_empty()),
            other => panic!("{other:?}"),
        })
        .await;
    assert_eq!((alert.alert.key.0.as_str(), alert.open), ("failed/nightly/a", true));
    assert_eq!((alert.deliveries[0].sink.as_str(), &alert.deliveries[0].error), ("file", &None));
    let line: serde_json::Value = serde_json::from_str(std::fs::read_to_string(path).unwrap().trim()).unwrap();
    assert_eq!(line["key"], "failed/nightly/a");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_told_what_is_safe_and_what_is_missing() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    story.start().await;
    let wait = async {
        loop {
            let facts = agent.facts().await;
            if agent
                .synced
                .lock()
                .await
                .as_ref()
                .is_some_and(|sync| sync.durable_below == facts && facts > 2 && !sync.announce)
            {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(WITHIN, wait).await.expect("everything becomes safe");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_fetched_from_its_node_and_its_lack_is_explained() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    let run = story.run_in(round, RunState::Ok).await;
    match story.ask(Request::Logs { run, offset: 4 }).await {
        Some(Reply::Logs(log)) => assert_eq!((log.offset, log.text.as_str(), log.ended), (4, "one line\n", true)),
        other => panic!("{other:?}"),
    }
    story.hub.set_cut(&Role::Agent("a".parse().unwrap()), true);
    for run in [run, RunId(Uuid::from_u128(1))] {
        match story.ask(Request::Logs { run, offset: 0 }).await {
            Some(Reply::Refused(problem)) => assert!(!problem.why.is_empty() && !problem.fix.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_makes_its_run_unknown_at_once_and_not_failed() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    let run = story.run_in(round, RunState::Running).await;
    story.hub.set_cut(&Role::Agent(agent.node.clone()), true);
    assert_eq!(story.run_in(round, RunState::Unknown).await, run);
    story.hub.set_cut(&Role::Agent(agent.node.clone()), false);
    assert_eq!(story.run_in(round, RunState::Running).await, run);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_lost_its_disk_is_read_again_and_agents_send_what_is_missing() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let first = story.start().await;
    story.verdict(first).await;
    story.hub.wipe();
    let ended = timeout(WITHIN, life.task).await.unwrap().unwrap();
    assert_eq!(ended, Ended::LogReplaced);
    let life = story.live("one", &life.ledger);
    story.nodes_online(1).await;
    let second = story.start().await;
    assert_eq!(story.verdict(second).await, VerdictKind::Converged);
    assert_eq!(story.verdict(first).await, VerdictKind::Converged, "what was known before is known still");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_keeps_silent_and_takes_over_when_the_leader_is_gone() {
    let story = Story::new().await;
    let first = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    sleep(Duration::from_millis(100)).await;
    let second = story.live("two", &Arc::default());
    let round = story.start().await;
    story.run_in(round, RunState::Running).await;
    assert_eq!(story.status().await.leader.unwrap().as_str(), "one");
    first.kill().await;
    let begun = Instant::now();
    let about = agent.started().await.unwrap();
    agent.finish(about).await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    assert_eq!(story.status().await.leader.unwrap().as_str(), "two");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(story.verdicts_in_the_log().await, 1);
    second.end().await;
}
