//! A run's directory: what was intended, what came of it, and its log. Plain files, so that a person and a rebuild can read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::RunId;
use landfall_proto::plan::Plan;
use landfall_proto::report::RunReport;
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::process::ProcessMark;
use super::sealed::{self, read_json, write_whole};
use super::store::sync_directory;
use crate::core::FolderSeen;
use crate::worker::lock::LockRecord;

/// Written before anything is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    pub about: RunAbout,
    pub attempt: u32,
    /// When the first attempt began.
    pub begun_at: Timestamp,
    /// The definition the run keeps; absent where it was never started.
    #[serde(default)]
    pub plan: Option<Plan>,
}

/// Written once at the end and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub about: RunAbout,
    pub attempt: u32,
    pub report: RunReport,
}

/// What a run's directory shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Trace {
    Ended(Box<Receipt>),
    Interrupted { intent: Box<Intent>, mark: Option<ProcessMark> },
}

/// A piece of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    pub text: String,
    pub next_offset: u64,
    /// Whether there is nothing behind it at this moment.
    pub is_end: bool,
}

/// All runs' directories.
#[derive(Debug, Clone)]
pub struct Runs {
    root: PathBuf,
}

/// A run's log that grows to [`LOG_BYTES_MAX`] and then says that it stopped.
#[derive(Debug)]
pub struct Log {
    file: File,
    written: u64,
}

/// Longest log of a run, in bytes.
pub const LOG_BYTES_MAX: u64 = 4 << 20;

/// Longest piece of a log that is read at once, in bytes.
pub const PIECE_BYTES_MAX: usize = 64 * 1024 - 2048;

/// In front of the name of a directory that is being removed: half of one must not be taken for a run.
const REMOVED: &str = "removed-";

/// How long a run's directory outlives its time because of a lock.
const PROOF_KEPT: Duration = Duration::from_secs(90 * 86_400);

const FULL: &str = "(the log is full; what follows is not kept)\n";

impl Runs {
    pub fn new(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    pub fn directory(&self, run: RunId) -> PathBuf {
        self.root.join(run.to_string())
    }

    /// Writes down that a run is about to start. On disk when this returns.
    pub fn intend(&self, intent: &Intent) -> io::Result<PathBuf> {
        let directory = self.directory(intent.about.run);
        fs::create_dir_all(&directory)?;
        sync_directory(&self.root)?;
        write_whole(&directory, "intent.json", &serde_json::to_vec_pretty(intent)?)?;
        Ok(directory)
    }

    /// Writes down how a run ended. On disk when this returns.
    pub fn conclude(&self, receipt: &Receipt) -> io::Result<()> {
        let directory = self.directory(receipt.about.run);
        fs::create_dir_all(&directory)?;
        sealed::write(&directory, "receipt.json", receipt)?;
        sync_directory(&self.root)
    }

    /// Notes which process group works for a run, or that none does.
    pub fn mark(&self, run: RunId, mark: Option<ProcessMark>) -> io::Result<()> {
        let directory = self.directory(run);
        match mark {
            Some(mark) => write_whole(&directory, "process.json", &serde_json::to_vec(&mark)?),
            None => match fs::remove_file(directory.join("process.json")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }

    /// The receipt of a run; `None` where there is none that can be believed.
    pub fn receipt(&self, run: RunId) -> Option<Receipt> {
        let receipt: Receipt = sealed::open(&fs::read(self.directory(run).join("receipt.json")).ok()?)?;
        (receipt.about.run == run).then_some(receipt)
    }

    pub fn intent(&self, run: RunId) -> Option<Intent> {
        read_json(&self.directory(run).join("intent.json"))
    }

    /// What every directory shows, oldest end first; directories that show nothing are left out.
    pub fn traces(&self) -> io::Result<Vec<Trace>> {
        let mut traces = Vec::new();
        for run in self.ids()? {
            if let Some(receipt) = self.receipt(run) {
                traces.push(Trace::Ended(Box::new(receipt)));
            } else if let Some(intent) = self.intent(run) {
                let mark = read_json(&self.directory(run).join("process.json"));
                traces.push(Trace::Interrupted { intent: Box::new(intent), mark });
            }
        }
        traces.sort_by_key(|trace| match trace {
            Trace::Ended(receipt) => receipt.report.finished_at,
            Trace::Interrupted { intent, .. } => intent.begun_at,
        });
        Ok(traces)
    }

    /// Opens a run's log for appending.
    pub fn log(&self, run: RunId) -> io::Result<Log> {
        let directory = self.directory(run);
        fs::create_dir_all(&directory)?;
        let file = OpenOptions::new().create(true).append(true).open(directory.join("log"))?;
        let written = file.metadata()?.len();
        Ok(Log { file, written })
    }

    /// A piece of a run's log from `offset`, cut where a character ends. `None` where the run has no directory.
    pub fn read_log(&self, run: RunId, offset: u64) -> io::Result<Option<LogPiece>> {
        let directory = self.directory(run);
        if !directory.is_dir() {
            return Ok(None);
        }
        let mut file = match File::open(directory.join("log")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(LogPiece { text: String::new(), next_offset: 0, is_end: true }));
            }
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let offset = offset.min(length);
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(PIECE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
        let whole = whole_characters(&bytes);
        let next_offset = offset + whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
        Ok(Some(LogPiece { text, next_offset, is_end: next_offset >= length }))
    }

    /// Every run's directory, and when its receipt was written. Finishes removals that were interrupted.
    pub fn folders(&self) -> io::Result<Vec<FolderSeen>> {
        for entry in fs::read_dir(&self.root)?.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(REMOVED) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let written = |run: RunId| {
            let modified = fs::metadata(self.directory(run).join("receipt.json")).ok()?.modified().ok()?;
            Some(Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH))
        };
        Ok(self.ids()?.into_iter().map(|run| FolderSeen { run, receipt_at: written(run) }).collect())
    }

    /// Whether a run's directory is needed as proof: it names a lock that is still ours to remove. Not for ever, since a
    /// repository may never come back.
    pub fn holds_proof(&self, run: RunId) -> bool {
        let directory = self.directory(run);
        let age =
            fs::metadata(&directory).and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        LockRecord::any_in(&directory) && age.is_none_or(|age| age < PROOF_KEPT)
    }

    /// Removes a run's directory, at once and as a whole for whoever looks.
    pub fn remove(&self, run: RunId) -> io::Result<()> {
        let aside = self.root.join(format!("{REMOVED}{run}"));
        fs::rename(self.directory(run), &aside)?;
        sync_directory(&self.root)?;
        fs::remove_dir_all(aside)
    }

    fn ids(&self) -> io::Result<Vec<RunId>> {
        let names = fs::read_dir(&self.root)?.filter_map(Result::ok);
        Ok(names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }
}

impl Log {
    /// Appends a line and returns where it begins; `None` where the log is full.
    pub fn append(&mut self, line: &str) -> io::Result<Option<u64>> {
        if self.written >= LOG_BYTES_MAX {
            return Ok(None);
        }
        let offset = self.written;
        let text =
            if self.written + line.len() as u64 + 1 > LOG_BYTES_MAX { FULL.to_owned() } else { format!("{line}\n") };
        self.file.write_all(text.as_bytes())?;
        self.written = if text == FULL { LOG_BYTES_MAX } else { self.written + text.len() as u64 };
        Ok(Some(offset))
    }
}

/// How many of these bytes form whole characters; a character cut at the end belongs to the next piece.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::id::{RoundId, RunId};
    use landfall_proto::report::{Outcome, Reason, TaskKind, Trigger};
    use uuid::Uuid;

    fn about(number: u128) -> RunAbout {
        RunAbout {
            run: RunId(Uuid::from_u128(number)),
            round: RoundId(Uuid::nil()),
            routine: "db".parse().unwrap(),
            slot: None,
            task: TaskKind::Backup,
            trigger: Trigger::Hand,
            plan_hash: "h".to_owned(),
            repository: None,
        }
    }

    fn receipt(number: u128, second: i64) -> Receipt {
        let at = Timestamp::from_second(second).unwrap();
        let report = RunReport {
            outcome: Outcome::Failed,
            reason: Reason::NoSpace,
            message: "The disk is full.".to_owned(),
            started_at: at,
            finished_at: at,
            attempts: 1,
            exit: None,
            statistics: Default::default(),
            evidence: None,
            unread: Default::default(),
            findings: Vec::new(),
            tail: String::new(),
        };
        Receipt { about: about(number), attempt: 1, report }
    }

    #[test]
    fn a_receipt_is_read_back_and_a_changed_one_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().join("runs")).unwrap();
        let run = RunId(Uuid::from_u128(1));
        assert_eq!(runs.receipt(run), None);
        runs.conclude(&receipt(1, 5)).unwrap();
        assert_eq!(runs.receipt(run), Some(receipt(1, 5)));
        let path = runs.directory(run).join("receipt.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("The disk is full."), "a person reads it with cat");
        fs::write(&path, text.replace("failed", "ok")).unwrap();
        assert_eq!(runs.receipt(run), None);
    }

    #[test]
    fn traces_tell_ended_from_interrupted_in_the_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().join("runs")).unwrap();
        runs.conclude(&receipt(1, 50)).unwrap();
        runs.conclude(&receipt(2, 20)).unwrap();
        let begun_at = Timestamp::from_second(30).unwrap();
        runs.intend(&Intent { about: about(3), attempt: 2, begun_at, plan: None }).unwrap();
        runs.mark(RunId(Uuid::from_u128(3)), Some(ProcessMark { pid: 7, start_ticks: 9 })).unwrap();
        fs::create_dir(folder.path().join("runs/not-a-run")).unwrap();
        let traces = runs.traces().unwrap();
        assert_eq!(traces.len(), 3);
        assert_eq!(traces[0], Trace::Ended(Box::new(receipt(2, 20))));
        let Trace::Interrupted { intent, mark } = &traces[1] else { panic!("{traces:?}") };
        assert_eq!((intent.attempt, *mark), (2, Some(ProcessMark { pid: 7, start_ticks: 9 })));
    }

    #[test]
    fn a_log_is_bounded_and_read_in_pieces_that_end_at_characters() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().join("runs")).unwrap();
        let run = RunId(Uuid::from_u128(1));
        assert_eq!(runs.read_log(run, 0).unwrap(), None);
        let mut log = runs.log(run).unwrap();
        let line = "ä".repeat(50_000);
        let mut offsets = Vec::new();
        while let Some(offset) = log.append(&line).unwrap() {
            offsets.push(offset);
        }
        assert_eq!(offsets[1], 100_001);
        assert!(fs::metadata(runs.directory(run).join("log")).unwrap().len() < LOG_BYTES_MAX + 100);
        let mut text = String::new();
        let mut offset = 0;
        loop {
            let piece = runs.read_log(run, offset).unwrap().unwrap();
            assert!(!piece.text.contains('\u{fffd}') && piece.text.len() <= PIECE_BYTES_MAX);
            text.push_str(&piece.text);
            offset = piece.next_offset;
            if piece.is_end {
                break;
            }
        }
        assert!(text.ends_with(FULL));
        assert_eq!(text.lines().count(), offsets.len());
    }

    #[test]
    fn a_removal_that_was_interrupted_is_not_taken_for_a_run_and_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("runs");
        let runs = Runs::new(root.clone()).unwrap();
        for number in 1..=3 {
            runs.conclude(&receipt(number, 5)).unwrap();
        }
        let run = |number| RunId(Uuid::from_u128(number));
        fs::rename(runs.directory(run(1)), root.join(format!("{REMOVED}{}", run(1)))).unwrap();
        runs.remove(run(2)).unwrap();
        assert_eq!(runs.traces().unwrap().len(), 1);
        let folders = runs.folders().unwrap();
        assert_eq!(folders.iter().map(|folder| folder.run).collect::<Vec<_>>(), [run(3)]);
        assert!(folders[0].receipt_at > Some(Timestamp::UNIX_EPOCH));
        assert_eq!(fs::read_dir(root).unwrap().count(), 1);
    }
}
