//! The budgets, measured: each benchmark prints one table with absolute numbers, ratios and budgets out of one run on one machine.

pub mod alert;
pub mod backup;
pub mod bare_engine;
mod clock;
mod contender;
mod crowd;
pub mod detect;
pub mod dispatch;
pub mod failover;
pub mod fold;
mod http;
pub mod idle;
mod load;
mod observer;
mod options;
pub mod pages;
mod past;
mod peers;
mod processor;
mod round_trip;
mod runner;
mod samples;
pub mod scale;
pub mod scrape;
mod streams;
mod table;
mod timed;
mod tiny;
mod tools;
mod tree;

pub use options::Options;
pub use table::Table;
