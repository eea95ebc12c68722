//! `doctor`: everything that a backup needs, looked at before it is needed.

pub(super) mod locks;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use landfall_proto::bus::Bus;
use landfall_proto::plan::DriverName;
use serde::Serialize;
use tokio::net::UnixStream;

use super::{engine, print, runtime};
use crate::config::Config;
use crate::edge::plans::{Folders, Loaded};
use crate::edge::spool::Spool;
use crate::edge::{clock, door};
use crate::runner::{self, Engine};

/// How long the bus may take to answer.
const BUS_PATIENCE: Duration = Duration::from_secs(5);

/// The state directory needs little, but it must never be full.
const STATE_FREE_MIN_BYTES: u64 = 256 << 20;

/// No machine that runs this program can live in an earlier year.
const YEAR_MIN: i16 = 2026;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall-agent doctor\n  landfall-agent doctor --json | jq '.findings[] | select(.ok | not)'\n\nExit codes: 0 all is well, 1 something is not, 2 the agent's own file cannot be read."
)]
pub(super) struct Doctor {
    /// Print JSON with stable field names
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verdict {
    ok: bool,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at: `plans`, `plan nightly: tool`, `bus`, …
    name: String,
    pub(super) ok: bool,
    pub(super) what: String,
    /// Empty where nothing is to be done.
    pub(super) fix: String,
}

impl Doctor {
    pub(super) fn main(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let engine = engine()?;
        let findings = runtime()?.block_on(look(config, &engine));
        let verdict = Verdict { ok: findings.iter().all(|finding| finding.ok), findings };
        if self.json {
            print::json(&verdict)?;
        } else {
            for finding in &verdict.findings {
                print::line(&format!(
                    "{} {}: {}",
                    if finding.ok { "ok  " } else { "BAD " },
                    finding.name,
                    finding.what
                ));
                if !finding.fix.is_empty() {
                    print::line(&format!("     fix: {}", finding.fix));
                }
            }
        }
        Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn look(config: &Config, engine: &Engine) -> Vec<Finding> {
    let mut findings = vec![clock_finding(), state(config), spool(config).await];
    let loaded = Folders { plans: config.plans_dir.clone(), targets: config.targets_dir.clone() }.load();
    findings.extend(files(config, &loaded));
    let own = runner::own_locks(&config.state_dir.join("runs"));
    for entry in loaded.catalog.plans.values() {
        let probe = runner::probe(engine, &entry.plan, &entry.target).await;
        findings.extend(probe.checks.into_iter().map(|check| Finding {
            name: format!("plan {}: {}", entry.plan.name, check.name),
            ok: check.ok,
            what: check.what,
            fix: check.fix,
        }));
        if entry.plan.driver == DriverName::Rustic && probe.repository.is_some() {
            findings.extend(locks::findings(entry.plan.name.as_str(), probe.locks.as_deref(), &own));
        }
    }
    findings.extend(bus(config).await);
    findings
}

fn good(name: &str, what: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), ok: true, what: what.into(), fix: String::new() }
}

fn bad(name: &str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), ok: false, what: what.into(), fix: fix.into() }
}

fn clock_finding() -> Finding {
    let now = clock::now();
    if now.to_zoned(jiff::tz::TimeZone::UTC).year() < YEAR_MIN {
        return bad(
            "clock",
            format!("the clock says {now}"),
            "Set the clock, and switch time synchronisation on: `timedatectl set-ntp true`.",
        );
    }
    let is_synchronised = std::path::Path::new("/run/systemd/timesync/synchronized").exists();
    let how = if is_synchronised { "it is synchronised" } else { "whether it is synchronised is not known" };
    good("clock", format!("the clock says {now}; {how}"))
}

fn state(config: &Config) -> Finding {
    let path = &config.state_dir;
    let fix =
        format!("Create {} and give it to the agent's user: `install -d -m 0700 {}`.", path.display(), path.display());
    if let Err(error) = tempfile::NamedTempFile::new_in(path) {
        return bad("state", format!("{} cannot be written: {error}", path.display()), fix);
    }
    match rustix::fs::statvfs(path) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let what = format!("{} has {} free", path.display(), print::size(free));
            if free < STATE_FREE_MIN_BYTES {
                bad(
                    "state",
                    what,
                    format!(
                        "Free at least {} there: a run whose result cannot be kept is not started.",
                        print::size(STATE_FREE_MIN_BYTES)
                    ),
                )
            } else {
                good("state", what)
            }
        }
        Err(error) => bad("state", format!("{} cannot be looked at: {error}", path.display()), fix),
    }
}

/// A living daemon has its spool open, which is proof enough.
async fn spool(config: &Config) -> Finding {
    if UnixStream::connect(door::path(&config.state_dir)).await.is_ok() {
        return good("agent", "the daemon is at work");
    }
    let path = config.state_dir.join("spool.v1");
    if !path.is_dir() {
        return good("agent", "the daemon is not running and has never run here; start it for schedule and alarms");
    }
    match Spool::open(&path, &config.node, clock::draw_incarnation(), clock::now()) {
        Ok(opened) => match opened.quarantined {
            None => good(
                "agent",
                format!("the daemon is not running; {} facts wait in its spool", opened.spool.outbox_len()),
            ),
            Some(aside) => bad(
                "agent",
                format!("the spool was damaged and is now in {}", aside.display()),
                "Nothing: it is rebuilt from receipts when the agent starts. Check this machine's disk.",
            ),
        },
        Err(error) => bad(
            "agent",
            format!("the spool cannot be opened: {error}"),
            "If the daemon is starting at this moment, look again; else check the directory's owner and the disk.",
        ),
    }
}

fn files(config: &Config, loaded: &Loaded) -> Vec<Finding> {
    let mut findings: Vec<Finding> = loaded
        .problems
        .iter()
        .map(|problem| {
            let place = problem.line.map_or_else(|| problem.file.clone(), |line| format!("{}:{line}", problem.file));
            bad("plans", format!("{place}: {}: {}", problem.key, problem.what), problem.fix.clone())
        })
        .collect();
    let count = loaded.catalog.plans.len();
    if count == 0 {
        findings.push(bad(
            "plans",
            format!("there is no usable plan in {}", config.plans_dir.display()),
            "`landfall-agent plan example` prints one to begin with.",
        ));
    } else {
        findings.push(good("plans", format!("{count} can run")));
    }
    findings
}

async fn bus(config: &Config) -> Vec<Finding> {
    let Some(bus) = &config.bus else {
        return vec![good("bus", "none is configured: the agent works alone, and only its own alarm is heard")];
    };
    let mut findings = Vec::new();
    if config.coordinator_keys.is_empty() {
        findings.push(bad(
            "coordinator_keys",
            "no key is named, so no command is obeyed",
            "Copy the public key that the coordinator prints at its set-up into `coordinator_keys`.",
        ));
    }
    let options = match config.connect_options() {
        Ok(options) => options,
        Err(error) => {
            findings.push(bad(
                "bus",
                error.to_string(),
                "Put this node's seed there, readable for the agent's user only.",
            ));
            return findings;
        }
    };
    let Some(options) = options else { return findings };
    findings.push(match Bus::connect(options.impatient(BUS_PATIENCE)).await {
        Ok(connected) => {
            let version = connected.health().server_version.unwrap_or_else(|| "an unknown version".to_owned());
            good("bus", format!("{} answers, nats-server {version}", bus.urls.join(", ")))
        }
        Err(error) => {
            let problem = error.problem();
            bad("bus", format!("{}: {}", problem.what, problem.why), problem.fix)
        }
    });
    findings
}
