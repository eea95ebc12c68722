//! Doors and windows of the agent: bus, disk, time, processes.

pub mod alarm;
mod beat;
pub mod boot;
mod bus;
pub mod clock;
pub mod door;
mod fence;
mod locks;
pub mod news;
mod outbox;
pub(crate) mod output;
mod perform;
pub mod plans;
pub mod process;
pub mod receipt;
pub(crate) mod redact;
mod reserve;
mod room;
mod running;
pub(crate) mod sealed;
pub mod shell;
pub mod spool;
mod store;
mod upkeep;
pub mod vitals;
mod watching;
