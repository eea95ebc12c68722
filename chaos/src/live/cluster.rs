//! A mesh in a folder: generated keys, a real bus with its permissions, a coordinator, agents with their plans, an operator.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use landfall_proto::control::{Reply, Request};

use super::bus::{CLUSTER, Operator, node};
use super::node::{Node, agent_command, write_node};
use super::place::Place;
use super::plans::PASSWORD;
use super::process::{Process, binary};
use super::server::{BusServer, Seeds};
use super::tool::{self, Answer};
use super::wait::until;

/// The coordinator's name in every story.
pub const HOLDER: &str = "main";

const READY_WITHIN: Duration = Duration::from_secs(20);

/// What a mesh is to be.
#[derive(Debug)]
pub struct Setup {
    place: Place,
    nodes: Vec<Node>,
    policy: String,
    sinks: String,
}

impl Setup {
    pub fn new(place: Place) -> Self {
        // A witness that never answers must not hold a story up.
        let policy = "witness_within = \"5s\"\nsettle_within = \"2s\"\n".to_owned();
        Self { place, nodes: Vec::new(), policy, sinks: String::new() }
    }

    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// Lines for the coordinator's `[policy]`.
    #[must_use]
    pub fn policy(mut self, lines: &str) -> Self {
        self.policy.push_str(lines);
        self.policy.push('\n');
        self
    }

    /// A `[[sink]]` of the coordinator.
    #[must_use]
    pub fn sink(mut self, lines: &str) -> Self {
        let _ = writeln!(self.sinks, "[[sink]]\n{lines}");
        self
    }

    /// The story's folder, for what its nodes are made of.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Starts everything and waits until the coordinator leads and knows every plan of every node.
    pub async fn start(self) -> Cluster {
        let Self { place, nodes, policy, sinks } = self;
        let seeds = Seeds::draw(&place, &nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>());
        let mut bus = BusServer::new(&place, &seeds);
        bus.start(&place);
        let url = bus.url();
        place.secret("secrets/password", PASSWORD);
        place.file(
            "operator.toml",
            &format!("cluster = {CLUSTER:?}\nurls = [{url:?}]\nseed_file = \"seeds/operator\"\n"),
        );
        place.file("coordinator/coordinator.toml", &coordinator_file(&url, &policy, &sinks));
        for node in &nodes {
            write_node(&place, node, &url, &seeds.signing.public_key());
        }
        let coordinator = Some(start_coordinator(&place));
        let operator = Operator::connect(&url, &seeds.operator).await;
        let mut cluster = Cluster { operator, agents: BTreeMap::new(), coordinator, bus, nodes, place };
        for name in cluster.node_names() {
            cluster.start_agent(&name);
        }
        cluster.ready().await;
        cluster
    }
}

/// A running mesh. Everything it started ends with it.
#[derive(Debug)]
pub struct Cluster {
    pub operator: Operator,
    agents: BTreeMap<String, Process>,
    coordinator: Option<Process>,
    pub bus: BusServer,
    nodes: Vec<Node>,
    // The last field: the folder outlives every process that writes into it.
    pub place: Place,
}

impl Cluster {
    pub fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    pub fn start_agent(&mut self, name: &str) {
        let found = self.nodes.iter().find(|node| node.name == name);
        let node = found.unwrap_or_else(|| panic!("the story has a node {name}"));
        let process = Process::start(name, &mut agent_command(&self.place, node), &self.place.log_of(name));
        self.agents.insert(name.to_owned(), process);
    }

    /// The agent's process.
    pub fn agent(&self, name: &str) -> &Process {
        self.agents.get(name).unwrap_or_else(|| panic!("expected that the agent of {name} runs"))
    }

    /// The coordinator's process.
    pub fn coordinator(&self) -> &Process {
        self.coordinator.as_ref().expect("the coordinator runs")
    }

    /// `kill -9` of the agent alone; what it started is left to itself.
    pub fn kill_agent(&mut self, name: &str) {
        self.agents.remove(name).unwrap_or_else(|| panic!("expected that the agent of {name} runs")).kill();
    }

    /// Asks the agent to end and waits until it has; its exit code.
    pub async fn stop_agent(&mut self, name: &str) -> Option<i32> {
        self.agents.remove(name).unwrap_or_else(|| panic!("expected that the agent of {name} runs")).stop().await
    }

    pub fn kill_coordinator(&mut self) {
        self.coordinator.take().expect("the coordinator runs").kill();
    }

    pub fn start_coordinator(&mut self) {
        self.coordinator = Some(start_coordinator(&self.place));
    }

    /// Runs the operator's tool.
    pub async fn tool(&self, arguments: &[&str]) -> Answer {
        tool::landfall(&self.place.path("operator.toml"), arguments).await
    }

    /// The agent's configuration file.
    pub fn agent_config(&self, name: &str) -> PathBuf {
        self.place.path(&format!("nodes/{name}/agent.toml"))
    }

    /// A node's state folder.
    pub fn state(&self, name: &str) -> PathBuf {
        self.place.path(&format!("nodes/{name}/state"))
    }

    /// The seed of a user of the bus: `coordinator`, `operator`, `watch`, `signing` or `node-NAME`.
    pub fn seed(&self, user: &str) -> PathBuf {
        self.place.path("seeds").join(user)
    }

    /// What the bus refused to its clients so far.
    pub fn bus_complaints(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.place.log_of("bus")).unwrap_or_default();
        log.lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
    }

    /// Waits until a leader is there and every running agent is online with all its plans announced.
    pub async fn ready(&self) {
        let wanted: Vec<(&str, usize)> = self
            .nodes
            .iter()
            .filter(|node| self.agents.contains_key(&node.name))
            .map(|node| (node.name.as_str(), node.plans.len()))
            .collect();
        until(&format!("a leader, and the nodes {wanted:?} online with so many plans"), READY_WITHIN, async || {
            self.operator.status().await?.leader?;
            for (name, plans) in &wanted {
                let Reply::Node(view) = self.operator.ask(&Request::Node { id: node(name) }).await? else {
                    return None;
                };
                if !view.online || view.routines.len() < *plans {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

fn coordinator_file(url: &str, policy: &str, sinks: &str) -> String {
    format!(
        "cluster = {CLUSTER:?}\nname = {HOLDER:?}\nstate_dir = \"state\"\nsigning_seed_file = \"../seeds/signing\"\n\
         [bus]\nurls = [{url:?}]\nseed_file = \"../seeds/coordinator\"\nsystem_seed_file = \"../seeds/watch\"\n{sinks}[policy]\n{policy}"
    )
}

fn start_coordinator(place: &Place) -> Process {
    let mut command = Command::new(binary("landfall"));
    command.arg("serve").arg("--config").arg(place.path("coordinator/coordinator.toml"));
    Process::start("coordinator", &mut command, &place.log_of("coordinator"))
}
