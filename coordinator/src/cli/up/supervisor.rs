//! All children of one `up`: started from the bus outwards, ended the other way round.

use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::child::{Child, News, Spec};
use super::memory::Memory;
use super::place::Place;
use super::programs::Programs;
use super::signals::Signals;

/// News that wait to be told; further ones stand in the logs only.
const NEWS_MAX: usize = 64;

/// An agent cancels its runs first; the coordinator and the bus write what they hold.
const AGENT_GRACE: Duration = Duration::from_secs(20);
const COORDINATOR_GRACE: Duration = Duration::from_secs(10);
const BUS_GRACE: Duration = Duration::from_secs(10);

pub(super) const BUS: &str = "bus";
pub(super) const COORDINATOR: &str = "coordinator";

#[derive(Debug)]
pub(super) struct Supervisor {
    place: Place,
    programs: Programs,
    bus: Option<Child>,
    coordinator: Option<Child>,
    agents: Vec<Child>,
    news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,
}

impl Supervisor {
    pub(super) fn new(place: &Place, programs: &Programs) -> Self {
        let (tell, news) = mpsc::channel(NEWS_MAX);
        Self {
            place: place.clone(),
            programs: programs.clone(),
            bus: None,
            coordinator: None,
            agents: Vec::new(),
            news,
            tell,
        }
    }

    pub(super) fn start_bus(&mut self) {
        let config = self.place.bus().join("nats.conf").display().to_string();
        let spec = self.spec(BUS, BUS_GRACE, vec!["-c".into(), config]);
        self.bus = Some(Child::start(Spec { program: self.programs.bus.clone(), ..spec }, self.tell.clone()));
    }

    pub(super) fn start_coordinator(&mut self) {
        let config = self.place.coordinator().join("coordinator.toml").display().to_string();
        let spec = self.spec(COORDINATOR, COORDINATOR_GRACE, vec!["serve".into(), "--config".into(), config]);
        self.coordinator =
            Some(Child::start(Spec { program: self.programs.landfall.clone(), ..spec }, self.tell.clone()));
    }

    pub(super) fn start_agents(&mut self, memory: &Memory) {
        for node in memory.node_ids() {
            let config = self.place.node(&node).join("agent.toml").display().to_string();
            let spec = self.spec(node.as_str(), AGENT_GRACE, vec!["--config".into(), config, "serve".into()]);
            self.agents.push(Child::start(Spec { program: self.programs.agent.clone(), ..spec }, self.tell.clone()));
        }
    }

    /// The next thing a person should know of a child. Dropping the future loses nothing.
    pub(super) async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // Unreachable while this value holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// Ends what was started and nothing else. A further signal kills what is left.
    pub(super) async fn stop(mut self, signals: &mut Signals) {
        ended_or_killed(&mut self.agents, signals).await;
        ended_or_killed(self.coordinator.as_mut_slice(), signals).await;
        ended_or_killed(self.bus.as_mut_slice(), signals).await;
    }

    fn spec(&self, name: &str, grace: Duration, arguments: Vec<String>) -> Spec {
        let (log, mark) = (self.place.log(name), self.place.mark(name));
        Spec { name: name.to_owned(), program: std::path::PathBuf::new(), arguments, log, mark, grace }
    }
}

async fn ended_or_killed(children: &mut [Child], signals: &mut Signals) {
    let kills: Vec<_> = children.iter().map(Child::killer).collect();
    let all = join_all(children.iter_mut().map(Child::end));
    tokio::pin!(all);
    tokio::select! {
        _ = &mut all => return,
        _ = signals.next() => kills.iter().for_each(|kill| kill()),
    }
    all.await;
}
