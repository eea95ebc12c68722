//! From a state directory to a living agent: lock, spool, what an earlier life left behind, plans, bus.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use landfall_proto::bus::{Bus, BusError};
use landfall_proto::fact::agent::StartCause;
use landfall_proto::id::{RoutineName, RunId};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::alarm::Siren;
use super::beat::{Standing, beat};
use super::bus::{Port, hear_beacons, hear_syncs, serve_commands};
use super::clock;
use super::door;
use super::fence::FenceFile;
use super::locks::clear_at_boot;
use super::outbox::{Nudge, pump};
use super::plans::Folders;
use super::process::{Leftover, end_leftover, end_strays};
use super::receipt::{Receipt, Runs, Trace};
use super::reserve::Reserve;
use super::shell::{INPUTS_MAX, Inputs, Shell};
use super::spool::{Spool, SpoolError};
use super::vitals::Places;
use super::watching::watch_plans;
use crate::config::{Config, ConfigError};
use crate::core::{Agent, Found, Input, Inspections, PauseRules};
use crate::runner::Engine;

/// News that wait for a slow visitor.
const NEWS_MAX: usize = 1024;

/// How long a process that outlived its agent may take to end before it is killed.
const LEFTOVER_GRACE: Duration = Duration::from_secs(10);

/// How much of an agent is brought to life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Schedule, bus and door.
    Daemon,
    /// One plan for a person, with neither bus nor schedule; what it has to tell waits in the spool.
    Alone { plan: RoutineName },
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error("another agent works with {path}; stop it, or give this one a state_dir of its own")]
    Locked { path: PathBuf },
    #[error("the state directory {path} cannot be used; it must belong to the agent's user")]
    State { path: PathBuf, source: io::Error },
    #[error("the socket {path} cannot be opened")]
    Door { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the bus cannot be used")]
    Bus(#[from] BusError),
}

impl Shell {
    /// Brings an agent to life on its configured bus. When this returns, visitors are let in.
    pub async fn boot(config: Config, engine: Engine, mode: &Mode) -> Result<Self, BootError> {
        let options = if *mode == Mode::Daemon { config.connect_options()? } else { None };
        let bus = match options {
            Some(options) => Some(Bus::connect(options).await?),
            None => None,
        };
        Self::boot_on(bus, config, engine, mode).await
    }

    /// The same on a bus that is at hand.
    pub async fn boot_on(bus: Option<Bus>, config: Config, engine: Engine, mode: &Mode) -> Result<Self, BootError> {
        let state = |source| BootError::State { path: config.state_dir.clone(), source };
        fs::create_dir_all(&config.state_dir).map_err(state)?;
        let lock = lock(&config)?;
        let runs = Runs::new(config.state_dir.join("runs")).map_err(state)?;
        let traces = runs.traces().map_err(state)?;
        let mut opened =
            Spool::open(&config.state_dir.join("spool.v1"), &config.node, clock::draw_incarnation(), clock::now())?;
        if let Some(aside) = &opened.quarantined {
            tracing::error!(
                "the journal was damaged; it was moved to {} and is rebuilt from receipts",
                aside.display()
            );
        }
        // A life that ended before it had said anything does not go on: it is begun once more.
        let is_new = opened.is_fresh || opened.spool.next_seq() == 0;
        let cause = match (is_new, traces.is_empty() && opened.quarantined.is_none()) {
            (false, _) => StartCause::Restarted,
            (true, true) => StartCause::First,
            (true, false) => StartCause::Rebuilt,
        };
        let fence = FenceFile::new(&config.state_dir);
        opened.memory.fence = fence.joined(opened.memory.fence);
        let mut rules = crate::core::Rules { has_bus: bus.is_some(), ..config.rules() };
        if let Mode::Alone { .. } = mode {
            rules = crate::core::Rules { has_bus: false, keeps_schedule: false, pause: PauseRules::default(), ..rules };
        }
        let agent = Agent::new(rules, opened.memory, clock::now());
        let mut shell = Self::assemble(config, engine, agent, opened.spool, runs, lock);
        shell.ends_when_idle = *mode != Mode::Daemon;
        if *mode == Mode::Daemon {
            shell.began(cause).await;
        }
        shell.take_up(traces, mode).await;
        shell.inspect_at_boot();
        shell.open_up(bus, mode).await?;
        Ok(shell)
    }

    fn assemble(config: Config, engine: Engine, agent: Agent, spool: Spool, runs: Runs, lock: File) -> Self {
        let (inputs, waiting) = mpsc::channel(INPUTS_MAX);
        let (news, _) = broadcast::channel(NEWS_MAX);
        let standing = Standing {
            incarnation: spool.incarnation(),
            next_seq: 0,
            outbox: 0,
            live: Vec::new(),
            paused: None,
            epoch: agent.epoch(),
            places: Places::default(),
        };
        let (standing, _) = watch::channel(standing);
        let siren =
            Siren { cluster: config.cluster.clone(), node: config.node.clone(), webhook: config.alarm.webhook.clone() };
        Self {
            agent,
            spool: Arc::new(spool),
            runs: Arc::new(runs),
            fence: FenceFile::new(&config.state_dir),
            inspections: Inspections::default(),
            reserve: Reserve::new(&config.state_dir),
            engine: Arc::new(engine),
            siren,
            config,
            port: None,
            nudge: Nudge::new(),
            inputs: Inputs(inputs),
            waiting,
            held: super::room::HeldBack::new(),
            news,
            standing,
            places: Places::default(),
            tickets: std::collections::BTreeMap::new(),
            next_ticket: 0,
            cancels: std::collections::BTreeMap::new(),
            abandoned: Arc::new(AtomicBool::new(false)),
            work: JoinSet::new(),
            helpers: JoinSet::new(),
            ends_when_idle: false,
            has_worked: false,
            wake_at: None,
            begun: tokio::time::Instant::now(),
            _lock: lock,
        }
    }

    /// Ends what still runs from an earlier life, and tells the core of ends and interruptions that it does not know.
    async fn take_up(&mut self, traces: Vec<Trace>, mode: &Mode) {
        self.end_strays(&traces).await;
        let mut seen: BTreeSet<RunId> = BTreeSet::new();
        for trace in traces {
            let found = match trace {
                Trace::Ended(receipt) => {
                    seen.insert(receipt.about.run);
                    let Receipt { about, attempt, report } = *receipt;
                    Found::Ended { about, attempt, report: Box::new(report) }
                }
                Trace::Interrupted { intent, mark } => {
                    seen.insert(intent.about.run);
                    if let Some(mark) = mark
                        && end_leftover(mark, LEFTOVER_GRACE).await == Leftover::Remains
                    {
                        tracing::error!(run = %intent.about.run, "process {} of an earlier life cannot be ended", mark.pid);
                    }
                    Found::Interrupted { about: intent.about, attempt: intent.attempt, begun_at: intent.begun_at }
                }
            };
            self.find(found, mode).await;
        }
        // Written down, and the agent ended before the run had a directory.
        let begun =
            self.agent.memory().journal.iter().filter(|(run, record)| record.ended.is_none() && !seen.contains(run));
        let begun: Vec<Found> = begun
            .map(|(_, record)| Found::Interrupted {
                about: record.about.clone(),
                attempt: record.attempt,
                begun_at: record.begun_at,
            })
            .collect();
        for found in begun {
            self.find(found, mode).await;
        }
    }

    /// Ends what works for any known run. A tool that was started a moment before the agent died is noted nowhere, but it
    /// carries its run's name; and while it has not come to carry it, it holds the state directory's lock.
    async fn end_strays(&self, traces: &[Trace]) {
        let of_traces = traces.iter().map(|trace| match trace {
            Trace::Ended(receipt) => receipt.about.run,
            Trace::Interrupted { intent, .. } => intent.about.run,
        });
        let of_journal = self.agent.memory().journal.iter().map(|(run, _)| run);
        let runs = of_traces.chain(of_journal).collect();
        for (run, leftover) in end_strays(&self.config.state_dir.join("cache"), &runs, LEFTOVER_GRACE).await {
            match leftover {
                Leftover::Gone => {}
                Leftover::Ended => tracing::warn!(%run, "a process of an earlier life was ended"),
                Leftover::Remains => tracing::error!(%run, "a process of an earlier life cannot be ended"),
            }
        }
    }

    async fn find(&mut self, found: Found, mode: &Mode) {
        // A person's run speaks for its own plan; what else was interrupted waits for the daemon.
        let is_wanted = match (&found, mode) {
            (Found::Interrupted { about, .. }, Mode::Alone { plan }) => about.routine == *plan,
            (Found::Interrupted { .. } | Found::Ended { .. }, Mode::Daemon)
            | (Found::Ended { .. }, Mode::Alone { .. }) => true,
        };
        if is_wanted {
            self.input(Input::Found(found)).await;
        }
    }

    async fn open_up(&mut self, bus: Option<Bus>, mode: &Mode) -> Result<(), BootError> {
        let folders = Folders { plans: self.config.plans_dir.clone(), targets: self.config.targets_dir.clone() };
        let loaded = folders.load();
        for problem in &loaded.problems {
            tracing::warn!("{problem}");
        }
        self.input(Input::Planned(loaded.catalog.clone())).await;
        self.has_worked = false;
        let path = door::path(&self.config.state_dir);
        let listener = door::open(&path).map_err(|source| BootError::Door { path, source })?;
        self.helpers.spawn(door::serve(listener, self.config.node.clone(), self.inputs.clone(), self.news.clone()));
        if *mode == Mode::Daemon {
            if let Some(bus) = bus {
                self.join(bus);
            }
            let runs = self.config.state_dir.join("runs");
            self.helpers.spawn(clear_at_boot(Arc::clone(&self.engine), runs, loaded.catalog.clone()));
            let known = self.agent.memory().repositories.clone();
            self.helpers.spawn(watch_plans(folders, loaded, known, Arc::clone(&self.engine), self.inputs.clone()));
            let pauses = (self.config.pause != PauseRules::default()).then(|| self.inputs.clone());
            self.helpers.spawn(beat(self.port.clone(), self.standing.subscribe(), pauses));
        }
        Ok(())
    }

    fn join(&mut self, bus: Bus) {
        let port = Port {
            bus: bus.clone(),
            node: self.config.node.clone(),
            incarnation: self.spool.incarnation(),
            trusted: self.config.coordinator_keys.clone().into(),
            greet: Arc::default(),
        };
        self.helpers.spawn(pump(bus, Arc::clone(&self.spool), self.nudge.clone()));
        self.helpers.spawn(serve_commands(port.clone(), self.inputs.clone()));
        self.helpers.spawn(hear_beacons(port.clone(), self.inputs.clone()));
        self.helpers.spawn(hear_syncs(port.clone(), self.inputs.clone()));
        self.port = Some(port);
    }
}

fn lock(config: &Config) -> Result<File, BootError> {
    let path = config.state_dir.join("agent.lock");
    let state = |source| BootError::State { path: config.state_dir.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(state)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BootError::Locked { path: config.state_dir.clone() }),
        Err(TryLockError::Error(source)) => Err(state(source)),
    }
}

#[cfg(test)]
mod tests;
