//! Finding the programs that `up` starts.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Up;
use crate::cli::failure::{Failure, USAGE};

/// The oldest server that can write through to the disk.
const BUS_VERSION_MIN: (u32, u32) = (2, 10);

/// All three, by path.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) bus: PathBuf,
    /// This very program.
    pub(super) landfall: PathBuf,
    pub(super) agent: PathBuf,
}

impl Programs {
    pub(super) fn find(options: &Up) -> Result<Self, Failure> {
        let landfall =
            std::env::current_exe().map_err(|error| Failure::internal("this program cannot find itself", &error))?;
        Ok(Self { bus: bus(options)?, agent: agent(options, &landfall)?, landfall })
    }
}

fn agent(options: &Up, landfall: &Path) -> Result<PathBuf, Failure> {
    let fix = "build it with `cargo build --release -p landfall-agent`, or name it with --agent PATH";
    if let Some(named) = &options.agent {
        return absolute(named)
            .ok_or_else(|| missing(named, "--agent names it, but it is not a file that can be run", fix));
    }
    let beside = landfall.with_file_name("landfall-agent");
    absolute(&beside).or_else(|| on_path("landfall-agent")).ok_or_else(|| {
        missing(Path::new("landfall-agent"), &format!("it is neither {} nor on PATH", beside.display()), fix)
    })
}

/// A named server must be good; on PATH one that is too old is passed over.
fn bus(options: &Up) -> Result<PathBuf, Failure> {
    let fix = "run `deploy/tools.sh nats-server`, which fetches one and prints its path, and name that with --nats-server PATH";
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named =
        options.nats_server.clone().or_else(|| variable("NATS_SERVER")).or_else(|| variable("LANDFALL_NATS_SERVER"));
    let program = Path::new("nats-server");
    let (path, place) = match named {
        Some(named) => (
            absolute(&named).or_else(|| on_path(&named.to_string_lossy())),
            format!("{} is not a file that can be run", named.display()),
        ),
        None => (on_path("nats-server"), "it is not on PATH".to_owned()),
    };
    let path = path.ok_or_else(|| missing(program, &place, fix))?;
    match version(&path) {
        Some(version) if version >= BUS_VERSION_MIN => Ok(path),
        Some((major, minor)) => Err(missing(
            program,
            &format!("{} is {major}.{minor}, and 2.10 is the oldest that can be used", path.display()),
            fix,
        )),
        None => Err(missing(program, &format!("{} does not say its version", path.display()), fix)),
    }
}

fn missing(program: &Path, why: &str, fix: &str) -> Failure {
    Failure::new(USAGE, format!("{} is needed", program.display()), why, fix)
}

fn absolute(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).find_map(|folder| absolute(&folder.join(name)))
}

fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

/// `nats-server: v2.10.27`
fn version_in(text: &str) -> Option<(u32, u32)> {
    let number = text.split_whitespace().last()?.trim_start_matches('v');
    let mut parts = number.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_understood() {
        assert_eq!(version_in("nats-server: v2.10.27\n"), Some((2, 10)));
        assert_eq!(version_in("nats-server: 2.14.3"), Some((2, 14)));
        assert_eq!(version_in("hello"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_what_to_do() {
        let options = Up {
            nats_server: Some("/nowhere/nats-server".into()),
            agent: Some("/nowhere/agent".into()),
            ..Up::default()
        };
        let failure = bus(&options).unwrap_err();
        assert!(
            failure.problem.why.contains("/nowhere/nats-server") && failure.problem.fix.contains("deploy/tools.sh")
        );
        assert!(agent(&options, Path::new("/x/landfall")).unwrap_err().problem.fix.contains("--agent"));
    }
}
