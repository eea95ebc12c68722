//! Any program: an exit table says what its code means, and something it left proves that it did its work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::id::{RepositoryId, RunId};
use landfall_proto::plan::{CommandOptions, ExitMeaning, Target};
use landfall_proto::report::{Evidence, Outcome, Phase, ProofLevel, Reason, Statistics, TaskKind, Unread};
use landfall_proto::time::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::evidence::{self, Artifact};
use super::place::{self, Record};
use super::{Bench, Failure, Stop};
use crate::edge::clock;
use crate::edge::process::{Heard, Input, LINE_BYTES_MAX, Line, RUN_VARIABLE, Stream, Tool};
use crate::runner::{Checked, Claim, Figures, Judgement, RunRequest, Said, may_create, patiently};

/// How long an evidence program may take.
const EVIDENCE_PATIENCE: Duration = Duration::from_secs(300);

/// Longest output of an evidence program, in bytes.
const EVIDENCE_BYTES_MAX: usize = 64 * 1024;

/// A line by which a program tells how far it is.
#[derive(Deserialize)]
struct ProgressLine {
    #[serde(default)]
    percent: Option<f64>,
    #[serde(default)]
    bytes_done: Option<u64>,
    #[serde(default)]
    bytes_total: Option<u64>,
    #[serde(default)]
    files_done: Option<u64>,
    #[serde(default)]
    files_total: Option<u64>,
    #[serde(default)]
    action: String,
}

pub(super) async fn backup(bench: &mut Bench<'_>, request: &RunRequest) -> Result<Claim, Stop> {
    let options = options(request)?;
    let (id, record) = enter(bench.target, request).await?;
    bench.reporter.repository(id.clone()).await;
    if let Some(record) = record {
        let location = Path::new(&bench.target.location);
        let name = place::artifact_path(location, &record).display().to_string();
        let artifact = Artifact { name, bytes: record.bytes, files: record.files, taken_at: record.taken_at };
        return Ok(claim(options, Said::AlreadyDone, Ok(artifact), id));
    }
    let pattern = options.evidence.path.clone();
    let before =
        at_destination(bench.target, move || Ok(pattern.and_then(|pattern| evidence::earlier(&pattern)))).await?;
    let begun_at = clock::now();
    bench.reporter.enter(Phase::Transferring).await;
    let code = work(bench, request, &options.program, options.progress, None).await?;
    let said = meaning(options, code)?;
    bench.reporter.enter(Phase::Verifying).await;
    // What a program found done was made by an earlier call for the same slot.
    let (since, before) = match said {
        Said::AlreadyDone => (request.about.slot.unwrap_or(begun_at), None),
        Said::Done | Said::Warning | Said::Partial => (begun_at, before),
    };
    let artifact = match (&options.evidence.path, options.evidence.program.is_empty()) {
        (Some(pattern), _) => {
            let pattern = pattern.clone();
            let find = move || evidence::by_path(&pattern, since, clock::now(), before.as_ref());
            until(bench.deadline, find).await
        }
        (None, false) => ask(bench, request, options, since).await?,
        (None, true) => Err(Failure::new(
            Reason::VerifyMissing,
            "The plan names nothing that would prove that the program left something.",
        )),
    };
    match artifact {
        Err(failure) if failure.reason != Reason::VerifyMissing => Err(failure.into()),
        artifact => Ok(claim(options, said, artifact, id)),
    }
}

pub(super) async fn check(bench: &mut Bench<'_>, request: &RunRequest) -> Result<Checked, Stop> {
    let options = options(request)?;
    if options.check_program.is_empty() {
        return Err(Stop::Skipped(Failure::new(
            Reason::ExitSkipped,
            "The plan names no `check_program`, so there is nothing to check with.",
        )));
    }
    let (id, _) = enter(bench.target, request).await?;
    bench.reporter.enter(Phase::Checking).await;
    let code = work(bench, request, &options.check_program, options.progress, None).await?;
    let now = clock::now();
    let evidence = Evidence {
        repository: Some(id),
        snapshot: String::new(),
        taken_at: now,
        level: ProofLevel::Structure,
        matches: 0,
        covers_sources: false,
        files: 0,
        bytes: 0,
        read_at: now,
    };
    let findings = if code == 0 { Vec::new() } else { vec![format!("the check program ended with code {code}")] };
    Ok(Checked { errors: u64::from(code != 0), findings, evidence: Some(evidence), statistics: Statistics::default() })
}

/// Writes the run's record beside its artifact. Without the record no other node can confirm the run, which is worth a
/// warning, but the artifact is there all the same.
pub(super) async fn record(bench: &Bench<'_>, request: &RunRequest, claim: &Claim, judgement: &mut Judgement) {
    let Some(evidence) = claim
        .evidence
        .clone()
        .filter(|_| matches!(judgement.outcome, Outcome::Ok | Outcome::Warning | Outcome::Partial))
    else {
        return;
    };
    let location = PathBuf::from(&bench.target.location);
    let (run, node, routine) = (request.about.run, request.node.clone(), request.about.routine.clone());
    let write = move || {
        let is_file = std::fs::symlink_metadata(&evidence.snapshot)
            .is_ok_and(|found| found.is_file() && found.len() == evidence.bytes);
        let artifact = place::relative(&location, &evidence.snapshot);
        let (bytes, files, taken_at) = (evidence.bytes, evidence.files, evidence.taken_at);
        let record =
            Record { run, node, routine, artifact, is_file, bytes, files, taken_at, recorded_at: clock::now() };
        place::write_record(&location, &record)
            .map_err(|error| Failure::at_destination("given the run's record", &location, &error))
    };
    if let Err(failure) = at_destination(bench.target, write).await {
        let text = format!("{} No other node can confirm this run.", failure.message);
        if judgement.outcome == Outcome::Ok {
            (judgement.outcome, judgement.reason, judgement.message) = (Outcome::Warning, failure.reason, text.clone());
        }
        judgement.findings.push(text);
    }
}

pub(super) async fn identify(target: &Target) -> Result<Option<RepositoryId>, Failure> {
    let location = PathBuf::from(&target.location);
    at_destination(target, move || place::known_repository(&location)).await
}

pub(super) async fn witness(
    target: &Target,
    repository: &RepositoryId,
    runs: &[RunId],
) -> Result<(Vec<RunId>, Vec<RunId>), Failure> {
    let (location, asked, runs) = (PathBuf::from(&target.location), repository.clone(), runs.to_vec());
    let look = move || {
        if place::repository(&location, false)? != asked {
            return Err(Failure::new(
                Reason::NoRepository,
                "The target is another directory than the one asked about.",
            ));
        }
        let (mut seen, mut absent) = (Vec::new(), Vec::new());
        for run in runs {
            match place::read_record(&location, run)?.map(|record| place::look(&location, &record)) {
                Some(place::Artifact::There) => seen.push(run),
                Some(place::Artifact::Different) | None => absent.push(run),
                // Only the program that made it can say.
                Some(place::Artifact::Elsewhere) => {}
            }
        }
        Ok((seen, absent))
    };
    at_destination(target, look).await
}

fn options(request: &RunRequest) -> Result<&CommandOptions, Failure> {
    request.plan.command.as_ref().ok_or_else(|| Failure::new(Reason::NoPlan, "The plan has no [command] table."))
}

/// The target directory's id, and the record of this run where an earlier attempt left one together with its artifact.
async fn enter(target: &Target, request: &RunRequest) -> Result<(RepositoryId, Option<Record>), Failure> {
    let (location, run) = (PathBuf::from(&target.location), request.about.run);
    let known = request.about.repository.is_some();
    let create = may_create(target, known);
    let look = move || {
        if create {
            std::fs::create_dir_all(&location)
                .map_err(|error| Failure::at_destination("created", &location, &error))?;
        }
        let id = place::repository(&location, !known)?;
        let record = place::read_record(&location, run)?
            .filter(|record| place::look(&location, record) == place::Artifact::There);
        Ok((id, record))
    };
    at_destination(target, look).await
}

/// Runs one program of the plan to its end and returns its exit code. With `collect`, its standard output goes there.
async fn work(
    bench: &mut Bench<'_>,
    request: &RunRequest,
    program: &[String],
    progress: bool,
    mut collect: Option<&mut String>,
) -> Result<i32, Stop> {
    let Some((path, arguments)) = program.split_first() else {
        return Err(Failure::new(Reason::ToolMissing, "The plan names no program.").into());
    };
    let input = match &bench.secret {
        Some(secret) => Input::Text(Zeroizing::new(format!("{}\n", secret.expose()).into_bytes())),
        None => Input::Nothing,
    };
    let tool = Tool {
        program: path.into(),
        arguments: arguments.to_vec(),
        environment: environment(bench.target, request),
        input,
        limits: bench.limits,
        line_bytes_max: LINE_BYTES_MAX,
    };
    let mut running = bench.start(tool, !progress).await?;
    loop {
        match running.next().await {
            Heard::Line(line) => hear(bench, &line, progress, &mut collect).await,
            Heard::Ending(cause) => bench.ending(cause).await,
            Heard::Ended(ended) => return bench.ended(ended).await,
        }
    }
}

async fn hear(bench: &mut Bench<'_>, line: &Line, progress: bool, collect: &mut Option<&mut String>) {
    if line.stream == Stream::Out {
        if let Some(figures) = Some(&line.text).filter(|_| progress).and_then(|text| figures(text)) {
            bench.reporter.progress(figures).await;
            return;
        }
        if let Some(text) = collect
            && text.len() + line.text.len() < EVIDENCE_BYTES_MAX
        {
            text.push_str(&line.text);
            text.push('\n');
        }
    }
    bench.reporter.line(&line.text, line.cut).await;
}

pub(super) fn figures(line: &str) -> Option<Figures> {
    let told: ProgressLine = serde_json::from_str(line).ok()?;
    if told.percent.is_none() && told.bytes_done.is_none() && told.files_done.is_none() {
        return None;
    }
    // The cast saturates, and what is no number becomes 0.
    let percent = told.percent.map(|percent| percent.clamp(0.0, 100.0) as u8);
    Some(Figures {
        action: told.action,
        percent,
        files_done: told.files_done.unwrap_or(0),
        files_total: told.files_total,
        bytes_done: told.bytes_done.unwrap_or(0),
        bytes_total: told.bytes_total,
    })
}

/// Asks the plan's evidence program. What it prints but the plan's own time is over stops the attempt; a bad answer is a
/// missing proof.
async fn ask(
    bench: &mut Bench<'_>,
    request: &RunRequest,
    options: &CommandOptions,
    since: Timestamp,
) -> Result<Result<Artifact, Failure>, Stop> {
    let mut printed = String::new();
    let (deadline, exit) = (bench.deadline, bench.exit);
    bench.deadline = deadline.min(Instant::now() + EVIDENCE_PATIENCE);
    let code = work(bench, request, &options.evidence.program, false, Some(&mut printed)).await;
    (bench.deadline, bench.exit) = (deadline, exit);
    let code = code?;
    if code != 0 {
        return Ok(Err(Failure::new(
            Reason::VerifyMissing,
            format!("The evidence program ended with code {code}, so nothing proves the backup."),
        )));
    }
    let location = PathBuf::from(&bench.target.location);
    Ok(until(deadline, move || evidence::by_program(&printed, &location, since, clock::now())).await)
}

/// The plan's own variables, and those by which a program knows what it is asked for. A secret is none of them: it comes
/// as a line on standard input.
fn environment(target: &Target, request: &RunRequest) -> BTreeMap<String, String> {
    let mut environment = request.plan.command.as_ref().map(|options| options.environment.clone()).unwrap_or_default();
    let about = &request.about;
    let task = match about.task {
        TaskKind::Backup => "backup",
        TaskKind::Check => "check",
    };
    for (name, value) in [
        (RUN_VARIABLE, about.run.to_string()),
        ("LANDFALL_ROUTINE", about.routine.to_string()),
        ("LANDFALL_NODE", request.node.to_string()),
        ("LANDFALL_TARGET", target.location.clone()),
        ("LANDFALL_TASK", task.to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    environment
}

/// What an exit code says, by the plan's table. A code that it does not name is a failure, whatever the program meant.
fn meaning(options: &CommandOptions, code: i32) -> Result<Said, Stop> {
    let named = options.exit.get(&code.to_string()).copied().or((code == 0).then_some(ExitMeaning::Ok));
    let failed =
        |reason, what: &str| Err(Failure::new(reason, format!("The program ended with code {code}, {what}.")).into());
    match named {
        Some(ExitMeaning::Ok) => Ok(Said::Done),
        Some(ExitMeaning::AlreadyDone) => Ok(Said::AlreadyDone),
        Some(ExitMeaning::Warning) => Ok(Said::Warning),
        Some(ExitMeaning::Partial) => Ok(Said::Partial),
        Some(ExitMeaning::Skipped) => Err(Stop::Skipped(Failure::new(
            Reason::ExitSkipped,
            format!("The program ended with code {code}: there is nothing to do now."),
        ))),
        Some(ExitMeaning::Retry) => failed(Reason::Busy, "which asks to come back later"),
        Some(ExitMeaning::Failed) => failed(Reason::Unknown, "which the plan calls a failure"),
        None => failed(Reason::UnknownExit, "which the plan's table does not name"),
    }
}

fn claim(options: &CommandOptions, said: Said, artifact: Result<Artifact, Failure>, id: RepositoryId) -> Claim {
    let (artifact, absence) = match artifact {
        Ok(artifact) => (Some(artifact), String::new()),
        Err(failure) => (None, failure.message),
    };
    let statistics = Statistics {
        files: artifact.as_ref().map(|artifact| artifact.files),
        bytes: artifact.as_ref().map(|artifact| artifact.bytes),
        ..Statistics::default()
    };
    let evidence = artifact.map(|artifact| Evidence {
        repository: Some(id),
        snapshot: artifact.name,
        taken_at: artifact.taken_at,
        level: ProofLevel::Landed,
        matches: 1,
        // The program knows what it saves; nobody else can look inside.
        covers_sources: true,
        files: artifact.files,
        bytes: artifact.bytes,
        read_at: clock::now(),
    });
    Claim {
        said,
        evidence,
        absence,
        statistics,
        unread: Unread::default(),
        missing_sources: Vec::new(),
        notes: Vec::new(),
        bytes_band: (options.evidence.min_bytes, options.evidence.max_bytes),
    }
}

async fn at_destination<T: Send + 'static>(
    target: &Target,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    patiently(Reason::Network, format!("The destination `{}` does not answer.", target.location), work).await
}

/// Bringing a large file to the disk may take as long as the run has left.
async fn until<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::time::timeout_at(deadline, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Failure::new(Reason::Internal, "A look at the artifact was broken off.")),
        Err(_) => Err(Failure::new(
            Reason::TimedOut,
            "The run's time was over before the artifact had been brought to the disk.",
        )),
    }
}
