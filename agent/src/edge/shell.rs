//! The loop: takes inputs in one at a time, asks the core, writes down what it says, and only then does it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use landfall_proto::command::{Answer, Command};
use landfall_proto::fact::agent::{AgentFact, AgentStarted, RunAbout, StartCause};
use landfall_proto::id::RunId;
use landfall_proto::live::{SYNC_HALVES_MAX, Sync};
use landfall_proto::report::RunReport;
use landfall_proto::time::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::alarm::Siren;
use super::beat::Standing;
use super::bus::Port;
use super::fence::FenceFile;
use super::news::News;
use super::outbox::Nudge;
use super::receipt::{Runs, Trace};
use super::reserve::Reserve;
use super::room::HeldBack;
use super::spool::{Spool, SpoolError};
use super::vitals::Places;
use super::{clock, vitals};
use crate::config::Config;
use crate::core::{
    Agent, Ask, Change, Effect, Held, Input, Inspections, Step, SyncMeans, Ticket, step, sync_means, without_room,
};
use crate::runner::Engine;

/// Inputs that wait; whoever sends more waits too, or drops what repeats anyway.
pub(super) const INPUTS_MAX: usize = 1024;

/// The clock on the wall may jump, and timers do not notice: the loop looks at it at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Between two tries to write down what could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// How long cancelled runs may take to end before the agent goes without them; their groups die with it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(20);

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum Wake {
    Input(Input),
    Command(Box<Command>, oneshot::Sender<Answer>),
    Ask(Ask, oneshot::Sender<Answer>),
    Sync(Sync),
    /// A receipt could not be written.
    Owed,
}

/// The way into the loop.
#[derive(Debug, Clone)]
pub(super) struct Inputs(pub(super) mpsc::Sender<Wake>);

impl Inputs {
    /// Waits for room. After the loop has ended this does nothing.
    pub(super) async fn send(&self, wake: Wake) {
        let _ = self.0.send(wake).await;
    }

    /// For what comes again anyway: dropped where there is no room.
    pub(super) fn offer(&self, wake: Wake) {
        let _ = self.0.try_send(wake);
    }
}

/// The agent at work.
pub struct Shell {
    pub(super) agent: Agent,
    pub(super) spool: Arc<Spool>,
    pub(super) runs: Arc<Runs>,
    pub(super) fence: FenceFile,
    pub(super) inspections: Inspections,
    pub(super) reserve: Reserve,
    pub(super) engine: Arc<Engine>,
    pub(super) siren: Siren,
    pub(super) config: Config,
    pub(super) port: Option<Port>,
    pub(super) nudge: Nudge,
    pub(super) inputs: Inputs,
    pub(super) waiting: mpsc::Receiver<Wake>,
    pub(super) held: HeldBack,
    pub(super) news: broadcast::Sender<News>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) places: Places,
    pub(super) tickets: BTreeMap<Ticket, oneshot::Sender<Answer>>,
    pub(super) next_ticket: u64,
    pub(super) cancels: BTreeMap<RunId, watch::Sender<bool>>,
    pub(super) abandoned: Arc<AtomicBool>,
    /// Runs and other work that is waited for at the end.
    pub(super) work: JoinSet<()>,
    /// Tasks that end with the shell.
    pub(super) helpers: JoinSet<()>,
    /// Ends when the last run has ended; for a person's run without a daemon.
    pub(super) ends_when_idle: bool,
    pub(super) has_worked: bool,
    pub(super) wake_at: Option<Timestamp>,
    /// When the journal was opened.
    pub(super) begun: Instant,
    /// The state directory's lock, held as long as the shell lives.
    pub(super) _lock: std::fs::File,
}

impl Shell {
    /// Works until `shutdown`, then lets runs end within the configured time and cancels the rest. A run that is cancelled
    /// so has no receipt, and is taken up again at the next start.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), SpoolError> {
        tokio::pin!(shutdown);
        let mut drain_until: Option<Instant> = None;
        loop {
            if let Some(wake) = self.held.pop_front() {
                self.take(wake).await;
                continue;
            }
            if self.is_done(drain_until.is_some()) {
                break;
            }
            let look_at = self.look_at(drain_until);
            tokio::select! {
                wake = self.waiting.recv() => {
                    let Some(wake) = wake else { break };
                    self.take(wake).await;
                }
                () = sleep_until(look_at) => self.input(Input::Woke).await,
                () = &mut shutdown, if drain_until.is_none() => {
                    tracing::info!("the agent is asked to stop; runs may end within {}", self.config.drain);
                    drain_until = Some(Instant::now() + self.config.drain.as_std());
                    self.input(Input::Draining).await;
                }
                Some(_) = self.work.join_next() => {}
            }
            self.inspect_when_due();
            if drain_until.is_some_and(|until| Instant::now() >= until) {
                self.abandon().await;
                break;
            }
        }
        self.helpers.shutdown().await;
        Ok(())
    }

    fn is_done(&self, is_draining: bool) -> bool {
        // A run that has ended may still have to say so to whoever watches.
        let is_idle = self.agent.live().is_empty() && self.waiting.is_empty() && self.work.is_empty();
        let was_all = self.ends_when_idle && self.has_worked && self.agent.is_idle();
        is_idle && (is_draining || was_all)
    }

    fn look_at(&self, drain_until: Option<Instant>) -> Instant {
        let now = Instant::now();
        let wake = self.wake_at.map(|at| {
            let left = Duration::try_from(at.duration_since(clock::now())).unwrap_or_default();
            now + left.min(LOOK_AGAIN)
        });
        let inspection = self.inspections.due_at().map(|at| self.begun + at.as_std());
        let next = [wake, inspection].into_iter().flatten().min().unwrap_or(now + LOOK_AGAIN).min(now + LOOK_AGAIN);
        drain_until.map_or(next, |until| until.min(next))
    }

    /// Cancels what is under way and waits for its end, so that no tool is left behind.
    async fn abandon(&mut self) {
        self.abandoned.store(true, Ordering::SeqCst);
        for cancel in self.cancels.values() {
            cancel.send_replace(true);
        }
        let until = Instant::now() + CANCEL_PATIENCE;
        while !self.work.is_empty() && Instant::now() < until {
            tokio::select! {
                ended = self.work.join_next() => if ended.is_none() { break },
                Some(wake) = self.waiting.recv() => self.take(wake).await,
                () = sleep_until(until) => {}
            }
        }
        while let Some(wake) = self.held.pop_front().or_else(|| self.waiting.try_recv().ok()) {
            self.take(wake).await;
        }
        self.work.shutdown().await;
    }

    pub(super) async fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Input(input) => self.input(input).await,
            Wake::Command(command, answer) => {
                let ticket = self.ticket(answer);
                self.input(Input::Told(ticket, command)).await;
            }
            Wake::Ask(ask, answer) => {
                let ticket = self.ticket(answer);
                self.has_worked = true;
                self.input(Input::Asked(ticket, ask)).await;
            }
            Wake::Sync(sync) => self.synchronise(sync).await,
            Wake::Owed => self.inspections.owes(self.uptime()),
        }
    }

    fn ticket(&mut self, answer: oneshot::Sender<Answer>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, answer);
        ticket
    }

    /// Synchronisation for an older life of the journal says nothing about this one. Where the coordinator knows more of
    /// this journal than it holds, the disk has been set back, and its sequences must not be used again. Where it misses
    /// what the journal has let go, nothing that follows would ever count.
    async fn synchronise(&mut self, mut sync: Sync) {
        let written = tokio::task::block_in_place(|| self.spool.contents_below(sync.durable_below, SYNC_HALVES_MAX));
        let written = written.unwrap_or_else(|error| {
            tracing::warn!("the journal cannot be compared with what the coordinator knows of it: {}", chain(&error));
            Vec::new()
        });
        let first_seq = match tokio::task::block_in_place(|| self.spool.first_seq()) {
            Ok(seq) => seq,
            Err(error) => return tracing::warn!("the journal's oldest fact cannot be read: {}", chain(&error)),
        };
        let (incarnation, next_seq) = (self.spool.incarnation(), self.spool.next_seq());
        let receipts = match sync_means(&sync, &Held { incarnation, first_seq, next_seq, written: &written }) {
            SyncMeans::OtherLife => return,
            SyncMeans::Continue => return self.input(Input::Synced(sync)).await,
            SyncMeans::SetBack => {
                tracing::error!(
                    "the coordinator knows facts of this journal that it did not write: the disk was set back; a new life begins"
                );
                Vec::new()
            }
            SyncMeans::LetGo => {
                tracing::error!(
                    first_seq,
                    "the coordinator misses facts that were safe and are deleted here: the bus and its ledger were lost; \
                     a new life begins, and every receipt is told again"
                );
                let Some(receipts) = self.receipts() else { return };
                receipts
            }
        };
        let fresh = clock::draw_incarnation();
        if let Err(error) = tokio::task::block_in_place(|| self.spool.reincarnate(fresh, receipts, self.uptime())) {
            tracing::error!("the new life cannot be written down: {error}");
            return;
        }
        self.nudge.back_to(0);
        self.began(StartCause::Rebuilt).await;
        sync = Sync { durable_below: 0, last_halves: Vec::new(), resend_from: None, ..sync };
        self.input(Input::Synced(sync)).await;
    }

    /// Every end of which there is a receipt; `None` where that cannot be read now, and is tried at the next synchronisation.
    fn receipts(&self) -> Option<Vec<(RunAbout, RunReport)>> {
        let traces = tokio::task::block_in_place(|| self.runs.traces())
            .map_err(|error| tracing::error!("the receipts cannot be read: {error}"))
            .ok()?;
        let ended = traces.into_iter().filter_map(|trace| match trace {
            Trace::Ended(receipt) => Some((receipt.about, receipt.report)),
            Trace::Interrupted { .. } => None,
        });
        Some(ended.collect())
    }

    /// How long this process has had its journal open, whatever the clock on the wall says.
    pub(super) fn uptime(&self) -> landfall_proto::time::Duration {
        landfall_proto::time::Duration::from_ms(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Tells the mesh that this agent lives, and why its journal begins or goes on.
    pub(super) async fn began(&mut self, cause: StartCause) {
        let (version, host) = (env!("CARGO_PKG_VERSION").to_owned(), vitals::host_name());
        let labels = self.config.labels.clone();
        self.input(Input::Began(AgentStarted { version, cause, host, labels })).await;
    }

    /// One step of the core. Nothing is done before it is written down, however long that takes; only a command is refused
    /// where it cannot be, and then the core is as it was before.
    pub(super) async fn input(&mut self, input: Input) {
        let now = clock::now();
        let mut told = match &input {
            Input::Told(ticket, command) => Some((*ticket, command.clone(), self.agent.clone())),
            Input::Began(_)
            | Input::Asked(..)
            | Input::Heard(_)
            | Input::Synced(_)
            | Input::Reported { .. }
            | Input::Found(_)
            | Input::Planned(_)
            | Input::Probed { .. }
            | Input::Saw(_)
            | Input::Felt(_)
            | Input::Draining
            | Input::Woke => None,
        };
        if let Input::Planned(catalog) = &input {
            self.places = Places::new(catalog.places());
        }
        let Step { changes, facts, effects, wake_at } = step(&mut self.agent, now, input);
        self.wake_at = wake_at;
        if !changes.is_empty() || !facts.is_empty() {
            while let Err(error) = tokio::task::block_in_place(|| self.write_down(&changes, &facts, now)) {
                tracing::error!("the journal cannot be written; nothing more is begun until it can: {}", chain(&error));
                if told.is_none() {
                    self.reserve.release();
                    self.wait_for_room(Instant::now() + WRITE_AGAIN).await;
                }
                if let Err(error) = tokio::task::block_in_place(|| self.spool.reopen()) {
                    tracing::error!("the journal cannot be opened again: {}", chain(&error));
                }
                if let Some((ticket, command, before)) = told.take() {
                    self.agent = before;
                    let answer = without_room(&self.agent, now, &command);
                    return self.answer(ticket, answer);
                }
            }
            if !facts.is_empty() {
                self.nudge.wake();
            }
            if facts.iter().any(|fact| matches!(fact, AgentFact::RunFinished(_))) {
                self.inspections.ended(self.uptime());
            }
        }
        for effect in effects {
            self.perform(effect, now);
        }
        self.stand();
    }

    /// The fence goes first: a fence of which nothing has been obeyed yet harms nobody.
    fn write_down(&self, changes: &[Change], facts: &[AgentFact], now: Timestamp) -> Result<(), SpoolError> {
        self.fence.keep(changes).map_err(|source| SpoolError::Fence { path: self.fence.path(), source })?;
        self.spool.commit(changes, facts, now)
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(sender) = self.tickets.remove(&ticket) {
            // Whoever asked may have stopped waiting; it asks again.
            let _ = sender.send(answer);
        }
    }

    pub(super) fn confirm(&self, durable_below: u64) {
        if let Err(error) = tokio::task::block_in_place(|| self.spool.confirm(durable_below, self.uptime())) {
            tracing::warn!("confirmed facts could not be removed: {}", chain(&error));
        }
    }

    fn perform(&mut self, effect: Effect, now: Timestamp) {
        match effect {
            Effect::Start(start) => self.start(*start),
            Effect::Stop(run) => {
                if let Some(cancel) = self.cancels.get(&run) {
                    cancel.send_replace(true);
                }
            }
            Effect::Record { about, attempt, report } => self.record(about, attempt, *report),
            Effect::Answer(ticket, answer) => self.answer(ticket, answer),
            Effect::ReadLog { ticket, run, offset } => self.read_log(ticket, run, offset),
            Effect::Witness(task) => self.witness(*task),
            Effect::Confirm { durable_below } => self.confirm(durable_below),
            Effect::Resend { from } => self.nudge.back_to(from),
            Effect::Alarm(alarm) => {
                let siren = self.siren.clone();
                // It is waited for at the end: a run by hand may be all that this process does.
                self.work.spawn(async move { siren.raise(&alarm, now).await });
            }
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
