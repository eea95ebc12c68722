//! The bus of a story: a real nats-server with the permissions that the mesh runs with, and the keys of its users.

use std::process::Command;
use std::time::Duration;

use landfall_proto::bus::{Seed, ServerConfig, render};
use landfall_proto::subject::Role;

use super::bus::{cluster, node};
use super::place::Place;
use super::process::{Process, outside};

/// The bus's process, which keeps its port and its store from one life to the next.
#[derive(Debug)]
pub struct BusServer {
    process: Option<Process>,
    port: u16,
}

impl BusServer {
    pub(super) fn new(place: &Place, seeds: &Seeds) -> Self {
        let config = ServerConfig {
            server_name: "story".to_owned(),
            cluster: cluster(),
            listen: ([127, 0, 0, 1], 0).into(),
            monitor: None,
            store_dir: place.folder("bus").join("store"),
            max_file_store_bytes: 256 << 20,
            users: seeds.users(),
            watch: Some(seeds.watch.public_key()),
            tls: None,
        };
        place.file("bus/nats.conf", &render(&config));
        Self { process: None, port: 0 }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, again on the same port if it ran before, and waits until it takes connections.
    pub fn start(&mut self, place: &Place) {
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let folder = place.folder("bus");
        let mut command = Command::new(outside("LANDFALL_NATS_SERVER", "nats-server"));
        command.arg("-c").arg(folder.join("nats.conf")).args(["-p", &port]).arg("--ports_file_dir").arg(&folder);
        let process = Process::start("bus", &mut command, &place.log_of("bus"));
        let id = process.id();
        self.process = Some(process);
        // The file's name begins with the name of the program, which is not the same everywhere.
        let ports = || {
            let entries = std::fs::read_dir(&folder).ok()?.flatten();
            let file = entries
                .map(|entry| entry.path())
                .find(|path| path.to_string_lossy().ends_with(&format!("_{id}.ports")))?;
            let ports: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
            ports["nats"][0].as_str()?.rsplit(':').next()?.parse::<u16>().ok()
        };
        for _ in 0..1000 {
            if let Some(port) = ports() {
                self.port = port;
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("expected that nats-server takes connections within 10 s; {}", place.log_of("bus").display());
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
}

/// The secret keys of everybody, each in its file.
pub(super) struct Seeds {
    pub(super) coordinator: Seed,
    pub(super) signing: Seed,
    pub(super) operator: Seed,
    watch: Seed,
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
