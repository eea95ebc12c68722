//! The loop around the core: log, fold, commit, act, in this order and never another.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::alert::Alert;
use landfall_proto::bus::{Bus, Disconnects, LogSettings, Signer};
use landfall_proto::doubt::Doubt;
use landfall_proto::envelope::Envelope;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{Holder, Incarnation, NodeId, RunId};
use landfall_proto::live::BEACON_INTERVAL;
use landfall_proto::report::Progress;
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::time::{Timestamp, between};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::asker::{Ask, Asker};
use super::bus::{EVENTS_MAX, Event, listen, watch};
use super::command::Commander;
use super::feed::Feed;
use super::intake::Reader;
use super::ledger::{Ledger, LedgerError};
use super::pass::Pass;
use super::replay::Replay;
use super::requests::Desk;
use super::{clock, publish};
use crate::config::SinkConfig;
use crate::core::mesh::Mesh;
use crate::core::policy::Policy;
use crate::core::record::Records;
use crate::core::route::told;
use crate::core::step::{Delivery, Effect, Input, Notice, step};
use crate::notify::Notifier;

/// Events that are folded before one commit.
const EVENTS_AT_ONCE: usize = 256;

/// Results of deliveries that wait for the loop.
const DELIVERIES_MAX: usize = 1024;

/// Runs whose latest progress is kept.
const PROGRESS_MAX: usize = 20_000;

/// Questions about the log's end that wait for their answers at the same time.
const LOOKS_MAX: usize = 8;

/// Everything the loop is made of.
pub(super) struct Parts {
    pub(super) bus: Bus,
    /// What a log is made with that is not there.
    pub(super) log: LogSettings,
    pub(super) ledger: Arc<dyn Ledger>,
    /// What the ledger held.
    pub(super) records: Records,
    pub(super) holder: Holder,
    pub(super) policy: Policy,
    pub(super) signer: Signer,
    pub(super) sinks: Vec<SinkConfig>,
    /// Where the bus reports disconnects.
    pub(super) disconnects: Option<Disconnects>,
    /// Something about this process itself that a person must know.
    pub(super) alert: Option<Alert>,
    /// Where the loop says that it came round.
    pub(super) pass: Arc<Pass>,
    /// Whoever looks on hears of changes here.
    pub(super) feed: Feed,
}

/// Why the loop ended by itself. Ending is right: what the memory holds and the ledger lacks is read from the log again.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    #[error("the ledger failed; it is opened again at the next start")]
    Ledger(#[from] LedgerError),
}

/// How the loop ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Stopped,
    /// The log is another one than before, or decisions on their way are lost: begin again from the ledger.
    LogReplaced,
    /// This state is another one than the leader's, which is the one that counts.
    Diverged { leader: Holder },
}

/// Runs until `stop` is done, the log is replaced, or the ledger fails. `ready` is called once, when the whole log is folded for the first time.
pub(super) async fn run(
    mut parts: Parts,
    asks: &mut mpsc::Receiver<Ask>,
    ready: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> Result<Ended, ShellError> {
    let (events, mut happened) = mpsc::channel(EVENTS_MAX);
    let (delivered, mut deliveries) = mpsc::channel(DELIVERIES_MAX);
    if let Some(disconnects) = parts.disconnects.take() {
        tokio::spawn(watch(disconnects, events.clone()));
    }
    listen(&parts.bus, &events);
    let mut link = parts.bus.watch_health();
    let mut reader = Reader::open(&parts.bus, parts.records.meta.cursor);
    let alert = parts.alert.take();
    let mut ready = Some(ready);
    let mut shell = Shell::new(parts, events, delivered);
    let mut beacon = interval(BEACON_INTERVAL.as_std());
    beacon.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    if let Some(alert) = alert {
        shell.tell_everybody(alert);
    }
    shell.feed(Input::Woke);
    shell.finish().await?;
    let ended = loop {
        tokio::select! {
            () = &mut stop => break Ended::Stopped,
            () = std::future::ready(()), if shell.desk.has_reads() => {}
            told = reader.next(), if shell.replay.has_room() => shell.take_piece(told, &mut reader),
            written = shell.replay.written() => written?,
            Some(event) = happened.recv() => shell.take_events(event, &mut happened),
            Some(ask) = asks.recv(), if shell.desk.has_room() => shell.take_asks(ask, asks),
            Some(delivery) = deliveries.recv() => shell.feed(Input::Delivered(delivery)),
            Ok(()) = link.changed() => shell.link_changed(),
            () = sleep_until(shell.wake) => shell.feed(Input::Woke),
            _ = beacon.tick() => shell.beat(),
        }
        shell.finish().await?;
        if shell.mesh.sees_the_log() {
            shell.pass.note(clock::now(), shell.mesh.leads());
            if let Some(ready) = ready.take() {
                ready();
            }
        }
        if let Some(ended) = shell.ended() {
            break ended;
        }
    };
    shell.end(ended).await
}

/// Under which identity this process writes.
pub(super) struct Own {
    pub(super) holder: Holder,
    pub(super) incarnation: Incarnation,
    pub(super) next_seq: u64,
}

pub(super) struct Shell {
    pub(super) mesh: Mesh,
    pub(super) policy: Policy,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) bus: Bus,
    pub(super) sinks: Vec<SinkConfig>,
    pub(super) commander: Commander,
    pub(super) own: Own,
    pub(super) notifier: Notifier,
    pub(super) decisions: mpsc::Sender<Vec<Envelope>>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) desk: Desk,
    pub(super) facts: Vec<CoordinatorFact>,
    effects: Vec<Effect>,
    /// Nodes that were heard and get a word back.
    heard: BTreeSet<NodeId>,
    pub(super) progress: BTreeMap<RunId, Progress>,
    /// Refusals beside the log, by name, since this process began.
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) started_at: Timestamp,
    /// As `started_at`, by a clock that is never set.
    pub(super) began: Instant,
    /// When another coordinator's beacon was last heard.
    pub(super) other_led_at: Option<Instant>,
    /// Since when the log has been out of sight, this process's own start included.
    pub(super) blind_since: Option<Instant>,
    /// When the sinks that forget were last shown what stands.
    pub(super) shown_at: Option<Instant>,
    /// Since when own facts have been on their way while the log was read to its end.
    pub(super) flying_since: Option<Instant>,
    /// Whether what was folded last still stands at the cursor.
    pub(super) is_same_log: bool,
    pub(super) pass: Arc<Pass>,
    onlookers: Feed,
    /// Questions about the log's end that are not answered.
    pub(super) looks: Arc<Semaphore>,
    pub(super) log: LogSettings,
    /// What the bus says against the log that was read.
    pub(super) doubt: Doubt,
    /// When the log was made that is read, and its copies, as the bus said last.
    pub(super) created: Option<Timestamp>,
    pub(super) replicas: usize,
    /// Nothing but a fresh start from the ledger is safe.
    pub(super) must_restart: bool,
    /// Committed since the last barrier.
    is_dirty: bool,
    pub(super) replay: Replay,
    wake: Instant,
}

impl Shell {
    fn new(parts: Parts, events: mpsc::Sender<Event>, delivered: mpsc::Sender<Delivery>) -> Self {
        let Parts { bus, log, ledger, records, holder, mut policy, signer, sinks, pass, feed, .. } = parts;
        let own = Own { holder, incarnation: clock::incarnation(), next_seq: 0 };
        policy.sinks = sinks.iter().map(|sink| sink.name.clone()).collect();
        let cluster = bus.cluster().clone();
        let (decisions, batches) = mpsc::channel(publish::BATCHES_MAX);
        let subject = Subject::new(&cluster, Topic::CoordinatorFact(own.holder.clone()));
        tokio::spawn(publish::publish(bus.clone(), subject, batches));
        Self {
            is_same_log: records.meta.cursor.seq == 0,
            mesh: Mesh::restore(cluster.clone(), own.holder.clone(), own.incarnation, records),
            policy,
            ledger,
            commander: Commander::new(bus.clone(), signer, own.incarnation),
            notifier: Notifier::start(&cluster, &sinks, delivered),
            sinks,
            bus,
            own,
            decisions,
            events,
            desk: Desk::default(),
            facts: Vec::new(),
            effects: Vec::new(),
            heard: BTreeSet::new(),
            progress: BTreeMap::new(),
            refused: BTreeMap::new(),
            started_at: clock::now(),
            began: Instant::now(),
            other_led_at: None,
            blind_since: Some(Instant::now()),
            shown_at: None,
            flying_since: None,
            pass,
            onlookers: feed,
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            doubt: Doubt::default(),
            created: None,
            replicas: log.replicas,
            log,
            must_restart: false,
            is_dirty: false,
            replay: Replay::new(),
            wake: Instant::now(),
        }
    }

    /// Hands one input to the core and keeps what comes of it for the end of the turn.
    pub(super) fn feed(&mut self, input: Input) {
        let now = clock::now();
        let step = step(&mut self.mesh, &self.policy, now, input);
        self.facts.extend(step.facts);
        self.effects.extend(step.effects);
        match (self.mesh.sees_the_log(), self.blind_since) {
            (true, Some(_)) => self.blind_since = None,
            (false, None) => self.blind_since = Some(Instant::now()),
            (true, None) | (false, Some(_)) => {}
        }
        // Without a wish the core is looked at once a minute all the same; that costs nothing and heals a lost wake-up.
        let wait = step.wake_at.map_or(Duration::from_secs(60), |at| between(now, at).as_std());
        self.wake = Instant::now() + wait.min(Duration::from_secs(60));
    }

    fn take_events(&mut self, first: Event, more: &mut mpsc::Receiver<Event>) {
        self.take_event(first);
        for _ in 1..EVENTS_AT_ONCE {
            let Ok(event) = more.try_recv() else { return };
            self.take_event(event);
        }
    }

    /// Pages ask at the same moment, which is when something has changed.
    fn take_asks(&mut self, first: Ask, more: &mut mpsc::Receiver<Ask>) {
        self.asked(Asker::Here(first.answer), first.request);
        for _ in 1..EVENTS_AT_ONCE {
            let Some(ask) = self.desk.has_room().then(|| more.try_recv().ok()).flatten() else { return };
            self.asked(Asker::Here(ask.answer), ask.request);
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Heard(beat) => {
                let moved: Vec<Progress> = beat.live.iter().filter_map(|live| live.progress.clone()).collect();
                moved.into_iter().for_each(|progress| self.moved(progress));
                self.heard.insert(beat.node.clone());
                self.feed(Input::Heard(beat));
            }
            Event::Led(beacon) => {
                if beacon.holder != self.own.holder {
                    self.other_led_at = Some(Instant::now());
                }
                self.feed(Input::Led(beacon));
            }
            Event::Present(presence) => self.feed(Input::Present(presence)),
            Event::Saw(look) => self.saw(look),
            Event::Gone(node) => self.feed(Input::Gone(node)),
            Event::Moved(progress) => self.moved(progress),
            Event::Asked(incoming, request) => self.asked(incoming, request),
            Event::Answered(command, answer) => self.feed(Input::Answered(command, answer)),
            Event::Refused(name) => self.count(name),
        }
    }

    fn moved(&mut self, progress: Progress) {
        if self.progress.len() >= PROGRESS_MAX && !self.progress.contains_key(&progress.run) {
            let runs = self.mesh.runs();
            self.progress.retain(|run, _| runs.get(run).is_some_and(|run| !run.is_ended()));
        }
        if self.progress.len() < PROGRESS_MAX {
            self.onlookers.moved(progress.run);
            self.progress.insert(progress.run, progress);
        }
    }

    /// Sends an alert about this process straight to the sinks: its state cannot hold what happened to its state.
    fn tell_everybody(&mut self, alert: Alert) {
        self.count("ledger_rebuilt");
        let sinks = told(&self.policy.routes, &self.policy.sinks, &alert, &[]).into_keys().cloned().collect();
        let notice = Notice { alert, raised_at: self.started_at, resolved: None, reminder: 0, sinks };
        self.notifier.send(&notice);
    }

    pub(super) fn count(&mut self, name: &str) {
        *self.refused.entry(name.to_owned()).or_default() += 1;
    }

    /// The end of a turn: decisions leave for the log, the state goes to the ledger, and only then is anything done.
    async fn finish(&mut self) -> Result<(), LedgerError> {
        self.publish();
        if self.replay.is_far() && self.effects.is_empty() && !self.mesh.acts() {
            self.gather();
            return Ok(());
        }
        self.replay.settle().await?;
        self.replay.begin();
        if let Some(changes) = self.mesh.take_changes() {
            self.ledger.commit(&changes)?;
            self.is_dirty = true;
            let cursor = self.mesh.meta().cursor;
            self.onlookers.changed((cursor.era, cursor.seq), &changes);
        }
        // What is done here stands in the log, which is on disk; a ledger that a crash sets back is brought forward from it.
        for effect in std::mem::take(&mut self.effects) {
            self.perform(effect);
        }
        self.answer_reads();
        self.answer_beats()
    }

    /// The end of a turn far behind the log's end: what was folded waits for a commit that is worth it. Who asks sees a part of
    /// the past in any case, and is told how far behind it lies.
    fn gather(&mut self) {
        if self.replay.is_due()
            && let Some(changes) = self.mesh.take_changes()
        {
            self.replay.write(&self.ledger, changes);
            self.is_dirty = true;
        }
        self.heard.clear();
        self.answer_reads();
    }

    /// Says to the nodes that were heard what is safe. They delete what is safe, so that the ledger is the only place left for
    /// it if the bus loses its disk: the barrier comes first.
    fn answer_beats(&mut self) -> Result<(), LedgerError> {
        let heard = std::mem::take(&mut self.heard);
        if heard.is_empty() || !self.mesh.acts() {
            return Ok(());
        }
        self.barrier()?;
        heard.iter().for_each(|node| self.sync(node));
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), LedgerError> {
        if std::mem::take(&mut self.is_dirty) {
            self.ledger.durable()?;
        }
        Ok(())
    }

    /// Why the loop has to end by itself, if it has to.
    fn ended(&self) -> Option<Ended> {
        if self.must_restart {
            return Some(Ended::LogReplaced);
        }
        self.mesh.diverged().map(|leader| Ended::Diverged { leader: leader.clone() })
    }

    async fn end(mut self, ended: Ended) -> Result<Ended, ShellError> {
        self.replay.is_behind(0);
        self.finish().await?;
        self.ledger.durable()?;
        self.say_goodbye(&ended).await;
        Ok(ended)
    }
}
