//! A disk without room: the coordinator waits for room, decides nothing, and says so. Everything that it will need stands in the
//! log, and another coordinator leads meanwhile where there is one.

use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::id::CommandId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::ledger::{LedgerError, Opened, open_locked};
use super::{clock, service};
use crate::config::Config;
use crate::core::record::Resolved;
use crate::core::step::{Delivery, Notice};
use crate::notify::Notifier;

/// Room that must be there before the ledger is opened again: some of the store's own pieces, so that it is not shut again by
/// the first commit.
const ROOM_BYTES: usize = 4 << 20;

/// Pauses between two looks at the disk.
const LOOK_MIN: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(10);

/// How often it is said again.
const SAID_EVERY: Duration = Duration::from_secs(600);

/// Results of the two notices of one stall; nobody waits for them.
const DELIVERIES_MAX: usize = 64;

/// Opens the ledger, and waits as long as the disk is full. `full` is what the ledger said last. `None`: asked to end.
pub(super) async fn open_when_there_is_room(
    config: &Config,
    mut full: Option<LedgerError>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Opened>, LedgerError> {
    let mut stall: Option<Stall> = None;
    let mut pause = LOOK_MIN;
    loop {
        let error = match full.take() {
            Some(error) => error,
            None => match room(&config.state_dir).and_then(|()| open_locked(&config.state_dir, clock::now())) {
                Ok(opened) => {
                    stall.into_iter().for_each(Stall::over);
                    return Ok(Some(opened));
                }
                Err(error) if error.is_full() => error,
                Err(error) => return Err(error),
            },
        };
        stall.get_or_insert_with(|| Stall::begin(config)).say(config, &error);
        service::alive();
        tokio::select! {
            () = &mut stop => return Ok(None),
            () = sleep(pause) => pause = (pause * 2).min(LOOK_MAX),
        }
    }
}

/// Takes room, sees that it reaches the disk, and gives it back.
fn room(state_dir: &Path) -> Result<(), LedgerError> {
    let path = state_dir.join("room");
    let taken = take(&path);
    let given = fs::remove_file(&path);
    let wrong = |source| LedgerError::Folder { path: state_dir.to_owned(), source };
    taken.map_err(wrong)?;
    given.map_err(wrong)
}

fn take(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    // Not zeros: a file system that compresses would have room for those.
    let piece: Vec<u8> =
        (0..64 * 1024_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for _ in 0..ROOM_BYTES / piece.len() {
        file.write_all(&piece)?;
    }
    file.sync_all()
}

/// One time without room.
struct Stall {
    notifier: Notifier,
    notice: Notice,
    said_at: Option<Instant>,
    _deliveries: mpsc::Receiver<Delivery>,
}

impl Stall {
    /// Tells the sinks: they are elsewhere, and need no ledger.
    fn begin(config: &Config) -> Self {
        let (sender, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let notifier = Notifier::start(&config.cluster, &config.sinks, sender);
        let alert = alert(config);
        let sinks = config.told_of(&alert);
        let notice = Notice { alert, raised_at: clock::now(), resolved: None, reminder: 0, sinks };
        notifier.send(&notice);
        Self { notifier, notice, said_at: None, _deliveries: deliveries }
    }

    fn say(&mut self, config: &Config, error: &LedgerError) {
        if self.said_at.is_none_or(|at| at.elapsed() > SAID_EVERY) {
            self.said_at = Some(Instant::now());
            tracing::error!(
                error = error as &dyn std::error::Error,
                folder = %config.state_dir.display(),
                fix = FIX,
                "the disk of the ledger is full; nothing is decided until there is room"
            );
        }
    }

    fn over(self) {
        tracing::info!("the disk of the ledger has room again; the coordinator goes on from its ledger");
        let resolved = Resolved { at: clock::now(), why: "there is room again".to_owned() };
        self.notifier.send(&Notice { resolved: Some(resolved), ..self.notice });
    }
}

const FIX: &str =
    "make room on the disk under the coordinator's state_dir; it goes on by itself then, and nothing is lost";

fn alert(config: &Config) -> Alert {
    let holder = &config.holder;
    let key = format!("ledger_full/{holder}");
    Alert {
        id: CommandId::of("ledger_full", Uuid::nil(), &format!("{holder} {}", clock::now())).0,
        severity: Severity::Critical,
        title: format!("The disk of {holder}'s ledger is full; this coordinator decides nothing until there is room"),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: FIX.to_owned(),
        runbook: config.policy.runbook(&key, None),
        stakes: None,
        key: AlertKey(key),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::pin::pin;
    use std::process::Command;

    use landfall_proto::bus::{LogSettings, Seed};

    use super::*;
    use crate::config::{BusConfig, SinkConfig, SinkKind};
    use crate::core::policy::Policy;

    const CHILD_FOLDER: &str = "LANDFALL_TEST_STALL";

    fn config(state_dir: PathBuf, notices: PathBuf) -> Config {
        Config {
            cluster: "home".parse().unwrap(),
            holder: "one".parse().unwrap(),
            state_dir,
            bus: BusConfig {
                urls: Vec::new(),
                seed: Seed::generate(),
                tls: None,
                system_seed: None,
                log: LogSettings::default(),
            },
            signing_seed: Seed::generate(),
            policy: Policy::default(),
            sinks: vec![SinkConfig { name: "file".to_owned(), kind: SinkKind::Jsonl { path: notices } }],
            routes: Vec::new(),
            watchdog: None,
            web: None,
        }
    }

    #[tokio::test]
    #[ignore = "started by the test below on a small disk of its own"]
    async fn a_disk_without_room_is_waited_for() {
        let folder = PathBuf::from(std::env::var(CHILD_FOLDER).expect("the parent names the folder"));
        let (state, notices) = (folder.join("disk/state"), folder.join("notices.jsonl"));
        let config = config(state.clone(), notices.clone());
        let lock = super::super::ledger::lock(&state).unwrap();
        let ballast = folder.join("disk/ballast");
        let full = take_all(&ballast);
        assert!(full.is_full(), "{full:?}");
        let mut stop = pin!(std::future::pending::<()>());
        let waiting = open_when_there_is_room(&config, Some(full), stop.as_mut());
        let room = async {
            wait_for(&notices, 1).await;
            std::fs::remove_file(&ballast).unwrap();
        };
        let (opened, ()) = tokio::join!(waiting, room);
        assert!(opened.unwrap().is_some(), "there is room again");
        let told = wait_for(&notices, 2).await;
        let (raised, resolved) = (&told[0], &told[1]);
        assert_eq!((raised["status"].as_str(), resolved["status"].as_str()), (Some("raised"), Some("resolved")));
        assert!(raised["fix"].as_str().unwrap().contains("make room"), "{raised}");
        assert_eq!(raised["id"], resolved["id"]);
        drop(lock);
        // Whoever is asked to end does not wait for room.
        let full = take_all(&ballast);
        let mut stop = pin!(std::future::ready(()));
        assert!(open_when_there_is_room(&config, Some(full), stop.as_mut()).await.unwrap().is_none());
    }

    fn take_all(ballast: &Path) -> LedgerError {
        let mut file = File::create(ballast).unwrap();
        loop {
            if let Err(source) = file.write_all(&[7; 4096]) {
                return LedgerError::Folder { path: ballast.to_owned(), source };
            }
        }
    }

    async fn wait_for(notices: &Path, count: usize) -> Vec<serde_json::Value> {
        for _ in 0..2000 {
            let text = std::fs::read_to_string(notices).unwrap_or_default();
            if text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("expected {count} notices");
    }

    #[test]
    fn a_full_disk_is_told_waited_for_and_told_to_be_over() {
        let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let tried = Command::new("unshare").args([flags, "mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if !tried.is_ok_and(|output| output.status.success()) {
            eprintln!("not shown on this machine: it allows no file systems of one's own");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let script = "mount -t tmpfs -o size=12m none \"$0/disk\" && exec \"$1\" --exact edge::stall::tests::a_disk_without_room_is_waited_for --ignored --nocapture";
        let output = Command::new("unshare")
            .args([flags, "sh", "-c", script])
            .arg(folder.path())
            .arg(std::env::current_exe().unwrap())
            .env(CHILD_FOLDER, folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
    }
}
