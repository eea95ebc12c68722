//! The agent's own schedule: which slot is due, which were missed, and whether to start or to wait for the leader.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use landfall_proto::calendar::Calendar;
use landfall_proto::id::RunId;
use landfall_proto::live::BEACON_INTERVAL;
use landfall_proto::time::{Duration, Timestamp, after};

/// The latest slot that has come, and the ones before it that nobody decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub slot: Timestamp,
    pub missed: Option<Missed>,
}

/// Slots that passed without a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
}

/// What this node knows of the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// When the agent began to listen.
    pub listening_since: Timestamp,
    pub heard_at: Option<Timestamp>,
    /// Whether the leader has told which runs stand in its queue.
    pub synced: bool,
    /// Runs of this node in the leader's queue.
    pub queued: BTreeSet<RunId>,
}

/// What is to be done about a slot that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Start,
    /// The leader gives the turn; look again at this instant.
    Wait {
        until: Timestamp,
    },
    /// Too late, and the plan does not catch up.
    Pass,
}

/// What the decision about a slot depends on.
#[derive(Debug, Clone, Copy)]
pub struct TurnAsk<'a> {
    pub now: Timestamp,
    pub slot: Timestamp,
    pub run: RunId,
    pub start_within: Duration,
    pub catch_up: bool,
    /// Whether this agent was up and waiting when the slot came.
    pub was_waiting: bool,
    /// Absent where no bus is configured.
    pub leader: Option<&'a Leader>,
    /// A leader that has been silent for so long is not waited for.
    pub patience: Duration,
}

/// How long after its start an agent gives the first beacon time to arrive.
const FIRST_BEACON_WITHIN: Duration = Duration::from_ms(10 * BEACON_INTERVAL.as_ms());

/// A beacon heard later than the clock says was heard before the clock was set back.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// The latest slot in `considered < slot <= now`, with the slots between.
pub fn due(calendar: &Calendar, zone: &TimeZone, considered: Timestamp, now: Timestamp) -> Option<Due> {
    let (slot, count) = calendar.latest_between(considered, now, zone)?;
    let missed = (count > 1).then(|| {
        let before = slot.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(slot);
        let first = calendar.next_after(considered, zone)?;
        let (last, count) = calendar.latest_between(considered, before, zone)?;
        Some(Missed { first, last, count })
    });
    Some(Due { slot, missed: missed.flatten() })
}

/// What is left of `missed` without the spans from first to last slot in `known`, of which it is known what they came to: a
/// clock that was set back for a while meets them a second time.
pub fn without(
    calendar: &Calendar,
    zone: &TimeZone,
    missed: Missed,
    known: &BTreeSet<(Timestamp, Timestamp)>,
) -> Vec<Missed> {
    let step = jiff::SignedDuration::from_nanos(1);
    let mut after = missed.first.checked_sub(step).unwrap_or(missed.first);
    let beyond = missed.last.checked_add(step).unwrap_or(missed.last);
    let mut spans = Vec::new();
    for (first, last) in known.iter().copied().chain([(beyond, beyond)]) {
        let before = first.checked_sub(step).unwrap_or(first).min(missed.last);
        if let Some((last, count)) = calendar.latest_between(after, before, zone)
            && let Some(first) = calendar.next_after(after, zone)
        {
            spans.push(Missed { first, last, count });
        }
        after = after.max(last);
    }
    spans
}

/// Whether a slot that has come is started by this node itself.
pub fn turn(ask: &TurnAsk<'_>) -> Turn {
    let start_by = after(ask.slot, ask.start_within);
    let is_late = ask.now >= start_by;
    if is_late && !ask.catch_up && !ask.was_waiting {
        return Turn::Pass;
    }
    let Some(leader) = ask.leader else { return Turn::Start };
    let Some(fresh_until) = leader.fresh_until(ask.now, ask.patience) else {
        let hope = after(leader.listening_since, shorter(FIRST_BEACON_WITHIN, ask.patience));
        let hoping = leader.heard_at.is_none() && ask.now < hope;
        return if hoping { Turn::Wait { until: hope } } else { Turn::Start };
    };
    if !is_late {
        return Turn::Wait { until: fresh_until.min(start_by) };
    }
    let told_by = after(leader.listening_since, ask.patience);
    if leader.queued.contains(&ask.run) {
        Turn::Wait { until: fresh_until }
    } else if !leader.synced && ask.now < told_by {
        Turn::Wait { until: told_by.min(fresh_until) }
    } else {
        Turn::Start
    }
}

impl Leader {
    pub fn new(listening_since: Timestamp) -> Self {
        Self { listening_since, heard_at: None, synced: false, queued: BTreeSet::new() }
    }

    /// Until when the leader counts as alive; `None` where it does not.
    pub fn fresh_until(&self, now: Timestamp, patience: Duration) -> Option<Timestamp> {
        let heard_at = self.heard_at.filter(|heard_at| *heard_at <= after(now, CLOCK_SLACK))?;
        Some(after(heard_at, patience)).filter(|until| now < *until)
    }

    /// The last sign of a leader, or when the agent began to wait for one. A sign from ahead of the clock came before the
    /// clock was set back; it counts from now on, or silence would last as long as the clock was wrong.
    pub fn last_sign(&mut self, now: Timestamp) -> Timestamp {
        let sign = self.heard_at.unwrap_or(self.listening_since);
        if sign <= after(now, CLOCK_SLACK) {
            return sign;
        }
        *self = Self { listening_since: now, heard_at: None, ..self.clone() };
        now
    }
}

fn shorter(one: Duration, other: Duration) -> Duration {
    one.min(other)
}
