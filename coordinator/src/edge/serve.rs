//! From a configuration to a running coordinator, and to its clean end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{Bus, BusError, BusRefusal, ConnectOptions, LogSettings, Signer, Told, WatchOptions};
use landfall_proto::control::Problem;
use landfall_proto::doubt::patience_before_making;
use landfall_proto::id::Holder;
use landfall_proto::subject::Role;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asker::Ask;
use super::feed::Feed;
use super::ledger::{Ledger, LedgerError, Opened, lock, open_locked};
use super::pass::Pass;
use super::rebuild::{News, Source, adopt, gap, is_empty, rebuild};
use super::shell::{Ended, Parts, ShellError, run};
use super::snapshot::Keeper;
use super::stall::open_when_there_is_room;
use super::watchdog::watch;
use super::{clock, service};
use crate::config::Config;
use crate::core::policy::Policy;

/// Pause before the bus is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often, and after which pause, a leader is asked for its state before the own one is gone on with.
const ADOPT_TRIES: u32 = 10;
const ADOPT_AGAIN: Duration = Duration::from_secs(3);

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
            "start again: what cannot be read is moved aside, and the newest snapshot and the log fill a fresh ledger",
        ),
        LedgerError::ViewLost => ("so much was committed meanwhile", "wait: it is tried again"),
    };
    Problem {
        what: error.to_string(),
        why: if why.is_empty() { known.to_owned() } else { why },
        fix: fix.to_owned(),
        code: None,
    }
}

/// The ways into the coordinator from this process's own pages. They outlive each loop: who asks while there is none waits for
/// the next.
#[derive(Debug)]
pub struct Inside {
    pub asks: mpsc::Receiver<Ask>,
    pub feed: Feed,
}

/// Runs the coordinator until it is asked to end by a signal.
pub async fn serve(config: Config, inside: Inside) -> Result<(), ServeError> {
    serve_until(config, inside, service::stop_asked()).await
}

/// Runs the coordinator until `stop` is done. Waits for a bus that is not there yet, for ever.
pub async fn serve_until(config: Config, mut inside: Inside, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let mut stop = pin!(stop);
    let _lock = lock(&config.state_dir)?;
    let Some(mut opened) = open_when_there_is_room(&config, None, stop.as_mut()).await? else { return Ok(()) };
    let bus = connect(&config).await?;
    tokio::select! {
        () = &mut stop => return Ok(()),
        made = ensure_log(&bus, &config.bus.log, !is_empty(&opened.records)) => made?,
    }
    let pass = Arc::new(Pass::default());
    let _watching = config.watchdog.as_ref().and_then(|watchdog| watch(watchdog, Arc::clone(&pass)));
    let mut news = News::default();
    loop {
        let ready = tokio::select! {
            () = &mut stop => return Ok(()),
            filled = fill_if_empty(&config, &bus, opened, &mut news) => filled?,
        };
        let cursor = ready.records.meta.cursor;
        tracing::info!(cluster = %config.cluster, coordinator = %config.holder, cursor = cursor.seq, "the coordinator follows the log");
        let ledger: Arc<dyn Ledger> = Arc::new(ready.ledger);
        let keeper = Keeper::start(&config.state_dir, &config.holder, &ledger, &bus);
        let parts = Parts {
            bus: bus.clone(),
            log: config.bus.log.clone(),
            ledger: Arc::clone(&ledger),
            records: ready.records,
            holder: config.holder.clone(),
            policy: Policy { routes: config.routes.clone(), ..config.policy.clone() },
            signer: Signer::from_seed(&config.signing_seed),
            sinks: config.sinks.clone(),
            disconnects: disconnects(&config).await,
            alert: std::mem::take(&mut news).alert(&config),
            pass: Arc::clone(&pass),
            feed: inside.feed.clone(),
        };
        let ended = run(parts, &mut inside.asks, service::ready, &mut stop).await;
        keeper.end(matches!(ended, Ok(Ended::Stopped))).await;
        // The store can be opened again once nobody has it.
        drop(ledger);
        let full = match ended {
            Ok(Ended::Stopped) => break,
            Ok(Ended::LogReplaced) => {
                tracing::warn!("the coordinator begins again with the log as it is");
                None
            }
            Ok(Ended::Diverged { leader }) => {
                tracing::error!(%leader, "this coordinator made another state of the log than the leader");
                tokio::select! {
                    () = &mut stop => break,
                    adopted = adopt_patiently(&config, &bus, &leader) => news = adopted,
                }
                None
            }
            Err(ShellError::Ledger(error)) if error.is_full() => Some(error),
            Err(error) => return Err(error.into()),
        };
        match open_when_there_is_room(&config, full, stop.as_mut()).await? {
            Some(again) => opened = again,
            None => break,
        }
    }
    service::stopping();
    tracing::info!("the coordinator has ended; everything it knew is in its ledger");
    Ok(())
}

/// An empty ledger is filled from a snapshot where there is one. Notes what a person should know about it.
async fn fill_if_empty(config: &Config, bus: &Bus, opened: Opened, news: &mut News) -> Result<Opened, ServeError> {
    let mut opened = opened;
    if let Some((aside, why)) = opened.quarantined.take() {
        news.aside = Some(aside.display().to_string());
        news.why = Some(format!("could not be read ({why})"));
    }
    if is_empty(&opened.records) {
        drop(opened);
        let source = rebuild(config, bus).await;
        opened = open_locked(&config.state_dir, clock::now())?;
        // A coordinator that has a snapshot of its own had a ledger once.
        if matches!(source, Source::OwnSnapshot(_)) && news.why.is_none() {
            news.why = Some("was gone".to_owned());
        }
        tracing::info!(%source, "the ledger was empty and is built from what there is");
        news.source = Some(source);
    }
    if let Told::Done(info) = bus.log_info().await
        && info.is_from_leader
    {
        news.gap = gap(opened.records.meta.cursor, info.state);
    }
    Ok(opened)
}

/// Takes over the leader's state, and goes on with the own one where the leader does not give it in time: it may be gone, and
/// whoever leads then is compared with again.
async fn adopt_patiently(config: &Config, bus: &Bus, leader: &Holder) -> News {
    for _ in 0..ADOPT_TRIES {
        match adopt(config, bus, leader).await {
            Ok(news) => return news,
            Err(why) => tracing::error!(why, %leader, "the leader's state cannot be taken over yet"),
        }
        service::alive();
        tokio::time::sleep(ADOPT_AGAIN).await;
    }
    News::default()
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

/// Makes the log unless it is there. Who `has_read` one before, or wants several copies, asks for some seconds first.
async fn ensure_log(bus: &Bus, settings: &LogSettings, has_read: bool) -> Result<(), ServeError> {
    let patience = patience_before_making(has_read, settings.replicas).as_std();
    // The link is made in the background; a question before it stands would only be asked twice.
    bus.wait_up(AGAIN).await;
    let mut has_waited = false;
    let mut missing_since = None;
    loop {
        let seen = bus.log_info().await;
        if let Told::Refused(BusRefusal::NoLog { .. }) = seen {
            let since = *missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() < patience {
                tokio::time::sleep(AGAIN / 2).await;
                continue;
            }
        } else {
            missing_since = None;
        }
        match bus.ensure_log(settings).await {
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
