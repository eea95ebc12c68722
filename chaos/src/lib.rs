//! The weather: real processes under stress, and the benchmarks.

pub mod bench;
pub mod live;
pub mod weather;
