//! One client's line to the bus: two directions, each with its own delays, losses and cuts.

use landfall_proto::time::Timestamp;

use crate::dice::Dice;

/// From the client's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    ToBus,
    FromBus,
}

/// One direction of one line.
#[derive(Debug, Clone)]
pub struct Way {
    pub is_cut: bool,
    /// Shortest and longest delay, in microseconds.
    pub delay_us: (u64, u64),
    /// Percent of loss-tolerant messages that vanish. Observed: a slow consumer's messages are dropped by the client, and
    /// what is written just before a reconnect is lost.
    pub loss_percent: u32,
    /// Percent of loss-tolerant messages and requests that come twice. Observed: a queued request is sent again after a
    /// reconnect though the first was delivered.
    pub twice_percent: u32,
    /// Whether messages may overtake each other. Observed: not within one connection; across a reconnect, and for
    /// messages that were queued, they do.
    pub is_unordered: bool,
    last_at: Option<Timestamp>,
}

/// Both directions, and which life of the connection this is.
#[derive(Debug, Clone)]
pub struct Link {
    pub to_bus: Way,
    pub from_bus: Way,
    /// Bytes of an earlier connection never arrive at the client.
    pub life: u64,
    pub is_connected: bool,
    /// Since when something is cut: after half a minute without an answer to its pings the client gives up.
    pub broken_since: Option<Timestamp>,
    /// Confirmations that the bus sends and nobody receives. Observed: the message is stored, the client times out.
    pub acks_to_lose: u32,
    /// Confirmations that come after the client has stopped waiting. Observed: the client has given up after five seconds.
    pub acks_to_delay: u32,
}

impl Way {
    const fn new(delay_us: (u64, u64)) -> Self {
        Self { is_cut: false, delay_us, loss_percent: 0, twice_percent: 0, is_unordered: false, last_at: None }
    }

    /// When a message that leaves now arrives: behind all that left before, unless the order is disturbed.
    pub fn arrival(&mut self, now: Timestamp, dice: &mut Dice) -> Timestamp {
        let (low, high) = self.delay_us;
        let spread = if self.is_unordered { 20 } else { 1 };
        let delay = dice.between(low, high.saturating_mul(spread));
        let at = micros_after(now, delay);
        if self.is_unordered {
            return at;
        }
        let at = self.last_at.map_or(at, |last| last.max(at));
        self.last_at = Some(at);
        at
    }
}

impl Link {
    pub const fn new(delay_us: (u64, u64)) -> Self {
        Self {
            to_bus: Way::new(delay_us),
            from_bus: Way::new(delay_us),
            life: 0,
            is_connected: false,
            broken_since: None,
            acks_to_lose: 0,
            acks_to_delay: 0,
        }
    }

    pub const fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::ToBus => &mut self.to_bus,
            Direction::FromBus => &mut self.from_bus,
        }
    }

    pub const fn is_cut(&self) -> bool {
        self.to_bus.is_cut || self.from_bus.is_cut
    }

    /// Whether a question gets there and its answer back.
    pub const fn is_whole(&self) -> bool {
        self.is_connected && !self.is_cut()
    }
}

/// The instant so many microseconds later.
pub fn micros_after(at: Timestamp, micros: u64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_micros(micros.cast_signed())).unwrap_or(Timestamp::MAX)
}
