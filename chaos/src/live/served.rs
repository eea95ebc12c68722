//! Restic's own REST server with a password, as a house keeps its repositories on another machine.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

use super::place::Place;
use super::process::{Process, outside};
use super::wait::until;

const START_WITHIN: Duration = Duration::from_secs(20);

/// Whom the server lets in, and with what.
const USER: &str = "house";
pub const SERVER_PASSWORD: &str = "canary-of-the-server";

/// A server that one user with a password may use. It ends with the story.
#[derive(Debug)]
pub struct Served {
    process: Option<Process>,
    address: String,
    command: Vec<String>,
    log: PathBuf,
    folder: PathBuf,
}

impl Served {
    /// Starts it at a free port over a folder of the story.
    pub async fn start(place: &Place, options: &[&str]) -> Self {
        let folder = place.folder("served");
        let digest = STANDARD.encode(Sha1::from(SERVER_PASSWORD).digest().bytes());
        let users = place.secret("served.users", &format!("{USER}:{{SHA}}{digest}\n"));
        let named = [folder.display().to_string(), users.display().to_string()];
        let fixed = ["--path", &named[0], "--htpasswd-file", &named[1], "--private-repos"];
        let command = fixed.iter().chain(options).map(|part| (*part).to_owned()).collect();
        let log = place.log_of("rest-server");
        let mut server = Self { process: None, address: "127.0.0.1:0".to_owned(), command, log, folder };
        server.start_again().await;
        server
    }

    /// Kills it. Its port stays its own as far as the story is concerned.
    pub fn kill(&mut self) {
        self.process.take().into_iter().for_each(Process::kill);
    }

    /// Starts it at the port that it had.
    pub async fn start_again(&mut self) {
        let before = self.said();
        let mut command = Command::new(outside("LANDFALL_REST_SERVER", "rest-server"));
        command.args(&self.command).args(["--listen", &self.address]);
        self.process = Some(Process::start("rest-server", &mut command, &self.log));
        self.address = until("the server says where it listens", START_WITHIN, async || {
            let said = self.said().split_off(before.len());
            said.lines().find_map(|line| Some(line.split_once("start server on ")?.1.trim().to_owned()))
        })
        .await;
    }

    /// A repository of the one user, as a target names it.
    pub fn location(&self, repository: &str) -> String {
        format!("rest:http://{USER}:{SERVER_PASSWORD}@{}/{USER}/{repository}/", self.address)
    }

    /// Where the server keeps that repository.
    pub fn folder(&self, repository: &str) -> PathBuf {
        self.folder.join(USER).join(repository)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
