//! The story of a standby whose ledger was tampered with: it notices, takes the leader's state over, and agrees again.

use std::path::Path;

use landfall_proto::limit::LimitName;
use landfall_proto::view::AlertView;

use super::*;
use crate::config::{BusConfig, Config};
use crate::core::record::{Changes, Records};
use crate::edge::ledger::open_locked;
use crate::edge::rebuild::{Source, adopt};
use crate::edge::snapshot::Keeper;

/// A coordinator with its ledger on a disk, and whoever writes and hands out its snapshots.
struct OnDisk {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Ended>,
    keeper: Keeper,
}

impl OnDisk {
    fn begin(story: &Story, name: &str, folder: &Path) -> Self {
        let opened = open_locked(folder, clock::now()).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(opened.ledger);
        let keeper = Keeper::start(folder, &name.parse().unwrap(), &ledger, &story.hub.connect(Role::Coordinator));
        let (stop, task) = story.begin(name, ledger, opened.records);
        Self { stop, task, keeper }
    }

    /// Ends as `Stopped` where it is asked to, else as it ends by itself.
    async fn ended(self, is_asked: bool) -> Ended {
        if is_asked {
            self.stop.send(()).unwrap();
        }
        let ended = timeout(WITHIN, self.task).await.unwrap().unwrap();
        self.keeper.end(false).await;
        ended
    }
}

fn records(folder: &Path) -> Records {
    open_locked(folder, clock::now()).unwrap().records
}

fn config(name: &str, folder: &Path) -> Config {
    let (seed, signing_seed) = (Seed::generate(), Seed::generate());
    Config {
        cluster: "home".parse().unwrap(),
        holder: name.parse().unwrap(),
        state_dir: folder.to_owned(),
        bus: BusConfig { urls: Vec::new(), seed, tls: None, system_seed: None, log: LogSettings::default() },
        signing_seed,
        policy: Policy::default(),
        sinks: Vec::new(),
        routes: Vec::new(),
        watchdog: None,
        web: None,
    }
}

/// So many decisions that both take digests on the way.
async fn decide_much(story: &Story) {
    for value in 0..140 {
        let request = Request::SetLimit { name: LimitName::Cluster, value: 4 + value % 9, by: "ann".to_owned() };
        assert!(matches!(story.ask(request).await, Some(Reply::Done { .. })));
    }
}

async fn standby_agrees(story: &Story) {
    story
        .until(Request::Status, |reply| match reply {
            Reply::Status(status) => status
                .standbys
                .iter()
                .any(|standby| standby.lag == Some(0) && standby.agrees == Some(true))
                .then_some(()),
            other => panic!("{other:?}"),
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_whose_ledger_was_tampered_with_takes_the_leaders_snapshot_and_agrees_again() {
    let story = Story::new().await;
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let leader = OnDisk::begin(&story, "one", first.path());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    let standby = OnDisk::begin(&story, "two", second.path());
    decide_much(&story).await;
    standby_agrees(&story).await;
    assert_eq!(standby.ended(true).await, Ended::Stopped);

    let mut opened = open_locked(second.path(), clock::now()).unwrap();
    let node = opened.records.nodes.values_mut().next().unwrap();
    node.host = "elsewhere".to_owned();
    let mut changes = Changes::default();
    changes.nodes.insert(node.id.clone(), node.clone());
    opened.ledger.commit(&changes).unwrap();
    opened.ledger.durable().unwrap();
    drop(opened);

    let standby = OnDisk::begin(&story, "two", second.path());
    decide_much(&story).await;
    let one = "one".parse().unwrap();
    assert_eq!(standby.ended(false).await, Ended::Diverged { leader: one });
    assert_eq!(records(second.path()).nodes.values().next().unwrap().host, "elsewhere");

    let one = "one".parse().unwrap();
    let bus = story.hub.connect(Role::Coordinator);
    let news = adopt(&config("two", second.path()), &bus, &one).await.unwrap();
    assert!(matches!(news.source, Some(Source::Peer(from, _)) if from == one));
    assert_ne!(records(second.path()).nodes.values().next().unwrap().host, "elsewhere");

    let standby = OnDisk::begin(&story, "two", second.path());
    decide_much(&story).await;
    standby_agrees(&story).await;
    let is_over = |alert: &AlertView| alert.alert.key.0 == "coordinator_differs/two" && !alert.open;
    story
        .until(Request::Alerts { all: true, paging: Paging::default() }, |reply| match reply {
            Reply::Alerts(page) => page.rows.iter().any(is_over).then_some(()),
            other => panic!("{other:?}"),
        })
        .await;
    assert_eq!(standby.ended(true).await, Ended::Stopped);
    assert_eq!(leader.ended(true).await, Ended::Stopped);
    let (one, two) = (records(first.path()), records(second.path()));
    assert_eq!((one.nodes, one.limits, one.rounds, one.alerts), (two.nodes, two.limits, two.rounds, two.alerts));
}
