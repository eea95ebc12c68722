//! `state_dir/web/access.json`: users, tokens and links, written whole or not at all, and read by the coordinator and the tool alike.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::AccessError;
use super::role::{Role, UserName};
use crate::web::tls::keep;

const FILE: &str = "access.json";
const LOCK: &str = "access.lock";

/// What this build writes and reads.
const FORMAT: u32 = 1;

/// A longer file was not written by this program.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) const USERS_MAX: usize = 1000;
pub(crate) const TOKENS_OF_A_USER_MAX: usize = 50;
pub(crate) const INVITES_MAX: usize = 50;

/// Everybody who may look in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Roll {
    pub(crate) format: u32,
    #[serde(default)]
    pub(crate) users: BTreeMap<UserName, User>,
    #[serde(default)]
    pub(crate) invites: Vec<Invite>,
    /// What the tool changed last, for the coordinator's journal.
    #[serde(default)]
    pub(crate) last_change: Option<Change>,
}

/// Who changed what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) what: String,
}

impl Default for Roll {
    fn default() -> Self {
        Self { format: FORMAT, users: BTreeMap::new(), invites: Vec::new(), last_change: None }
    }
}

/// One who may look in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) role: Role,
    /// In PHC form; absent where the user has tokens only.
    #[serde(default)]
    pub(crate) password: Option<String>,
    pub(crate) added_at: Timestamp,
    #[serde(default)]
    pub(crate) tokens: Vec<Token>,
}

/// A program's way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// Stands in the token itself, and in the log where it is used.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) label: String,
    /// Less than the user's own role, where it is given.
    #[serde(default)]
    pub(crate) role: Option<Role>,
    pub(crate) hash: String,
    pub(crate) made_at: Timestamp,
    #[serde(default)]
    pub(crate) expires_at: Option<Timestamp>,
}

/// A link with which somebody becomes a user, or chooses a fresh password; good once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    pub(crate) hash: String,
    pub(crate) role: Role,
    /// Whose it is, where that is known.
    #[serde(default)]
    pub(crate) name: Option<UserName>,
    pub(crate) expires_at: Timestamp,
    /// Made at a start without users; the next such start replaces it.
    #[serde(default)]
    pub(crate) is_first: bool,
}

/// The file, and what was last read of it.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    known: Mutex<Option<(Stamp, Arc<Roll>)>>,
}

/// Differs whenever the file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
    bytes: u64,
}

impl Store {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), known: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Everybody, as the file says at this moment; it is read only where it has changed.
    pub(crate) fn roll(&self) -> Result<Arc<Roll>, AccessError> {
        let path = self.path();
        let unreadable = |source| AccessError::Unreadable { path: path.clone(), source };
        let stamp = match fs::metadata(&path) {
            Ok(data) => Stamp { inode: data.ino(), changed: (data.ctime(), data.ctime_nsec()), bytes: data.len() },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, roll)) = &*known
            && *seen == stamp
        {
            return Ok(Arc::clone(roll));
        }
        let mut text = Vec::new();
        let file = File::open(&path).map_err(unreadable)?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(unreadable)?;
        let damaged = |why| AccessError::Damaged { path: path.clone(), why };
        let roll: Roll = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if roll.format != FORMAT {
            return Err(damaged(format!("it has format {}, and this version reads {FORMAT}", roll.format)));
        }
        let before = known.as_ref().and_then(|(_, roll)| roll.last_change.as_ref());
        if let (Some(change), true) = (&roll.last_change, known.is_some() && before != roll.last_change.as_ref()) {
            tracing::info!(audit = "users_changed", by = change.by, at = %change.at, what = change.what, "the users were changed by the tool");
        }
        let roll = Arc::new(roll);
        *known = Some((stamp, Arc::clone(&roll)));
        Ok(roll)
    }

    /// Changes the file in one step. Others who change it, here or in another process, wait meanwhile.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Roll) -> Result<T, AccessError>) -> Result<T, AccessError> {
        let unwritable = |source| AccessError::Unwritable { path: self.path(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(unwritable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join(LOCK))
            .map_err(unwritable)?;
        lock.lock().map_err(unwritable)?;
        let mut roll = Roll::clone(&*self.roll()?);
        let told = change(&mut roll)?;
        let too_many = [
            (roll.users.len() > USERS_MAX, "users"),
            (roll.users.values().any(|user| user.tokens.len() > TOKENS_OF_A_USER_MAX), "tokens of this user"),
            (roll.invites.len() > INVITES_MAX, "open links"),
        ];
        if let Some((_, what)) = too_many.into_iter().find(|(is_too_many, _)| *is_too_many) {
            return Err(AccessError::TooMany(what));
        }
        let mut text = serde_json::to_vec_pretty(&roll).map_err(|error| unwritable(error.into()))?;
        text.push(b'\n');
        keep(&self.folder, &self.path(), &text).map_err(unwritable)?;
        Ok(told)
    }
}

impl Roll {
    pub(crate) fn user(&mut self, name: &UserName) -> Result<&mut User, AccessError> {
        self.users.get_mut(name).ok_or_else(|| AccessError::NoUser(name.clone()))
    }

    /// Remembers who changed what; the coordinator's journal tells it when it sees the change.
    pub(crate) fn note(&mut self, at: Timestamp, by: &str, what: &str) {
        self.last_change = Some(Change { at, by: by.to_owned(), what: what.to_owned() });
    }

    /// Forgets links that nobody can use any more.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) {
        self.invites.retain(|invite| invite.expires_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn user(role: Role) -> User {
        User { role, password: None, added_at: Timestamp::UNIX_EPOCH, tokens: Vec::new() }
    }

    #[test]
    fn what_one_process_writes_another_one_reads_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Store::new(folder.path()), Store::new(folder.path()));
        assert_eq!(*two.roll().unwrap(), Roll::default());
        for role in [Role::Viewer, Role::Admin, Role::Operator] {
            one.change(|roll| Ok(roll.users.insert("ann".parse().unwrap(), user(role)))).unwrap();
            assert_eq!(two.roll().unwrap().users.values().next().unwrap().role, role);
        }
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_change_that_fails_or_is_too_large_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let refused = store.change(|roll| {
            roll.users.insert("ann".parse().unwrap(), user(Role::Admin));
            Err::<(), _>(AccessError::NoInvite)
        });
        assert!(matches!(refused, Err(AccessError::NoInvite)));
        let crowd = |roll: &mut Roll| {
            for number in 0..=USERS_MAX {
                roll.users.insert(format!("u{number}").parse().unwrap(), user(Role::Viewer));
            }
            Ok(())
        };
        assert!(matches!(store.change(crowd), Err(AccessError::TooMany("users"))));
        assert!(store.roll().unwrap().users.is_empty());
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        for text in ["{", "{\"format\":2}", "{\"format\":1,\"more\":1}"] {
            fs::write(store.path(), text).unwrap();
            assert!(matches!(store.roll(), Err(AccessError::Damaged { .. })), "{text}");
            assert!(store.change(|_| Ok(())).is_err());
            assert_eq!(fs::read_to_string(store.path()).unwrap(), text);
        }
    }
}
