//! Respect for the locks of restic, which the engine neither writes nor reads.
//!
//! A `restic prune` beside another writer deletes data that the writer's snapshot needs. While it works it holds an
//! exclusive lock and renews it every five minutes, so such a lock stops a backup or a check before it starts.

use std::time::Duration;

use landfall_proto::report::Reason;
use rustic_core::{FileType, ReadBackend};
use serde::Deserialize;

use super::failure::Failure;
use super::open::Opened;

/// A lock that was not renewed for this long was left behind; restic itself draws the line there.
const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

#[derive(Deserialize)]
struct LockFile {
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
}

/// Refuses to go on while another program holds the repository for itself. Only a local repository shows its locks.
pub(super) fn refuse_if_exclusive(opened: &Opened) -> Result<(), Failure> {
    let (Some(path), Some(locks)) = (opened.destination.local(), opened.destination.locks()) else { return Ok(()) };
    let ids = locks.list(FileType::Index)?;
    if ids.is_empty() {
        return Ok(());
    }
    let view = opened.again(&locks)?;
    for id in ids {
        let name = id.to_hex();
        let file = path.join("locks").join(name.as_str());
        let age = file.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > STALE_AFTER) {
            continue;
        }
        // A lock that vanished or cannot be read is not one that is held.
        let Ok(content) = view.cat_file(FileType::Index, name.as_str()) else { continue };
        let Ok(lock) = serde_json::from_slice::<LockFile>(&content) else { continue };
        if lock.exclusive {
            return Err(Failure::new(
                Reason::Lock,
                format!(
                    "The repository is held exclusively by process {} of `{}` on `{}`.",
                    lock.pid, lock.username, lock.hostname
                ),
            ));
        }
    }
    Ok(())
}
