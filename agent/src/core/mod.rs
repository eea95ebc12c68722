//! What the agent decides: pure values in, values out. Nothing here looks at a clock, a disk, a socket or a dice.

mod catalog;
mod command;
mod epoch;
mod limits;
mod memory;
mod outbox;
mod outcome;
mod runs;
mod schedule;
mod start;
mod step;
mod upkeep;

pub use catalog::{Catalog, CatalogEntry};
pub use command::without_room;
pub use epoch::Fence;
pub use limits::{PauseRules, pause_reason};
pub use memory::{Change, FollowUp, Memory, RepositoryMemory, RoutineMemory, Sample, Span};
pub use outbox::{
    Aging, Held, KEPT_AT_LEAST, OUTBOX_MAX, Onward, Pump, SyncMeans, Told3, ends_to_repeat, is_dropped, sync_means,
};
pub use runs::{Ended, Journal, Record};
pub use schedule::{Due, Leader, Missed, Turn, TurnAsk, due, turn, without};
pub use step::{Agent, Alarm, Ask, Effect, Found, Input, Live, Report, Rules, Start, Step, Ticket, WitnessTask, step};
pub use upkeep::{FOLDERS_MAX, FolderSeen, Inspections, Upkeep, upkeep};

#[cfg(test)]
mod tests;
