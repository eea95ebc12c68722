//! The bus of a story: one real nats-server or three of them, with the permissions that the mesh runs with, and the keys of its users.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use landfall_proto::bus::{Seed, ServerConfig, ServerTls, render};
use landfall_proto::subject::Role;
use rustix::process::Signal;

use super::bus::{cluster, node};
use super::place::Place;
use super::port::free_port;
use super::process::{Process, outside, signal};

/// Servers of a bus that goes on when one of them fails.
pub const SERVERS: usize = 3;

/// What all logs of a story may take together.
const STORE_BYTES_MAX: u64 = 256 << 20;

/// A bus process, which keeps its port and its store from one life to the next.
#[derive(Debug)]
pub struct BusServer {
    process: Option<Process>,
    /// Of its folder and its log.
    name: String,
    port: u16,
    config: ServerConfig,
    /// How it finds the others, where there are any.
    routes: String,
    /// Public key of a user who may do everything, which no mesh has.
    administrator: String,
    has_administrator: bool,
    /// Public keys of users who may hear and say nothing.
    muted: Vec<String>,
}

impl BusServer {
    /// The only server of its bus.
    pub(super) fn alone(place: &Place, seeds: &Seeds, store_bytes_max: Option<u64>, tls: Option<ServerTls>) -> Self {
        let mut server = Self::new(place, seeds, "bus", 0, store_bytes_max.unwrap_or(STORE_BYTES_MAX), String::new());
        server.config.tls = tls;
        server.write(place);
        server
    }

    /// Three servers that know each other; none of them runs yet.
    pub(super) fn three(place: &Place, seeds: &Seeds) -> Vec<Self> {
        let ports: Vec<u16> = (0..SERVERS).map(|_| free_port()).collect();
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let routes = routes.join(", ");
        let server = |(number, port): (usize, &u16)| {
            let block =
                format!("cluster {{\n  name: story\n  listen: \"127.0.0.1:{port}\"\n  routes: [ {routes} ]\n}}\n");
            let name = if number == 0 { "bus".to_owned() } else { format!("bus-{}", number + 1) };
            Self::new(place, seeds, &name, free_port(), STORE_BYTES_MAX, block)
        };
        ports.iter().enumerate().map(server).collect()
    }

    fn new(place: &Place, seeds: &Seeds, name: &str, port: u16, max_file_store_bytes: u64, routes: String) -> Self {
        let config = ServerConfig {
            server_name: format!("story-{name}"),
            cluster: cluster(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            monitor: None,
            store_dir: place.folder(name).join("store"),
            max_file_store_bytes,
            users: seeds.users(),
            watch: Some(seeds.watch.public_key()),
            tls: None,
        };
        let administrator = seeds.administrator.public_key();
        let server = Self {
            process: None,
            name: name.to_owned(),
            port,
            config,
            routes,
            administrator,
            has_administrator: false,
            muted: Vec::new(),
        };
        server.write(place);
        server
    }

    fn write(&self, place: &Place) {
        let mut text = render(&self.config);
        if self.has_administrator {
            // The first list of users is that of the mesh's own account.
            text = text.replacen("users: [", &format!("users: [ {{ nkey: \"{}\" }}", self.administrator), 1);
        }
        for key in &self.muted {
            let user = format!("nkey: {key:?}\n");
            let (before, after) = text.split_once(&user).expect("only users of the bus are muted");
            text = format!("{before}{user}{}", after.replacen("publish: { allow: [", "publish: { deny: [ \">\", ", 1));
        }
        let _ = write!(text, "{}", self.routes);
        place.file(&format!("{}/nats.conf", self.name), &text);
    }

    pub fn url(&self) -> String {
        let scheme = if self.config.tls.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
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
        self.process.as_ref().map(Process::id)
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it, again on the same port if it ran before, and waits until it takes connections.
    pub fn start(&mut self, place: &Place) {
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let folder = place.folder(&self.name);
        let mut command = Command::new(outside("LANDFALL_NATS_SERVER", "nats-server"));
        command.arg("-c").arg(folder.join("nats.conf")).args(["-p", &port]).arg("--ports_file_dir").arg(&folder);
        let log = place.log_of(&self.name);
        let process = Process::start(&self.name, &mut command, &log);
        let id = process.id();
        self.process = Some(process);
        for _ in 0..1000 {
            if let Some(port) = port_in(&folder, id) {
                self.port = port;
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("expected that nats-server takes connections within 10 s; {}", log.display());
    }

    pub fn kill(&mut self) {
        self.process.take().expect("the bus runs").kill();
    }

    pub fn freeze(&self) {
        self.process.as_ref().expect("the bus runs").freeze();
    }

    pub fn thaw(&self) {
        self.process.as_ref().expect("the bus runs").thaw();
    }

    /// Takes a node's key out of the permissions of a bus that goes on running; gives it, so that it can be put back.
    pub fn revoke(&mut self, place: &Place, name: &str) -> (Role, String) {
        let wanted = Role::Agent(node(name));
        let found = self.config.users.iter().position(|(role, _)| *role == wanted);
        let user = self.config.users.remove(found.unwrap_or_else(|| panic!("expected a user of the bus for {name}")));
        self.reload(place);
        user
    }

    pub fn permit(&mut self, place: &Place, user: (Role, String)) {
        self.config.users.push(user);
        self.reload(place);
    }

    /// Takes a node's right to say anything; what it may hear stays.
    pub fn mute(&mut self, place: &Place, name: &str) {
        let wanted = Role::Agent(node(name));
        let found = self.config.users.iter().find(|(role, _)| *role == wanted);
        self.muted.push(found.unwrap_or_else(|| panic!("expected a user of the bus for {name}")).1.clone());
        self.reload(place);
    }

    /// Gives everybody their rights back.
    pub fn unmute(&mut self, place: &Place) {
        self.muted.clear();
        self.reload(place);
    }

    /// Lets somebody in who may do everything, with the seed `administrator`.
    pub fn permit_administrator(&mut self, place: &Place) {
        self.has_administrator = true;
        self.reload(place);
    }

    /// The most that it may store from its next start on.
    pub fn allow_bytes(&mut self, place: &Place, bytes: u64) {
        self.config.max_file_store_bytes = bytes;
        self.write(place);
    }

    fn reload(&self, place: &Place) {
        self.write(place);
        signal(self.id().expect("the bus runs"), Signal::HUP);
    }
}

/// The port that a process of this id took. The file's name begins with the name of the program, which is not the same
/// everywhere.
fn port_in(folder: &Path, id: u32) -> Option<u16> {
    let is_its = |path: &PathBuf| path.to_string_lossy().ends_with(&format!("_{id}.ports"));
    let file = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(is_its)?;
    let ports: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
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
