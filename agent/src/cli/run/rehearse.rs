//! `run --dry-run`: everything that a run looks at before it starts, and nothing of what it does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;
use landfall_proto::id::{RepositoryId, RoutineName, TargetName};
use landfall_proto::limit::LimitName;
use landfall_proto::plan::{DriverName, Plan, RepositoryLock};
use landfall_proto::report::TaskKind;
use landfall_proto::time::Timestamp;
use serde::Serialize;

use crate::cli::doctor::locks;
use crate::cli::{engine, print, runtime};
use crate::config::Config;
use crate::core::CatalogEntry;
use crate::edge::clock;
use crate::edge::plans::Folders;
use crate::edge::receipt::{Runs, Trace};
use crate::runner::{self, CheckResult, Engine};
use crate::worker::survey::{Survey, survey};

/// How long sources are counted; a larger tree is shown as far as it was counted.
const SURVEY_WITHIN: Duration = Duration::from_secs(300);

/// How long a file system may take to hand over one more entry, once counting is to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Slots that are shown.
const SLOTS_SHOWN: usize = 3;

#[derive(Debug, Serialize)]
struct Rehearsal {
    plan: RoutineName,
    task: TaskKind,
    driver: DriverName,
    target: TargetName,
    /// Without passwords.
    location: String,
    /// Whether everything is there that a run needs.
    would_start: bool,
    /// The program with its arguments, secrets struck; empty where the task starts none.
    program: Vec<String>,
    /// Names of the variables that the plan sets for it.
    variables: Vec<String>,
    /// Absent where the repository could not be read, or there is none yet.
    repository: Option<RepositoryId>,
    sources: Vec<Survey>,
    /// Absent where no run of the plan on this node was good.
    last_good: Option<LastGood>,
    checks: Vec<Look>,
    /// What it takes of the mesh's limits while it runs under a coordinator.
    limits: Vec<LimitName>,
    lock: RepositoryLock,
    zone: String,
    next_slots: Vec<Timestamp>,
}

#[derive(Debug, Serialize)]
struct LastGood {
    finished_at: Timestamp,
    files: u64,
    bytes: u64,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Look {
    name: String,
    ok: bool,
    what: String,
    /// Empty where nothing is to be done.
    fix: String,
}

/// Says what a run of this plan would do and what it would meet. Starts no run, and writes nothing: no receipt, no fact.
pub(super) fn rehearse(config: &Config, plan: &RoutineName, task: TaskKind, json: bool) -> anyhow::Result<ExitCode> {
    let loaded = Folders { plans: config.plans_dir.clone(), targets: config.targets_dir.clone() }.load();
    let Some(entry) = loaded.catalog.plans.get(plan) else {
        for problem in &loaded.problems {
            print::complain(&problem.to_string());
        }
        bail!("there is no usable plan {plan} in {}; `landfall-agent plans` shows all", config.plans_dir.display());
    };
    let engine = engine()?;
    let runtime = runtime()?;
    let rehearsal = runtime.block_on(look(config, entry, task, &engine));
    // A look at a file system that hangs is left behind.
    runtime.shutdown_background();
    let rehearsal = rehearsal?;
    if json {
        print::json(&rehearsal)?;
    } else {
        show(&rehearsal);
    }
    Ok(if rehearsal.would_start { ExitCode::SUCCESS } else { ExitCode::from(BLOCKED) })
}

/// Something is in the way of a run.
const BLOCKED: u8 = 1;

async fn look(config: &Config, entry: &CatalogEntry, task: TaskKind, engine: &Engine) -> anyhow::Result<Rehearsal> {
    let plan = &entry.plan;
    let found = runner::rehearse(engine, plan, &entry.target, task).await;
    let mut checks: Vec<Look> = found.probe.checks.iter().map(Look::of).collect();
    let mut sources = Vec::new();
    let can_be_read = checks.iter().all(|check| check.ok || check.name != "source");
    if task == TaskKind::Backup && !plan.sources.is_empty() && can_be_read {
        match count(plan).await {
            Ok(counted) => sources = counted,
            Err(why) => checks.push(Look::bad("count", why, "Correct `sources` or `excludes` in the plan.")),
        }
    }
    checks.extend(sources.iter().filter(|source| source.unread > 0).map(|source| {
        let what = format!("{}: {} entries cannot be looked at.", source.path().display(), source.unread);
        Look::bad("count", what, "Give the agent's user the right to read them, or exclude them.")
    }));
    if !plan.guards.allow_empty
        && !sources.is_empty()
        && sources.iter().all(|source| source.is_complete && source.files == 0)
    {
        let fix = "See that the sources are mounted, or write `allow_empty = true` under [guards].";
        checks.push(Look::bad("count", "The sources hold no file at all.".to_owned(), fix));
    }
    if plan.driver == DriverName::Rustic && found.probe.repository.is_some() {
        let own = runner::own_locks(&config.state_dir.join("runs"));
        let locks = locks::findings(plan.name.as_str(), found.probe.locks.as_deref(), &own);
        checks.extend(locks.into_iter().map(|finding| Look {
            name: "locks".to_owned(),
            ok: finding.ok,
            what: finding.what,
            fix: finding.fix,
        }));
    }
    let slots = plan.schedule.iter().flat_map(|schedule| schedule.calendar.iter(clock::now(), &entry.zone));
    Ok(Rehearsal {
        plan: plan.name.clone(),
        task,
        driver: plan.driver,
        target: plan.target.clone(),
        location: found.location,
        would_start: checks.iter().all(|check| check.ok),
        program: found.line.words,
        variables: found.line.variables,
        repository: found.probe.repository,
        sources,
        last_good: last_good(config, &plan.name),
        checks,
        limits: limits(config, entry, task),
        lock: plan.lock(),
        zone: plan.zone().to_owned(),
        next_slots: slots.take(SLOTS_SHOWN).collect(),
    })
}

/// The sources counted, as far as the time allows.
async fn count(plan: &Plan) -> Result<Vec<Survey>, String> {
    let (paths, excludes): (Vec<PathBuf>, _) =
        (plan.sources.iter().map(PathBuf::from).collect(), plan.excludes.clone());
    let (one_file_system, stop) = (plan.one_file_system, Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stop);
    let mut counting = tokio::task::spawn_blocking(move || survey(&paths, &excludes, one_file_system, &told));
    let mut ended = tokio::time::timeout(SURVEY_WITHIN, &mut counting).await;
    if ended.is_err() {
        stop.store(true, Ordering::Relaxed);
        ended = tokio::time::timeout(STOP_WITHIN, &mut counting).await;
    }
    match ended {
        Ok(Ok(counted)) => counted,
        Ok(Err(error)) => Err(format!("The count was broken off: {error}.")),
        Err(_) => Err("A source does not answer.".to_owned()),
    }
}

impl Look {
    fn of(check: &CheckResult) -> Self {
        Self { name: check.name.clone(), ok: check.ok, what: check.what.clone(), fix: check.fix.clone() }
    }

    fn bad(name: &str, what: String, fix: &str) -> Self {
        Self { name: name.to_owned(), ok: false, what, fix: fix.to_owned() }
    }
}

/// The limits that a coordinator counts such a run against; those without a size let everything pass.
fn limits(config: &Config, entry: &CatalogEntry, task: TaskKind) -> Vec<LimitName> {
    let mut labels = config.labels.clone();
    labels.extend(entry.plan.labels.clone());
    let fixed = [LimitName::Cluster, LimitName::Node, LimitName::Repository];
    let storage = entry.target.storage.clone().map(LimitName::Storage);
    let labels = labels.into_iter().map(|(key, value)| LimitName::Label(key, value));
    fixed.into_iter().chain(storage).chain(labels).chain([LimitName::Task(task)]).collect()
}

/// The figures of the last good backup, for comparison.
fn last_good(config: &Config, plan: &RoutineName) -> Option<LastGood> {
    let path = config.state_dir.join("runs");
    let traces = if path.is_dir() { Runs::new(path).ok()?.traces().ok()? } else { return None };
    traces.into_iter().rev().find_map(|trace| {
        let Trace::Ended(receipt) = trace else { return None };
        let is_wanted = receipt.about.routine == *plan && receipt.about.task == TaskKind::Backup;
        let evidence = receipt.report.evidence.filter(|_| is_wanted && receipt.report.outcome.is_good())?;
        Some(LastGood { finished_at: receipt.report.finished_at, files: evidence.files, bytes: evidence.bytes })
    })
}

fn show(found: &Rehearsal) {
    let Rehearsal { plan, task, target, location, .. } = found;
    print::line(&format!("A {task} of {plan} to {target} ({location}), without starting it:"));
    if !found.program.is_empty() {
        let variables = if found.variables.is_empty() {
            String::new()
        } else {
            format!("   with {} set", found.variables.join(", "))
        };
        print::line(&format!("program    {}{variables}", found.program.join(" ")));
    }
    for source in &found.sources {
        let rest = if source.is_complete { "" } else { ", and more: counting it all takes too long" };
        print::line(&format!(
            "source     {}: {} files in {} folders, {}; {} left out{rest}",
            source.path().display(),
            source.files,
            source.folders,
            print::size(source.bytes),
            source.excluded
        ));
    }
    if let Some(last) = &found.last_good {
        let at = print::moment(last.finished_at);
        print::line(&format!("last good  {} files, {}, {at}", last.files, print::size(last.bytes)));
    }
    for check in &found.checks {
        print::line(&format!("{}       {}: {}", if check.ok { "ok  " } else { "BAD " }, check.name, check.what));
        if !check.fix.is_empty() {
            print::line(&format!("           fix: {}", check.fix));
        }
    }
    let limits: Vec<String> = found.limits.iter().map(ToString::to_string).collect();
    let lock = match found.lock {
        RepositoryLock::Shared => "shares the repository",
        RepositoryLock::Exclusive => "wants the repository for itself",
    };
    print::line(&format!("limits     {}; {lock}", limits.join(", ")));
    let slots: Vec<String> = found.next_slots.iter().map(|slot| print::moment(*slot)).collect();
    let slots = if slots.is_empty() { "when asked".to_owned() } else { slots.join(", ") };
    print::line(&format!("next       {slots}"));
    print::line(if found.would_start {
        "It would start. Nothing was written."
    } else {
        "It would not go well as it stands. Nothing was written."
    });
}
