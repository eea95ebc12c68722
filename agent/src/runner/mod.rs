//! One run from its first look to its report: preflight, attempts, verify. The same code for daemon, timer and hand.

mod alone;
mod attempt;
mod eta;
mod locks;
mod preflight;
mod reporter;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::fact::agent::{RunAbout, RunRetried};
use landfall_proto::id::{NodeId, RepositoryId, RunId};
use landfall_proto::plan::{Plan, RunLimits, Target};
use landfall_proto::report::{Phase, Progress, RunReport, TaskKind};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::driver::{self, Bench, CommandLine, Failure, Keys};
use crate::edge::output::OutputFile;
use crate::edge::process::ProcessMark;
use crate::worker::protocol::LockSeen;

pub use crate::core::Sample as HistoryEntry;
pub use locks::{clear_dead, own_locks};
pub use preflight::CheckResult;
pub(crate) use preflight::{may_create, patiently};
pub(crate) use reporter::{Figures, Reporter};
pub(crate) use verify::{Checked, Claim, Judgement, Said};

/// How long a look at a destination for others, or for an announcement, may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(300);

/// Everything a run needs to know.
#[derive(Debug, Clone)]
pub struct RunRequest {
    pub about: RunAbout,
    pub plan: Plan,
    pub target: Target,
    pub node: NodeId,
    /// From 1; more where an earlier attempt was interrupted with its agent.
    pub attempt: u32,
    /// The run's own directory. The runner writes the file `output` in it.
    pub directory: PathBuf,
    /// The agent's cache; the same for all runs, because it also holds the locks that keep runs on one target apart.
    pub cache: PathBuf,
    /// The last good runs of this plan.
    pub history: Vec<HistoryEntry>,
    /// For a check: which part of the data is read, from 1, and of how many.
    pub data_part: Option<(u32, u32)>,
}

/// What a run tells while it works. Phases, retries, the repository and processes are never dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    Phase(Phase),
    /// At most one a second, and one at each passed tenth.
    Progress(Progress),
    Retried(RunRetried),
    /// Read from the destination.
    Repository(RepositoryId),
    /// One line of output, without secrets.
    Output(String),
    /// A process group works for the run, or none does any more.
    Process(Option<ProcessMark>),
}

/// What runs of one process share: the program that is the worker, and opened keys.
pub struct Engine {
    pub(crate) exe: PathBuf,
    pub(crate) keys: Keys,
    locks: locks::Left,
}

/// What a destination showed of other nodes' runs. A run in neither list could not be judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WitnessSeen {
    /// There, once.
    pub seen: Vec<RunId>,
    /// Not there, or more than once.
    pub absent: Vec<RunId>,
}

/// What a look at plan and target found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    pub repository: Option<RepositoryId>,
    pub checks: Vec<CheckResult>,
    /// The locks in the repository; absent where they are not known.
    pub locks: Option<Vec<LockSeen>>,
}

impl Engine {
    /// `exe` is this program: it is started again as `exe worker`.
    pub fn new(exe: PathBuf) -> Self {
        Self { exe, keys: Keys::default(), locks: locks::Left::default() }
    }
}

/// Does the run and says how it ended. Never fails: whatever happens is in the report. A cancel ends the tool with its
/// children first; dropping the future kills them.
pub async fn run(
    request: RunRequest,
    engine: &Engine,
    events: mpsc::Sender<RunEvent>,
    cancel: watch::Receiver<bool>,
) -> RunReport {
    let plan = &request.plan;
    let patience = plan.limits.timeout.unwrap_or(plan.deadlines.finish_within).as_std();
    // Without its file the output is still in the report's tail; preflight says what is wrong with the directory.
    let output = OutputFile::open(&request.directory).unwrap_or_else(|_| OutputFile::none());
    let bench = Bench {
        engine,
        target: &request.target,
        secret: None,
        reporter: Reporter::new(request.about.run, events, output),
        cancel,
        deadline: Instant::now() + patience,
        stall_after: plan.deadlines.stall_after.as_std(),
        limits: plan.limits,
        cache: Some(request.cache.clone()),
        directory: Some(request.directory.clone()),
        exit: None,
    };
    attempt::to_end(&request, bench).await
}

/// Looks whether the destination shows these runs, each of another node. An error means that nothing can be said.
pub async fn witness(
    engine: &Engine,
    target: &Target,
    repository: &RepositoryId,
    runs: &[RunId],
) -> Result<WitnessSeen, Failure> {
    let (_held, cancel) = watch::channel(false);
    let mut bench = look_bench(engine, target, cancel);
    bench.unlock().await?;
    let (seen, absent) =
        driver::witness(&mut bench, repository, runs).await.map_err(|failure| redacted(&bench, failure))?;
    Ok(WitnessSeen { seen, absent })
}

/// Everything that a run looks at before it starts, and what it would start then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    pub probe: ProbeResult,
    pub line: CommandLine,
    /// The target's location without passwords.
    pub location: String,
}

/// Checks what a run of this task would need, and says what it would start. Writes nothing at the destination.
pub async fn rehearse(engine: &Engine, plan: &Plan, target: &Target, task: TaskKind) -> Rehearsed {
    Rehearsed {
        probe: look_around(engine, plan, target, task).await,
        line: driver::command_line(plan, target, task, &engine.exe),
        location: preflight::shown(target),
    }
}

/// Checks what a backup by this plan would need, and reads the repository's id. Writes nothing at the destination.
pub async fn probe(engine: &Engine, plan: &Plan, target: &Target) -> ProbeResult {
    look_around(engine, plan, target, TaskKind::Backup).await
}

async fn look_around(engine: &Engine, plan: &Plan, target: &Target, task: TaskKind) -> ProbeResult {
    let (_held, cancel) = watch::channel(false);
    let mut bench = look_bench(engine, target, cancel);
    let mut checks = look(&mut bench, plan, task, None, false).await;
    let reachable =
        checks.iter().all(|check| check.ok || !matches!(check.name.as_str(), "destination" | "credentials" | "tool"));
    let mut found = None;
    if reachable {
        let looked = driver::identify(&mut bench).await.map_err(|failure| redacted(&bench, failure));
        let said = looked.clone().map(|found| match found {
            Some(found) => format!("The repository is {}.", found.repository),
            None => "There is no repository yet; the first run makes one.".to_owned(),
        });
        found = looked.ok().flatten();
        checks.push(CheckResult::of("repository", said));
    }
    let (repository, locks) = found.map(|found| (found.repository, found.locks)).unzip();
    ProbeResult { repository, checks, locks: locks.flatten() }
}

/// The preflight's checks, with the secret read on the way.
async fn look(
    bench: &mut Bench<'_>,
    plan: &Plan,
    task: TaskKind,
    directory: Option<&Path>,
    known: bool,
) -> Vec<CheckResult> {
    let mut checks = preflight::look(plan, bench.target, task, &bench.engine.exe, directory, known).await;
    let credentials = match bench.unlock().await {
        Ok(None) => CheckResult::good("credentials", "The target's secret can be read, or none is needed."),
        Ok(Some(warning)) => {
            CheckResult::doubtful("credentials", warning, "Take the right to read it from everybody but its owner.")
        }
        Err(failure) => CheckResult::bad("credentials", failure.reason, failure.message),
    };
    checks.push(credentials);
    checks
}

fn look_bench<'a>(engine: &'a Engine, target: &'a Target, cancel: watch::Receiver<bool>) -> Bench<'a> {
    // Nobody listens to a look; its events end here.
    let (events, _) = mpsc::channel(1);
    Bench {
        engine,
        target,
        secret: None,
        reporter: Reporter::new(RunId(uuid::Uuid::nil()), events, OutputFile::none()),
        cancel,
        deadline: Instant::now() + LOOK_PATIENCE,
        stall_after: LOOK_PATIENCE,
        limits: RunLimits::default(),
        cache: None,
        directory: None,
        exit: None,
    }
}

fn redacted(bench: &Bench<'_>, failure: Failure) -> Failure {
    Failure::new(failure.reason, bench.reporter.redactor.redact(&failure.message))
}
