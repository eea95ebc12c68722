//! `config`: check the agent's own file, or print an example.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::print;
use crate::config::{Config, EXAMPLE};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Check the file named by --config
    #[command(after_help = "Examples:\n  landfall-agent --config ./agent.toml config check")]
    Check,
    /// Print a commented file with every key
    #[command(after_help = "Examples:\n  landfall-agent config example > /etc/landfall/agent.toml")]
    Example,
}

impl ConfigVerb {
    pub(super) fn main(&self, path: &Path) -> anyhow::Result<ExitCode> {
        match self {
            Self::Example => print::text(EXAMPLE),
            Self::Check => {
                let config = Config::load(path)?;
                print::line(&format!("{} is good: node {} of {}", path.display(), config.node, config.cluster));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
