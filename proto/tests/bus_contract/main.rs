//! What the rest of the house relies on from the bus, checked on the twin in memory and on a real nats-server alike.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a test that panics has done its work"
)]

mod laws;
mod real;
mod server;
mod world;
