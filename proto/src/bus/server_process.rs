//! A nats-server of one's own, for tests and trials: on loopback, on ports that the system gives to nobody else, alone or in a cluster.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server_config::{ServerConfig, render};
use super::server_ports::free_port;

/// Between two looks whether a server greets.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks before it counts as not started: twenty seconds at least.
const LOOKS_MAX: usize = 2000;

/// Longest greeting that is read, in bytes.
const GREETING_BYTES_MAX: u64 = 64 * 1024;

/// One server, and the files it runs with. Keeps its ports and its store from one life to the next; killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    program: PathBuf,
    folder: PathBuf,
    name: String,
    port: u16,
    /// How it finds the others of its cluster, where there are any.
    routes: String,
    /// The whole configuration file; change it before a start to go beyond what [`ServerConfig`] knows.
    pub config: String,
    /// Where the server's own log goes, lives one after the other.
    pub log: PathBuf,
    child: Option<Child>,
}

impl ServerProcess {
    /// A server that has not started. `folder` gets its configuration and its log; port and name of `config` are replaced
    /// by ones of its own.
    pub fn new(program: &Path, folder: &Path, config: &ServerConfig) -> io::Result<Self> {
        let port = free_port()?;
        let name = format!("{}-{port}", config.server_name);
        let (program, log, folder) = (program.to_owned(), folder.join("server.log"), folder.to_owned());
        let (routes, text) = (String::new(), String::new());
        let mut server = Self { program, folder, name, port, routes, config: text, log, child: None };
        server.configure(config);
        Ok(server)
    }

    /// Has this configuration from its next start or reload on; port and name stay its own.
    pub fn configure(&mut self, config: &ServerConfig) {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        self.config = render(&ServerConfig { server_name: self.name.clone(), listen, ..config.clone() });
        self.config.push_str(&self.routes);
    }

    /// Servers that find one another, each with a folder and a store of its own below `folder`.
    pub fn cluster(program: &Path, folder: &Path, config: &ServerConfig, count: usize) -> io::Result<Vec<Self>> {
        let routes = (0..count).map(|_| free_port()).collect::<io::Result<Vec<u16>>>()?;
        let addresses: Vec<String> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let one = |(index, route): (usize, &u16)| {
            let folder = folder.join(format!("server-{}", index + 1));
            let config = ServerConfig { store_dir: folder.join("store"), ..config.clone() };
            let mut server = Self::new(program, &folder, &config)?;
            let routes = addresses.join(", ");
            server.routes =
                format!("cluster {{ name: \"own\", listen: \"127.0.0.1:{route}\", routes: [ {routes} ] }}\n");
            server.configure(&config);
            Ok(server)
        };
        routes.iter().enumerate().map(one).collect()
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where its configuration lies; one of a cluster has its store here too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it without waiting; see [`ServerProcess::wait`]. One that runs is left as it is.
    pub fn spawn(&mut self) -> io::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let file = self.folder.join("nats.conf");
        fs::write(&file, &self.config)?;
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| {
            let program = self.program.display();
            io::Error::new(
                error.kind(),
                format!("{program} cannot be started: {error}; run deploy/test.sh, which fetches one"),
            )
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it greets its clients. A server that ended instead is an error with the end of its log.
    pub fn wait(&mut self) -> io::Result<()> {
        for _ in 0..LOOKS_MAX {
            if self.greets() {
                return Ok(());
            }
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                return Err(io::Error::other(format!("{} has ended: {}", self.name, tail(&self.log))));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(io::Error::other(format!("{} does not greet: {}", self.name, tail(&self.log))))
    }

    pub fn start(&mut self) -> io::Result<()> {
        self.spawn()?;
        self.wait()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended by itself is as dead as is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stands still, with every connection open, until it is thawed.
    pub fn freeze(&self) -> io::Result<()> {
        freeze_process(self.own_id()?)
    }

    pub fn thaw(&self) -> io::Result<()> {
        send(self.own_id()?, "-CONT")
    }

    /// Reads its configuration again.
    pub fn reload(&self) -> io::Result<()> {
        fs::write(self.folder.join("nats.conf"), &self.config)?;
        send(self.own_id()?, "-HUP")
    }

    fn own_id(&self) -> io::Result<u32> {
        self.id().ok_or_else(|| io::Error::other(format!("{} does not run", self.name)))
    }

    /// Whether this server answers on its port, and not another one that got there first.
    fn greets(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
        if stream.set_read_timeout(Some(Duration::from_secs(1))).is_err() {
            return false;
        }
        let mut greeting = String::new();
        let read = BufReader::new(stream.take(GREETING_BYTES_MAX)).read_line(&mut greeting);
        read.is_ok() && greeting.contains(&format!("\"server_name\":\"{}\"", self.name))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Stops a process, and waits until every thread of it stands still: on a busy machine some go on for a moment after the signal.
pub fn freeze_process(id: u32) -> io::Result<()> {
    send(id, "-STOP")?;
    for _ in 0..LOOKS_MAX {
        if stands_still(id)? {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Err(io::Error::other(format!("process {id} does not stand still")))
}

fn stands_still(id: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        // One that has ended meanwhile does nothing more.
        let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
        // The name in brackets may hold anything, so the state is what follows its last bracket.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        if !matches!(state, Some('T' | 't' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn send(id: u32, signal: &str) -> io::Result<()> {
    let done = Command::new("kill").args([signal, &id.to_string()]).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other(format!("process {id} takes no {signal}"))) }
}

/// The program that a variable names, else `nats-server` on PATH where `or_on_path` allows that; the error says what to do.
pub fn server_program(variable: &str, or_on_path: bool) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let folders = std::env::var_os("PATH").filter(|_| or_on_path).unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("nats-server")).find(|path| path.is_file());
    found.ok_or_else(|| format!("{variable} names no nats-server: run deploy/test.sh, which fetches one and sets it"))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
