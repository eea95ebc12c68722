//! One real process: started in a group of its own, with its output in a log, ended by its id.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use landfall_proto::bus::freeze_process;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// How long a process may take to end when it is asked.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A running process. Dropped, it is killed, and so is everything below it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a command; its output is appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let open = || {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)
                .unwrap_or_else(|error| panic!("{} can be written: {error}", log.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {command:?} can be started: {error}"));
        Self { child, name: name.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9` of this one process; what it started is left to itself.
    pub fn kill(mut self) {
        // One that has ended by itself is as dead as is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has; its exit code, where it had one.
    pub async fn stop(mut self) -> Option<i32> {
        signal(self.id(), Signal::TERM);
        let deadline = Instant::now() + END_WITHIN;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "expected that {} ends within {END_WITHIN:?} when asked", self.name);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "expected that {} ends within {within:?}", self.name);
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn freeze(&self) {
        freeze_process(self.id()).unwrap_or_else(|error| panic!("expected that {} stands still: {error}", self.name));
    }

    pub fn thaw(&self) {
        signal(self.id(), Signal::CONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let below = if self.is_alive() { descendants(self.id()) } else { Vec::new() };
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in below {
            signal(pid, Signal::KILL);
        }
    }
}

/// Sends a signal; a process that has ended is not an error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process of this id lives; one that is only waiting to be reaped does not.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Every process below this one, nearest first.
pub fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|id| Some((id, stat(id)?.1)))
        .collect();
    let mut found = Vec::new();
    let mut level = vec![pid];
    while !level.is_empty() {
        level = all
            .iter()
            .filter(|(id, parent)| level.contains(parent) && !found.contains(id))
            .map(|(id, _)| *id)
            .collect();
        found.extend(&level);
    }
    found
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, so what follows is counted from its last bracket.
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

/// One of the two binaries under test: in the folder that a variable names, beside this program, or one folder up, for a
/// test lies in target/debug/deps.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let folders = match std::env::var_os("LANDFALL_BIN_DIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => exe.ancestors().skip(1).take(2).map(Path::to_owned).collect(),
    };
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("expected the binary {name} in {folders:?}: build it with `cargo build --workspace --bins`, or run deploy/test.sh")
    })
}

/// An outside program: named by a variable, fetched by `deploy/tools.sh`, or found on PATH.
pub fn outside(variable: &str, name: &str) -> PathBuf {
    find_outside(variable, name)
        .unwrap_or_else(|| panic!("expected {name}; do: export {variable}=\"$(deploy/tools.sh {name})\""))
}

/// As [`outside`], where a person can be told what is missing.
pub fn find_outside(variable: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    find_fetched(variable, &format!("{name}/bin/{name}")).or(on_path)
}

/// A file or folder that a variable names, or that `deploy/tools.sh` has put `below` the folder of its tools.
pub fn find_fetched(variable: &str, below: &str) -> Option<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")));
    let tools = from("LANDFALL_TOOLS").or_else(|| Some(cache()?.join("landfall/tools")));
    let fetched = tools.map(|tools| tools.join(below));
    from(variable).into_iter().chain(fetched).find(|path| path.exists())
}
