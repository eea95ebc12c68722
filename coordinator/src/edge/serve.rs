//! From a configuration to a running coordinator, and to its clean end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::bus::{Bus, BusError, BusRefusal, ConnectOptions, LogSettings, Signer, Told, WatchOptions};
use landfall_proto::control::Problem;
use landfall_proto::id::CommandId;
use landfall_proto::subject::Role;
use uuid::Uuid;

use super::ledger::{Ledger, LedgerError, open};
use super::shell::{Ended, Parts, ShellError, run};
use super::{clock, service};
use crate::config::Config;

/// Pause before the bus is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Why the coordinator does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Refused(BusRefusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Shell(#[from] ShellError),
}

impl ServeError {
    /// The error for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Bus(error) => error.problem(),
            Self::Refused(refusal) => refusal.problem(),
            Self::Ledger(error) => ledger_problem(error),
            Self::Shell(ShellError::Ledger(error)) => ledger_problem(error),
        }
    }
}

fn ledger_problem(error: &LedgerError) -> Problem {
    let mut why = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        why = if why.is_empty() { inner.to_string() } else { format!("{why}: {inner}") };
        source = inner.source();
    }
    let (known, fix) = match error {
        LedgerError::InUse { .. } => {
            ("its lock is held by a living process", "end the other one, or give this one a state_dir of its own")
        }
        LedgerError::Folder { .. } | LedgerError::Store(_) => (
            "the system refused it",
            "see that state_dir is writable for this user and that its disk is sound and has space, then start again",
        ),
        LedgerError::Damaged { .. } | LedgerError::Unreadable(_) | LedgerError::Format { .. } => (
            "a record is not what was written",
            "start again: what cannot be read is moved aside, and everything is read again from the log",
        ),
    };
    Problem { what: error.to_string(), why: if why.is_empty() { known.to_owned() } else { why }, fix: fix.to_owned() }
}

/// Runs the coordinator until it is asked to end by a signal.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    serve_until(config, service::stop_asked()).await
}

/// Runs the coordinator until `stop` is done. Waits for a bus that is not there yet, for ever.
pub async fn serve_until(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let mut stop = pin!(stop);
    let opened = open(&config.state_dir, clock::now())?;
    let _lock = opened.lock;
    let mut rebuilt = opened.quarantined.map(|(aside, why)| rebuilt_alert(&config, &aside.display().to_string(), &why));
    let ledger: Arc<dyn Ledger> = Arc::new(opened.ledger);
    let bus = connect(&config).await?;
    tokio::select! {
        () = &mut stop => return Ok(()),
        made = ensure_log(&bus) => made?,
    }
    tracing::info!(cluster = %config.cluster, coordinator = %config.holder, cursor = opened.records.meta.cursor.seq, "the coordinator follows the log");
    let mut records = Some(opened.records);
    loop {
        let parts = Parts {
            bus: bus.clone(),
            ledger: Arc::clone(&ledger),
            records: match records.take() {
                Some(records) => records,
                None => ledger.load()?,
            },
            holder: config.holder.clone(),
            policy: config.policy.clone(),
            signer: Signer::from_seed(&config.signing_seed),
            sinks: config.sinks.clone(),
            disconnects: disconnects(&config).await,
            alert: rebuilt.take(),
        };
        match run(parts, service::ready, &mut stop).await? {
            Ended::Stopped => break,
            Ended::LogReplaced => tracing::warn!("the coordinator begins again with the log as it is"),
        }
    }
    service::stopping();
    tracing::info!("the coordinator has ended; everything it knew is in its ledger");
    Ok(())
}

async fn connect(config: &Config) -> Result<Bus, ServeError> {
    let mut options = ConnectOptions::new(
        config.bus.urls.clone(),
        Role::Coordinator,
        config.cluster.clone(),
        config.bus.seed.clone(),
    );
    options.tls.clone_from(&config.bus.tls);
    options.name = format!("coordinator-{}", config.holder);
    Ok(Bus::connect(options).await?)
}

/// Without the system account's reports silent nodes are noticed by their missing beats, so their lack stops nothing.
async fn disconnects(config: &Config) -> Option<landfall_proto::bus::Disconnects> {
    let seed = config.bus.system_seed.clone()?;
    let options = WatchOptions {
        urls: config.bus.urls.clone(),
        cluster: config.cluster.clone(),
        seed,
        tls: config.bus.tls.clone(),
    };
    match Bus::disconnects(options).await {
        Ok(disconnects) => Some(disconnects),
        Err(error) => {
            let problem = error.problem();
            tracing::warn!(why = problem.why, fix = problem.fix, "{error}; disconnects are noticed by missing beats");
            None
        }
    }
}

async fn ensure_log(bus: &Bus) -> Result<(), ServeError> {
    // The link is made in the background; a question before it stands would only be asked twice.
    bus.wait_up(AGAIN).await;
    let mut has_waited = false;
    loop {
        match bus.ensure_log(&LogSettings::default()).await {
            Told::Done(info) => {
                info.notes.iter().for_each(|note| tracing::warn!(note, "the log differs from what was asked for"));
                return Ok(());
            }
            Told::Refused(refusal) if !refusal.is_temporary() => return Err(ServeError::Refused(refusal)),
            Told::Refused(refusal) => {
                let problem = refusal.problem();
                tracing::error!(why = problem.why, fix = problem.fix, "{refusal}");
            }
            Told::Unknown if has_waited => {}
            Told::Unknown => tracing::warn!("the bus does not answer; the coordinator waits for it"),
        }
        has_waited = true;
        // The link's own return ends the wait early.
        bus.wait_up(AGAIN).await;
        tokio::time::sleep(AGAIN / 10).await;
    }
}

fn rebuilt_alert(config: &Config, aside: &str, why: &str) -> Alert {
    Alert {
        key: AlertKey(format!("ledger_rebuilt/{}", config.holder)),
        id: CommandId::of("ledger_rebuilt", Uuid::nil(), aside).0,
        severity: Severity::Warning,
        title: format!("The ledger of {} could not be read ({why}) and is rebuilt from the log", config.holder),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: format!("check the disk of this machine; what was moved aside lies in {aside} and may be removed"),
        runbook: config.policy.runbook(&format!("ledger_rebuilt/{}", config.holder), None),
    }
}
