//! The coordinator's own file, `coordinator.toml`: who it is, where the bus is, what it decides by, and whom it tells.

mod file;
mod receivers;
mod routes;
mod sinks;
mod web;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use landfall_proto::alert::Alert;
use landfall_proto::bus::{LogSettings, Seed, Tls};
use landfall_proto::file::{FileProblem, problem_at, read_toml};
use landfall_proto::id::{ClusterName, Holder};
use landfall_proto::time::Duration;

use crate::core::policy::Policy;
use crate::core::route::{Route, told};
use file::{FileConfig, FileWatchdog};
pub(crate) use file::{FileTls, TLS_HALF};
pub use receivers::{
    AlertmanagerConfig, Login, MailConfig, MailSecurity, PagerdutyConfig, Patience, SinkConfig, SinkKind, SlackConfig,
    read_secret,
};
pub use web::{PublicUrl, WebConfig, WebTls};

/// Where a person finds every key.
const SAMPLE: &str = "`deploy/config/coordinator.toml` shows every key";

/// Where the file is when nobody says otherwise.
pub const CONFIG_PATH: &str = "/etc/landfall/coordinator.toml";

/// How often the address outside is called where the file does not say, and at most.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(60);
const WATCHDOG_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Copies of the log that make sense: an even number survives no more than the one below it, and the bus keeps five at most.
const REPLICAS: [usize; 3] = [1, 3, 5];

/// Everything `serve` needs. Seeds are read already.
#[derive(Debug, Clone)]
pub struct Config {
    pub cluster: ClusterName,
    /// This coordinator's name on the bus and in the log.
    pub holder: Holder,
    pub state_dir: PathBuf,
    pub bus: BusConfig,
    /// Signs commands; agents know its public half.
    pub signing_seed: Seed,
    pub policy: Policy,
    pub sinks: Vec<SinkConfig>,
    /// Which of the sinks are told what.
    pub routes: Vec<Route>,
    /// Who notices when this coordinator is gone.
    pub watchdog: Option<WatchdogConfig>,
    /// The pages, the API and the metrics; none where the file has no such table.
    pub web: Option<WebConfig>,
}

/// An address outside the mesh that expects to be called: its owner tells people when the calls stay away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogConfig {
    pub url: String,
    pub interval: Duration,
}

/// How the bus is reached.
#[derive(Debug, Clone)]
pub struct BusConfig {
    pub urls: Vec<String>,
    pub seed: Seed,
    pub tls: Option<Tls>,
    /// A user of the bus's system account: with it a node's disconnect is seen at once.
    pub system_seed: Option<Seed>,
    /// What the log is made with where there is none.
    pub log: LogSettings,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} cannot be read; write it, or name another file with --config")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}", Lines(.0))]
    Wrong(Vec<FileProblem>),
}

struct Lines<'a>(&'a [FileProblem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            write!(formatter, "{}{problem}", if position > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads the file and the seeds it names. Relative paths count from the file's own folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::read(path, &text)
    }

    /// As [`Config::load`], from a text that is already at hand.
    pub fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let file: FileConfig = read_toml(&name, text, SAMPLE).map_err(|problem| ConfigError::Wrong(vec![*problem]))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut finder = Finder { file: &name, text, folder, problems: Vec::new() };
        match finder.config(file) {
            Some(config) if finder.problems.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigError::Wrong(finder.problems)),
        }
    }

    /// Who is told of an alert that no state holds.
    pub fn told_of(&self, alert: &Alert) -> Vec<String> {
        let sinks: Vec<String> = self.sinks.iter().map(|sink| sink.name.clone()).collect();
        told(&self.routes, &sinks, alert, &[]).into_keys().cloned().collect()
    }
}

/// Collects what is wrong with a file of the right shape; all of it, not the first.
struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    folder: &'a Path,
    problems: Vec<FileProblem>,
}

impl Finder<'_> {
    fn config(&mut self, file: FileConfig) -> Option<Config> {
        let holder = file.name.or_else(|| {
            let found = host_name();
            if found.is_none() {
                self.problem(
                    "name",
                    "this machine's name cannot be used as a coordinator's name",
                    "set `name` to a-z, 0-9 and -",
                );
            }
            found
        });
        if file.bus.urls.is_empty() {
            self.problem("bus.urls", "no address of a bus is given", "write urls = [\"nats://127.0.0.1:4222\"]");
        }
        let seed = self.seed("bus.seed_file", &file.bus.seed_file);
        let signing_seed = self.seed("signing_seed_file", &file.signing_seed_file);
        let system_seed = file.bus.system_seed_file.as_ref().map(|path| self.seed("bus.system_seed_file", path));
        let tls = file.bus.tls.map(|tls| self.tls(tls));
        let sinks = self.sinks(file.sink);
        let routes = self.routes(file.routes, &sinks);
        let watchdog = file.watchdog.map(|watchdog| self.watchdog(watchdog));
        self.cards(&file.policy);
        let web = file.web.and_then(|web| self.web(web));
        let log = self.log(file.bus.replicas);
        let (tls, system_seed) = (tls.flatten(), system_seed.flatten());
        let bus = BusConfig { urls: file.bus.urls, seed: seed?, tls, system_seed, log };
        let state_dir = self.folder.join(file.state_dir);
        Some(Config {
            cluster: file.cluster,
            holder: holder?,
            state_dir,
            bus,
            signing_seed: signing_seed?,
            policy: file.policy,
            sinks,
            routes,
            watchdog,
            web,
        })
    }

    fn log(&mut self, replicas: Option<usize>) -> LogSettings {
        let replicas = replicas.unwrap_or(LogSettings::default().replicas);
        if !REPLICAS.contains(&replicas) {
            self.problem(
                "bus.replicas",
                &format!("the bus cannot keep {replicas} copies of the log so that a majority decides"),
                "write 1 for a bus of one server, 3 for one of three, 5 for one of five",
            );
        }
        LogSettings { replicas, ..LogSettings::default() }
    }

    fn seed(&mut self, key: &str, path: &Path) -> Option<Seed> {
        let path = self.folder.join(path);
        let fix = "write a seed there, readable by this service's user only";
        match std::fs::read_to_string(&path) {
            Err(error) => self.problem(key, &format!("{} cannot be read: {error}", path.display()), fix),
            Ok(text) => match text.lines().next().unwrap_or_default().parse() {
                Ok(seed) => return Some(seed),
                Err(error) => self.problem(key, &format!("{}: {error}", path.display()), fix),
            },
        }
        None
    }

    fn tls(&mut self, tls: FileTls) -> Option<Tls> {
        let read = tls.at(self.folder);
        if read.is_none() {
            self.problem("bus.tls", TLS_HALF.0, TLS_HALF.1);
        }
        read
    }

    fn watchdog(&mut self, watchdog: FileWatchdog) -> WatchdogConfig {
        let interval = watchdog.interval.unwrap_or(WATCHDOG_INTERVAL);
        if interval < WATCHDOG_INTERVAL_MIN {
            self.problem(
                "watchdog.interval",
                &format!("{interval} is too short for an address outside"),
                &format!("choose {WATCHDOG_INTERVAL_MIN} or more"),
            );
        }
        if !sinks::is_web_address(&watchdog.url) {
            self.problem("watchdog.url", "this is no address to call", "write url = \"https://…\"");
        }
        WatchdogConfig { url: watchdog.url, interval }
    }

    fn cards(&mut self, policy: &Policy) {
        let cards = policy.routines.iter().filter_map(|(name, routine)| Some((name, routine.card.as_ref()?)));
        for (name, problem) in
            cards.flat_map(|(name, card)| card.problems().into_iter().map(move |found| (name, found)))
        {
            let key = if problem.key == "." { String::new() } else { format!(".{}", problem.key) };
            self.problem(&format!("policy.routines.{name}.card{key}"), &problem.what, problem.fix);
        }
    }

    /// Something about one of the tables `[[name]]`, counted from 0.
    fn problem_in(&mut self, (name, index): (&str, usize), key: &str, what: &str, fix: &str) {
        self.problems.push(FileProblem {
            file: self.file.to_owned(),
            line: line_in(self.text, name, index, key),
            column: None,
            key: if key.is_empty() { format!("{name}[{index}]") } else { format!("{name}[{index}].{key}") },
            what: what.to_owned(),
            fix: fix.to_owned(),
        });
    }

    fn problem(&mut self, key: &str, what: &str, fix: &str) {
        self.problems.push(problem_at(self.file, self.text, key, what.to_owned(), fix));
    }
}

/// The line, from 1, of a key in the table `[[name]]` of this number; the table's own line where the key is not there.
fn line_in(text: &str, name: &str, index: usize, key: &str) -> Option<usize> {
    let header = format!("[[{name}]]");
    let lines = || text.lines().enumerate();
    let (start, _) = lines().filter(|(_, line)| line.trim_start().starts_with(&header)).nth(index)?;
    let inside = lines().skip(start + 1).take_while(|(_, line)| !line.starts_with('['));
    let has_key =
        |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let found = inside.into_iter().find(|(_, line)| !key.is_empty() && has_key(line)).map(|(at, _)| at);
    Some(found.unwrap_or(start) + 1)
}

/// This machine's name, made fit for a subject's token.
fn host_name() -> Option<Holder> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    fit_name(&text)
}

fn fit_name(text: &str) -> Option<Holder> {
    let fit: String = text
        .trim()
        .to_ascii_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    fit.trim_matches('-').chars().take(63).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bus.seed"), Seed::generate().expose()).unwrap();
        std::fs::write(folder.path().join("sign.seed"), Seed::generate().expose()).unwrap();
        std::fs::write(folder.path().join("hook"), "very secret\n").unwrap();
        folder
    }

    const SMALL: &str = "cluster = \"home\"\nname = \"one\"\nsigning_seed_file = \"sign.seed\"\n[bus]\nurls = [\"nats://127.0.0.1:4222\"]\nseed_file = \"bus.seed\"\n";

    fn problems(folder: &Path, text: &str) -> Vec<FileProblem> {
        match Config::read(&folder.join("coordinator.toml"), text) {
            Err(ConfigError::Wrong(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_small_file_is_enough_and_paths_count_from_its_folder() {
        let folder = folder();
        let config = Config::read(&folder.path().join("coordinator.toml"), SMALL).unwrap();
        assert_eq!((config.cluster.as_str(), config.holder.as_str()), ("home", "one"));
        assert_eq!(config.state_dir, Path::new("/var/lib/landfall-coordinator"));
        assert_eq!(config.policy, Policy::default());
        assert!(config.sinks.is_empty() && config.bus.tls.is_none());
    }

    #[test]
    fn copies_of_the_log_are_one_three_or_five() {
        let folder = folder();
        let with = |replicas: &str| SMALL.replace("[bus]\n", &format!("[bus]\nreplicas = {replicas}\n"));
        let replicas =
            |text: &str| Config::read(&folder.path().join("coordinator.toml"), text).unwrap().bus.log.replicas;
        assert_eq!((replicas(SMALL), replicas(&with("1")), replicas(&with("3"))), (1, 1, 3));
        for nonsense in ["0", "2", "4", "7"] {
            let problem = &problems(folder.path(), &with(nonsense))[0];
            assert_eq!(problem.key, "bus.replicas");
            assert!(problem.line.is_some() && problem.fix.contains('3'), "{problem}");
        }
    }

    #[test]
    fn a_full_file_is_read() {
        let folder = folder();
        let more = "[bus.tls]\nca = \"ca.crt\"\n[policy]\nsilent_alert_after = \"1m\"\n[[sink]]\nkind = \"journal\"\n\
            [[sink]]\nkind = \"jsonl\"\npath = \"-\"\n[[sink]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"https://ops.example/x\"\nsecret_file = \"hook\"\nattempts = 2\n\
            [watchdog]\nurl = \"https://ping.example/x\"\n";
        let config = Config::read(&folder.path().join("coordinator.toml"), &format!("{SMALL}{more}")).unwrap();
        assert_eq!(config.sinks.iter().map(|sink| &sink.name).collect::<Vec<_>>(), ["journal", "jsonl", "ops"]);
        assert_eq!(config.policy.silent_alert_after, Duration::from_secs(60));
        let waits = Duration::from_secs(10);
        assert!(matches!(&config.sinks[2].kind, SinkKind::Webhook { attempts: 2, timeout, .. } if *timeout == waits));
        assert_eq!(config.bus.tls.unwrap().ca, folder.path().join("ca.crt"));
        let watchdog = config.watchdog.unwrap();
        assert_eq!((watchdog.url.as_str(), watchdog.interval), ("https://ping.example/x", WATCHDOG_INTERVAL));
    }

    #[test]
    fn an_error_names_file_line_key_and_what_to_do() {
        let folder = folder();
        let text = SMALL.replace("cluster = \"home\"", "cluster = \"No Name\"");
        let problem = &problems(folder.path(), &text)[0];
        assert_eq!((problem.line, problem.key.as_str()), (Some(1), "cluster"));
        assert!(!problem.fix.is_empty() && problem.to_string().contains("coordinator.toml:1"), "{problem}");
        let text = format!("{SMALL}[policy]\nsilent_after = \"1m\"\n");
        let problem = &problems(folder.path(), &text)[0];
        assert!(problem.what.starts_with("unknown field") && problem.key.starts_with("policy"), "{problem}");
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let folder = folder();
        let text = "cluster = \"home\"\nname = \"one\"\nsigning_seed_file = \"hook\"\n[bus]\nurls = []\nseed_file = \"missing\"\n\
            [[sink]]\nkind = \"webhook\"\nurl = \"ftp://x\"\nattempts = 0\n";
        let keys: Vec<String> = problems(folder.path(), text).into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "bus.urls",
                "bus.seed_file",
                "signing_seed_file",
                "sink[0].attempts",
                "sink[0].url",
                "sink[0].secret_file"
            ]
        );
    }

    #[test]
    fn a_watchdog_without_an_address_or_called_all_the_time_is_refused() {
        let folder = folder();
        let text = format!("{SMALL}[watchdog]\nurl = \"https://\"\ninterval = \"10ms\"\n");
        let keys: Vec<String> = problems(folder.path(), &text).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["watchdog.interval", "watchdog.url"]);
    }

    #[test]
    fn no_problem_repeats_a_secret() {
        let folder = folder();
        std::fs::write(folder.path().join("sign.seed"), "SUAVERYSECRET").unwrap();
        let told = problems(folder.path(), SMALL).iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("sign.seed") && !told.contains("SUAVERYSECRET"), "{told}");
    }

    #[test]
    fn a_machines_name_is_made_fit() {
        assert_eq!(fit_name("Web_01.example.ORG\n").unwrap().as_str(), "web-01-example-org");
        assert_eq!(fit_name("--"), None);
    }
}
