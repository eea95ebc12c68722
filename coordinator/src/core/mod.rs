//! The windowless room: facts, beats and requests go in; decisions and effects come out. No clock, no disk, no socket.
//!
//! Read in this order: [`step`] the door, [`mesh`] the state, [`fold`] how a fact changes it, [`decide`] what follows from it.

mod agenda;
pub mod alert;
mod ask;
pub mod chain;
pub mod check;
mod command;
pub mod decide;
pub mod digest;
pub mod era;
mod fold;
pub mod forecast;
pub mod leader;
mod log_alerts;
pub mod mesh;
pub mod monitor;
pub mod monitor_alerts;
mod monitor_ask;
pub mod node;
pub mod permits;
mod ping;
pub mod policy;
mod quarantine;
pub mod record;
pub mod rehearse;
pub mod round;
pub mod route;
pub mod routine;
pub mod run;
pub mod sight;
pub mod sizes;
pub mod space;
pub mod step;
pub mod tell;
pub mod together;
mod touched;
pub mod verify;
mod wish;
pub mod writer;

#[cfg(test)]
mod tests;

pub use mesh::Mesh;
pub use policy::Policy;
pub use record::{Changes, Key, Records};
pub use sight::LogSight;
pub use step::{Delivery, Effect, Fact, Input, Logged, Notice, Step, Ticket, step};
