//! Runs one tool in a process group of its own, hears every line it prints, and ends the whole group when it must.

mod group;
mod lines;
mod presence;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use landfall_proto::plan::{IoClass, RunLimits};
use landfall_proto::report::Exit;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

pub(crate) use group::{AGENT_VARIABLE, RUN_VARIABLE, agent_name};
pub use group::{Leftover, ProcessMark, end_leftover, end_strays};
pub(crate) use presence::{Presence, presence};

/// Longest line that is kept of an ordinary tool, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Where programs without a path are looked for; also what tools are given.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a group that was asked to end may take before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// How long pipes are read after the tool has ended, where a child of it keeps them open.
const DRAIN: Duration = Duration::from_secs(2);

/// How long lines that go on coming are heard after that.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// How long a killed tool is waited for; one that hangs in the system's core may never end.
const REAP: Duration = Duration::from_secs(60);

/// Lines that wait to be heard. Beyond this the tool waits.
const LINES_WAITING_MAX: usize = 64;

/// Ticks of `/proc` in a second.
const TICKS: u128 = 100;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Absolute.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Beside the few variables that every tool gets.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) input: Input,
    pub(crate) limits: RunLimits,
    pub(crate) line_bytes_max: usize,
}

/// What a tool reads from its standard input.
pub(crate) enum Input {
    Nothing,
    /// These bytes and then the end.
    Text(Zeroizing<Vec<u8>>),
    /// These bytes; the end comes only when the tool has ended or the agent is gone.
    Held(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Input(***)")
    }
}

/// How long a tool may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) deadline: Instant,
    pub(crate) stall_after: Duration,
    /// Whether processor time and bytes read and written count as progress, for tools that print nothing while they work.
    pub(crate) activity_counts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// One line of output, wiped from memory when dropped: it may hold a secret.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) stream: Stream,
    pub(crate) text: Zeroizing<String>,
    /// Whether the end of the line was left out because it was too long.
    pub(crate) cut: bool,
}

#[derive(Debug)]
pub(crate) enum Heard {
    Line(Line),
    /// The tool was told to end and is not gone yet.
    Ending(Cause),
    Ended(Ended),
}

/// Why a tool is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// By itself, or by a signal from somebody else.
    Exited,
    Stalled,
    TimedOut,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) cause: Cause,
    /// Absent where the system never said.
    pub(crate) exit: Option<Exit>,
    /// Whether no process of the group is left.
    pub(crate) gone: bool,
}

/// A tool at work. Dropping it kills its group.
pub(crate) struct Running {
    child: Box<dyn ChildWrapper>,
    group: u32,
    mark: ProcessMark,
    lines: Option<mpsc::Receiver<Line>>,
    readers: Vec<JoinHandle<()>>,
    _input: Option<JoinHandle<Option<ChildStdin>>>,
    patience: Patience,
    cancel: watch::Receiver<bool>,
    watched: Watched,
    ending: Option<Ending>,
    exited: Option<(Option<Exit>, Instant)>,
    finished: bool,
}

/// The tool was told to end.
struct Ending {
    cause: Cause,
    kill_at: Instant,
    killed: bool,
    told: bool,
}

/// When the tool last moved, and what it had done when it was last looked at.
struct Watched {
    moved_at: Instant,
    looked_at: Instant,
    activity: (u64, u64),
}

impl Running {
    /// Starts a tool. Its group is ended when `cancel` turns true.
    pub(crate) fn start(tool: Tool, patience: Patience, cancel: watch::Receiver<bool>) -> io::Result<Self> {
        let Tool { program, arguments, environment, input, limits, line_bytes_max } = tool;
        let mut command = prefixed(&program, &arguments, limits);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", SEARCH_PATH)
            .env("HOME", std::env::var_os("HOME").unwrap_or("/".into()));
        command.envs(environment).current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if matches!(input, Input::Nothing) { Stdio::null() } else { Stdio::piped() });
        let mut child = CommandWrap::from(command).wrap(ProcessGroup::leader()).wrap(KillOnDrop).spawn()?;
        let group = child.id().ok_or_else(|| io::Error::other("the tool ended before its number was known"))?;
        let (sender, lines) = mpsc::channel(LINES_WAITING_MAX);
        let mut readers = Vec::new();
        if let Some(out) = child.stdout().take() {
            readers.push(tokio::spawn(lines::forward(out, Stream::Out, line_bytes_max, sender.clone())));
        }
        if let Some(err) = child.stderr().take() {
            readers.push(tokio::spawn(lines::forward(err, Stream::Err, line_bytes_max, sender)));
        }
        let input = child.stdin().take().map(|pipe| tokio::spawn(feed(pipe, input)));
        let now = Instant::now();
        let watched = Watched { moved_at: now, looked_at: now, activity: (0, 0) };
        Ok(Self {
            child,
            group,
            mark: ProcessMark::of(group),
            lines: Some(lines),
            readers,
            _input: input,
            patience,
            cancel,
            watched,
            ending: None,
            exited: None,
            finished: false,
        })
    }

    pub(crate) fn mark(&self) -> ProcessMark {
        self.mark
    }

    /// The next thing to know. After `Ended` the group is gone and nothing follows.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(ending) = self.ending.as_mut().filter(|ending| !ending.told) {
                ending.told = true;
                return Heard::Ending(ending.cause);
            }
            if let Some((exit, drain_until)) = self.exited {
                let now = Instant::now();
                if self.lines.is_none() || now >= drain_until + DRAIN_MAX {
                    return Heard::Ended(self.finish(exit).await);
                }
                if now >= drain_until {
                    // What has been read already is heard, however slow the listener is.
                    match self.lines.as_mut().and_then(|lines| lines.try_recv().ok()) {
                        Some(line) => return Heard::Line(line),
                        None => return Heard::Ended(self.finish(exit).await),
                    }
                }
            }
            let wake = self.next_look();
            tokio::select! {
                line = hear(&mut self.lines), if self.lines.is_some() => match line {
                    Some(line) => {
                        self.watched.moved_at = Instant::now();
                        return Heard::Line(line);
                    }
                    None => self.lines = None,
                },
                status = self.child.wait(), if self.exited.is_none() => {
                    self.exited = Some((status.ok().and_then(exit_of), Instant::now() + DRAIN));
                }
                () = cancelled(&mut self.cancel), if self.ending.is_none() && self.exited.is_none() => self.end(Cause::Cancelled),
                () = sleep_until(wake) => self.look(),
            }
        }
    }

    fn next_look(&self) -> Instant {
        if let Some((_, drain_until)) = self.exited {
            return drain_until;
        }
        let between = (self.patience.stall_after / 4).clamp(Duration::from_millis(100), Duration::from_secs(15));
        let usual = Instant::now() + between;
        match &self.ending {
            Some(ending) => usual.min(ending.kill_at),
            None => usual.min(self.patience.deadline),
        }
    }

    /// What time brings: the deadline, a stall, the end of the grace.
    fn look(&mut self) {
        if self.exited.is_some() {
            return;
        }
        let now = Instant::now();
        match &mut self.ending {
            Some(ending) if now < ending.kill_at => {}
            Some(ending) if !ending.killed => {
                ending.killed = true;
                ending.kill_at = now + REAP;
                group::signal(self.group, Signal::KILL);
            }
            Some(_) => self.exited = Some((None, now)),
            None if now >= self.patience.deadline => self.end(Cause::TimedOut),
            None => {
                if self.patience.activity_counts {
                    self.note_activity(now);
                }
                if now.duration_since(self.watched.moved_at) >= self.patience.stall_after {
                    self.end(Cause::Stalled);
                }
            }
        }
    }

    /// Bytes that moved are progress. Processor time is only where it is more than a hundredth of what has passed: a
    /// program that looks at a lock every second works, but gets nowhere.
    fn note_activity(&mut self, now: Instant) {
        let (ticks, bytes) = group::activity(self.group);
        let passed = now.duration_since(self.watched.looked_at).as_millis() * TICKS / 1000;
        let worked = u128::from(ticks.saturating_sub(self.watched.activity.0)) * 100 > passed;
        if bytes > self.watched.activity.1 || worked {
            self.watched.moved_at = now;
        }
        self.watched.activity = (ticks, bytes);
        self.watched.looked_at = now;
    }

    fn end(&mut self, cause: Cause) {
        group::signal(self.group, Signal::TERM);
        self.ending = Some(Ending { cause, kill_at: Instant::now() + GRACE, killed: false, told: false });
    }

    /// The leader is gone; ends whatever it left behind.
    async fn finish(&mut self, exit: Option<Exit>) -> Ended {
        let (cause, grace) = match &self.ending {
            Some(ending) if ending.killed => (ending.cause, Duration::ZERO),
            Some(ending) => (ending.cause, ending.kill_at.saturating_duration_since(Instant::now())),
            None => (Cause::Exited, GRACE),
        };
        let gone = group::end(self.group, grace).await;
        self.finished = true;
        for reader in &self.readers {
            reader.abort();
        }
        self.lines = None;
        Ended { cause, exit, gone }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished && !group::members(self.group).is_empty() {
            group::signal(self.group, Signal::KILL);
        }
        for reader in &self.readers {
            reader.abort();
        }
    }
}

/// Waits until a cancel is asked for; for ever where nobody can ask any more.
pub(crate) async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|asked| *asked).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A program by its name alone, in the directories that tools are given.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    SEARCH_PATH.split(':').map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

async fn hear(lines: &mut Option<mpsc::Receiver<Line>>) -> Option<Line> {
    lines.as_mut()?.recv().await
}

async fn feed(mut pipe: ChildStdin, input: Input) -> Option<ChildStdin> {
    let (bytes, held) = match input {
        Input::Nothing => return None,
        Input::Text(bytes) => (bytes, false),
        Input::Held(bytes) => (bytes, true),
    };
    // A tool may end without reading; how it ended says more than the broken pipe.
    let _ = pipe.write_all(&bytes).await;
    let _ = pipe.flush().await;
    held.then_some(pipe)
}

/// The tool's command line behind those programs that limit it, where this machine has them. Each replaces itself with the
/// next, so the process stays one.
fn prefixed(program: &Path, arguments: &[String], limits: RunLimits) -> tokio::process::Command {
    let mut line: Vec<std::ffi::OsString> = Vec::new();
    let mut prefix = |name: &str, arguments: &[String]| {
        if let Some(path) = find_program(name) {
            line.push(path.into());
            line.extend(arguments.iter().map(Into::into));
        }
    };
    if limits.nice > 0 {
        prefix("nice", &["-n".to_owned(), limits.nice.to_string()]);
    }
    match limits.ionice {
        IoClass::Idle => prefix("ionice", &["-t".to_owned(), "-c".to_owned(), "3".to_owned()]),
        IoClass::BestEffort => {
            prefix("ionice", &["-t".to_owned(), "-c".to_owned(), "2".to_owned(), "-n".to_owned(), "7".to_owned()])
        }
        IoClass::Normal => {}
    }
    if let Some(bytes) = limits.memory_bytes {
        prefix("prlimit", &[format!("--as={bytes}")]);
    }
    line.push(program.into());
    line.extend(arguments.iter().map(Into::into));
    let mut parts = line.into_iter();
    let mut command = tokio::process::Command::new(parts.next().unwrap_or_default());
    command.args(parts);
    command
}

fn exit_of(status: ExitStatus) -> Option<Exit> {
    status.code().map(Exit::Code).or_else(|| status.signal().map(Exit::Signal))
}

#[cfg(test)]
mod tests;
