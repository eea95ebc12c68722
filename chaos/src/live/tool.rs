//! Programs that a person would run: the operator's tool, the agent's own verbs, and plain restic.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::plans::PASSWORD;
use super::process::{binary, outside};

/// Longest run of a tool that is waited for.
const WITHIN: Duration = Duration::from_secs(120);

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// The output as one JSON value.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("expected JSON ({error}), and the program said: {self:#?}"))
    }

    /// The same answer, once it has ended well.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "expected that the program ends well: {self:#?}");
        self
    }
}

/// The operator's tool, `landfall`.
pub async fn landfall(context: &Path, arguments: &[&str]) -> Answer {
    let mut command = Command::new(binary("landfall"));
    command.arg("--context").arg(context).args(arguments).env("NO_COLOR", "1");
    run(command).await
}

/// The agent's own verbs.
pub async fn agent(config: &Path, arguments: &[&str]) -> Answer {
    let mut command = Command::new(binary("landfall-agent"));
    command.arg("--config").arg(config).args(arguments).env("NO_COLOR", "1");
    run(command).await
}

/// Today's restic, on a repository of the story.
pub async fn restic(repository: &Path, arguments: &[&str]) -> Answer {
    restic_of("LANDFALL_RESTIC", repository, arguments, PASSWORD).await
}

/// The restic that a variable names.
pub async fn restic_of(variable: &str, repository: &Path, arguments: &[&str], password: &str) -> Answer {
    let mut command = Command::new(outside(variable, "restic"));
    command.arg("-r").arg(repository).arg("--no-cache").args(arguments).env("RESTIC_PASSWORD", password);
    run(command).await
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Answer {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(WITHIN, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("expected that {command:?} can be started: {error}"),
        Err(_) => panic!("expected that {command:?} ends within {WITHIN:?}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}
