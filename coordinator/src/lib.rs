//! The coordinator and the operator's tool: the core decides, the edge acts, the view answers, the tool asks.

pub mod audit;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
pub mod core;
#[cfg(feature = "daemon")]
pub mod edge;
#[cfg(feature = "daemon")]
pub mod notify;
pub mod view;
#[cfg(feature = "daemon")]
pub mod web;
