//! The agent's own file, `agent.toml`: who this node is, where its bus, plans and state are, and when it rests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use landfall_proto::bus::{ConnectOptions, Seed, Tls};
use landfall_proto::file::{FileProblem, problem_at, read_toml};
use landfall_proto::id::{ClusterName, NodeId};
use landfall_proto::live::BEACON_FRESH;
use landfall_proto::subject::Role;
use landfall_proto::time::Duration;
use serde::Deserialize;

use crate::core::{PauseRules, Rules};

/// Where the file is looked for unless told otherwise.
pub const CONFIG_PATH: &str = "/etc/landfall/agent.toml";

/// A commented file with every key; a test reads it.
pub const EXAMPLE: &str = include_str!("../../deploy/config/agent.toml");

/// Where a person finds every key.
const SAMPLE: &str = "`landfall-agent config example` shows every key";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub cluster: ClusterName,
    pub node: NodeId,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Without it the agent works alone and tells nobody.
    #[serde(default)]
    pub bus: Option<BusConfig>,
    /// Public nkeys whose commands are obeyed.
    #[serde(default)]
    pub coordinator_keys: Vec<String>,
    #[serde(default = "plans_dir")]
    pub plans_dir: PathBuf,
    #[serde(default = "targets_dir")]
    pub targets_dir: PathBuf,
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Runs at once on this node.
    #[serde(default = "one")]
    pub parallel: u32,
    /// A leader that has been silent for so long is not waited for.
    #[serde(default = "leader_patience")]
    pub leader_patience: Duration,
    /// Without a sign of a leader for so long, the agent's own alarm sounds.
    #[serde(default = "coordinator_silence")]
    pub coordinator_silence: Duration,
    /// How long runs may go on when the agent is asked to stop; after that they are cancelled.
    #[serde(default = "drain")]
    pub drain: Duration,
    #[serde(default)]
    pub pause: PauseRules,
    #[serde(default)]
    pub alarm: AlarmConfig,
}

/// How the bus is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    pub urls: Vec<String>,
    /// File with this node's secret nkey seed.
    pub seed_file: PathBuf,
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    pub ca: PathBuf,
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// The agent's own way to be heard when nobody else may be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmConfig {
    /// Takes a POST with a JSON body.
    pub webhook: Option<String>,
}

/// Why the agent cannot start with this file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} cannot be read; `landfall-agent config example` prints a commented file to begin with")]
    File { path: PathBuf, source: io::Error },
    #[error("{}", list(.0))]
    Problems(Vec<FileProblem>),
    #[error("the bus seed {path} cannot be read; make it readable for the agent's user only (mode 0600)")]
    SeedFile { path: PathBuf, source: io::Error },
    #[error("{path} holds no bus seed; it must be the one line beginning with SU that was drawn for this node")]
    Seed { path: PathBuf },
}

fn plans_dir() -> PathBuf {
    "/etc/landfall/plans.d".into()
}

fn targets_dir() -> PathBuf {
    "/etc/landfall/targets.d".into()
}

fn state_dir() -> PathBuf {
    "/var/lib/landfall".into()
}

const fn one() -> u32 {
    1
}

const fn leader_patience() -> Duration {
    BEACON_FRESH
}

const fn coordinator_silence() -> Duration {
    Duration::from_secs(15 * 60)
}

const fn drain() -> Duration {
    Duration::from_secs(30)
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        Self::read(&path.display().to_string(), &text).map_err(ConfigError::Problems)
    }

    /// Reads the text of a file and checks everything that can be checked without looking at the machine.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<FileProblem>> {
        let config: Self = read_toml(file, text, SAMPLE).map_err(|problem| vec![*problem])?;
        let problems: Vec<FileProblem> =
            config.objections().into_iter().map(|(key, what, fix)| problem_at(file, text, &key, what, fix)).collect();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// What the core has to know.
    pub fn rules(&self) -> Rules {
        Rules {
            cluster: self.cluster.clone(),
            node: self.node.clone(),
            parallel: self.parallel,
            pause: self.pause,
            has_bus: self.bus.is_some(),
            keeps_schedule: true,
            leader_patience: self.leader_patience,
            coordinator_silence: self.coordinator_silence,
        }
    }

    /// How to connect to the bus; reads the seed from its file. `None` where no bus is configured.
    pub fn connect_options(&self) -> Result<Option<ConnectOptions>, ConfigError> {
        let Some(bus) = &self.bus else { return Ok(None) };
        let path = bus.seed_file.clone();
        let text =
            std::fs::read_to_string(&path).map_err(|source| ConfigError::SeedFile { path: path.clone(), source })?;
        let seed: Seed = text.parse().map_err(|_| ConfigError::Seed { path })?;
        let mut options =
            ConnectOptions::new(bus.urls.clone(), Role::Agent(self.node.clone()), self.cluster.clone(), seed);
        options.tls = bus
            .tls
            .as_ref()
            .map(|tls| Tls { ca: tls.ca.clone(), client: tls.certificate.clone().zip(tls.key.clone()) });
        Ok(Some(options))
    }

    fn objections(&self) -> Vec<(String, String, &'static str)> {
        let mut found = Vec::new();
        let mut object = |key: &str, what: String, fix| found.push((key.to_owned(), what, fix));
        for (key, path) in
            [("plans_dir", &self.plans_dir), ("targets_dir", &self.targets_dir), ("state_dir", &self.state_dir)]
        {
            if !path.is_absolute() {
                object(key, format!("{} is not an absolute path", path.display()), "start it with /");
            }
        }
        if self.parallel == 0 || self.parallel > 64 {
            object("parallel", format!("{} runs at once are not possible", self.parallel), "write 1 to 64");
        }
        for (index, key) in self.coordinator_keys.iter().enumerate() {
            if nkeys::KeyPair::from_public_key(key).is_err() {
                object(
                    &format!("coordinator_keys[{index}]"),
                    format!("{key:?} is not a public key"),
                    "copy the line that the coordinator prints at its set-up; it begins with U",
                );
            }
        }
        if let Some(bus) = &self.bus {
            if bus.urls.is_empty() {
                object("bus.urls", "no address is named".to_owned(), "write [\"nats://host:4222\"], or remove [bus]");
            }
            for url in &bus.urls {
                if !url.starts_with("nats://") && !url.starts_with("tls://") {
                    object(
                        "bus.urls",
                        format!("{url:?} is not an address of a bus"),
                        "write nats://host:4222 or tls://host:4222",
                    );
                }
            }
            if bus.tls.as_ref().is_some_and(|tls| tls.certificate.is_some() != tls.key.is_some()) {
                object("bus.tls", "`certificate` and `key` belong together".to_owned(), "give both, or neither");
            }
        }
        if let Some(webhook) = &self.alarm.webhook
            && !webhook.starts_with("http://")
            && !webhook.starts_with("https://")
        {
            object("alarm.webhook", "it is not an address".to_owned(), "start it with http:// or https://");
        }
        found
    }
}

fn list(problems: &[FileProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_are_enough() {
        let config = Config::read("agent.toml", "cluster = \"home\"\nnode = \"nas\"\n").unwrap();
        assert_eq!(config.state_dir, PathBuf::from("/var/lib/landfall"));
        assert!(!config.rules().has_bus);
        assert_eq!(config.leader_patience, BEACON_FRESH);
    }

    #[test]
    fn the_example_is_read_and_shows_every_key() {
        let config = Config::read("agent.toml", EXAMPLE).unwrap();
        let bus = config.bus.unwrap();
        assert!(bus.tls.unwrap().certificate.is_some());
        assert!(config.alarm.webhook.is_some());
        assert!(config.pause.on_battery);
        assert_eq!(config.coordinator_keys.len(), 1);
        for key in [
            "labels",
            "plans_dir",
            "targets_dir",
            "state_dir",
            "parallel",
            "leader_patience",
            "coordinator_silence",
            "drain",
            "load_max",
            "memory_available_min_bytes",
        ] {
            assert!(EXAMPLE.contains(key), "{key}");
        }
    }

    #[test]
    fn every_error_has_its_line_its_key_and_a_way_out() {
        let text = "cluster = \"home\"\nnode = \"nas\"\nparallel = 0\ncoordinator_keys = [\"UX\"]\nstate_dir = \"here\"\n[bus]\nurls = [\"http://x\"]\nseed_file = \"/s\"\n";
        let problems = Config::read("agent.toml", text).unwrap_err();
        let places: Vec<(&str, Option<usize>)> =
            problems.iter().map(|problem| (problem.key.as_str(), problem.line)).collect();
        assert_eq!(
            places,
            [("state_dir", Some(5)), ("parallel", Some(3)), ("coordinator_keys[0]", Some(4)), ("bus.urls", Some(7))]
        );
        assert!(problems.iter().all(|problem| !problem.fix.is_empty()));
        let problems = Config::read("agent.toml", "cluster = \"home\"\nnode = \"nas\"\nparalel = 2\n").unwrap_err();
        assert_eq!(problems[0].line, Some(3));
        assert!(problems[0].fix.contains("config example"), "{}", problems[0]);
    }
}
