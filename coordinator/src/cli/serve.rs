//! `landfall serve`: the coordinator.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::{BAD, Failure, USAGE};
use crate::config::{CONFIG_PATH, Config, ConfigError};
use crate::edge::{Feed, Inside, ServeError, asks, serve, service};
use crate::web::{self, Door, Home, WebError};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall serve\n  landfall serve --config ./coordinator.toml --check\n  LANDFALL_LOG=debug landfall serve --config ./coordinator.toml\n\nSIGTERM ends it; a leader says so first, and a standby takes over. deploy/config/coordinator.toml shows every key of the file."
)]
pub(super) struct Serve {
    /// The coordinator's file
    #[arg(long, short, value_name = "FILE", env = "LANDFALL_CONFIG", default_value = CONFIG_PATH)]
    config: PathBuf,
    /// Read the file and every seed and secret it names, and start nothing
    #[arg(long)]
    check: bool,
}

/// Runs until a signal asks it to end.
pub(super) async fn run(options: Serve) -> Result<ExitCode, Failure> {
    let config = Config::load(&options.config)?;
    if options.check {
        return Ok(ExitCode::SUCCESS);
    }
    service::start_log();
    let (asking, asks) = asks();
    let feed = Feed::default();
    let pages = match &config.web {
        Some(web) => Some(web::start(web, Home::of(&config), Door::new(asking.clone(), feed.clone())).await?),
        None => None,
    };
    // `asking` lives as long as the coordinator, so that a coordinator without pages waits for none of their questions.
    let served = serve(config, Inside { asks, feed }).await;
    drop(asking);
    if let Some(pages) = pages {
        pages.end().await;
    }
    served?;
    Ok(ExitCode::SUCCESS)
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::Unreadable { path, source } => Self::new(
                USAGE,
                format!("the coordinator's file {} cannot be read", path.display()),
                source.to_string(),
                "write it, or name another one with --config",
            ),
            ConfigError::Wrong(problems) => Self::new(
                USAGE,
                "the coordinator's configuration cannot be used",
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
                "correct it; `landfall serve --check` reads it again",
            ),
        }
    }
}

impl From<WebError> for Failure {
    fn from(error: WebError) -> Self {
        Self { problem: error.problem(), code: BAD }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self { problem: error.problem(), code: BAD }
    }
}
