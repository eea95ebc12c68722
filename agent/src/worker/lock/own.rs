//! The lock that this process holds: written, renewed, confirmed before the snapshot, removed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use landfall_proto::report::Reason;

use super::super::emit;
use super::super::failure::Failure;
use super::super::protocol::Level;
use super::file::{LockFile, Sealed, Sealer};
use super::record::{Here, LockRecord};
use super::store::Store;
use crate::edge::clock;

/// As often as restic renews its own.
const RENEW_EVERY: Duration = Duration::from_secs(5 * 60);

/// Before a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// How often the removal is tried before the lock is left to the agent.
const REMOVE_TRIES: u32 = 3;
const REMOVE_PAUSE: Duration = Duration::from_millis(500);

/// How long a worker without an agent may take to remove its lock. It writes nothing meanwhile.
const FAREWELL: Duration = Duration::from_secs(5);

/// Whom restic names as the owner of our locks.
const USERNAME: &str = "landfall-agent";

/// The lock of this process, for the thread that ends it.
static HELD: OnceLock<Arc<OwnLock>> = OnceLock::new();

/// A lock that other programs see, as long as it is `Held`.
pub(in super::super) struct OwnLock {
    store: Store,
    sealer: Sealer,
    here: Here,
    location: String,
    /// The run's directory, where each lock is recorded before it is written.
    records: Option<PathBuf>,
    state: Mutex<State>,
}

/// How it stands with the lock.
pub(in super::super) enum State {
    Free,
    /// Under this name.
    Held(String),
    /// Somebody removed it while it was held.
    Lost,
}

impl OwnLock {
    pub(super) fn new(store: Store, sealer: Sealer, here: Here, location: String, records: Option<PathBuf>) -> Self {
        Self { store, sealer, here, location, records, state: Mutex::new(State::Free) }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(super) fn here(&self) -> &Here {
        &self.here
    }

    /// Writes the lock and returns its name. It never is exclusive: a backup adds, a check reads, and neither harms another;
    /// all that they must keep away is a program that deletes, and that one wants to be alone.
    pub(super) fn put(&self) -> Result<String, Failure> {
        outlive_hangups()?;
        let mut state = self.state();
        let id = self.write()?;
        *state = State::Held(id.clone());
        Ok(id)
    }

    /// Renews the lock for as long as this process lives.
    pub(super) fn keep(self: &Arc<Self>) {
        let _ = HELD.set(Arc::clone(self));
        let lock = Arc::clone(self);
        thread::spawn(move || {
            let mut wait = RENEW_EVERY;
            loop {
                thread::sleep(wait);
                wait = match lock.renew() {
                    Ok(true) => RENEW_EVERY,
                    Ok(false) => break,
                    Err(failure) if matches!(*lock.state(), State::Lost) => {
                        // Whatever is written from here on, no snapshot may name it.
                        emit::finish(&failure.into_event());
                        std::process::exit(1);
                    }
                    Err(failure) => {
                        emit::log(Level::Warning, &format!("The lock could not be renewed. {failure}"));
                        RENEW_AGAIN
                    }
                };
            }
        });
    }

    /// Puts a younger lock in the place of the older one, as restic does. Returns whether there was one to renew.
    pub(super) fn renew(&self) -> Result<bool, Failure> {
        let mut state = self.state();
        let Some(old) = self.confirmed(&mut state)? else { return Ok(false) };
        *state = State::Held(self.write()?);
        self.remove(&old)?;
        Ok(true)
    }

    /// Makes sure that the lock has been there all the time. As long as the answer is kept, the lock does not go.
    pub(in super::super) fn confirm(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.state();
        match self.confirmed(&mut state)? {
            Some(_) => Ok(state),
            None => Err(Failure::new(Reason::Interrupted, "The run was ended, and nothing more is written.")),
        }
    }

    /// Removes the lock. One that cannot be removed stays on record, and the agent removes it later.
    pub(in super::super) fn release(&self) {
        let mut state = self.state();
        let State::Held(id) = std::mem::replace(&mut *state, State::Free) else { return };
        for left in (0..REMOVE_TRIES).rev() {
            match self.remove(&id) {
                Ok(()) => break,
                Err(failure) if left == 0 => {
                    emit::log(Level::Warning, &format!("The run's lock is still in the repository. {failure}"));
                }
                Err(_) => thread::sleep(REMOVE_PAUSE),
            }
        }
    }

    /// The name of the lock that is held; a lock that should be there and is not is lost for good.
    fn confirmed(&self, state: &mut State) -> Result<Option<String>, Failure> {
        let id = match state {
            State::Free => return Ok(None),
            State::Held(id) => id.clone(),
            State::Lost => return Err(lost()),
        };
        if self.store.exists(&id)? {
            return Ok(Some(id));
        }
        *state = State::Lost;
        Err(lost())
    }

    /// Records a fresh lock and writes it.
    fn write(&self) -> Result<String, Failure> {
        let now = clock::now();
        let lock = LockFile {
            time: now,
            exclusive: false,
            hostname: self.here.host.clone(),
            username: USERNAME.to_owned(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        let Sealed { id, bytes } = self.sealer.seal(&lock)?;
        if let Some(directory) = &self.records {
            LockRecord::new(&id, &self.location, &self.here, now)
                .write(directory)
                .map_err(|error| Failure::io(format!("`{}` cannot be written.", directory.display()), &error))?;
        }
        match self.store.write(&id, &bytes) {
            Ok(()) => Ok(id),
            Err(failure) => {
                // An answer that was lost does not say that the lock was not written. What cannot be asked stays on record.
                match self.store.exists(&id) {
                    Ok(true) => drop(self.remove(&id)),
                    Ok(false) => drop(self.forget(&id)),
                    Err(_) => {}
                }
                Err(failure)
            }
        }
    }

    fn remove(&self, id: &str) -> Result<(), Failure> {
        self.store.remove(id)?;
        self.forget(id)
    }

    fn forget(&self, id: &str) -> Result<(), Failure> {
        match &self.records {
            Some(directory) => LockRecord::forget(directory, id)
                .map_err(|error| Failure::io(format!("`{}` cannot be written.", directory.display()), &error)),
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Restic asks whether the owner of a lock lives by sending it a hangup, which would end any process that does not expect it.
fn outlive_hangups() -> Result<(), Failure> {
    let refuse = |error: std::io::Error| Failure::io("The worker cannot be made safe from restic's questions.", &error);
    // Once a signal is listened to, it never again ends the process, even when nobody listens any more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(refuse)?;
    let _listening = runtime.enter();
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).map(drop).map_err(refuse)
}

/// Removes the lock of this process, within [`FAREWELL`]. No snapshot is written any more, even while this takes its time.
pub(in super::super) fn farewell() {
    let Some(lock) = HELD.get() else { return };
    let (done, ended) = std::sync::mpsc::channel();
    thread::spawn(move || {
        lock.release();
        let _ = done.send(());
    });
    let _ = ended.recv_timeout(FAREWELL);
}

fn lost() -> Failure {
    Failure::new(Reason::Lock, "Somebody removed this run's lock from the repository while it worked.").because(
        "A prune may have deleted what the snapshot needs, so none is written. `restic unlock --remove-all` removes the locks of living programs too.",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rustic_core::repofile::MasterKey;

    use super::super::super::protocol::Location;
    use super::*;

    fn lock(repository: &Path, run: &Path) -> OwnLock {
        let location = Location(repository.display().to_string());
        let sealer = Sealer::of(&MasterKey::new()).unwrap();
        OwnLock::new(Store::of(&location).unwrap(), sealer, Here::look(), location.to_string(), Some(run.to_owned()))
    }

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_lock_is_on_record_for_as_long_as_it_exists_under_each_of_its_names() {
        let (repository, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = lock(repository.path(), run.path());
        let locks = repository.path().join("locks");
        let first = lock.put().unwrap();
        assert_eq!(names(run.path()), [format!("lock-{first}.json")]);
        assert_eq!(names(&locks), std::slice::from_ref(&first));
        assert!(lock.renew().unwrap());
        let second = names(&locks).pop().unwrap();
        assert_ne!(second, first);
        assert_eq!(names(run.path()), [format!("lock-{second}.json")]);
        drop(lock.confirm().unwrap());
        lock.release();
        assert_eq!((names(&locks).len(), names(run.path()).len()), (0, 0));
        assert!(!lock.renew().unwrap(), "there is nothing to renew");
        assert_eq!(lock.confirm().err().unwrap().reason, Reason::Interrupted);
    }

    #[test]
    fn a_lock_that_somebody_removed_is_lost_and_is_not_put_back() {
        let (repository, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = lock(repository.path(), run.path());
        let id = lock.put().unwrap();
        fs::remove_file(repository.path().join("locks").join(id)).unwrap();
        assert_eq!(lock.confirm().err().unwrap().reason, Reason::Lock);
        assert_eq!(lock.renew().unwrap_err().reason, Reason::Lock);
        assert_eq!(names(&repository.path().join("locks")).len(), 0);
    }

    #[test]
    fn a_lock_that_cannot_be_written_leaves_neither_itself_nor_a_record() {
        let (repository, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let gone = repository.path().join("gone");
        assert!(lock(&gone, run.path()).put().is_err());
        assert_eq!((names(run.path()).len(), gone.exists()), (0, false));
    }
}
