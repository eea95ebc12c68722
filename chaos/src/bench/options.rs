//! How large a benchmark is.

use clap::Args;

/// The same for every benchmark; each reads those that concern it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Print each table as one line of JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Repetitions of each measurement, interleaved; the median counts
    #[arg(long, global = true, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Files of the tree that is backed up
    #[arg(long, global = true, default_value_t = 20_000, value_name = "N")]
    pub files: u64,
    /// Bytes of the tree that is backed up
    #[arg(long, global = true, default_value_t = 1_000_000_000, value_name = "N")]
    pub bytes: u64,
    /// Runs that are dispatched at once
    #[arg(long, global = true, default_value_t = 200, value_name = "N")]
    pub runs: usize,
    /// Single starts on an idle mesh
    #[arg(long, global = true, default_value_t = 200, value_name = "N")]
    pub starts: usize,
    /// Facts in the log that is folded
    #[arg(long, global = true, default_value_t = 100_000, value_name = "N")]
    pub facts: usize,
    /// Agents that are simulated
    #[arg(long, global = true, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub agents: u32,
    /// Runs in the history that pages show
    #[arg(long, global = true, default_value_t = 100_000, value_name = "N")]
    pub history: usize,
    /// Nodes whose history that is
    #[arg(long, global = true, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub nodes: u32,
    /// Streams open beside the two that are measured, half of them pages; a coordinator serves 512 in all
    #[arg(long, global = true, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=510))]
    pub streams: u32,
    /// Seconds for which idle processes are watched
    #[arg(long, global = true, default_value_t = 60, value_name = "N")]
    pub seconds: u64,
}
