//! The embedded engine: one worker process per task, which opens the repository, works, and reads back what it wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use landfall_proto::id::{RepositoryId, RunId};
use landfall_proto::report::{Evidence, ProofLevel, Reason, Statistics, Unread};
use zeroize::Zeroizing;

use super::{Bench, Failure, Identified, Stop};
use crate::edge::clock;
use crate::edge::process::{Heard, Input, RUN_VARIABLE, Stream, Tool};
use crate::runner::{Checked, Claim, Figures, RunRequest, Said};
use crate::worker::protocol::{
    Backup, Credentials, Done, Event, Level, Location, Losses, Order, ReadBack, Secret, Snapshot, Task,
};

/// Longest event line of a worker, in bytes: a listing of all snapshots that it may send.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// A tag that no snapshot has: a listing that asks for it only opens the repository.
const NO_TAG: &str = "landfall-run:none";

/// Opened master keys by location, in memory only and wiped when dropped. A key spares the next worker the derivation from
/// the password.
#[derive(Default)]
pub(crate) struct Keys(Mutex<BTreeMap<String, Secret>>);

impl Keys {
    fn get(&self, location: &str) -> Option<Secret> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(location).cloned()
    }

    fn put(&self, location: &str, key: Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(location.to_owned(), key);
    }

    fn forget(&self, location: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(location);
    }
}

/// What a backup will probably come to.
#[derive(Debug, Clone, Copy)]
struct Totals {
    files: u64,
    bytes: u64,
}

/// What a worker said besides its last word.
struct Answer {
    repository: Option<RepositoryId>,
    last: Event,
}

pub(super) async fn backup(bench: &mut Bench<'_>, request: &RunRequest) -> Result<Claim, Stop> {
    let (about, plan) = (&request.about, &request.plan);
    // A scan reads every directory a second time, beside the backup; the last good run tells the totals well enough.
    let usual = request.history.last().map(|last| Totals { files: last.files, bytes: last.bytes });
    let task = Backup {
        create_if_missing: crate::runner::may_create(bench.target, about.repository.is_some()),
        sources: plan.sources.iter().map(PathBuf::from).collect(),
        excludes: plan.excludes.clone(),
        one_file_system: plan.one_file_system,
        tags: vec![format!("landfall-node:{}", request.node), format!("landfall-routine:{}", about.routine)],
        host: request.node.to_string(),
        label: about.routine.to_string(),
        run_tag: run_tag(about.run),
        time: clock::now(),
        scan: usual.is_none(),
    };
    let answer = perform(bench, &about.run.to_string(), Task::Backup(Box::new(task)), usual).await;
    let Answer { repository, last } = answer.map_err(|stop| explained(stop, about.repository.as_ref()))?;
    let mut claim = match last {
        Event::AlreadyDone { snapshot, read_back, notes } => {
            Claim { notes, ..claim(Said::AlreadyDone, &snapshot, &read_back) }
        }
        Event::Done(done) => finished(*done),
        Event::Opened { .. }
        | Event::Progress(_)
        | Event::Log { .. }
        | Event::DoneCheck(_)
        | Event::Snapshots { .. }
        | Event::Unlocked { .. }
        | Event::Failed { .. } => return Err(unexpected(&last).into()),
    };
    if let (Some(known), Some(found)) = (&about.repository, &repository)
        && known != found
    {
        claim.notes.push(format!("The target holds another repository than before: {found} instead of {known}."));
    }
    if let Some(evidence) = &mut claim.evidence {
        evidence.repository = repository;
    }
    Ok(claim)
}

pub(super) async fn check(bench: &mut Bench<'_>, part: Option<(u32, u32)>) -> Result<Checked, Stop> {
    let data_subset = part.map(|(part, of)| format!("{part}/{of}"));
    let reads_data = data_subset.is_some();
    let Answer { repository, last } = perform(bench, "check", Task::Check { data_subset }, None).await?;
    let Event::DoneCheck(checked) = last else { return Err(unexpected(&last).into()) };
    let now = clock::now();
    let evidence = Evidence {
        repository,
        snapshot: String::new(),
        taken_at: now,
        level: if reads_data { ProofLevel::Data } else { ProofLevel::Structure },
        matches: 0,
        covers_sources: false,
        files: checked.snapshots,
        bytes: checked.bytes_read,
        read_at: now,
    };
    let statistics = Statistics {
        packs_read: reads_data.then_some(checked.packs_read),
        bytes_read: reads_data.then_some(checked.bytes_read),
        ..Statistics::default()
    };
    Ok(Checked { errors: checked.errors, findings: checked.findings, evidence: Some(evidence), statistics })
}

/// The repository's id and its locks; `None` where there is no repository yet and one may be made.
pub(super) async fn identify(bench: &mut Bench<'_>) -> Result<Option<Identified>, Failure> {
    let task = Task::List { run_tags: vec![NO_TAG.to_owned()], locks: true };
    match perform(bench, "identify", task, None).await {
        Ok(Answer { repository, last: Event::Snapshots { locks, .. } }) => {
            Ok(repository.map(|repository| Identified { repository, locks }))
        }
        Ok(answer) => Err(unexpected(&answer.last)),
        Err(Stop::Failed(failure)) if failure.reason == Reason::NoRepository && bench.target.create => Ok(None),
        Err(stop) => Err(broken_off(stop)),
    }
}

/// Removes these locks. They are nobody's any more.
pub(super) async fn unlock(bench: &mut Bench<'_>, ids: Vec<String>) -> Result<(), Failure> {
    match perform(bench, "unlock", Task::Unlock { ids }, None).await {
        Ok(Answer { last: Event::Unlocked { .. }, .. }) => Ok(()),
        Ok(answer) => Err(unexpected(&answer.last)),
        Err(stop) => Err(broken_off(stop)),
    }
}

fn broken_off(stop: Stop) -> Failure {
    match stop {
        Stop::Failed(failure) => failure,
        Stop::Cancelled | Stop::Skipped(_) => {
            Failure::new(Reason::Interrupted, "The look at the repository was broken off.")
        }
    }
}

pub(super) async fn witness(
    bench: &mut Bench<'_>,
    repository: &RepositoryId,
    runs: &[RunId],
) -> Result<(Vec<RunId>, Vec<RunId>), Failure> {
    let task = Task::List { run_tags: runs.iter().copied().map(run_tag).collect(), locks: false };
    let answer = perform(bench, "witness", task, None).await.map_err(broken_off)?;
    if answer.repository.as_ref() != Some(repository) {
        return Err(Failure::new(
            Reason::NoRepository,
            "The target holds another repository than the one asked about.",
        ));
    }
    let Event::Snapshots { snapshots, omitted, .. } = answer.last else { return Err(unexpected(&answer.last)) };
    let count = |run: RunId| {
        let tag = run_tag(run);
        snapshots.iter().filter(|snapshot| snapshot.tags.contains(&tag)).count()
    };
    let (seen, rest): (Vec<RunId>, Vec<RunId>) = runs.iter().partition(|run| count(**run) == 1);
    // What was left out of the list may be among those that were asked about.
    let absent = rest.into_iter().filter(|run| omitted == 0 || count(*run) > 1).collect();
    Ok((seen, absent))
}

/// Host and port of a REST server's URL.
pub(super) fn address(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let usual = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        Some(_) | None => (place, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Runs one worker to its end. A key that no longer fits is not tried a second time: the worker itself falls back to the
/// password, and the key of what it opened then takes the old one's place.
async fn perform(bench: &mut Bench<'_>, purpose: &str, task: Task, usual: Option<Totals>) -> Result<Answer, Stop> {
    let location = Location(bench.target.location.clone());
    bench.reporter.redactor.hide(location.url_password().unwrap_or_default());
    let secret = Credentials { password: bench.secret.clone(), master_key: bench.engine.keys.get(&location.0) };
    let order = Order {
        repository: location,
        secret,
        cache_dir: bench.cache.clone(),
        lock_records: bench.directory.clone(),
        task,
    };
    let mut line = Zeroizing::new(Vec::new());
    serde_json::to_writer(&mut *line, &order)
        .map_err(|error| Failure::new(Reason::Internal, format!("The order cannot be written: {error}.")))?;
    line.push(b'\n');
    let tool = Tool {
        program: bench.engine.exe.clone(),
        arguments: vec!["worker".to_owned()],
        environment: BTreeMap::from([(RUN_VARIABLE.to_owned(), purpose.to_owned())]),
        input: Input::Held(line),
        limits: bench.limits,
        line_bytes_max: EVENT_BYTES_MAX,
    };
    let mut running = bench.start(tool, false).await?;
    let mut repository = None;
    let mut last = None;
    let code = loop {
        match running.next().await {
            Heard::Line(line) if line.stream == Stream::Out => match serde_json::from_str(&line.text) {
                Ok(event) => hear(bench, event, usual, &mut repository, &mut last).await,
                Err(_) => bench.reporter.line("(the worker said something that is not understood)", false).await,
            },
            Heard::Line(line) => bench.reporter.line(&line.text, line.cut).await,
            Heard::Ending(cause) => bench.ending(cause).await,
            Heard::Ended(ended) => break bench.ended(ended).await,
        }
    };
    match last {
        Some(Event::Failed { reason, message, detail }) => {
            if reason == Reason::Auth {
                bench.engine.keys.forget(&bench.target.location);
            }
            match code {
                Err(Stop::Cancelled) => Err(Stop::Cancelled),
                Ok(_) | Err(_) => Err(Failure::new(reason, joined(&message, &detail)).into()),
            }
        }
        // What landed has landed, even where a cancel came at the same moment.
        Some(last) => Ok(Answer { repository, last }),
        None => {
            let code = code?;
            Err(Failure::new(Reason::Internal, format!("The worker ended with code {code} and without a result."))
                .into())
        }
    }
}

async fn hear(
    bench: &mut Bench<'_>,
    event: Event,
    usual: Option<Totals>,
    repository: &mut Option<RepositoryId>,
    last: &mut Option<Event>,
) {
    match event {
        Event::Opened { repository_id, created, master_key } => {
            let what = if created { "created" } else { "opened" };
            bench.reporter.line(&format!("{what} repository {repository_id}"), false).await;
            bench.engine.keys.put(&bench.target.location, master_key);
            if let Ok(id) = repository_id.parse::<RepositoryId>() {
                bench.reporter.repository(id.clone()).await;
                *repository = Some(id);
            }
        }
        Event::Progress(progress) => {
            bench.reporter.enter(progress.phase).await;
            // Once there is more than last time, nobody knows how much more.
            let usual = usual.filter(|usual| progress.files_done <= usual.files && progress.bytes_done <= usual.bytes);
            let action = progress.current.unwrap_or(progress.action);
            let figures = Figures {
                action,
                percent: None,
                files_done: progress.files_done,
                files_total: progress.files_total.or(usual.map(|usual| usual.files)),
                bytes_done: progress.bytes_done,
                bytes_total: progress.bytes_total.or(usual.map(|usual| usual.bytes)),
            };
            bench.reporter.progress(figures).await;
        }
        Event::Log { level, message } => {
            let level = match level {
                Level::Warning => "warning",
                Level::Error => "error",
            };
            bench.reporter.line(&format!("{level}: {message}"), false).await;
        }
        event @ (Event::AlreadyDone { .. }
        | Event::Done(_)
        | Event::DoneCheck(_)
        | Event::Snapshots { .. }
        | Event::Unlocked { .. }
        | Event::Failed { .. }) => {
            bench.reporter.line(&summary(&event), false).await;
            *last = Some(event);
        }
    }
}

/// The last word of a worker as a line of the log.
pub(super) fn summary(event: &Event) -> String {
    match event {
        Event::AlreadyDone { snapshot, .. } => format!("snapshot {} is already there", snapshot.id),
        Event::Done(done) => format!(
            "snapshot {} saved: {} files, {} bytes; {} bytes added; {} unread, {} vanished, {} changed",
            done.snapshot.id,
            done.snapshot.files,
            done.snapshot.bytes,
            done.summary.data_added_packed,
            done.unread.count,
            done.vanished.count,
            done.changed.count
        ),
        Event::DoneCheck(checked) => format!(
            "checked {} snapshots, {} packs read: {} errors, {} warnings",
            checked.snapshots, checked.packs_read, checked.errors, checked.warnings
        ),
        Event::Snapshots { snapshots, .. } => format!("{} snapshots listed", snapshots.len()),
        Event::Unlocked { removed } => format!("{} locks removed", removed.len()),
        Event::Failed { reason, message, detail } => format!("failed ({reason}): {}", joined(message, detail)),
        Event::Opened { .. } | Event::Progress(_) | Event::Log { .. } => String::new(),
    }
}

/// Where a repository was seen before, an empty place wants another explanation than where there never was one.
fn explained(stop: Stop, known: Option<&RepositoryId>) -> Stop {
    match (stop, known) {
        (Stop::Failed(failure), Some(id)) if failure.reason == Reason::NoRepository => {
            let text =
                "was seen here before, so none is made: is the right disk mounted? To begin anew, create one by hand.";
            Stop::Failed(Failure::new(Reason::NoRepository, format!("{} {id} {text}", failure.message)))
        }
        (stop, _) => stop,
    }
}

fn finished(done: Done) -> Claim {
    let mut claim = claim(Said::Done, &done.snapshot, &done.read_back);
    claim.statistics.files_new = Some(done.summary.files_new);
    claim.statistics.files_changed = Some(done.summary.files_changed);
    claim.statistics.added_bytes = Some(done.summary.data_added_packed);
    claim.unread = Unread { count: done.unread.count, names: done.unread.names };
    claim.notes = done.notes;
    claim.notes.extend(note("files were gone before they could be read", &done.vanished));
    claim.notes.extend(note("files changed while they were read, and are a mixture in the backup", &done.changed));
    claim
}

fn claim(said: Said, snapshot: &Snapshot, read_back: &ReadBack) -> Claim {
    let evidence = Evidence {
        repository: None,
        snapshot: snapshot.id.clone(),
        taken_at: snapshot.time,
        level: ProofLevel::Landed,
        matches: u32::try_from(read_back.found).unwrap_or(u32::MAX),
        covers_sources: read_back.root_tree_readable && read_back.paths_covered,
        files: snapshot.files,
        bytes: snapshot.bytes,
        read_at: clock::now(),
    };
    Claim {
        said,
        evidence: Some(evidence),
        absence: "The repository shows no snapshot of this run.".to_owned(),
        statistics: Statistics { files: Some(snapshot.files), bytes: Some(snapshot.bytes), ..Statistics::default() },
        unread: Unread::default(),
        missing_sources: read_back.paths_missing.clone(),
        notes: Vec::new(),
        bytes_band: (0, None),
    }
}

fn note(what: &str, losses: &Losses) -> Option<String> {
    let first = losses.names.first()?;
    Some(format!("{} {what}, first `{first}`.", losses.count))
}

fn joined(message: &str, detail: &[String]) -> String {
    if detail.is_empty() { message.to_owned() } else { format!("{message} Cause: {}", detail.join("; ")) }
}

fn run_tag(run: RunId) -> String {
    format!("landfall-run:{run}")
}

fn unexpected(event: &Event) -> Failure {
    Failure::new(Reason::Internal, format!("The worker gave an answer to another question: {}.", summary(event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_found_in_any_url() {
        for (url, host, port) in [
            ("http://host:8000/repo/", "host", 8000),
            ("https://user:p@ss@host/repo", "host", 443),
            ("http://[::1]:99/", "::1", 99),
            ("http://[::1]/", "::1", 80),
        ] {
            assert_eq!(address(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(address("host"), None);
    }
}
