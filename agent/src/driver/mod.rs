//! The programs that can do the work, behind one small port: what they need, the work itself, and what they left.
//!
//! A driver never decides whether a run was good. It hands over what its tool said and what the destination showed.

mod command;
mod evidence;
#[doc(hidden)]
pub mod hostile;
mod line;
mod place;
mod rustic;
mod secret;

use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::id::{RepositoryId, RunId};
use landfall_proto::plan::{DriverName, Plan, RunLimits, Target};
use landfall_proto::report::{Exit, Phase, Reason, TaskKind};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::edge::process::{AGENT_VARIABLE, Cause, Ended, Patience, Running, Tool, agent_name};
use crate::runner::{Checked, Claim, Engine, Judgement, Reporter, RunRequest};
use crate::worker::protocol::{Location, LockSeen, Secret};

pub use line::CommandLine;
pub(crate) use line::command_line;
pub(crate) use rustic::Keys;

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub reason: Reason,
    /// One sentence or more, for people.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// A failed access to the destination.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the system's list of errors is open")]
    fn at_destination(what: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let reason = match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Reason::NoSpace,
            Kind::ReadOnlyFilesystem => Reason::ReadOnly,
            Kind::PermissionDenied => Reason::Permission,
            Kind::NotFound | Kind::NotADirectory => Reason::NoRepository,
            Kind::StaleNetworkFileHandle | Kind::HostUnreachable | Kind::TimedOut => Reason::Network,
            _ => Reason::Unknown,
        };
        Self::new(reason, format!("`{}` cannot be {what}: {error}.", path.display()))
    }
}

/// Why an attempt ended before there was anything to judge.
#[derive(Debug)]
pub(crate) enum Stop {
    Cancelled,
    /// There is nothing to do now, and why.
    Skipped(Failure),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Where a driver works: target and secret, limits, and whom to tell.
pub(crate) struct Bench<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) target: &'a Target,
    pub(crate) secret: Option<Secret>,
    pub(crate) reporter: Reporter,
    pub(crate) cancel: watch::Receiver<bool>,
    pub(crate) deadline: Instant,
    pub(crate) stall_after: Duration,
    pub(crate) limits: RunLimits,
    /// Where a remote repository may be cached.
    pub(crate) cache: Option<PathBuf>,
    /// The run's own directory; absent where there is no run.
    pub(crate) directory: Option<PathBuf>,
    /// How the last tool ended.
    pub(crate) exit: Option<Exit>,
}

impl Bench<'_> {
    /// Reads the target's secret and strikes it out of everything from here on. Returns what is wrong with its place.
    pub(crate) async fn unlock(&mut self) -> Result<Option<String>, Failure> {
        let Some(source) = &self.target.secret else { return Ok(None) };
        let found = secret::read(source).await?;
        self.reporter.redactor.hide(found.secret.expose());
        self.secret = Some(found.secret);
        Ok(found.warning)
    }

    async fn start(&mut self, mut tool: Tool, activity_counts: bool) -> Result<Running, Failure> {
        if let Some(agent) = self.cache.as_deref().and_then(agent_name) {
            tool.environment.insert(AGENT_VARIABLE.to_owned(), agent);
        }
        let program = tool.program.display().to_string();
        let patience = Patience { deadline: self.deadline, stall_after: self.stall_after, activity_counts };
        let running = Running::start(tool, patience, self.cancel.clone()).map_err(|error| {
            let reason = if error.kind() == std::io::ErrorKind::PermissionDenied {
                Reason::Permission
            } else {
                Reason::ToolMissing
            };
            Failure::new(reason, format!("The program `{program}` cannot be started: {error}."))
        })?;
        self.exit = None;
        self.reporter.process(Some(running.mark())).await;
        Ok(running)
    }

    async fn ending(&mut self, cause: Cause) {
        if cause == Cause::Cancelled {
            self.reporter.enter(Phase::Cancelling).await;
        }
    }

    /// Notes how a tool ended. An end that it did not choose itself stops the attempt.
    async fn ended(&mut self, ended: Ended) -> Result<i32, Stop> {
        self.exit = ended.exit;
        self.reporter.process(None).await;
        let rest = if ended.gone { "" } else { " Some of its processes cannot be ended and are still there." };
        let failed = |reason, text: String| Err(Failure::new(reason, format!("{text}{rest}")).into());
        match (ended.cause, ended.exit) {
            (Cause::Cancelled, _) => Err(Stop::Cancelled),
            (Cause::Stalled, _) => {
                let seconds = self.stall_after.as_secs_f64();
                failed(
                    Reason::Stalled,
                    format!("The tool made no progress for {seconds} seconds and was ended with its children."),
                )
            }
            (Cause::TimedOut, _) => failed(
                Reason::TimedOut,
                "The run's time was over, and the tool was ended with its children.".to_owned(),
            ),
            (Cause::Exited, Some(Exit::Signal(signal))) => {
                failed(Reason::Killed, format!("The tool was killed by signal {signal}."))
            }
            (Cause::Exited, None) => failed(Reason::Killed, "Nobody knows how the tool ended.".to_owned()),
            (Cause::Exited, Some(Exit::Code(code))) => Ok(code),
        }
    }
}

/// The program that a task runs; `None` where it runs none.
pub(crate) fn program(plan: &Plan, task: TaskKind, exe: &Path) -> Option<PathBuf> {
    match (plan.driver, task, &plan.command) {
        (DriverName::Rustic, ..) => Some(exe.to_owned()),
        (DriverName::Command, TaskKind::Backup, Some(command)) => command.program.first().map(PathBuf::from),
        (DriverName::Command, TaskKind::Check, Some(command)) => command.check_program.first().map(PathBuf::from),
        (DriverName::Command, _, None) => None,
    }
}

/// Host and port of a target that is not a directory; the inner `None` where its URL names none.
pub(crate) fn remote(target: &Target) -> Option<Option<(String, u16)>> {
    match target.driver {
        DriverName::Rustic => target.location.strip_prefix("rest:").map(rustic::address),
        DriverName::Command => None,
    }
}

/// Makes the backup, or finds it made.
pub(crate) async fn backup(bench: &mut Bench<'_>, request: &RunRequest) -> Result<Claim, Stop> {
    match request.plan.driver {
        DriverName::Rustic => rustic::backup(bench, request).await,
        DriverName::Command => command::backup(bench, request).await,
    }
}

/// Checks what has been left.
pub(crate) async fn check(bench: &mut Bench<'_>, request: &RunRequest) -> Result<Checked, Stop> {
    match request.plan.driver {
        DriverName::Rustic => rustic::check(bench, request.data_part).await,
        DriverName::Command => command::check(bench, request).await,
    }
}

/// Leaves what other nodes need to confirm a backup that was judged to be there. What goes wrong becomes a finding.
pub(crate) async fn record(bench: &Bench<'_>, request: &RunRequest, claim: &Claim, judgement: &mut Judgement) {
    match request.plan.driver {
        // The snapshot carries the run's id itself.
        DriverName::Rustic => {}
        DriverName::Command => command::record(bench, request, claim, judgement).await,
    }
}

/// What a repository says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) repository: RepositoryId,
    /// Absent where they cannot be looked at, or mean nothing to the driver.
    pub(crate) locks: Option<Vec<LockSeen>>,
}

/// The repository's own id and its locks, where there is one already.
pub(crate) async fn identify(bench: &mut Bench<'_>) -> Result<Option<Identified>, Failure> {
    match bench.target.driver {
        DriverName::Rustic => rustic::identify(bench).await,
        DriverName::Command => {
            Ok(command::identify(bench.target).await?.map(|repository| Identified { repository, locks: None }))
        }
    }
}

/// How the locks in this target's repository call its place; `None` where no lock of ours is ever left.
pub(crate) fn lock_place(target: &Target) -> Option<String> {
    match target.driver {
        DriverName::Rustic => Some(Location(target.location.clone()).to_string()),
        DriverName::Command => None,
    }
}

/// Removes locks that are proven to be nobody's any more.
pub(crate) async fn unlock(bench: &mut Bench<'_>, ids: Vec<String>) -> Result<(), Failure> {
    match bench.target.driver {
        DriverName::Rustic => rustic::unlock(bench, ids).await,
        DriverName::Command => Ok(()),
    }
}

/// Which runs the destination shows once, and which it does not. Runs that cannot be judged are in neither list.
pub(crate) async fn witness(
    bench: &mut Bench<'_>,
    repository: &RepositoryId,
    runs: &[RunId],
) -> Result<(Vec<RunId>, Vec<RunId>), Failure> {
    match bench.target.driver {
        DriverName::Rustic => rustic::witness(bench, repository, runs).await,
        DriverName::Command => command::witness(bench.target, repository, runs).await,
    }
}
