//! One child of the supervisor: a process in a group of its own that is started again whenever it ends by itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::mark::{Mark, signal};
use super::place::make_folder;

/// Shortest and longest pause before it is started again; the pause doubles.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A child that lived so long has started well.
const SETTLED: Duration = Duration::from_secs(10);

/// After so many starts that did not go well it is said that it cannot run.
const STARTS_BAD_MAX: u32 = 3;

/// A log that has grown beyond this is put aside at the next start; one older log is kept.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// Lines that are shown of a log.
const TAIL_LINES: usize = 8;
const TAIL_BYTES: usize = 4096;

/// Settings of whoever started this supervisor that are not meant for its children.
const FOREIGN_VARIABLES: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "JOURNAL_STREAM", "LANDFALL_CONFIG"];

/// What is to be kept running.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) log: PathBuf,
    pub(super) mark: PathBuf,
    /// Between being asked to end and being killed.
    pub(super) grace: Duration,
}

/// What a person should know of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It ended by itself and is started again.
    Again { name: String, how: String },
    /// It ends again and again as soon as it is started.
    CannotRun { name: String, how: String, log: PathBuf, tail: String },
}

/// What the supervisor wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    End,
    Kill,
}

/// A child that is being kept running.
#[derive(Debug)]
pub(super) struct Child {
    order: watch::Sender<Order>,
    keeper: JoinHandle<()>,
}

impl Child {
    pub(super) fn start(spec: Spec, news: mpsc::Sender<News>) -> Self {
        let (order, orders) = watch::channel(Order::Run);
        Self { order, keeper: tokio::spawn(keep(spec, orders, news)) }
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn end(&mut self) {
        self.order.send_replace(Order::End);
        // The keeper ends within the grace; if it panicked, its child was killed with it.
        let _ = (&mut self.keeper).await;
    }

    /// What makes [`Child::end`] return at once.
    pub(super) fn killer(&self) -> impl Fn() + use<> {
        let order = self.order.clone();
        move || {
            order.send_replace(Order::Kill);
        }
    }
}

/// The last lines of a log, as a sentence.
pub(super) fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "it has printed nothing".to_owned();
    }
    format!("its log ends:\n{}", lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

async fn keep(spec: Spec, mut orders: watch::Receiver<Order>, news: mpsc::Sender<News>) {
    let mut pause = PAUSE_MIN;
    let mut bad_starts = 0;
    loop {
        let born = Instant::now();
        let how = match spawn(&spec) {
            Ok(mut child) => {
                let status = tokio::select! {
                    () = at_least(&mut orders, Order::End) => None,
                    status = child.wait() => Some(status),
                };
                let Some(status) = status else { return end(child, &spec, orders).await };
                ended_how(status)
            }
            Err(error) => format!("{} cannot be started: {error}", spec.program.display()),
        };
        if born.elapsed() >= SETTLED {
            (pause, bad_starts) = (PAUSE_MIN, 0);
        }
        bad_starts += 1;
        if let Some(told) = told(&spec, how, bad_starts) {
            // With nobody to hear it, the log still has it.
            let _ = news.try_send(told);
        }
        tokio::select! {
            () = at_least(&mut orders, Order::End) => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A supervisor that is gone wants nothing to be kept.
async fn at_least(orders: &mut watch::Receiver<Order>, least: Order) {
    let _ = orders.wait_for(|order| *order >= least).await;
}

/// Each trouble is told once: that it is started again, and that this does not help.
fn told(spec: &Spec, how: String, bad_starts: u32) -> Option<News> {
    let name = spec.name.clone();
    match bad_starts {
        1 => Some(News::Again { name, how }),
        STARTS_BAD_MAX => Some(News::CannotRun { name, how, tail: tail(&spec.log), log: spec.log.clone() }),
        _ => None,
    }
}

fn spawn(spec: &Spec) -> io::Result<tokio::process::Child> {
    let log = open_log(&spec.log)?;
    let mut command = Command::new(&spec.program);
    for variable in FOREIGN_VARIABLES {
        command.env_remove(variable);
    }
    let child = command
        .args(&spec.arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A terminal's interrupt goes to its whole foreground group; the children are ended in order instead.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mark) = child.id().and_then(Mark::of) {
        mark.write(&spec.mark)?;
    }
    Ok(child)
}

fn open_log(path: &Path) -> io::Result<File> {
    make_folder(path.parent().unwrap_or(Path::new("/")))?;
    if std::fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

async fn end(mut child: tokio::process::Child, spec: &Spec, mut orders: watch::Receiver<Order>) {
    let Some(pid) = child.id() else { return };
    signal(pid, Signal::TERM);
    tokio::select! {
        _ = child.wait() => {}
        () = sleep(spec.grace) => {}
        () = at_least(&mut orders, Order::Kill) => {}
    }
    // What its group still holds must not outlive it.
    signal(pid, Signal::KILL);
    let _ = child.wait().await;
    let _ = std::fs::remove_file(&spec.mark);
}

fn ended_how(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("its end is not known: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(folder: &Path, script: &str) -> Spec {
        Spec {
            name: "bus".into(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            log: folder.join("log/bus.log"),
            mark: folder.join("pid/bus"),
            grace: Duration::from_secs(20),
        }
    }

    /// The pid in the child's mark, once it is another one than before.
    async fn marked(folder: &Path, before: u32) -> u32 {
        loop {
            let text = std::fs::read_to_string(folder.join("pid/bus")).unwrap_or_default();
            match text.lines().next().and_then(|line| line.parse().ok()) {
                Some(pid) if pid != before => return pid,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    #[tokio::test]
    async fn a_child_that_cannot_run_is_told_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut news) = mpsc::channel(8);
        let mut child = Child::start(spec(folder.path(), "echo no room; exit 7"), sender);
        assert!(matches!(news.recv().await, Some(News::Again { how, .. }) if how.contains('7')));
        assert!(matches!(news.recv().await, Some(News::CannotRun { tail, .. }) if tail.ends_with("no room")));
        child.end().await;
    }

    #[tokio::test]
    async fn a_killed_child_comes_back_and_an_ended_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut news) = mpsc::channel(8);
        let mut child = Child::start(spec(folder.path(), "exec sleep 60"), sender);
        let first = marked(folder.path(), 0).await;
        signal(first, Signal::KILL);
        assert!(matches!(news.recv().await, Some(News::Again { .. })));
        let second = marked(folder.path(), first).await;
        child.end().await;
        assert!(Mark::of(second).is_none());
        assert!(!folder.path().join("pid/bus").exists());
    }
}
