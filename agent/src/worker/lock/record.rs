//! What is written down of a lock before it is taken, and what proves later that nobody holds it any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::store::is_id;
use crate::edge::process::ProcessMark;
use crate::edge::sealed;

/// In front of a lock's name, in a run's directory.
const PREFIX: &str = "lock-";

/// A lock with a living owner is renewed long before, under another name, and an owner that cannot renew it writes nothing more.
const EXPIRES_AFTER: Duration = Duration::from_secs(30 * 60);

/// Records of one run that are read; each renewal leaves one for a moment, and each attempt that was killed one for good.
const RECORDS_MAX: usize = 64;

/// One lock of this agent's engine, in a file of its own in the run's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockRecord {
    /// The lock file's name in the repository.
    pub(crate) id: String,
    /// The repository's place, without its password.
    pub(crate) location: String,
    host: String,
    process: ProcessMark,
    boot: String,
    pid_namespace: String,
    written_at: Timestamp,
}

/// Which machine this is, in this life of it; empty where the system does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    pub(crate) host: String,
    boot: String,
    pid_namespace: String,
}

/// What is known of a recorded lock's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is gone, and the lock is ours to remove.
    Gone,
    Lives,
    /// It cannot be looked at from here, but by then its lock would have been renewed or given up.
    GoneAt(Timestamp),
    /// It was on another machine.
    Never,
}

impl Here {
    pub(crate) fn look() -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: line("/proc/sys/kernel/hostname"),
            boot: line("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace.display().to_string(),
        }
    }
}

impl LockRecord {
    /// The record of a lock that this process is about to write.
    pub(super) fn new(id: &str, location: &str, here: &Here, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            location: location.to_owned(),
            host: here.host.clone(),
            process: ProcessMark::own(),
            boot: here.boot.clone(),
            pid_namespace: here.pid_namespace.clone(),
            written_at: now,
        }
    }

    /// On disk when this returns.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        sealed::write(directory, &file_name(&self.id), self)
    }

    /// Forgets a lock that is no longer there.
    pub(crate) fn forget(directory: &Path, id: &str) -> io::Result<()> {
        match fs::remove_file(directory.join(file_name(id))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The records in a run's directory. One that is damaged, or says another name than its own, is no proof of anything.
    pub(crate) fn all_in(directory: &Path) -> Vec<Self> {
        let read = |(path, id): (PathBuf, String)| {
            sealed::open::<Self>(&fs::read(path).ok()?).filter(|record| record.id == id)
        };
        files(directory).take(RECORDS_MAX).filter_map(read).collect()
    }

    /// Whether there is a record in this directory.
    pub(crate) fn any_in(directory: &Path) -> bool {
        files(directory).next().is_some()
    }

    /// What is known of the owner. `lives` is what this machine shows of the recorded process.
    pub(crate) fn proof(&self, here: &Here, now: Timestamp, lives: Option<bool>) -> Proof {
        if self.host != here.host || here.host.is_empty() {
            return Proof::Never;
        }
        let same = |then: &str, here: &str| then == here && !here.is_empty();
        let is_visible = same(&self.boot, &here.boot) && same(&self.pid_namespace, &here.pid_namespace);
        match lives.filter(|_| is_visible) {
            Some(true) => Proof::Lives,
            Some(false) => Proof::Gone,
            // After a reboot the process is gone; but a copy of this disk, in another machine of the same name, has the same
            // records while the original goes on.
            None => match self.written_at.checked_add(EXPIRES_AFTER) {
                Ok(at) if now < at => Proof::GoneAt(at),
                Ok(_) => Proof::Gone,
                Err(_) => Proof::Never,
            },
        }
    }

    /// The same, with a look at the process.
    pub(crate) fn look(&self, here: &Here, now: Timestamp) -> Proof {
        self.proof(here, now, self.process.lives())
    }
}

fn file_name(id: &str) -> String {
    format!("{PREFIX}{id}.json")
}

fn files(directory: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name();
        let id = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(".json")?;
        is_id(id).then(|| (entry.path(), id.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: &str) -> String {
        digit.repeat(64)
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn only_a_process_of_this_machine_that_is_seen_to_be_gone_proves_anything_at_once() {
        let here = Here::look();
        let record = LockRecord::new(&id("a"), "/r", &here, now());
        let later = now() + EXPIRES_AFTER;
        assert_eq!(record.proof(&here, now(), Some(false)), Proof::Gone);
        assert_eq!(record.proof(&here, later, Some(true)), Proof::Lives, "however long it was asleep");
        assert_eq!(record.look(&here, later), Proof::Lives, "it is this very process");
        for other in [
            Here { boot: "another".to_owned(), ..here.clone() },
            Here { pid_namespace: "pid:[1]".to_owned(), ..here.clone() },
        ] {
            assert_eq!(record.proof(&other, now(), Some(false)), Proof::GoneAt(later));
            assert_eq!(record.proof(&other, later, Some(false)), Proof::Gone);
        }
        let stranger = Here { host: "another".to_owned(), ..here };
        assert_eq!(record.proof(&stranger, later, Some(false)), Proof::Never);
    }

    #[test]
    fn a_record_is_believed_whole_and_under_its_own_name_only() {
        let run = tempfile::tempdir().unwrap();
        let record = LockRecord::new(&id("a"), "/r", &Here::look(), now());
        assert!(!LockRecord::any_in(run.path()));
        record.write(run.path()).unwrap();
        assert_eq!(LockRecord::all_in(run.path()), [record]);
        let written = fs::read_to_string(run.path().join(file_name(&id("a")))).unwrap();
        fs::write(run.path().join(file_name(&id("b"))), &written).unwrap();
        fs::write(run.path().join(file_name(&id("c"))), written.replace(&id("a"), &id("c"))).unwrap();
        fs::write(run.path().join("lock-.json"), &written).unwrap();
        assert_eq!(LockRecord::all_in(run.path()).len(), 1, "a copy and a changed one name locks that are not ours");
        LockRecord::forget(run.path(), &id("a")).unwrap();
        LockRecord::forget(run.path(), &id("a")).unwrap();
        assert_eq!(LockRecord::all_in(run.path()), []);
    }
}
