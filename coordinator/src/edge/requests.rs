//! Operators' requests: acts go to the core and wait for the log, logs are fetched from their node, reads are answered between turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{BusRefusal, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode};
use landfall_proto::command::{Action, Answer, Command};
use landfall_proto::control::{ASK_PLACE, Problem, ProblemCode, Reply, Request};
use landfall_proto::envelope::Envelope;
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::time::{Duration as Span, after};
use landfall_proto::view::{LogCopies, LogView};
use tokio::sync::{Semaphore, oneshot};

use super::asker::Asker;
use super::probe::Probes;
use super::reads::read;
use super::shell::Shell;
use super::{ask, clock};
use crate::core::step::{Input, Ticket};
use crate::view::{Scene, Surroundings};

/// Acts that wait for their facts.
const TICKETS_MAX: usize = 1024;

/// Questions that wait for the end of a turn, counted by who asks.
const READS_MAX: usize = 1024;

/// Reads that are answered between two turns: a list costs about a millisecond, and the log must not wait for many.
const READS_AT_ONCE: usize = 8;

/// Pieces of logs that are fetched at the same time; commands that start and end runs must not wait behind people's curiosity.
const FETCHES_MAX: usize = 32;

/// How long the request for a piece of a log may be on its way.
const READ_LOG_LIFE: Span = Span::from_secs(10);

/// Without a leader for so long a coordinator answers questions although it does not lead: longer than a standby needs to
/// take over.
const ALONE_AFTER: Duration = Duration::from_secs(5);

fn copies(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Requests that are not answered yet.
#[derive(Debug)]
pub(super) struct Desk {
    fetches: Arc<Semaphore>,
    tickets: BTreeMap<Ticket, Asker>,
    pub(super) probes: Probes,
    next: u64,
    reads: VecDeque<(Request, Vec<Asker>)>,
    /// Everybody who waits in `reads`.
    readers: usize,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            tickets: BTreeMap::new(),
            probes: Probes::default(),
            next: 0,
            reads: VecDeque::new(),
            readers: 0,
        }
    }
}

impl Desk {
    fn open(&mut self, asker: Asker) -> Result<Ticket, Asker> {
        if self.tickets.len() >= TICKETS_MAX {
            return Err(asker);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.tickets.insert(ticket, asker);
        Ok(ticket)
    }

    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Asker> {
        self.tickets.remove(&ticket)
    }

    pub(super) fn has_reads(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Whether another question may wait here.
    pub(super) const fn has_room(&self) -> bool {
        self.readers < READS_MAX
    }

    /// Many open pages ask the same at the same time, and one answer is enough for all of them.
    fn wait(&mut self, asker: Asker, request: Request) {
        self.readers += 1;
        match self.reads.iter_mut().find(|(waiting, _)| *waiting == request) {
            Some((_, askers)) => askers.push(asker),
            None => self.reads.push_back((request, vec![asker])),
        }
    }

    fn next_read(&mut self) -> Option<(Request, Vec<Asker>)> {
        let next = self.reads.pop_front()?;
        self.readers -= next.1.len();
        Some(next)
    }
}

impl Shell {
    pub(super) fn asked(&mut self, asker: Asker, request: Request) {
        let asker = match asker {
            Asker::Bus(_) if self.stands_by() => return,
            // A page shows what this coordinator knows, whoever leads; what only the leader can do is passed on to it.
            Asker::Here(answer) if !self.mesh.acts() && !request.is_read() => return self.pass_on(answer, request),
            asker @ (Asker::Bus(_) | Asker::Here(_)) => asker,
        };
        match request {
            Request::Start { .. }
            | Request::Cancel { .. }
            | Request::Retry { .. }
            | Request::Retire { .. }
            | Request::SetLimit { .. }
            | Request::SetMonitor { .. }
            | Request::RemoveMonitor { .. }
            | Request::SetPingKey { .. }
            | Request::Ping { .. } => match self.desk.open(asker) {
                Ok(ticket) => self.feed(Input::Asked(ticket, request)),
                Err(asker) => self.reply(asker, busy()),
            },
            Request::Metrics if matches!(asker, Asker::Bus(_)) => self.reply(asker, only_over_http()),
            Request::Logs { run, offset } => self.fetch_log(asker, run, offset),
            Request::TestSink { sink, request } => self.test_sink(asker, &sink, request),
            // Coordinators ask each other; a task beside the loop answers.
            Request::Snapshot { .. } => {}
            Request::Status
            | Request::Rounds { .. }
            | Request::Round { .. }
            | Request::Runs { .. }
            | Request::Run { .. }
            | Request::Nodes { .. }
            | Request::Node { .. }
            | Request::Routines
            | Request::Routine { .. }
            | Request::Alerts { .. }
            | Request::Alert { .. }
            | Request::Limits
            | Request::Board { .. }
            | Request::Queue { .. }
            | Request::Trends { .. }
            | Request::Monitors { .. }
            | Request::Monitor { .. }
            | Request::Storages { .. }
            | Request::Rehearse { .. }
            | Request::Metrics => {
                if self.desk.has_room() {
                    self.desk.wait(asker, request);
                } else {
                    self.reply(asker, busy());
                }
            }
        }
    }

    /// Answers some of the reads that wait, from committed state.
    pub(super) fn answer_reads(&mut self) {
        for _ in 0..READS_AT_ONCE {
            let Some((request, mut askers)) = self.desk.next_read() else { return };
            let Some(last) = askers.pop() else { continue };
            let reply = self.read(&request);
            askers.into_iter().for_each(|asker| self.reply(asker, reply.clone()));
            self.reply(last, reply);
        }
    }

    fn read(&self, request: &Request) -> Reply {
        let scene = Scene { mesh: &self.mesh, policy: &self.policy, progress: &self.progress, now: clock::now() };
        let around = Surroundings {
            bus_version: self.bus.health().server_version,
            started_at: self.started_at,
            refused: self.refused.clone(),
            last_pass_at: self.pass.last_at(),
            watchdog: self.pass.calls(),
            log_copies: Some(LogCopies { wanted: copies(self.log.replicas), kept: copies(self.replicas) }),
        };
        read(scene, &*self.ledger, &around, request).unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a request could not be answered");
            problem(
                "the request could not be answered",
                &error.to_string(),
                "see the coordinator's journal; its ledger is rebuilt from the log at the next start if it is damaged",
            )
        })
    }

    /// Asks the leader for one of this coordinator's own pages.
    fn pass_on(&self, answer: oneshot::Sender<Reply>, request: Request) {
        let Ok(permit) = Arc::clone(&self.desk.fetches).try_acquire_owned() else {
            return self.reply(Asker::Here(answer), busy());
        };
        let (bus, replier, holder) = (self.bus.clone(), self.replier(), self.own.holder.clone());
        tokio::spawn(async move {
            let told = ask::ask(&bus, ASK_PLACE, holder.as_str(), &request).await;
            drop(permit);
            replier.give(Asker::Here(answer), leaders_reply(told)).await;
        });
    }

    /// The leader answers, and two answers to one question would be one too many. Where nobody has led for a while, because
    /// the bus shows its log to nobody, one of those who are there says at least what it knows.
    fn stands_by(&self) -> bool {
        if self.mesh.acts() {
            return false;
        }
        let quiet_since = self.blind_since.max(self.other_led_at);
        if quiet_since.is_none_or(|since| since.elapsed() < ALONE_AFTER) {
            return true;
        }
        let me = &self.mesh.me().holder;
        self.mesh.peers(clock::now()).any(|peer| peer.presence.holder < *me)
    }

    /// Asks the run's node for a piece of its log and passes the answer on.
    fn fetch_log(&self, asker: Asker, run: RunId, offset: u64) {
        let known = match self.mesh.runs().get(&run) {
            Some(run) => Ok(Some(run.node.clone())),
            None => self.ledger.run(run).map(|found| found.map(|run| run.node)),
        };
        let node = match known {
            Ok(Some(node)) => node,
            Ok(None) => return self.reply(asker, no_run(run)),
            Err(error) => {
                return self.reply(
                    asker,
                    problem("the run cannot be looked up", &error.to_string(), "see the coordinator's journal"),
                );
            }
        };
        let Ok(permit) = Arc::clone(&self.desk.fetches).try_acquire_owned() else {
            return self.reply(asker, busy());
        };
        let now = clock::now();
        let command = Command {
            id: clock::command_id(),
            audience: node.clone(),
            holder: self.mesh.me().holder.clone(),
            epoch: self.mesh.epoch(),
            issued_at: now,
            not_after: after(now, READ_LOG_LIFE),
            action: Action::ReadLog { run, offset },
        };
        let (commander, replier) = (self.commander.clone(), self.replier());
        let online = self.mesh.is_online(&node, now);
        tokio::spawn(async move {
            let answer = commander.ask(&node, &command).await;
            drop(permit);
            replier.give(asker, log_reply(&node, run, online, answer)).await;
        });
    }
}

fn log_reply(node: &NodeId, run: RunId, online: bool, answer: Option<Answer>) -> Reply {
    match answer {
        Some(Answer::Log { offset, text, next_offset, ended }) => {
            Reply::Logs(LogView { run, offset, text, next_offset, ended })
        }
        Some(Answer::Refused { reason, message }) => problem(
            &format!("{node} does not show the log of run {run}"),
            &format!("{message} ({reason:?})"),
            "look on the node itself: `landfall-agent runs` lists what it still has",
        ),
        Some(Answer::Accepted | Answer::AlreadyDone) => problem(
            &format!("{node} gave no log"),
            "its answer was of another kind",
            "see that agent and coordinator have the same version",
        ),
        None if online => coded(
            ProblemCode::Unknown,
            &format!("{node} did not answer"),
            "it is connected but busy, or the answer was lost",
            "try again",
        ),
        None => coded(
            ProblemCode::Unknown,
            &format!("{node} did not answer"),
            "it has not been heard of lately; its logs are kept on the node",
            "see that the machine and its agent run, then try again",
        ),
    }
}

fn leaders_reply(told: Told<Envelope>) -> Reply {
    let why = match told {
        Told::Done(reply) => match decode(&reply.body, MESSAGE_BYTES_MAX) {
            Ok(reply) => return reply,
            Err(refusal) => refusal.to_string(),
        },
        Told::Refused(BusRefusal::NobodyListens { .. }) | Told::Unknown => "it did not answer".to_owned(),
        Told::Refused(refusal) => refusal.to_string(),
    };
    coded(
        ProblemCode::Unknown,
        "the leading coordinator could not be asked",
        &why,
        "look whether it was done before trying again: what was asked may have arrived; `landfall status` shows who leads",
    )
}

fn no_run(run: RunId) -> Reply {
    coded(
        ProblemCode::NotFound,
        &format!("there is no run {run}"),
        "no fact in the log speaks of it",
        "`landfall runs` lists the runs",
    )
}

fn only_over_http() -> Reply {
    problem(
        "the figures are not told over the bus",
        "those of a large mesh are longer than a message",
        "set `listen` in [web] and read /metrics there",
    )
}

pub(super) fn busy() -> Reply {
    coded(
        ProblemCode::Unknown,
        "the coordinator cannot take this request now",
        "too many requests wait",
        "try again in a moment",
    )
}

/// A refusal that programs understand without reading its words.
pub(super) fn coded(code: ProblemCode, what: &str, why: &str, fix: &str) -> Reply {
    let problem = Problem { what: what.to_owned(), why: why.to_owned(), fix: fix.to_owned(), code: None };
    Reply::Refused(problem.coded(code))
}

pub(super) fn problem(what: &str, why: &str, fix: &str) -> Reply {
    Reply::Refused(Problem { what: what.to_owned(), why: why.to_owned(), fix: fix.to_owned(), code: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_waits_once_and_everybody_who_asked_it_is_remembered() {
        let mut desk = Desk::default();
        let ask = |desk: &mut Desk, request: Request| desk.wait(Asker::Here(oneshot::channel().0), request);
        for request in [Request::Status, Request::Limits, Request::Status] {
            ask(&mut desk, request);
        }
        let (request, askers) = desk.next_read().unwrap();
        assert_eq!((request, askers.len()), (Request::Status, 2));
        // Whoever asks later gets an answer that is made later.
        ask(&mut desk, Request::Status);
        let left: Vec<(Request, usize)> =
            std::iter::from_fn(|| desk.next_read()).map(|(request, askers)| (request, askers.len())).collect();
        assert_eq!(left, [(Request::Limits, 1), (Request::Status, 1)]);
        assert!(!desk.has_reads());
        while desk.has_room() {
            ask(&mut desk, Request::Routines);
        }
        assert_eq!(desk.next_read().map(|(_, askers)| askers.len()), Some(READS_MAX));
        assert!(desk.has_room());
    }
}
