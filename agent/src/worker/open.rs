//! Opening a repository, or creating it, with every way to fail told apart.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use landfall_proto::report::Reason;
use rustic_core::repofile::MasterKey;
use rustic_core::{
    ConfigOptions, Credentials as EngineCredentials, FileType, Id, KeyOptions, OpenStatus, ReadBackend, Repository,
    RepositoryBackends, RepositoryOptions, RusticResult, WriteBackend,
};

use super::destination::Destination;
use super::failure::{Failure, reason_of};
use super::progress::Counters;
use super::protocol::{Event, Order, Secret};

/// How long another node may take between the key file and the config of a repository that it is creating.
const CREATION_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for the config.
const CREATION_POLL: Duration = Duration::from_millis(250);

/// What opening a repository left to know; the engine's handle itself is used up by loading the index.
pub(super) struct Opened {
    pub(super) destination: Destination,
    counters: Counters,
    key: MasterKey,
    repository_id: String,
    created: bool,
    has_cache: bool,
}

impl Opened {
    /// What the agent learns first.
    pub(super) fn event(&self) -> Result<Event, Failure> {
        let key = serde_json::to_string(&self.key).map_err(|error| {
            Failure::new(Reason::Internal, "The master key has no text form.").because(error.to_string())
        })?;
        Ok(Event::Opened {
            repository_id: self.repository_id.clone(),
            created: self.created,
            master_key: Secret::new(key),
        })
    }

    /// The key that every file of the repository is sealed with.
    pub(super) fn key(&self) -> &MasterKey {
        &self.key
    }

    /// Whether the engine's first handle may answer from its cache.
    pub(super) fn has_cache(&self) -> bool {
        self.has_cache
    }

    /// A second handle, without the engine's cache: what it reads comes from the destination and from nowhere else.
    pub(super) fn again(&self, destination: &Destination) -> RusticResult<Repository<OpenStatus>> {
        let options = RepositoryOptions::default().no_cache(true);
        attach(&options, destination, &self.counters)?.open(&EngineCredentials::Masterkey(self.key.clone()))
    }
}

/// The engine's cache, for a remote repository only.
fn cache_of<'a>(order: &'a Order, destination: &Destination) -> Option<&'a PathBuf> {
    order.cache_dir.as_ref().filter(|_| destination.local().is_none())
}

/// Opens the repository of the order; creates it where `create` is set and there is none.
pub(super) fn open(
    order: &Order,
    create: bool,
    counters: &Counters,
) -> Result<(Repository<OpenStatus>, Opened), Failure> {
    let destination = Destination::connect(&order.repository, counters)?;
    let opener = Opener { order, destination: &destination, counters };
    let mut created = false;
    if !opener.exists()? {
        if !create {
            let message = format!("There is no repository at `{}`.", order.repository);
            return Err(Failure::new(Reason::NoRepository, message));
        }
        created = opener.create()?;
    }
    // What was created is opened like any other: only that proves that the password leads to it.
    let repository = opener.open()?;
    let key = repository.key();
    let repository_id = repository.config().id.to_hex().as_str().to_owned();
    let has_cache = cache_of(order, &destination).is_some();
    Ok((repository, Opened { destination, counters: counters.clone(), key, repository_id, created, has_cache }))
}

struct Opener<'a> {
    order: &'a Order,
    destination: &'a Destination,
    counters: &'a Counters,
}

impl Opener<'_> {
    fn exists(&self) -> Result<bool, Failure> {
        let config = self.destination.list(FileType::Config)?;
        if !config.is_empty() || self.destination.local().is_some() {
            return Ok(!config.is_empty());
        }
        // The engine takes every refused request for the config, even one for want of a password, for "there is none".
        // Listing the keys tells a server that has no such repository from one that does not let us in.
        match self.destination.list(FileType::Key) {
            Ok(_) => Ok(false),
            Err(error) => match reason_of(&*error) {
                Some(Reason::NoRepository) => Ok(false),
                reason => Err(Failure::engine(&error, reason.unwrap_or(Reason::Network))),
            },
        }
    }

    fn open(&self) -> Result<Repository<OpenStatus>, Failure> {
        if let Some(key) = self.order.secret.master_key.as_ref().and_then(parse_key) {
            match self.open_with(&EngineCredentials::Masterkey(key)) {
                Ok(repository) => return Ok(repository),
                // The key is of a repository that stood here before. Without a password that is all there is to say.
                Err(error) => match reason_of(&*error) {
                    None | Some(Reason::Integrity) if self.order.secret.password.is_some() => {}
                    None | Some(Reason::Integrity) => return Err(Failure::from(error).with_reason(Reason::Auth)),
                    Some(_) => return Err(error.into()),
                },
            }
        }
        let Some(password) = &self.order.secret.password else {
            return Err(Failure::new(Reason::NoCredentials, "Neither a password nor a usable master key was given."));
        };
        let credentials = EngineCredentials::password(password.expose());
        match self.open_with(&credentials) {
            Err(error) if error.is_incorrect_password() && self.has_no_key() => {
                self.wait_for_key()?;
                self.open_with(&credentials).map_err(|error| Failure::engine(&error, Reason::Integrity))
            }
            opened => opened.map_err(|error| Failure::engine(&error, Reason::Integrity)),
        }
    }

    fn has_no_key(&self) -> bool {
        self.destination.list(FileType::Key).is_ok_and(|keys| keys.is_empty())
    }

    /// Behind a server, another process that creates the repository may stand between its config and its key.
    fn wait_for_key(&self) -> Result<(), Failure> {
        let mut waited = Duration::ZERO;
        while self.destination.local().is_none() && waited < CREATION_PATIENCE {
            thread::sleep(CREATION_POLL);
            waited += CREATION_POLL;
            if !self.has_no_key() {
                return Ok(());
            }
        }
        Err(Failure::new(Reason::Integrity, "The repository has a config but no key file.").because(
            "Restore the folder `keys` from a copy. Where nothing was ever saved here, its creation was cut off: remove the file `config`, and the next run creates it again.",
        ))
    }

    fn open_with(&self, credentials: &EngineCredentials) -> RusticResult<Repository<OpenStatus>> {
        let options = match cache_of(self.order, self.destination) {
            Some(folder) => RepositoryOptions::default().cache_dir(folder.clone()),
            None => RepositoryOptions::default().no_cache(true),
        };
        attach(&options, self.destination, self.counters)?.open(credentials)
    }

    /// Creates the repository unless another process just did. Returns whether this one did.
    fn create(&self) -> Result<bool, Failure> {
        let Some(password) = &self.order.secret.password else {
            return Err(Failure::new(Reason::NoCredentials, "A password is needed to create a repository."));
        };
        let _turn = self.destination.local().map(take_turn).transpose()?;
        if !self.destination.list(FileType::Config)?.is_empty() {
            return Ok(false);
        }
        self.clear_half_created()?;
        // What fails here is not a failed write of the backup, so that it is not seen through the same eyes.
        let maker = Destination::connect(&self.order.repository, self.counters)?;
        let made = match maker.local() {
            Some(_) => self.init(&maker, &EngineCredentials::password(password.expose())).map(drop),
            None => self.init_at_server(&maker, password),
        };
        if let Err(error) = made {
            // A key file without its config would be tried first by half of all later openings, and it opens nothing.
            self.remove_keys(&maker.written_keys());
            let failure = maker.first_failure().unwrap_or_else(|| Failure::engine(&error, Reason::Unknown));
            // A REST server refuses a second config: another node was faster, and its repository is ours too.
            return if self.exists().unwrap_or(false) { Ok(false) } else { Err(failure) };
        }
        maker.sync_directories()?;
        Ok(true)
    }

    fn init(&self, maker: &Destination, credentials: &EngineCredentials) -> RusticResult<Repository<OpenStatus>> {
        let options = RepositoryOptions::default().no_cache(true);
        let repository = attach(&options, maker, self.counters)?;
        repository.init(credentials, &KeyOptions::default(), &ConfigOptions::default())
    }

    /// The config first: a server takes one only, so that of several who create at once a single one goes on to write a key.
    /// A key beside it that opens nothing would lock everybody out, restic too, and a server that only takes never lets it go.
    fn init_at_server(&self, maker: &Destination, password: &Secret) -> RusticResult<()> {
        let repository = self.init(maker, &EngineCredentials::Masterkey(MasterKey::new()))?;
        let added = repository.add_key(password.expose(), &KeyOptions::default());
        if added.is_err() {
            // Where it cannot be removed, the next opening says what to do.
            let _ = maker.remove(FileType::Config, &Id::default(), false);
        }
        added.map(drop)
    }

    /// Deals with the key file of a creation that was cut off before its config was written. The password would open
    /// that key, the key would not open the config made now, and the repository could never be opened again.
    fn clear_half_created(&self) -> Result<(), Failure> {
        let mut waited = Duration::ZERO;
        let Some(mut keys) = self.list_if_there(FileType::Key)?.filter(|keys| !keys.is_empty()) else { return Ok(()) };
        for kind in [FileType::Snapshot, FileType::Index, FileType::Pack] {
            if self.list_if_there(kind)?.is_some_and(|files| !files.is_empty()) {
                return Err(Failure::new(
                    Reason::Integrity,
                    format!("`{}` holds backup data, but its config file is missing.", self.order.repository),
                )
                .because(
                    "Restore the file `config` from a copy; a repository created here now could not read the data.",
                ));
            }
        }
        // A local repository is created under a lock, so what is found there is left over. A remote one may be under way.
        while self.destination.local().is_none() && waited < CREATION_PATIENCE {
            thread::sleep(CREATION_POLL);
            waited += CREATION_POLL;
            if !self.destination.list(FileType::Config)?.is_empty() {
                return Ok(());
            }
        }
        keys.sort_unstable();
        self.remove_keys(&keys);
        if self.destination.local().is_none() && !self.destination.list(FileType::Key)?.is_empty() {
            return Err(Failure::new(
                Reason::Integrity,
                format!(
                    "`{}` has a key file without a config, and its server does not let it go.",
                    self.order.repository
                ),
            )
            .because("A creation was cut off here. Remove the folder `keys` at the server, or choose another place."));
        }
        Ok(())
    }

    fn list_if_there(&self, kind: FileType) -> Result<Option<Vec<Id>>, Failure> {
        if let Some(path) = self.destination.local()
            && !path.join(kind.dirname()).exists()
        {
            return Ok(None);
        }
        match self.destination.list(kind) {
            Ok(list) => Ok(Some(list)),
            Err(error) if reason_of(&*error) == Some(Reason::NoRepository) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn remove_keys(&self, keys: &[Id]) {
        for key in keys {
            // What cannot be removed shows itself when the repository is opened.
            let _ = self.destination.remove(FileType::Key, key, false);
        }
    }
}

/// The ids of the files of one kind.
pub(super) fn list_ids(storage: &Destination, kind: FileType) -> Result<BTreeSet<Id>, Failure> {
    Ok(storage.list(kind)?.into_iter().collect())
}

fn attach(options: &RepositoryOptions, storage: &Destination, counters: &Counters) -> RusticResult<Repository<()>> {
    let backends = RepositoryBackends::new(std::sync::Arc::new(storage.clone()), None);
    Repository::new_with_progress(options, &backends, counters.clone())
}

/// The engine panics on a key of another length.
fn parse_key(key: &Secret) -> Option<MasterKey> {
    let key: MasterKey = serde_json::from_str(key.expose()).ok()?;
    ((key.encrypt.len(), key.mac.k.len(), key.mac.r.len()) == (32, 16, 16)).then_some(key)
}

/// Makes the repository's directory and waits for the turn to create the repository in it. Two nodes of one machine, or
/// two plans of one node, meet here when a shared target is used for the first time.
fn take_turn(path: &Path) -> Result<File, Failure> {
    let refuse =
        |error: std::io::Error| Failure::io(format!("The directory `{}` cannot be used.", path.display()), &error);
    fs::create_dir_all(path).map_err(refuse)?;
    let directory = File::open(path).map_err(refuse)?;
    // Some network file systems cannot lock a directory. Creating goes on there: the config is looked for again.
    let _ = rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive);
    Ok(directory)
}
