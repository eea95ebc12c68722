//! The bus of a story: one real nats-server or three of them, with the permissions that the mesh runs with, and the keys of its users.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use landfall_proto::bus::{Seed, ServerConfig, ServerProcess, ServerTls};
use landfall_proto::subject::Role;

use super::bus::{cluster, node};
use super::place::Place;
use super::process::outside;

/// Servers of a bus that goes on when one of them fails.
pub const SERVERS: usize = 3;

/// What all logs of a story may take together.
const STORE_BYTES_MAX: u64 = 256 << 20;

/// A bus process, which keeps its port and its store from one life to the next.
#[derive(Debug)]
pub struct BusServer {
    server: ServerProcess,
    /// Of its log.
    name: String,
    config: ServerConfig,
    /// Public key of a user who may do everything, which no mesh has.
    administrator: String,
    has_administrator: bool,
    /// Public keys of users who may hear and say nothing.
    muted: Vec<String>,
}

impl BusServer {
    /// The only server of its bus.
    pub(super) fn alone(place: &Place, seeds: &Seeds, store_bytes_max: Option<u64>, tls: Option<ServerTls>) -> Self {
        let bytes = store_bytes_max.unwrap_or(STORE_BYTES_MAX);
        let config = ServerConfig { max_file_store_bytes: bytes, tls, ..config(place, seeds) };
        let server = ServerProcess::new(&program(), &place.folder("bus"), &config);
        let server = server.unwrap_or_else(|error| panic!("expected a free port: {error}"));
        Self::of(server, "bus", &config, place, seeds)
    }

    /// Three servers that know each other; none of them runs yet.
    pub(super) fn three(place: &Place, seeds: &Seeds) -> Vec<Self> {
        let config = config(place, seeds);
        let servers = ServerProcess::cluster(&program(), &place.folder("bus"), &config, SERVERS);
        let servers = servers.unwrap_or_else(|error| panic!("expected free ports: {error}")).into_iter().enumerate();
        let named = servers.map(|(number, server)| {
            let name = if number == 0 { "bus".to_owned() } else { format!("bus-{}", number + 1) };
            Self::of(server, &name, &config, place, seeds)
        });
        named.collect()
    }

    fn of(mut server: ServerProcess, name: &str, config: &ServerConfig, place: &Place, seeds: &Seeds) -> Self {
        server.log = place.log_of(name);
        let config = ServerConfig { store_dir: server.folder().join("store"), ..config.clone() };
        let administrator = seeds.administrator.public_key();
        Self { server, name: name.to_owned(), config, administrator, has_administrator: false, muted: Vec::new() }
    }

    fn configure(&mut self) {
        self.server.configure(&self.config);
        let text = &mut self.server.config;
        if self.has_administrator {
            // The first list of users is that of the mesh's own account.
            *text = text.replacen("users: [", &format!("users: [ {{ nkey: \"{}\" }}", self.administrator), 1);
        }
        for key in &self.muted {
            let user = format!("nkey: {key:?}\n");
            let (before, after) = text.split_once(&user).expect("only users of the bus are muted");
            *text = format!("{before}{user}{}", after.replacen("publish: { allow: [", "publish: { deny: [ \">\", ", 1));
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.config.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.server.port()).into()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the log lies on its disk.
    pub fn store(&self) -> &Path {
        &self.config.store_dir
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.server.id()
    }

    pub fn is_running(&self) -> bool {
        self.id().is_some()
    }

    /// Starts it on its port, and waits until it takes connections.
    pub fn start(&mut self) {
        self.server.start().unwrap_or_else(|error| panic!("expected that the bus starts: {error}"));
    }

    pub fn kill(&mut self) {
        self.server.kill();
    }

    pub fn freeze(&self) {
        self.server.freeze().expect("the bus runs");
    }

    pub fn thaw(&self) {
        self.server.thaw().expect("the bus runs");
    }

    /// Takes a node's key out of the permissions of a bus that goes on running; gives it, so that it can be put back.
    pub fn revoke(&mut self, name: &str) -> (Role, String) {
        let wanted = Role::Agent(node(name));
        let found = self.config.users.iter().position(|(role, _)| *role == wanted);
        let user = self.config.users.remove(found.unwrap_or_else(|| panic!("expected a user of the bus for {name}")));
        self.reload();
        user
    }

    pub fn permit(&mut self, user: (Role, String)) {
        self.config.users.push(user);
        self.reload();
    }

    /// Takes a node's right to say anything; what it may hear stays.
    pub fn mute(&mut self, name: &str) {
        let wanted = Role::Agent(node(name));
        let found = self.config.users.iter().find(|(role, _)| *role == wanted);
        self.muted.push(found.unwrap_or_else(|| panic!("expected a user of the bus for {name}")).1.clone());
        self.reload();
    }

    /// Gives everybody their rights back.
    pub fn unmute(&mut self) {
        self.muted.clear();
        self.reload();
    }

    /// Lets somebody in who may do everything, with the seed `administrator`.
    pub fn permit_administrator(&mut self) {
        self.has_administrator = true;
        self.reload();
    }

    /// The most that it may store from its next start on.
    pub fn allow_bytes(&mut self, bytes: u64) {
        self.config.max_file_store_bytes = bytes;
        self.configure();
    }

    fn reload(&mut self) {
        self.configure();
        self.server.reload().expect("the bus runs");
    }
}

fn program() -> PathBuf {
    outside("LANDFALL_NATS_SERVER", "nats-server")
}

/// Its name and its port are given by who starts it.
fn config(place: &Place, seeds: &Seeds) -> ServerConfig {
    ServerConfig {
        server_name: "story".to_owned(),
        cluster: cluster(),
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        monitor: None,
        store_dir: place.path("bus/store"),
        max_file_store_bytes: STORE_BYTES_MAX,
        users: seeds.users(),
        watch: Some(seeds.watch.public_key()),
        tls: None,
    }
}

/// The secret keys of everybody, each in its file.
pub(super) struct Seeds {
    pub(super) coordinator: Seed,
    pub(super) signing: Seed,
    pub(super) operator: Seed,
    watch: Seed,
    administrator: Seed,
    nodes: Vec<(String, Seed)>,
}

impl Seeds {
    pub(super) fn draw(place: &Place, nodes: &[String]) -> Self {
        let draw = |name: &str| {
            let seed = Seed::generate();
            place.secret(&format!("seeds/{name}"), seed.expose());
            seed
        };
        Self {
            coordinator: draw("coordinator"),
            signing: draw("signing"),
            operator: draw("operator"),
            watch: draw("watch"),
            administrator: draw("administrator"),
            nodes: nodes.iter().map(|name| (name.clone(), draw(&format!("node-{name}")))).collect(),
        }
    }

    fn users(&self) -> Vec<(Role, String)> {
        let nodes = self.nodes.iter().map(|(name, seed)| (Role::Agent(node(name)), seed.public_key()));
        [(Role::Coordinator, self.coordinator.public_key()), (Role::Operator, self.operator.public_key())]
            .into_iter()
            .chain(nodes)
            .collect()
    }
}
