//! Reading requests, answered from memory where it is there and from the ledger's lists where it is not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use landfall_proto::alert::AlertKey;
use landfall_proto::codec::encode;
use landfall_proto::control::{Paging, ProblemCode, Reply, Request, RunFilter};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::monitor::MonitorDetail;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{RoundView, RoutineView};
use uuid::Uuid;

use super::key::Index;
use super::ledger::{Ledger, LedgerError};
use super::requests::{coded, problem};
use crate::core::monitor::{BODIES_KEPT_MAX, Monitor};
use crate::core::permits;
use crate::core::record::AlertRecord;
use crate::core::rehearse::rehearse;
use crate::core::round::Round;
use crate::core::routine::Routine;
use crate::core::run::Run;
use crate::view::{self, LastVerdicts, PAGE_BYTES_MAX, Pager, Scene, Surroundings, rows_wanted};

/// Entries of a list that are looked at for one page; where a filter leaves none of them, the page is empty and has a next.
const SCAN_MAX: usize = 2000;

/// Entries that are fetched from the ledger at once.
const FETCH: usize = 200;

/// Runs of one round that is history which are looked at for its detail.
const ROUND_RUNS_MAX: usize = 1000;

/// Answers one request; acts and logs are not asked here.
pub(super) fn read(
    scene: Scene<'_>,
    ledger: &dyn Ledger,
    around: &Surroundings,
    request: &Request,
) -> Result<Reply, LedgerError> {
    let reads = Reads { scene, ledger };
    Ok(match request {
        Request::Status => Reply::Status(view::status(scene, around, reads.routines()?)),
        Request::Rounds { routine, open, paging } => reads.rounds(routine.as_ref(), *open, paging)?,
        Request::Round { id } => match reads.round(*id)? {
            Some(round) => {
                let runs = reads.runs_of(*id)?;
                let runs: Vec<&Run> = runs.iter().map(Cow::as_ref).collect();
                Reply::Round(view::round_detail(scene, &round, &runs))
            }
            None => missing("round", &id.to_string(), "landfall rounds"),
        },
        Request::Runs { filter, paging } => reads.runs(filter, paging)?,
        Request::Run { id } => match reads.run(*id)? {
            Some(run) => {
                Reply::Run(view::run_detail(scene, &run, reads.round(run.round)?.as_deref(), ledger.tail(*id)?))
            }
            None => missing("run", &id.to_string(), "landfall runs"),
        },
        Request::Nodes { paging } => reads.nodes(paging),
        Request::Node { id } => match scene.mesh.nodes().get(id) {
            Some(node) => Reply::Node(view::node(scene, node, view::findings(scene, node))),
            None => missing("node", id.as_str(), "landfall nodes"),
        },
        Request::Routines => Reply::Routines(reads.routines()?),
        Request::Routine { name } => match scene.mesh.routines().get(name) {
            Some(routine) => Reply::Routine(RoutineView {
                protection: Some(view::protection(scene, routine)),
                ..reads.routine(routine)?
            }),
            None => missing("routine", name.as_str(), "landfall routines"),
        },
        Request::Alerts { all, paging } => reads.alerts(*all, paging)?,
        Request::Alert { key } => match reads.alert(key)? {
            Some(alert) => Reply::Alert(view::alert(scene.mesh, &alert)),
            None => missing("alert", key, "landfall alerts --all"),
        },
        Request::Monitors { paging } => Reply::Monitors(view::monitors(scene, paging)),
        Request::Monitor { name } => match scene.mesh.monitors().get(name) {
            Some(monitor) => Reply::Monitor(reads.monitor(monitor)?),
            None => missing("monitor", name.as_str(), "landfall monitor list"),
        },
        Request::Limits => Reply::Limits(permits::limits(scene.mesh, scene.policy)),
        Request::Board { filter } => reads.board(filter)?,
        Request::Queue { filter } => reads.queue(filter)?,
        Request::Storages { name, paging } => reads.storages(name.as_deref(), paging),
        Request::Trends { routine, node, days } => reads.trends(routine.as_ref(), node.as_ref(), *days)?,
        Request::Rehearse { routine, nodes, task } => {
            rehearse(scene.mesh, scene.policy, scene.now, routine, nodes, *task)
        }
        Request::Metrics => Reply::Metrics(view::metrics(scene, around, &reads.last_verdicts()?)),
        Request::Logs { .. }
        | Request::Start { .. }
        | Request::Cancel { .. }
        | Request::Retry { .. }
        | Request::Retire { .. }
        | Request::SetLimit { .. }
        | Request::TestSink { .. }
        | Request::SetMonitor { .. }
        | Request::RemoveMonitor { .. }
        | Request::SetPingKey { .. }
        | Request::Ping { .. }
        | Request::Snapshot { .. } => problem("this is no question", "it acts", "ask the coordinator to act"),
    })
}

pub(super) struct Reads<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) ledger: &'a dyn Ledger,
}

impl Reads<'_> {
    /// The record in memory is what the ledger holds, with its counts.
    fn round(&self, id: RoundId) -> Result<Option<Cow<'_, Round>>, LedgerError> {
        match self.scene.mesh.rounds().get(&id) {
            Some(round) => Ok(Some(Cow::Borrowed(round))),
            None => Ok(self.ledger.round(id)?.map(Cow::Owned)),
        }
    }

    /// As lists show it.
    fn listed(&self, id: RoundId) -> Result<Option<RoundView>, LedgerError> {
        match self.scene.mesh.rounds().get(&id) {
            Some(round) => Ok(Some(view::round(round))),
            None => self.ledger.listed_round(id),
        }
    }

    pub(super) fn run(&self, id: RunId) -> Result<Option<Cow<'_, Run>>, LedgerError> {
        match self.scene.mesh.runs().get(&id) {
            Some(run) => Ok(Some(Cow::Borrowed(run))),
            None => Ok(self.ledger.run(id)?.map(Cow::Owned)),
        }
    }

    fn rounds(&self, routine: Option<&RoutineName>, open: Option<bool>, paging: &Paging) -> Result<Reply, LedgerError> {
        let list = match routine {
            Some(name) => Index::RoundByRoutine(name.to_string(), Timestamp::MAX, Uuid::nil()).list(),
            None => Index::RoundByTime(Timestamp::MAX, Uuid::nil()).list(),
        };
        let mut pager = Pager::new(rows_wanted(paging));
        let next = self.scan(&list, paging, |id| {
            let round =
                self.listed(RoundId(id))?.filter(|round| open.is_none_or(|open| round.verdict.is_none() == open));
            Ok(!pager.is_full() && round.is_none_or(|round| pager.push(round)))
        })?;
        Ok(Reply::Rounds(pager.page(next)))
    }

    fn runs(&self, filter: &RunFilter, paging: &Paging) -> Result<Reply, LedgerError> {
        // The narrowest list that the filter allows; the other conditions are looked at one by one.
        let (at, id) = (Timestamp::MAX, Uuid::nil());
        let list = match (filter.round, &filter.node, &filter.routine) {
            (Some(round), _, _) => Index::RunByRound(round.0, id).list(),
            (None, Some(node), _) => Index::RunByNode(node.to_string(), at, id).list(),
            (None, None, Some(routine)) => Index::RunByRoutine(routine.to_string(), at, id).list(),
            (None, None, None) => Index::RunByTime(at, id).list(),
        };
        let mut rounds: BTreeMap<RoundId, Option<Cow<'_, Round>>> = BTreeMap::new();
        let mut pager = Pager::new(rows_wanted(paging));
        let next = self.scan(&list, paging, |id| {
            if pager.is_full() {
                return Ok(false);
            }
            let Some(run) = self.run(RunId(id))?.filter(|run| view::run_matches(run, filter)) else { return Ok(true) };
            let round = match rounds.entry(run.round) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.round(run.round)?),
            };
            Ok(pager.push(view::run(self.scene, &run, round.as_deref())))
        })?;
        Ok(Reply::Runs(pager.page(next)))
    }

    fn runs_of(&self, round: RoundId) -> Result<Vec<Cow<'_, Run>>, LedgerError> {
        if let Some(round) = self.scene.mesh.rounds().get(&round) {
            let runs = round.runs.iter().filter_map(|id| self.scene.mesh.runs().get(id));
            return Ok(runs.map(Cow::Borrowed).collect());
        }
        let entries = self.ledger.list(&Index::RunByRound(round.0, Uuid::nil()).list(), None, ROUND_RUNS_MAX)?;
        let mut runs = Vec::with_capacity(entries.len());
        for entry in entries {
            runs.extend(self.run(RunId(entry.target()))?);
        }
        Ok(runs)
    }

    fn nodes(&self, paging: &Paging) -> Reply {
        let after: Option<NodeId> = paging.after.as_deref().and_then(|text| text.parse().ok());
        let mut pager = Pager::new(rows_wanted(paging));
        let mut last: Option<&NodeId> = None;
        for (id, node) in
            self.scene.mesh.nodes().iter().filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after))
        {
            if pager.is_full() || !pager.push(view::node(self.scene, node, view::findings(self.scene, node))) {
                return Reply::Nodes(pager.page(last.map(ToString::to_string)));
            }
            last = Some(id);
        }
        Reply::Nodes(pager.page(None))
    }

    fn storages(&self, name: Option<&str>, paging: &Paging) -> Reply {
        let after = paging.after.as_deref().and_then(read_cursor).and_then(|name| String::from_utf8(name).ok());
        let mut pager = Pager::new(rows_wanted(paging));
        let mut last: Option<String> = None;
        for storage in view::storages(self.scene, name, after.as_deref()) {
            let place = storage.name.clone();
            if pager.is_full() || !pager.push(storage) {
                return Reply::Storages(pager.page(last.map(|name| cursor(name.as_bytes()))));
            }
            last = Some(place);
        }
        if let Some(name) = name.filter(|_| last.is_none()) {
            return missing("storage", name, "landfall storages");
        }
        Reply::Storages(pager.page(None))
    }

    /// All routines, as many as fit into half of a message.
    fn routines(&self) -> Result<Vec<RoutineView>, LedgerError> {
        let mut routines = Vec::new();
        let mut left = PAGE_BYTES_MAX / 2;
        for routine in self.scene.mesh.routines().values() {
            let view = self.routine(routine)?;
            let bytes = encode(&view).len();
            if bytes > left {
                break;
            }
            left -= bytes;
            routines.push(view);
        }
        Ok(routines)
    }

    fn monitor(&self, monitor: &Monitor) -> Result<MonitorDetail, LedgerError> {
        let with_bodies = monitor.with_bodies().take(BODIES_KEPT_MAX);
        let bodies = with_bodies.map(|taken| Ok((taken.ping.id, self.ledger.body(taken.ping.id)?)));
        Ok(view::monitor_detail(self.scene, monitor, bodies.collect::<Result<_, LedgerError>>()?))
    }

    fn routine(&self, routine: &Routine) -> Result<RoutineView, LedgerError> {
        let last = routine.last_round.map(|id| self.listed(id)).transpose()?.flatten();
        Ok(view::routine(self.scene, routine, last))
    }

    /// From memory, except of routines whose last round has left it.
    fn last_verdicts(&self) -> Result<LastVerdicts, LedgerError> {
        let mut verdicts = LastVerdicts::new();
        for routine in self.scene.mesh.routines().values() {
            let Some(id) = routine.last_round else { continue };
            let verdict = self.listed(id)?.and_then(|round| Some((round.verdict?, round.concluded_at)));
            verdicts.extend(verdict.map(|verdict| (routine.name.clone(), verdict)));
        }
        Ok(verdicts)
    }

    fn alerts(&self, all: bool, paging: &Paging) -> Result<Reply, LedgerError> {
        let list = if all {
            Index::AlertByTime(Timestamp::MAX, Uuid::nil())
        } else {
            Index::OpenAlert(Timestamp::MAX, Uuid::nil())
        };
        let mut pager = Pager::new(rows_wanted(paging));
        let next = self.scan(&list.list(), paging, |id| {
            let alert = self.alert_by_id(id)?;
            Ok(!pager.is_full() && alert.is_none_or(|alert| pager.push(view::alert(self.scene.mesh, &alert))))
        })?;
        Ok(Reply::Alerts(pager.page(next)))
    }

    fn alert_by_id(&self, id: Uuid) -> Result<Option<AlertRecord>, LedgerError> {
        match self.scene.mesh.alerts().get(&id) {
            Some(alert) => Ok(Some(alert.clone())),
            None => self.ledger.alert(id),
        }
    }

    /// The open raising of this key, else the latest that is remembered; an alert's own id works too.
    fn alert(&self, key: &str) -> Result<Option<AlertRecord>, LedgerError> {
        if let Ok(id) = key.parse::<Uuid>() {
            return self.alert_by_id(id);
        }
        if let Some(open) = self.scene.mesh.open_alert(&AlertKey(key.to_owned())) {
            return Ok(Some(open.clone()));
        }
        let of_key = self.scene.mesh.alerts().values().filter(|record| record.alert.key.0 == key);
        Ok(of_key.max_by_key(|record| record.raised_at).cloned())
    }

    /// Walks a list from where the page begins until `take` says that an entry has no room, and returns where the next
    /// page begins.
    fn scan(
        &self,
        list: &[u8],
        paging: &Paging,
        mut take: impl FnMut(Uuid) -> Result<bool, LedgerError>,
    ) -> Result<Option<String>, LedgerError> {
        let mut after = paging.after.as_deref().and_then(read_cursor).filter(|key| key.starts_with(list));
        let mut looked_at = 0;
        loop {
            let entries = self.ledger.list(list, after.as_deref(), FETCH)?;
            let fetched = entries.len();
            for entry in entries {
                if looked_at >= SCAN_MAX || !take(entry.target())? {
                    return Ok(after.map(|key| cursor(&key)));
                }
                looked_at += 1;
                after = Some(entry.key());
            }
            if fetched < FETCH {
                return Ok(None);
            }
        }
    }
}

/// A place in a list, as a text that means nothing to anybody else.
fn cursor(key: &[u8]) -> String {
    key.iter().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

fn read_cursor(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0 && digits.len() <= 512)?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

fn missing(what: &str, name: &str, list: &str) -> Reply {
    coded(
        ProblemCode::NotFound,
        &format!("there is no {what} {name}"),
        "nothing in the log speaks of it",
        &format!("`{list}` shows what there is"),
    )
}
