//! A nats-server of the test's own: loopback, a port that the system chose, a folder that goes away.

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
    pub(crate) fn start(users: &[(Role, Seed)], watch: &Seed) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            server_name: "contract".into(),
            cluster: "home".parse().unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            monitor: None,
            store_dir: folder.path().join("store"),
            max_file_store_bytes: 256 << 20,
            users: users.iter().map(|(role, seed)| (role.clone(), seed.public_key())).collect(),
            watch: Some(watch.public_key()),
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
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new(program())
            .args(["-c".as_ref(), folder.join("nats.conf").as_os_str()])
            .args(["-p", &port])
            .args(["--ports_file_dir".as_ref(), folder.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}. Run deploy/test.sh", program().display()));
        let ports = folder.join(format!("nats-server_{}.ports", process.id()));
        let ports = [ports, folder.join(format!("nats-server-new_{}.ports", process.id()))];
        self.process = Some(process);
        for _ in 0..1000 {
            let found =
                ports.iter().find_map(|path| std::fs::read_to_string(path).ok()).and_then(|text| port_in(&text));
            if let Some(port) = found {
                self.port = Some(port);
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nats-server has not started: {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn lose_disk(&self) {
        std::fs::remove_dir_all(self.folder.path().join("store")).unwrap();
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("the server runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
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

/// The server's program; a bus contract that was not checked must not look as if it were.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("LANDFALL_NATS_SERVER") {
        return path.into();
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
        .expect("no nats-server on PATH and none named by LANDFALL_NATS_SERVER: run deploy/test.sh, which fetches one")
}
