//! Names for what has only ids: rounds by their slot, runs by node and round. A recorded line never shows an id.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use landfall_proto::fact::agent::RunAbout;
use landfall_proto::fact::coordinator::RoundOpened;
use landfall_proto::id::{NodeId, RoundId, RunId};
use landfall_proto::report::TaskKind;
use landfall_proto::time::Timestamp;
use uuid::Uuid;

/// Length of an id in text.
const ID_CHARS: usize = 36;

/// What is called how.
#[derive(Debug, Clone)]
pub(super) struct Names {
    zone: TimeZone,
    all: BTreeMap<Uuid, String>,
    /// Each round behind the name of a task.
    rounds: BTreeMap<RoundId, String>,
    /// Rounds that no slot asked for, so far.
    asked: u32,
    /// The round that was opened last.
    pub(super) latest_round: Option<RoundId>,
    /// Each node's latest backup.
    pub(super) latest_runs: BTreeMap<NodeId, RunId>,
}

impl Names {
    pub(super) fn new(zone: &str) -> Self {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        Self {
            zone,
            all: BTreeMap::new(),
            rounds: BTreeMap::new(),
            asked: 0,
            latest_round: None,
            latest_runs: BTreeMap::new(),
        }
    }

    /// The time of day where the plan lives.
    pub(super) fn time(&self, at: Timestamp) -> String {
        let local = at.to_zoned(self.zone.clone());
        let format = if self.zone == TimeZone::UTC { "%H:%M" } else { "%H:%M%:z" };
        local.strftime(format).to_string()
    }

    pub(super) fn opened(&mut self, opened: &RoundOpened) {
        self.name_round(opened.round, opened.slot, opened.task);
        self.latest_round = Some(opened.round);
        for expected in &opened.expected {
            self.name_run(expected.run, opened.round, &expected.node, opened.task);
        }
    }

    /// The run of this fact, without its node. A check that follows a backup belongs to the same round.
    pub(super) fn about(&mut self, node: &NodeId, about: &RunAbout) -> String {
        self.name_round(about.round, about.slot, about.task);
        self.name_run(about.run, about.round, node, about.task);
        self.task(about.round, about.task)
    }

    fn name_round(&mut self, round: RoundId, slot: Option<Timestamp>, task: TaskKind) {
        if self.rounds.contains_key(&round) {
            return;
        }
        let name = match slot {
            Some(slot) => format!("of {}", self.time(slot)),
            None => {
                self.asked += 1;
                format!("asked for as number {}", self.asked)
            }
        };
        self.rounds.insert(round, name);
        let name = self.task(round, task);
        self.all.insert(round.0, name);
    }

    fn name_run(&mut self, run: RunId, round: RoundId, node: &NodeId, task: TaskKind) {
        let name = format!("{} on {node}", self.task(round, task));
        self.all.insert(run.0, name);
        if task == TaskKind::Backup {
            self.latest_runs.insert(node.clone(), run);
        }
    }

    fn task(&self, round: RoundId, task: TaskKind) -> String {
        format!("the {task} {}", self.rounds.get(&round).map_or("of an unknown round", String::as_str))
    }

    pub(super) fn round(&self, round: RoundId) -> String {
        self.of(round.0)
    }

    pub(super) fn run(&self, run: RunId) -> String {
        self.of(run.0)
    }

    fn of(&self, id: Uuid) -> String {
        self.all.get(&id).cloned().unwrap_or_else(|| "something unknown".to_owned())
    }

    /// The line with names for ids; an id without a name is left out, and so are fractions of seconds.
    pub(super) fn tell(&self, line: &str) -> String {
        let mut told = String::new();
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            if let Some(behind) = behind_fraction(rest) {
                rest = behind;
                continue;
            }
            match rest.get(..ID_CHARS).and_then(|text| Uuid::try_parse(text).ok()) {
                Some(id) => {
                    told.push_str(self.all.get(&id).map_or("…", String::as_str));
                    rest = &rest[ID_CHARS..];
                }
                None => {
                    told.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        told
    }
}

/// What stands behind the fraction of a second with which this text begins; the `Z` of the instant is the first of it.
fn behind_fraction(text: &str) -> Option<&str> {
    let behind = text.strip_prefix('.')?.trim_start_matches(|char: char| char.is_ascii_digit());
    (behind.len() + 1 < text.len() && behind.starts_with('Z')).then_some(behind)
}
