//! Whether the log is in sight: who cannot know what stands in it decides nothing, and judges what passed meanwhile as one
//! that has just begun.

use landfall_proto::time::{Duration, Timestamp, after};

use super::mesh::Mesh;

/// What the bus said is good for so long. It is asked every second, so that a lost answer and a busy machine blind nobody; a
/// process that stood still wakes up blind, whatever its memory says.
pub const SIGHT_FOR: Duration = Duration::from_secs(5);

/// Who has seen the log's end may fall behind it by so much and still decide: on a busy log something is always on its way.
pub const LAG_MAX: u64 = 2048;

/// Beats that waited while this process stood still come in within this after it sees the log again.
const OLD_BEATS_WITHIN: Duration = Duration::from_secs(10);

/// What the bus says of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSight {
    /// When the bus was asked, by this process's own clock. An answer proves what was so then, not what is so when it comes.
    pub asked_at: Timestamp,
    /// When the log was made.
    pub created: Timestamp,
    pub last_seq: u64,
}

/// What this process sees of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Eyes {
    pub(super) log: Option<LogSight>,
    /// Since when the log has been in sight without a break.
    pub(super) since: Option<Timestamp>,
}

impl Mesh {
    /// Whether decisions may be made: the bus has answered lately, and the log was read to its end since the last break.
    pub const fn sees_the_log(&self) -> bool {
        self.process.eyes.since.is_some()
    }

    /// Whether what a beat says of its journal can be measured by what was folded: a beat that waited while this process stood
    /// still is older than the log that it has read since.
    pub(super) fn can_measure(&self, now: Timestamp) -> bool {
        self.process.eyes.since.is_some_and(|since| after(since, OLD_BEATS_WITHIN) <= now)
    }

    /// Facts in the log that are not folded; `None` while the log is out of sight.
    pub fn lag(&self, now: Timestamp) -> Option<u64> {
        let log = self.process.eyes.log.filter(|log| is_fresh(log, now))?;
        Some(log.last_seq.saturating_sub(self.meta.cursor.seq))
    }

    /// Notes whether the log has come into sight or gone out of it.
    pub(super) fn look_around(&mut self, now: Timestamp) {
        let lag = self.lag(now);
        let was_in_sight = self.process.eyes.since.is_some();
        let is_in_sight = lag.is_some_and(|lag| if was_in_sight { lag <= LAG_MAX } else { lag == 0 });
        match (was_in_sight, is_in_sight) {
            (false, true) => {
                self.process.eyes.since = Some(now);
                if self.leads() {
                    self.process.leading_since = Some(now);
                }
            }
            (true, false) => self.process.eyes.since = None,
            (true, true) | (false, false) => {}
        }
    }

    /// Since when every beat could be heard and every result read.
    pub(super) fn attentive_since(&self) -> Option<Timestamp> {
        self.process.since.map(|since| self.process.eyes.since.map_or(since, |seen| seen.max(since)))
    }
}

/// An instant that lies ahead comes from a clock that was set back, and says nothing about how old the answer is.
fn is_fresh(log: &LogSight, now: Timestamp) -> bool {
    log.asked_at <= now && now < after(log.asked_at, SIGHT_FOR)
}
