//! The agent runs backups where the data is, proves that they landed, and says so.
//!
//! `core` decides and touches nothing; `edge` touches the world; `runner` does one run; `worker` is the embedded engine.

#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
pub mod core;
#[cfg(feature = "daemon")]
pub mod driver;
#[cfg(feature = "daemon")]
pub mod edge;
#[cfg(feature = "daemon")]
pub mod runner;
#[cfg(feature = "daemon")]
pub mod worker;
