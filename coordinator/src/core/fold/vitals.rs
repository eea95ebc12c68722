//! Taking in what is never logged: beats and disconnects.

use std::collections::BTreeMap;

use landfall_proto::id::{NodeId, RunId, TargetName};
use landfall_proto::live::Beat;
use landfall_proto::report::Vitals;
use landfall_proto::time::{Duration, Timestamp, after, between};

use crate::core::agenda::Matter;
use crate::core::check;
use crate::core::command;
use crate::core::mesh::Mesh;
use crate::core::node::{Live, NODE_SILENCE};
use crate::core::policy::Policy;
use crate::core::space::GATHERED_WITHIN;

/// Two lives of one journal that alternate within this time are two machines.
const CLASH_WITHIN: Duration = Duration::from_secs(60);

impl Live {
    /// Whether beats come in.
    pub fn is_heard(&self, now: Timestamp) -> bool {
        !self.gone && now < after(self.last_beat_at, NODE_SILENCE)
    }

    /// Whether all that the journal held at the last beat had been read when it came.
    pub(in crate::core) const fn has_told_all(&self) -> bool {
        self.next_seq <= self.folded_then
    }
}

impl Mesh {
    /// Takes in a beat. Beats of a retired node, or of one that announced nothing, are kept as well: it may announce soon.
    pub(in crate::core) fn heard(&mut self, beat: Beat, policy: &Policy, now: Timestamp) {
        let node = beat.node.clone();
        let writer = self.writers.get(&(node.as_str().to_owned(), beat.incarnation));
        let folded = writer.filter(|_| self.can_measure(now)).map_or(0, |writer| writer.next_seq);
        // A log and its ledgers that were lost together leave a leader whom no node believes, and who would notice it only when
        // it has something to command.
        self.process.is_outranked |= self.leads() && beat.epoch.is_some_and(|obeyed| obeyed > self.epoch());
        let before = self.live.get(&node);
        // By a clock that was wrong for a moment a node may have been set aside that never was silent.
        let was_heard = before.is_some_and(|live| live.is_heard(now)) && !self.index.queue.is_away(&node);
        let was_paused = before.is_some_and(|live| live.paused.is_some());
        let live = next(before, beat, folded, policy, now);
        let is_newly_low = live.low_since.values().any(|since| *since == now);
        let is_strange = live.clash_at.is_some() || live.set_back_at.is_some() || check::is_ailing(&live, policy);
        let is_paused = live.paused.is_some();
        let live_count = u32::try_from(live.runs.len()).unwrap_or(u32::MAX);
        let may_lack_a_run = self.leads() && live.has_told_all() && self.index.usage.count_of_node(&node) > live_count;
        self.live.insert(node.clone(), live);
        if may_lack_a_run {
            self.index.usage.of_node(&node).for_each(|run| self.agenda.mark(Matter::Run(run)));
        }
        if is_newly_low {
            self.agenda.wake_by(Matter::Spaces, after(now, policy.destination_low_for));
        }
        if !was_heard || was_paused != is_paused {
            self.agenda.mark(Matter::Queue);
        }
        if !was_heard {
            if self.live.get(&node).is_some_and(|live| !live.vitals.targets.is_empty()) {
                self.agenda.wake_by(Matter::Spaces, after(now, GATHERED_WITHIN));
            }
            self.set_away(&node, false);
            // That it has not started says something only of a node that is heard.
            let routines = self.nodes.get(&node).into_iter().flat_map(|node| node.routines.keys());
            let routines = routines.filter_map(|name| self.routines.get(name));
            for routine in routines.filter(|routine| !routine.open.is_empty()) {
                self.agenda.mark(Matter::RoutineAlerts(routine.name.clone()));
            }
            // It may be the last neighbour that a round waited for before it asks its witnesses.
            let open = self.routines.values().flat_map(|routine| &routine.open);
            let reported =
                open.filter(|id| self.rounds.get(id).is_some_and(|round| round.counts.ended >= round.expected));
            reported.for_each(|id| self.agenda.mark(Matter::Round(*id)));
            command::for_node(self, &node).into_iter().for_each(|id| self.agenda.mark(Matter::Command(id)));
        }
        if !was_heard || is_strange || self.index.alerts_about.contains_key(&Matter::NodeAlerts(node.clone())) {
            self.agenda.mark(Matter::NodeAlerts(node));
        }
    }

    /// Sets the queued runs of a node aside, or takes them up again.
    pub(in crate::core) fn set_away(&mut self, node: &NodeId, away: bool) {
        let ids: Vec<RunId> = self.index.queue.of_node(node).collect();
        let runs = ids.iter().filter_map(|id| self.runs.get(id));
        self.index.queue.set_away(node, away, runs);
    }

    /// Takes in a disconnect: the node is silent at once, which neither fails nor logs anything.
    pub(in crate::core) fn gone(&mut self, node: &NodeId) {
        if let Some(live) = self.live.get_mut(node) {
            live.gone = true;
            self.agenda.mark(Matter::NodeAlerts(node.clone()));
        }
    }
}

/// Since when each destination has too little room.
fn low_since(
    before: Option<&Live>,
    vitals: &Vitals,
    policy: &Policy,
    now: Timestamp,
) -> BTreeMap<TargetName, Timestamp> {
    let low = vitals.targets.iter().filter(|(_, space)| space.free_percent() < policy.destination_low_percent);
    let since = |target: &TargetName| before.and_then(|live| live.low_since.get(target)).copied().unwrap_or(now);
    low.map(|(target, _)| (target.clone(), since(target))).collect()
}

fn next(before: Option<&Live>, beat: Beat, folded: u64, policy: &Policy, now: Timestamp) -> Live {
    let same = before.filter(|live| live.incarnation == beat.incarnation);
    let other = before.filter(|live| live.incarnation != beat.incarnation);
    let known_rival = before.and_then(|live| live.rival);
    let clashes = other.is_some()
        && known_rival.is_some_and(|(rival, at)| rival == beat.incarnation && between(at, now) < CLASH_WITHIN);
    let rival = other.map(|live| (live.incarnation, live.last_beat_at)).or(known_rival);
    // What was folded when the beat before came had been written by then, so a journal that is behind it was set back.
    let is_behind = same.is_some_and(|live| beat.next_seq < live.folded_then);
    let set_back_at = if is_behind { Some(now) } else { same.and_then(|live| live.set_back_at) };
    let skew = beat.sent_at.duration_since(now).as_millis();
    Live {
        incarnation: beat.incarnation,
        last_beat_at: now,
        gone: false,
        next_seq: beat.next_seq,
        next_seq_before: same.map(|live| live.next_seq),
        folded_then: same.map_or(folded, |live| folded.max(live.folded_then)),
        set_back_at,
        outbox: beat.outbox,
        low_since: low_since(before, &beat.vitals, policy, now),
        vitals: beat.vitals,
        runs: beat.live.into_iter().map(|run| (run.run, run)).collect::<BTreeMap<_, _>>(),
        paused: beat.paused,
        version: beat.version,
        skew_ms: i64::try_from(skew).unwrap_or(0),
        rival,
        clash_at: if clashes { Some(now) } else { before.and_then(|live| live.clash_at) },
    }
}
