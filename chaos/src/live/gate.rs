//! A program that begins, says so, and waits until the story lets it go on: the middle of a run, for as long as is needed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use landfall_proto::plan::{Plan, Target};

use super::place::Place;
use super::plans;
use super::wait::until;

/// One such program with its own folder.
#[derive(Debug)]
pub struct Gate {
    folder: PathBuf,
    script: PathBuf,
}

impl Gate {
    pub fn new(place: &Place, name: &str) -> Self {
        let folder = place.folder(&format!("gates/{name}"));
        place.folder(&format!("gates/{name}/out"));
        let at = folder.display();
        let body = format!(
            "echo $$ >> '{at}/begun'\nwhile [ ! -e '{at}/open' ]; do sleep 0.05; done\necho saved > '{at}/out/artifact-'$$\necho $$ >> '{at}/ended'"
        );
        Self { script: place.script(&format!("gate-{name}"), &body), folder }
    }

    /// A plan that runs the program.
    pub fn plan(&self, routine: &str) -> Plan {
        plans::command(routine, &self.script, &self.folder.join("out/artifact-*"))
    }

    /// Where its artifacts land.
    pub fn target(&self) -> Target {
        plans::folder(&self.folder.join("out"))
    }

    /// Waits until the program has begun so many times.
    pub async fn begun(&self, times: usize) {
        until(
            &format!("the program at {} has begun {times} times", self.folder.display()),
            Duration::from_secs(20),
            async || (self.processes().len() >= times).then_some(()),
        )
        .await;
    }

    /// Lets the program, and every later one, go on.
    pub fn open(&self) {
        fs::write(self.folder.join("open"), "").expect("the story's folder can be written");
    }

    /// The process of each time that the program began.
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.folder.join("begun")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// How often it came to its own end.
    pub fn ended(&self) -> usize {
        fs::read_to_string(self.folder.join("ended")).unwrap_or_default().lines().count()
    }
}
