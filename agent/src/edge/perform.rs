//! How the shell does what the core wants done: runs, receipts, logs, looking at repositories for others.

use std::sync::Arc;

use landfall_proto::command::{Answer, Refused};
use landfall_proto::fact::agent::{RunAbout, Witnessed};
use landfall_proto::id::RunId;
use landfall_proto::report::RunReport;
use tokio::sync::watch;

use super::news::News;
use super::running::{self, Running};
use super::shell::{Shell, Wake};
use crate::core::{Input, Start, Ticket, WitnessTask};
use crate::runner;

/// Longest message in a witness's fact, in bytes.
const MESSAGE_BYTES_MAX: usize = 500;

impl Shell {
    pub(super) fn start(&mut self, start: Start) {
        let (cancel, cancelled) = watch::channel(false);
        self.cancels.insert(start.about.run, cancel);
        let running = Running {
            start,
            node: self.config.node.clone(),
            runs: Arc::clone(&self.runs),
            reserve: self.reserve.clone(),
            cache: self.config.state_dir.join("cache"),
            engine: Arc::clone(&self.engine),
            inputs: self.inputs.clone(),
            news: self.news.clone(),
            port: self.port.clone(),
            cancel: cancelled,
            abandoned: Arc::clone(&self.abandoned),
        };
        self.has_worked = true;
        self.work.spawn(running.go());
    }

    pub(super) fn record(&mut self, about: RunAbout, attempt: u32, report: RunReport) {
        let written =
            tokio::task::block_in_place(|| running::record(&self.runs, about.clone(), attempt, report.clone()));
        if let Err(error) = written {
            tracing::error!(run = %about.run, "the receipt cannot be written: {error}");
            self.inspections.owes(self.uptime());
        }
        let _ = self.news.send(News::Ended { about, report: Box::new(report) });
    }

    pub(super) fn read_log(&mut self, ticket: Ticket, run: RunId, offset: u64) {
        let ended = !self.agent.live().contains_key(&run);
        let answer = match tokio::task::block_in_place(|| self.runs.read_log(run, offset)) {
            Ok(Some(piece)) => {
                Answer::Log { offset, text: piece.text, next_offset: piece.next_offset, ended: ended && piece.is_end }
            }
            Ok(None) => {
                Answer::Refused { reason: Refused::NoRun, message: format!("this node has no log of the run {run}") }
            }
            Err(error) => {
                Answer::Refused { reason: Refused::Busy, message: format!("the log cannot be read: {error}") }
            }
        };
        self.answer(ticket, answer);
    }

    pub(super) fn witness(&mut self, task: WitnessTask) {
        let (engine, inputs) = (Arc::clone(&self.engine), self.inputs.clone());
        self.helpers.spawn(async move {
            let WitnessTask { command, round, repository, runs, entry } = task;
            let looked = runner::witness(&engine, &entry.target, &repository, &runs).await;
            let asked = u32::try_from(runs.len()).unwrap_or(u32::MAX);
            let blank = Witnessed {
                command,
                round,
                repository,
                asked,
                seen: Vec::new(),
                absent: Vec::new(),
                unknown: None,
                message: String::new(),
            };
            let witnessed = match looked {
                Ok(found) => Witnessed { seen: found.seen, absent: found.absent, ..blank },
                Err(failure) => {
                    let end = failure.message.floor_char_boundary(MESSAGE_BYTES_MAX);
                    Witnessed { unknown: Some(failure.reason), message: failure.message[..end].to_owned(), ..blank }
                }
            };
            inputs.send(Wake::Input(Input::Saw(witnessed))).await;
        });
    }
}
