//! Reads a target's secret where the plan says it is. It goes to the tool's input and nowhere else.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::plan::{RunLimits, Secret as Source};
use landfall_proto::report::{Exit, Reason};
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Failure;
use crate::edge::process::{Heard, Input, LINE_BYTES_MAX, Patience, RUN_VARIABLE, Running, Stream, Tool};
use crate::worker::protocol::Secret;

/// Longest secret file that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// How long a program may take to print a secret.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(60);

/// A secret, and what is not as it should be with the place where it lies.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) secret: Secret,
    pub(crate) warning: Option<String>,
}

/// The first line of what the source holds. Fails with [`Reason::NoCredentials`].
pub(crate) async fn read(source: &Source) -> Result<Found, Failure> {
    match source {
        Source::File(path) => read_file(Path::new(path)),
        Source::Credential(name) => read_file(&credential_path(name)?),
        Source::Command(program) => read_program(program).await.map(|secret| Found { secret, warning: None }),
    }
}

fn read_file(path: &Path) -> Result<Found, Failure> {
    let refuse = |error: std::io::Error| refuse(format!("The secret `{}` cannot be read: {error}.", path.display()));
    let file = File::open(path).map_err(refuse)?;
    let mode = file.metadata().map_err(refuse)?.mode();
    let mut text = Zeroizing::new(String::new());
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(refuse)?;
    let secret = first_line(&text, &path.display().to_string())?;
    let warning = (mode & 0o004 != 0)
        .then(|| format!("The secret `{}` can be read by every user of this machine.", path.display()));
    Ok(Found { secret, warning })
}

fn credential_path(name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name.contains('/') || name == ".." || name == "." {
        return Err(refuse(format!("{name:?} is not the name of a credential.")));
    }
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        refuse(format!("The credential `{name}` was not handed over: this process was not started by systemd with it."))
    })?;
    Ok(PathBuf::from(directory).join(name))
}

async fn read_program(program: &[String]) -> Result<Secret, Failure> {
    let Some((path, arguments)) = program.split_first() else {
        return Err(refuse("The secret's program is not named.".to_owned()));
    };
    let tool = Tool {
        program: path.into(),
        arguments: arguments.to_vec(),
        environment: [(RUN_VARIABLE.to_owned(), "secret".to_owned())].into(),
        input: Input::Nothing,
        limits: RunLimits { nice: 0, ionice: landfall_proto::plan::IoClass::Normal, memory_bytes: None, timeout: None },
        line_bytes_max: LINE_BYTES_MAX,
    };
    let patience =
        Patience { deadline: Instant::now() + PROGRAM_PATIENCE, stall_after: PROGRAM_PATIENCE, activity_counts: false };
    let (_held, never) = watch::channel(false);
    let mut running = Running::start(tool, patience, never)
        .map_err(|error| refuse(format!("The secret's program `{path}` cannot be started: {error}.")))?;
    let mut first = None;
    loop {
        match running.next().await {
            Heard::Line(line) if line.stream == Stream::Out && first.is_none() => first = Some(line.text),
            Heard::Line(_) | Heard::Ending(_) => {}
            Heard::Ended(ended) if ended.exit == Some(Exit::Code(0)) => break,
            Heard::Ended(_) => return Err(refuse(format!("The secret's program `{path}` failed."))),
        }
    }
    first_line(&first.unwrap_or_default(), path)
}

fn first_line(text: &str, from: &str) -> Result<Secret, Failure> {
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        Some(_) | None => Err(refuse(format!("The secret `{from}` is empty."))),
    }
}

fn refuse(message: String) -> Failure {
    Failure::new(Reason::NoCredentials, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn only_the_first_line_counts_and_open_files_are_warned_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\r\nmore\n").unwrap();
        let source = Source::File(file.path().display().to_string());
        for (mode, warned) in [(0o600, false), (0o644, true)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let found = read(&source).await.unwrap();
            assert_eq!((found.secret.expose(), found.warning.is_some()), ("hush", warned));
        }
    }

    #[tokio::test]
    async fn a_program_may_print_it_and_must_end_well() {
        let program = |script: &str| Source::Command(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]);
        assert_eq!(read(&program("echo hush; echo more")).await.unwrap().secret.expose(), "hush");
        for bad in ["echo hush; exit 1", "true", "echo hush >&2"] {
            let failure = read(&program(bad)).await.unwrap_err();
            assert_eq!(failure.reason, Reason::NoCredentials);
            assert!(!failure.message.contains("hush"));
        }
        assert!(read(&Source::Credential("../x".to_owned())).await.is_err());
    }
}
