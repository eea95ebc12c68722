//! Restic's own REST server, started for one test over a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has done its work"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::outside::outside;

/// How long the server may take to say where it listens.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A running server. Dropped, it is killed.
pub(crate) struct Served {
    server: Child,
    /// Where repositories are addressed, with a slash at the end.
    url: String,
    folder: PathBuf,
}

impl Served {
    /// Serves a folder at a free port of loopback, without a password.
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        let mut server = Command::new(outside("LANDFALL_REST_SERVER", "rest-server"))
            .args(["--listen", "127.0.0.1:0", "--no-auth", "--path"])
            .arg(folder)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server runs; deploy/tools.sh rest-server fetches it");
        let lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let (told, address) = mpsc::channel();
        // It reads on to the end, so that the server never waits for somebody to read what it says.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("start server on ") {
                    let _ = told.send(address.to_owned());
                }
            }
        });
        let address = address.recv_timeout(START_WITHIN).expect("the server says where it listens");
        Self { server, url: format!("http://{address}/"), folder: folder.to_owned() }
    }

    /// The place of a repository as a target names it.
    pub(crate) fn location(&self, repository: &str) -> String {
        format!("rest:{}{repository}/", self.url)
    }

    /// The folder in which the server keeps a repository.
    pub(crate) fn folder(&self, repository: &str) -> PathBuf {
        self.folder.join(repository)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
