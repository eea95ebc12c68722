//! The operator's seat on the bus: asks the coordinator, and reads every fact of the log from its beginning.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{Bus, BusRefusal, ConnectOptions, Inbox, LogState, Seed, Tls, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::control::{REQUEST_KIND, Reply, Request};
use landfall_proto::envelope::Envelope;
use landfall_proto::fact::agent::RunFinished;
use landfall_proto::id::{ClusterName, Incarnation, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::TaskKind;
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::version::PROTOCOL;
use landfall_proto::view::{AlertView, RoundDetail, RunView, StatusView};
use tokio::sync::watch;
use uuid::Uuid;

use super::log::{Log, Seen};
use super::wait::until;
use super::{fresh_id, now};

/// The mesh's name in every story.
pub const CLUSTER: &str = "story";

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A client with the operator's rights.
#[derive(Debug)]
pub struct Operator {
    bus: Bus,
    log: watch::Receiver<Lives>,
}

/// What was read of the log: of the one that is there, and of those that the bus has lost.
#[derive(Debug, Clone, Default)]
struct Lives {
    now: Arc<Vec<Seen>>,
    lost: Vec<Arc<Vec<Seen>>>,
}

impl Operator {
    /// Connects and begins to read the log.
    pub async fn connect(urls: &[String], seed: &Seed, tls: Option<Tls>) -> Self {
        let mut options = ConnectOptions::new(urls.to_vec(), Role::Operator, cluster(), seed.clone());
        options.tls = tls;
        let bus = Bus::connect(options).await.unwrap_or_else(|error| panic!("the operator may connect: {error}"));
        let (sender, log) = watch::channel(Lives::default());
        tokio::spawn(follow(bus.clone(), sender));
        Self { bus, log }
    }

    /// Everything that the log holds as far as it has been read.
    pub fn log(&self) -> Log {
        Log(self.log.borrow().now.as_ref().clone())
    }

    /// What was read of logs that the bus has lost or rewound since, oldest first.
    pub fn lost_logs(&self) -> Vec<Log> {
        self.log.borrow().lost.iter().map(|lost| Log(lost.as_ref().clone())).collect()
    }

    /// Reads the log as it is at this moment, from its first message.
    pub async fn whole_log(&self, within: Duration) -> Log {
        let mut found = Vec::new();
        let mut reader = self.bus.read_log(0);
        let reading = async {
            loop {
                match reader.next_batch(1000, Duration::from_millis(500)).await {
                    Told::Done(batch) => {
                        found.extend(batch.messages.iter().map(Seen::of));
                        let last = found.last().map_or(0, |seen| seen.seq);
                        if batch.log.messages == 0 || last >= batch.log.last_seq {
                            return;
                        }
                    }
                    Told::Refused(_) | Told::Unknown => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let is_whole = tokio::time::timeout(within, reading).await.is_ok();
        assert!(is_whole, "expected that the log can be read from its start within {within:?}");
        Log(found)
    }

    /// Hears what may be lost: beats, beacons, presence.
    pub async fn hear(&self, filter: &str) -> Option<Inbox> {
        self.bus.listen(filter).await.done()
    }

    /// The log's own state, where the bus tells it.
    pub async fn log_state(&self) -> Option<LogState> {
        self.bus.log_info().await.done().map(|info| info.state)
    }

    /// Reads on until the log shows what is looked for.
    pub async fn seen<T>(&self, what: &str, within: Duration, find: impl Fn(&Log) -> Option<T>) -> T {
        let mut news = self.log.clone();
        let looking = async {
            loop {
                let log = Log(news.borrow_and_update().now.as_ref().clone());
                if let Some(found) = find(&log) {
                    return found;
                }
                if news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(within, looking).await {
            Ok(found) => found,
            Err(_) => {
                panic!("expected in the log within {within:?}: {what}; its last entries are {:#?}", self.last_entries())
            }
        }
    }

    /// Asks once; `None` when nobody answers.
    pub async fn ask(&self, request: &Request) -> Option<Reply> {
        let subject = Subject::new(self.bus.cluster(), Topic::Control(request.verb().to_owned()));
        let envelope = Envelope {
            protocol: PROTOCOL,
            kind: REQUEST_KIND.to_owned(),
            id: fresh_id(),
            writer: "operator".to_owned(),
            incarnation: Incarnation(fresh_id()),
            seq: 0,
            sent_at: now(),
            body: encode(request),
        };
        match self.bus.request(&subject, &envelope, ANSWER_WITHIN).await {
            Told::Done(reply) => Some(
                decode(&reply.body, MESSAGE_BYTES_MAX)
                    .unwrap_or_else(|refusal| panic!("expected a readable reply to {request:?}: {refusal}")),
            ),
            Told::Refused(_) | Told::Unknown => None,
        }
    }

    pub async fn status(&self) -> Option<StatusView> {
        match self.ask(&Request::Status).await {
            Some(Reply::Status(status)) => Some(status),
            Some(_) | None => None,
        }
    }

    /// Opens a round on all nodes of a routine.
    pub async fn start(&self, routine: &str) -> RoundId {
        self.start_as(routine, &[], TaskKind::Backup, fresh_id()).await
    }

    /// Opens a round under an id of the story's own choice.
    pub async fn start_as(&self, routine: &str, nodes: &[&str], task: TaskKind, request: Uuid) -> RoundId {
        let nodes = nodes.iter().map(|name| node(name)).collect();
        let request = Request::Start { routine: self::routine(routine), nodes, task, by: "story".to_owned(), request };
        self.opened(&request).await
    }

    /// An act that opens a round. Asked again under the same id until it is answered.
    pub async fn opened(&self, request: &Request) -> RoundId {
        until("the coordinator opens the round", Duration::from_secs(15), async || match self.ask(request).await {
            Some(Reply::Opened { round }) => Some(round),
            // It reads the log and does not lead yet.
            Some(Reply::Refused(problem)) if problem.what.contains("cannot act") => None,
            Some(other) => panic!("expected that {request:?} opens a round, and the coordinator said {other:?}"),
            None => None,
        })
        .await
    }

    pub async fn round(&self, id: RoundId) -> RoundDetail {
        let mut said = None;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match self.ask(&Request::Round { id }).await {
                Some(Reply::Round(detail)) => return detail,
                other => said = other.or(said),
            }
            let is_over = tokio::time::Instant::now() > deadline;
            assert!(!is_over, "expected that the coordinator shows round {id} within 10 s; it said {said:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One node's run in a round.
    pub async fn run(&self, round: RoundId, node: &str) -> RunView {
        let detail = self.round(round).await;
        let found = detail.runs.iter().find(|run| run.node.as_str() == node);
        found.cloned().unwrap_or_else(|| panic!("expected a run of {node} in {detail:#?}"))
    }

    /// Waits for the round's verdict in the log, and gives the round as the coordinator shows it afterwards.
    pub async fn verdict(&self, round: RoundId, within: Duration) -> RoundDetail {
        self.seen(&format!("the verdict of round {round}"), within, |log| {
            (!log.verdicts(round).is_empty()).then_some(())
        })
        .await;
        until("the round shows its verdict", Duration::from_secs(5), async || {
            let detail = self.round(round).await;
            detail.verdict.is_some().then_some(detail)
        })
        .await
    }

    /// Waits for the report of a run.
    pub async fn finished(&self, run: RunId, within: Duration) -> RunFinished {
        self.seen(&format!("the end of run {run}"), within, |log| {
            log.reports(run).first().map(|finished| (*finished).clone())
        })
        .await
    }

    /// Waits until a run has begun; the position of that fact.
    pub async fn started(&self, run: RunId, within: Duration) -> u64 {
        let begun = |log: &Log| {
            log.runs_started().into_iter().find(|(_, _, started)| started.about.run == run).map(|(seq, _, _)| seq)
        };
        self.seen(&format!("the start of run {run}"), within, begun).await
    }

    /// The alerts that are open.
    pub async fn open_alerts(&self) -> Vec<AlertView> {
        let request = Request::Alerts { all: false, paging: landfall_proto::control::Paging::default() };
        until("the coordinator lists its alerts", Duration::from_secs(10), async || match self.ask(&request).await {
            Some(Reply::Alerts(page)) => Some(page.rows),
            Some(_) | None => None,
        })
        .await
    }

    fn last_entries(&self) -> Vec<String> {
        let log = Arc::clone(&self.log.borrow().now);
        log[log.len().saturating_sub(8)..]
            .iter()
            .map(|seen| format!("{} {:?}", seen.seq, seen.fact).chars().take(400).collect())
            .collect()
    }
}

/// The run of one node in a round.
pub fn run_of(round: RoundId, node_name: &str, task: TaskKind) -> RunId {
    RunId::of(round, &node(node_name), task)
}

pub fn cluster() -> ClusterName {
    CLUSTER.parse().expect("it is a name")
}

pub fn node(name: &str) -> NodeId {
    name.parse().unwrap_or_else(|error| panic!("the story's node has a name: {error}"))
}

pub fn routine(name: &str) -> RoutineName {
    name.parse().unwrap_or_else(|error| panic!("the story's routine has a name: {error}"))
}

async fn follow(bus: Bus, sender: watch::Sender<Lives>) {
    let mut reader = bus.read_log(0);
    while !sender.is_closed() {
        match reader.next_batch(1000, Duration::from_millis(500)).await {
            Told::Done(batch) if !batch.messages.is_empty() => {
                sender.send_modify(|log| Arc::make_mut(&mut log.now).extend(batch.messages.iter().map(Seen::of)));
            }
            Told::Done(_) | Told::Unknown => {}
            // This is another log, or less of it: only a fresh reader reads it.
            Told::Refused(BusRefusal::LogRewound { .. } | BusRefusal::LogReplaced) => {
                sender.send_modify(|log| log.lost.push(std::mem::take(&mut log.now)));
                reader = bus.read_log(0);
            }
            // No coordinator has made the log yet.
            Told::Refused(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
