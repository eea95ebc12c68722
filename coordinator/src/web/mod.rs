//! The face for browsers and programs over HTTP: pages, the API, events, metrics and pings, all from the one read model.

mod door;
mod health;
mod metrics;
mod problem;
mod server;

pub use door::Door;
pub use server::{Pages, WebError, start};
