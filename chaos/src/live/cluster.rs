//! A mesh in a folder: generated keys, a real bus with its permissions, a coordinator, agents with their plans, an operator.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use landfall_proto::control::{Reply, Request};

use super::bus::{CLUSTER, Operator, node};
use super::node::{Node, agent_command, write_node};
use super::papers::{Authority, Validity, table};
use super::place::{Place, copy_folder};
use super::plans::PASSWORD;
use super::process::{Process, binary};
use super::proxy::Proxy;
use super::server::{BusServer, Seeds};
use super::tool::{self, Answer};
use super::wait::until;

/// The coordinator's name in every story; where there are several, the first one's.
pub const HOLDER: &str = "main";

/// Whose certificate the operator's tool shows.
pub const OPERATOR: &str = "operator";

const READY_WITHIN: Duration = Duration::from_secs(20);

/// How much longer it may take where three servers have to agree on who leads before a coordinator makes the log on them.
const AGREED_WITHIN: Duration = Duration::from_secs(40);

/// What a mesh is to be.
#[derive(Debug)]
pub struct Setup {
    place: Place,
    nodes: Vec<Node>,
    policy: String,
    sinks: String,
    coordinators: Vec<String>,
    has_three_servers: bool,
    store_bytes_max: Option<u64>,
    has_papers: bool,
    links: BTreeMap<String, Proxy>,
}

impl Setup {
    pub fn new(place: Place) -> Self {
        // A witness that never answers must not hold a story up, and what else fills this machine's disk must not alarm it.
        let policy = "witness_within = \"5s\"\nsettle_within = \"2s\"\nstorage_low_percent = 0\n".to_owned();
        Self {
            place,
            nodes: Vec::new(),
            policy,
            sinks: String::new(),
            coordinators: vec![HOLDER.to_owned()],
            has_three_servers: false,
            store_bytes_max: None,
            has_papers: false,
            links: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// Lines for the coordinator's `[policy]`.
    #[must_use]
    pub fn policy(mut self, lines: &str) -> Self {
        let _ = writeln!(self.policy, "{lines}");
        self
    }

    /// A `[[sink]]` of the coordinator.
    #[must_use]
    pub fn sink(mut self, lines: &str) -> Self {
        let _ = writeln!(self.sinks, "[[sink]]\n{lines}");
        self
    }

    /// The coordinator shows its pages at a free port, which its log names.
    #[must_use]
    pub fn pages(mut self) -> Self {
        self.sinks += "[web]\nlisten = \"127.0.0.1:0\"\nmetrics_open = true\n";
        self
    }

    /// One more coordinator, which stands by.
    #[must_use]
    pub fn standby(mut self, name: &str) -> Self {
        self.coordinators.push(name.to_owned());
        self
    }

    /// A bus of three servers, each with a copy of the log.
    #[must_use]
    pub const fn three_servers(mut self) -> Self {
        self.has_three_servers = true;
        self
    }

    /// The most that the bus may store.
    #[must_use]
    pub const fn store_bytes_max(mut self, bytes: u64) -> Self {
        self.store_bytes_max = Some(bytes);
        self
    }

    /// Everybody shows a certificate, and so does the bus. Only with a bus of one server.
    #[must_use]
    pub const fn mutual_tls(mut self) -> Self {
        self.has_papers = true;
        self
    }

    /// Leads one node's or one coordinator's way to the bus over this line. Only with a bus of one server.
    #[must_use]
    pub fn link(mut self, client: &str, proxy: &Proxy) -> Self {
        self.links.insert(client.to_owned(), proxy.clone());
        self
    }

    /// The story's folder, for what its nodes are made of.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Starts everything and waits until a coordinator leads and knows every plan of every node.
    pub async fn start(self) -> Cluster {
        let mut cluster = self.assemble().await;
        for name in cluster.coordinator_names.clone() {
            cluster.start_coordinator_named(&name);
        }
        for name in cluster.node_names() {
            cluster.start_agent(&name);
        }
        cluster.ready().await;
        cluster
    }

    /// Writes every file and starts the bus; nobody else runs yet.
    pub async fn assemble(self) -> Cluster {
        let Self { place, nodes, policy, sinks, coordinators, has_three_servers, store_bytes_max, has_papers, links } =
            self;
        let papers = has_papers.then(|| Authority::of_mesh(&place));
        let tls_of = |name: &str| papers.as_ref().map(|authority| authority.client(&place, name, Validity::Good));
        let seeds = Seeds::draw(&place, &nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>());
        let tls = papers.as_ref().map(|authority| authority.server(&place));
        let mut servers = match has_three_servers {
            true => BusServer::three(&place, &seeds),
            false => vec![BusServer::alone(&place, &seeds, store_bytes_max, tls)],
        };
        servers.iter_mut().for_each(|server| server.start());
        let urls: Vec<String> = servers.iter().map(BusServer::url).collect();
        links.values().for_each(|proxy| proxy.aim(servers[0].address()));
        let urls_of = |client: &str| links.get(client).map_or_else(|| urls.clone(), |proxy| vec![proxy.url()]);
        place.secret("secrets/password", PASSWORD);
        let operators = tls_of(OPERATOR);
        place.file("operator.toml", &operator_file(&urls, &table("tls", operators.as_ref())));
        for name in &coordinators {
            let tables = format!("{}{sinks}", table("bus.tls", tls_of(name).as_ref()));
            let file = coordinator_file(name, &urls_of(name), servers.len(), &policy, &tables);
            place.file(&format!("{}/coordinator.toml", coordinator_folder(name)), &file);
        }
        for node in &nodes {
            let tls = table("bus.tls", tls_of(&node.name).as_ref());
            write_node(&place, node, &urls_of(&node.name), &tls, &seeds.signing.public_key());
        }
        let operator = Operator::connect(&urls, &seeds.operator, operators).await;
        let other_buses = servers.split_off(1);
        let bus = servers.pop().expect("a bus has at least one server");
        Cluster {
            operator,
            agents: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            bus,
            other_buses,
            coordinator_names: coordinators,
            nodes,
            policy,
            papers,
            place,
        }
    }
}

/// A running mesh. Everything it started ends with it.
#[derive(Debug)]
pub struct Cluster {
    pub operator: Operator,
    agents: BTreeMap<String, Process>,
    coordinators: BTreeMap<String, Process>,
    pub bus: BusServer,
    /// The second and the third server, where there are three.
    pub other_buses: Vec<BusServer>,
    coordinator_names: Vec<String>,
    nodes: Vec<Node>,
    policy: String,
    /// Who signs the certificates, where TLS is spoken.
    pub papers: Option<Authority>,
    // The last field: the folder outlives every process that writes into it.
    pub place: Place,
}

impl Cluster {
    pub fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// The lines of every coordinator's `[policy]`.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    pub fn coordinator_names(&self) -> &[String] {
        &self.coordinator_names
    }

    pub fn start_agent(&mut self, name: &str) {
        self.start_agent_in(name, name);
    }

    /// Starts a second agent of one identity out of a copy of its folder.
    pub fn start_twin(&mut self, name: &str) -> String {
        let twin = format!("{name}-twin");
        let (from, to) = (self.place.path(&format!("nodes/{name}")), self.place.path(&format!("nodes/{twin}")));
        copy_folder(&from, &to);
        let file = format!("nodes/{twin}/agent.toml");
        let text = std::fs::read_to_string(self.place.path(&file)).expect("the node's files are written");
        let own = |path: &Path, below: &str| path.join(below).display().to_string();
        self.place.file(&file, &text.replace(&own(&from, "state"), &own(&to, "state")));
        self.start_agent_in(name, &twin);
        twin
    }

    fn start_agent_in(&mut self, name: &str, folder: &str) {
        let found = self.nodes.iter().find(|node| node.name == name);
        let node = found.unwrap_or_else(|| panic!("the story has a node {name}"));
        let process = Process::start(folder, &mut agent_command(&self.place, node, folder), &self.place.log_of(folder));
        self.agents.insert(folder.to_owned(), process);
    }

    /// The agent's process.
    pub fn agent(&self, name: &str) -> &Process {
        self.agents.get(name).unwrap_or_else(|| panic!("expected that the agent of {name} runs"))
    }

    pub fn has_agent(&self, name: &str) -> bool {
        self.agents.contains_key(name)
    }

    /// The coordinator's process.
    pub fn coordinator(&self) -> &Process {
        self.coordinator_named(HOLDER)
    }

    pub fn coordinator_named(&self, name: &str) -> &Process {
        self.coordinators.get(name).unwrap_or_else(|| panic!("expected that the coordinator {name} runs"))
    }

    pub fn has_coordinator(&self, name: &str) -> bool {
        self.coordinators.contains_key(name)
    }

    /// Every process that the story started and has not ended.
    pub fn processes(&self) -> Vec<u32> {
        let buses = std::iter::once(&self.bus).chain(&self.other_buses).filter_map(BusServer::id);
        self.agents.values().chain(self.coordinators.values()).map(Process::id).chain(buses).collect()
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
        self.kill_coordinator_named(HOLDER);
    }

    pub fn kill_coordinator_named(&mut self, name: &str) {
        let found = self.coordinators.remove(name);
        found.unwrap_or_else(|| panic!("expected that the coordinator {name} runs")).kill();
    }

    pub fn start_coordinator(&mut self) {
        self.start_coordinator_named(HOLDER);
    }

    pub fn start_coordinator_named(&mut self, name: &str) {
        let mut command = Command::new(binary("landfall"));
        let folder = coordinator_folder(name);
        command.arg("serve").arg("--config").arg(self.place.path(&format!("{folder}/coordinator.toml")));
        let process = Process::start(&folder, &mut command, &self.place.log_of(&folder));
        self.coordinators.insert(name.to_owned(), process);
    }

    /// A coordinator's state folder.
    pub fn coordinator_state(&self, name: &str) -> PathBuf {
        self.place.path(&coordinator_folder(name)).join("state")
    }

    /// Where the coordinator has served its pages since its first start, in the order of its starts.
    pub fn pages(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.place.log_of("coordinator")).unwrap_or_default();
        let said = log.lines().filter(|line| line.contains("pages, API and metrics are served"));
        said.filter_map(|line| Some(line.split_once("address=")?.1.split_whitespace().next()?.to_owned())).collect()
    }

    /// Runs the operator's tool.
    pub async fn tool(&self, arguments: &[&str]) -> Answer {
        tool::landfall(&self.place.path("operator.toml"), arguments).await
    }

    /// The operator's tool on another way to the bus.
    pub async fn tool_over(&self, proxy: &Proxy, arguments: &[&str]) -> Answer {
        let text = std::fs::read_to_string(self.place.path("operator.toml")).expect("the operator's file is written");
        let other = text.replace(&self.bus.url(), &proxy.url());
        tool::landfall(&self.place.file("operator-other.toml", &other), arguments).await
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
        let servers = std::iter::once(&self.bus).chain(&self.other_buses);
        let logs = servers.map(|server| std::fs::read_to_string(self.place.log_of(server.name())).unwrap_or_default());
        logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.contains("Violation"))
            .collect()
    }

    /// Waits until a leader is there and every running agent is online with all its plans announced.
    pub async fn ready(&self) {
        let wanted: Vec<(&str, usize)> = self
            .nodes
            .iter()
            .filter(|node| self.agents.contains_key(&node.name))
            .map(|node| (node.name.as_str(), node.plans.len()))
            .collect();
        let within = if self.other_buses.is_empty() { READY_WITHIN } else { READY_WITHIN + AGREED_WITHIN };
        until(&format!("a leader, and the nodes {wanted:?} online with so many plans"), within, async || {
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

fn coordinator_folder(name: &str) -> String {
    if name == HOLDER { "coordinator".to_owned() } else { format!("coordinator-{name}") }
}

fn operator_file(urls: &[String], tables: &str) -> String {
    format!("cluster = {CLUSTER:?}\nurls = {urls:?}\nseed_file = \"seeds/operator\"\n{tables}")
}

fn coordinator_file(name: &str, urls: &[String], replicas: usize, policy: &str, tables: &str) -> String {
    format!(
        "cluster = {CLUSTER:?}\nname = {name:?}\nstate_dir = \"state\"\nsigning_seed_file = \"../seeds/signing\"\n\
         [bus]\nurls = {urls:?}\nreplicas = {replicas}\nseed_file = \"../seeds/coordinator\"\nsystem_seed_file = \"../seeds/watch\"\n{tables}[policy]\n{policy}"
    )
}
