//! The last events, in their order, so that whoever was away for a moment misses none.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use landfall_proto::alert::AlertKey;
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};

/// Events that are kept.
pub(super) const RING_MAX: usize = 4096;

/// Where an event stands: the log's era and sequence, its number there, and which process numbered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::web) struct EventId {
    pub(in crate::web) era: u32,
    pub(in crate::web) seq: u64,
    pub(super) number: u32,
    pub(super) process: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}-{:08x}", self.era, self.seq, self.number, self.process)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(4, '-');
        let mut next = || parts.next().ok_or(());
        let (era, seq, number) = (next()?.parse(), next()?.parse(), next()?.parse());
        let process = u32::from_str_radix(next()?, 16);
        match (era, seq, number, process) {
            (Ok(era), Ok(seq), Ok(number), Ok(process)) => Ok(Self { era, seq, number, process }),
            _ => Err(()),
        }
    }
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum What {
    Round(RoundId),
    Run(RunId),
    Node(NodeId),
    Routine(RoutineName),
    Alert(AlertKey),
    Monitor(RoutineName),
    Limits,
    /// A run that is alive has other figures.
    Progress(RunId),
    /// Some changes were missed: read everything again.
    Reset,
}

/// One change, with what it is about where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Event {
    pub(in crate::web) id: EventId,
    pub(in crate::web) what: What,
    pub(in crate::web) routine: Option<RoutineName>,
    pub(in crate::web) node: Option<NodeId>,
}

/// The last events, and the place behind which they begin.
#[derive(Debug)]
pub(super) struct Ring {
    floor: EventId,
    events: VecDeque<Arc<Event>>,
}

impl Ring {
    pub(super) fn new(floor: EventId) -> Self {
        Self { floor, events: VecDeque::new() }
    }

    /// The place of the last event.
    pub(super) fn head(&self) -> EventId {
        self.events.back().map_or(self.floor, |event| event.id)
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        if self.events.len() >= RING_MAX
            && let Some(oldest) = self.events.pop_front()
        {
            self.floor = oldest.id;
        }
        self.events.push_back(event);
    }

    /// Forgets everything: what came before `floor` cannot be told any more.
    pub(super) fn clear(&mut self, floor: EventId) {
        self.events.clear();
        self.floor = floor;
    }

    /// What came after `last`; `None` where nobody can say.
    pub(super) fn since(&self, last: EventId) -> Option<Vec<Arc<Event>>> {
        if last == self.floor {
            return Some(self.events.iter().cloned().collect());
        }
        let at = self.events.binary_search_by(|event| event.id.cmp(&last)).ok()?;
        Some(self.events.iter().skip(at + 1).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> EventId {
        EventId { era: 1, seq, number: 0, process: 7 }
    }

    fn ring(count: u64) -> Ring {
        let mut ring = Ring::new(id(0));
        for seq in 1..=count {
            ring.push(Arc::new(Event { id: id(seq), what: What::Limits, routine: None, node: None }));
        }
        ring
    }

    fn since(ring: &Ring, last: EventId) -> Option<Vec<u64>> {
        Some(ring.since(last)?.iter().map(|event| event.id.seq).collect())
    }

    #[test]
    fn who_was_away_for_a_moment_gets_what_came_meanwhile() {
        let ring = ring(5);
        assert_eq!(since(&ring, id(3)), Some(vec![4, 5]));
        assert_eq!(since(&ring, id(5)), Some(vec![]));
        assert_eq!(since(&ring, id(0)), Some(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn who_was_away_for_too_long_or_elsewhere_is_told_so() {
        let long = ring(RING_MAX as u64 + 10);
        assert_eq!(since(&long, id(9)), None);
        assert_eq!(since(&long, id(10)).map(|events| events.len()), Some(RING_MAX));
        let ring = ring(5);
        for foreign in
            [id(6), EventId { process: 8, ..id(3) }, EventId { era: 2, ..id(3) }, EventId { number: 1, ..id(3) }]
        {
            assert_eq!(since(&ring, foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_place_is_read_back_and_nonsense_is_not() {
        let place = EventId { era: 2, seq: 77, number: 3, process: 0xabc };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "1", "1-2-3", "1-2-3-g", "1-2-3-4-5", "-1-2-3-4", "99999999999-1-1-1"] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }
}
