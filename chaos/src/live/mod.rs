//! A whole mesh of real processes in one temporary folder, for stories that a test tells: bus, coordinator, agents, operator.

pub mod bus;
mod clock;
pub mod cluster;
pub mod gate;
pub mod log;
pub mod node;
pub mod papers;
pub mod place;
pub mod plans;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod served;
pub mod server;
pub mod source;
pub mod tool;
pub mod wait;
pub mod webhook;

pub use bus::Operator;
pub use clock::{fresh_id, now};
pub use cluster::{Cluster, Setup};
pub use gate::Gate;
pub use log::{Fact, Log, Seen};
pub use node::Node;
pub use papers::{Authority, Validity};
pub use place::Place;
