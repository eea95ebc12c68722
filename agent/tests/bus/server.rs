//! A nats-server of the test's own, where one is to be had: loopback, a port that the system chose, a folder that goes away.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use landfall_proto::bus::{Seed, ServerConfig, render};
use landfall_proto::subject::Role;
use tempfile::TempDir;

/// A running server, ended when dropped.
pub(crate) struct Server {
    process: Option<Child>,
    folder: TempDir,
    port: Option<u16>,
}

impl Server {
    pub(crate) fn start(users: &[(Role, &Seed)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            server_name: "agent-test".into(),
            cluster: super::cluster(),
            listen: "127.0.0.1:0".parse().unwrap(),
            monitor: None,
            store_dir: folder.path().join("store"),
            max_file_store_bytes: 64 << 20,
            users: users.iter().map(|(role, seed)| (role.clone(), seed.public_key())).collect(),
            watch: None,
            tls: None,
        };
        std::fs::write(folder.path().join("nats.conf"), render(&config)).unwrap();
        let mut server = Self { process: None, folder, port: None };
        server.run();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.expect("the server has started"))
    }

    /// Starts it, again on the same port if it ran before, and waits until it takes connections.
    pub(crate) fn run(&mut self) {
        let folder = self.folder.path();
        let port = self.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let process = Command::new(program())
            .args(["-c".as_ref(), folder.join("nats.conf").as_os_str()])
            .args(["-p", &port])
            .args(["--ports_file_dir".as_ref(), folder.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}. Run deploy/test.sh", program().display()));
        let suffix = format!("_{}.ports", process.id());
        self.process = Some(process);
        for _ in 0..1000 {
            let files = std::fs::read_dir(folder).unwrap().flatten();
            let ports = files.filter(|file| file.file_name().to_string_lossy().ends_with(&suffix));
            if let Some(port) = ports.filter_map(|file| port_in(&std::fs::read_to_string(file.path()).ok()?)).next() {
                self.port = Some(port);
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nats-server has not started");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn port_in(text: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

fn program() -> PathBuf {
    std::env::var_os("LANDFALL_NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}
