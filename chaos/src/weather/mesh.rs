//! The mesh that the cases break: nodes that save a tree and run a program, rounds asked of it, and all that went on meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use landfall_proto::control::{Reply, Request};
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::plan::Plan;
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Duration as PlanTime, Timestamp};
use landfall_proto::verdict::VerdictKind;

use super::case::Weather;
use super::heard::Heard;
use crate::live::bus::{node, routine, run_of};
use crate::live::wait::{seconds, until};
use crate::live::{Cluster, Node, Place, Setup, fresh_id, plans, source};

/// The routine that saves a tree into the repository which all nodes share.
pub const NIGHTLY: &str = "nightly";

/// The routine that runs a program which can be held in the middle.
pub const TASK: &str = "task";

/// How long a round may wait to be opened once nothing is broken.
const OPENED_WITHIN: Duration = Duration::from_secs(60);

/// How long an act is waited for while something may be broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Default limits of a run in bad weather: longer than every outage of a case that expects a good end.
const START_WITHIN: u64 = 120;
const FINISH_WITHIN: u64 = 300;

/// A mesh that is not started yet.
pub struct Draft {
    weather: Weather,
    place: Place,
    nodes: Vec<Node>,
    changes: Vec<Box<dyn FnOnce(Setup) -> Setup>>,
    works: BTreeMap<String, Work>,
}

/// A program on a node that leaves a trace of each of its lives, and waits while the story holds it.
#[derive(Debug, Clone)]
pub struct Work {
    folder: PathBuf,
}

/// A round that the case asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub round: RoundId,
    pub routine: String,
    /// Every node of the routine where none is named.
    pub nodes: Vec<String>,
    /// How it has to end.
    pub expected: VerdictKind,
}

/// A running mesh in bad weather.
pub struct Mesh {
    pub cluster: Cluster,
    pub weather: Weather,
    pub works: BTreeMap<String, Work>,
    pub asked: Vec<Asked>,
    /// Beginnings of the keys of alerts that this case may leave open.
    pub alerts_allowed: Vec<String>,
    /// Whether this case makes clients say what the bus forbids.
    pub complaints_allowed: bool,
    /// Runs that may lack a good report: their node was lost to the round on purpose.
    pub excused: Vec<RunId>,
    /// Nodes whose folder was replaced by an older or another one, and when.
    pub set_back: Vec<(String, Timestamp)>,
    pub heard: Heard,
    /// Where the nodes save to.
    pub repository: PathBuf,
}

impl Draft {
    pub fn new(weather: Weather, nodes: &[&str]) -> Self {
        let mut place = Place::new(weather.case);
        place.keep(weather.keeps);
        let tree = place.folder("tree");
        source::tree(&tree, 40, 20_000);
        let mut works = BTreeMap::new();
        let nodes = nodes
            .iter()
            .map(|name| {
                let work = Work { folder: place.folder(&format!("work/{name}")) };
                let script = place.script(&format!("work-{name}"), &work.script());
                let node = Node::new(name)
                    .plan(patient(plans::rustic(NIGHTLY, &tree)))
                    .target(plans::repository(&place.path("repository"), &place.path("secrets/password")))
                    .plan(patient(plans::command(TASK, &script, &work.folder.join("artifact-*"))))
                    .target(plans::folder(&work.folder));
                works.insert((*name).to_owned(), work);
                node
            })
            .collect();
        Self { weather, place, nodes, changes: Vec::new(), works }
    }

    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Changes what the mesh is to be.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Setup) -> Setup + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Changes one node.
    #[must_use]
    pub fn node(mut self, name: &str, change: impl FnOnce(Node) -> Node) -> Self {
        let found = self.nodes.iter().position(|node| node.name() == name);
        let index = found.unwrap_or_else(|| panic!("the case has a node {name}"));
        let node = self.nodes.remove(index);
        self.nodes.insert(index, change(node));
        self
    }

    pub async fn start(self) -> Mesh {
        let Self { weather, place, nodes, changes, works } = self;
        let setup = nodes.into_iter().fold(Setup::new(place), Setup::node);
        let setup = changes.into_iter().fold(setup, |setup, change| change(setup));
        let cluster = setup.start().await;
        weather.diary.say(&format!("the mesh stands in {}", cluster.place.root().display()));
        let heard = Heard::listen(&cluster.operator).await;
        Mesh {
            repository: cluster.place.path("repository"),
            cluster,
            heard,
            set_back: Vec::new(),
            weather,
            works,
            asked: Vec::new(),
            alerts_allowed: Vec::new(),
            complaints_allowed: false,
            excused: Vec::new(),
        }
    }
}

/// A plan whose limits no outage of a case exceeds.
pub fn patient(mut plan: Plan) -> Plan {
    plan.deadlines.start_within = PlanTime::from_secs(START_WITHIN);
    plan.deadlines.finish_within = PlanTime::from_secs(FINISH_WITHIN);
    plan.deadlines.stall_after = PlanTime::from_secs(FINISH_WITHIN / 2);
    plan
}

impl Work {
    fn script(&self) -> String {
        let at = self.folder.display();
        // The lock is held by the process itself: two programs of one run at the same time would be seen.
        format!(
            "exec 9> '{at}/lock-'$LANDFALL_RUN\nflock -n 9 || echo $LANDFALL_RUN >> '{at}/overlaps'\n\
             echo $LANDFALL_RUN >> '{at}/begun'\nsleep 0.3\nwhile [ -e '{at}/hold' ]; do sleep 0.05; done\n\
             echo saved > '{at}/artifact-'$LANDFALL_RUN\necho $LANDFALL_RUN >> '{at}/ended'"
        )
    }

    /// How often the program of a run began.
    pub fn begun(&self, run: RunId) -> usize {
        let text = std::fs::read_to_string(self.folder.join("begun")).unwrap_or_default();
        text.lines().filter(|line| *line == run.to_string()).count()
    }

    /// Runs of which two programs lived at the same time.
    pub fn overlaps(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("overlaps")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Mesh {
    pub fn say(&self, line: &str) {
        self.weather.diary.say(line);
    }

    pub fn fault(&self, line: &str) {
        self.weather.diary.fault(line);
    }

    /// A node by chance.
    pub fn any_node(&mut self) -> String {
        let names = self.cluster.node_names();
        self.weather.dice.one_of(&names).clone()
    }

    /// Waits for a time by chance.
    pub async fn pause(&mut self, least: Duration, most: Duration) {
        let time = self.weather.dice.between(least, most);
        tokio::time::sleep(time).await;
    }

    /// How long something stands still: the longest time in the first round, any time up to it in later ones, so that
    /// what happens just before and just after a limit is seen too.
    pub fn standstill(&mut self, number: u32, longest: Duration) -> Duration {
        if number == 0 { longest } else { self.weather.dice.between(Duration::ZERO, longest) }
    }

    /// Programs that begin from now on, or have begun, wait.
    pub fn hold(&self) {
        for work in self.works.values() {
            std::fs::write(work.folder.join("hold"), "").expect("the case's folder can be written");
        }
    }

    pub fn release(&self) {
        for work in self.works.values() {
            let _ = std::fs::remove_file(work.folder.join("hold"));
        }
    }

    /// Opens a round that has to converge.
    pub async fn open(&mut self, name: &str) -> RoundId {
        let round = self.plan_round(name, VerdictKind::Converged);
        self.insist(round).await;
        round
    }

    /// Notes a round that will be asked for, and how it has to end.
    pub fn plan_round(&mut self, name: &str, expected: VerdictKind) -> RoundId {
        self.plan_round_of(name, &[], expected)
    }

    /// The same for some nodes alone.
    pub fn plan_round_of(&mut self, name: &str, nodes: &[&str], expected: VerdictKind) -> RoundId {
        let round = RoundId(fresh_id());
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        self.asked.push(Asked { round, routine: name.to_owned(), nodes, expected });
        self.weather.diary.change(|counts| counts.rounds += 1);
        round
    }

    /// Asks once for a round, under its own id; whether a coordinator took it on.
    pub async fn ask(&self, round: RoundId) -> bool {
        let asked = self.asked.iter().find(|asked| asked.round == round).expect("the round was noted");
        let request = Request::Start {
            routine: routine(&asked.routine),
            nodes: asked.nodes.iter().map(|name| node(name)).collect(),
            task: TaskKind::Backup,
            by: "chaos".to_owned(),
            request: round.0,
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.cluster.operator.ask(&request)).await;
        matches!(answer, Ok(Some(Reply::Opened { .. })))
    }

    /// Asks again under the same id until a coordinator has taken the round on.
    pub async fn insist(&self, round: RoundId) {
        until("a coordinator takes the round on", OPENED_WITHIN, async || self.ask(round).await.then_some(())).await;
    }

    /// Waits until the program of every node has begun in this round.
    pub async fn begun(&self, round: RoundId) {
        let names = self.cluster.node_names();
        until("every node's program has begun", seconds(60), async || {
            let begun = |name: &String| {
                self.works.get(name).is_some_and(|work| work.begun(run_of(round, name, TaskKind::Backup)) > 0)
            };
            names.iter().all(begun).then_some(())
        })
        .await;
    }

    /// Waits until a round has its verdict, in the coordinator's own view: the log may be on its way back.
    pub async fn verdict(&self, round: RoundId, within: Duration) -> VerdictKind {
        let what = format!("the verdict of round {round}");
        let kind =
            until(&what, within, async || match self.cluster.operator.ask(&Request::Round { id: round }).await {
                Some(Reply::Round(detail)) => detail.round.verdict,
                Some(_) | None => None,
            })
            .await;
        self.say(&format!("round {round}: {kind}"));
        kind
    }

    /// Starts whatever does not run.
    pub fn heal(&mut self) {
        self.release();
        if !self.cluster.bus.is_running() {
            self.cluster.bus.start();
        }
        for server in &mut self.cluster.other_buses {
            if !server.is_running() {
                server.start();
            }
        }
        for name in self.cluster.coordinator_names().to_vec() {
            if !self.cluster.has_coordinator(&name) {
                self.cluster.start_coordinator_named(&name);
            }
        }
        for name in self.cluster.node_names() {
            if !self.cluster.has_agent(&name) {
                self.cluster.start_agent(&name);
            }
        }
    }
}
