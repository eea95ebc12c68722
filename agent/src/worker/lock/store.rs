//! Where a repository keeps its lock files, which the engine's own storage has no notion of: a folder, or a REST server.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use landfall_proto::report::Reason;
use reqwest::blocking::{Client, Response};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::super::failure::{Failure, reason_of};
use super::super::protocol::Location;
use super::file::LOCK_BYTES_MAX;

/// Lock files that are looked at. Nobody who runs that many programs beside each other has one repository for all.
const LOCKS_MAX: usize = 1_000;

/// How long a server may take for one small file.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What a restic REST server calls the list with names and sizes.
const LIST_FORM: &str = "application/vnd.x.restic.rest.v2";

/// The place of the lock files.
pub(super) enum Store {
    Folder(PathBuf),
    Server { client: Client, url: Url },
}

#[derive(Deserialize)]
struct Entry {
    name: String,
}

impl Store {
    pub(super) fn of(location: &Location) -> Result<Self, Failure> {
        let Some(url) = location.rest_url() else { return Ok(Self::Folder(PathBuf::from(&location.0).join("locks"))) };
        let refuse = |cause: String| {
            Failure::new(Reason::NoRepository, format!("`{location}` is not the URL of a server.")).because(cause)
        };
        let base =
            Url::parse(&format!("{}/locks/", url.trim_end_matches('/'))).map_err(|error| refuse(error.to_string()))?;
        let client = Client::builder()
            .timeout(ANSWER_PATIENCE)
            .build()
            .map_err(|error| refuse(error.without_url().to_string()))?;
        Ok(Self::Server { client, url: base })
    }

    /// The names of all lock files. What has another form of name is none, or one that is being written.
    pub(super) fn list(&self) -> Result<Vec<String>, Failure> {
        let names = match self {
            Self::Folder(folder) => match list_folder(folder) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(Failure::io(self.refusal("listed"), &error)),
            },
            Self::Server { .. } => match self.ask(Method::GET, "", None, "listed")? {
                Some(answer) => answer
                    .json::<Option<Vec<Entry>>>()
                    .map_err(|error| self.failed(error, "listed"))?
                    .unwrap_or_default()
                    .into_iter()
                    .map(|entry| entry.name)
                    .collect(),
                None => Vec::new(),
            },
        };
        let mut names: Vec<String> = names.into_iter().filter(|name| is_id(name)).collect();
        names.sort_unstable();
        if names.len() > LOCKS_MAX {
            return Err(Failure::new(Reason::Lock, format!("The repository has more than {LOCKS_MAX} lock files."))
                .because("Run `restic unlock` on it: it removes those that were left behind."));
        }
        Ok(names)
    }

    /// A lock file's bytes; `None` where it is gone.
    pub(super) fn read(&self, id: &str) -> Result<Option<Vec<u8>>, Failure> {
        let limit = LOCK_BYTES_MAX as u64 + 1;
        let mut bytes = Vec::new();
        let read = match self {
            Self::Folder(folder) => {
                File::open(folder.join(id)).and_then(|file| file.take(limit).read_to_end(&mut bytes))
            }
            Self::Server { .. } => match self.ask(Method::GET, id, None, "read")? {
                Some(answer) => answer.take(limit).read_to_end(&mut bytes),
                None => return Ok(None),
            },
        };
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io(self.refusal("read"), &error)),
        }
    }

    pub(super) fn exists(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Folder(folder) => {
                folder.join(id).try_exists().map_err(|error| Failure::io(self.refusal("read"), &error))
            }
            Self::Server { .. } => Ok(self.ask(Method::HEAD, id, None, "read")?.is_some()),
        }
    }

    /// Writes a lock file, at no moment half there. It need not outlive a power cut, since its owner does not either.
    pub(super) fn write(&self, id: &str, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Folder(folder) => {
                write_file(folder, id, bytes).map_err(|error| Failure::io(self.refusal("written"), &error))
            }
            Self::Server { .. } => match self.ask(Method::POST, id, Some(bytes.to_vec()), "written")? {
                Some(_) => Ok(()),
                None => Err(Failure::new(Reason::NoRepository, self.refusal("written"))),
            },
        }
    }

    /// Removes a lock file, and what a broken-off writing of it left. Returns whether it was there.
    pub(super) fn remove(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Folder(folder) => {
                let refuse = |error: io::Error| Failure::io(self.refusal("removed"), &error);
                remove_file(&folder.join(unfinished(id))).map_err(refuse)?;
                remove_file(&folder.join(id)).map_err(refuse)
            }
            Self::Server { .. } => Ok(self.ask(Method::DELETE, id, None, "removed")?.is_some()),
        }
    }

    /// One request; `None` where the server has no such thing.
    fn ask(&self, method: Method, id: &str, body: Option<Vec<u8>>, what: &str) -> Result<Option<Response>, Failure> {
        let Self::Server { client, url } = self else {
            return Err(Failure::new(Reason::Internal, "A folder was asked as a server."));
        };
        let url = url
            .join(id)
            .map_err(|error| Failure::new(Reason::Internal, self.refusal(what)).because(error.to_string()))?;
        let mut request = client.request(method, url).header("Accept", LIST_FORM);
        if let Some(body) = body {
            request = request.body(body);
        }
        match request.send() {
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(None),
            Ok(answer) => answer.error_for_status().map(Some).map_err(|error| self.failed(error, what)),
            Err(error) => Err(self.failed(error, what)),
        }
    }

    /// Without the URL, which may hold a password.
    fn failed(&self, error: reqwest::Error, what: &str) -> Failure {
        let error = error.without_url();
        let reason = reason_of(&error).unwrap_or(Reason::Network);
        Failure::new(reason, self.refusal(what)).because(error.to_string())
    }

    fn refusal(&self, what: &str) -> String {
        match self {
            Self::Folder(folder) => format!("The repository's locks in `{}` could not be {what}.", folder.display()),
            Self::Server { .. } => format!("The repository's locks could not be {what} at the server."),
        }
    }
}

/// Whether this is how a lock file is called: 64 hexadecimal digits.
pub(super) fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Under what name a lock file is written before it is whole; restic takes no notice of it.
fn unfinished(id: &str) -> String {
    format!("{id}-tmp-landfall")
}

fn list_folder(folder: &PathBuf) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn write_file(folder: &PathBuf, id: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(unfinished(id));
    let mut file = match File::create(&path) {
        // The engine itself makes no folder for locks.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir(folder)
                .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })?;
            File::create(&path)?
        }
        result => result?,
    };
    let written = file.write_all(bytes).and_then(|()| fs::rename(&path, folder.join(id)));
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written
}

fn remove_file(path: &PathBuf) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_when_it_is_needed_and_shows_whole_files_only() {
        let repository = tempfile::tempdir().unwrap();
        let store = Store::of(&Location(repository.path().display().to_string())).unwrap();
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(store.list().unwrap(), Vec::<String>::new());
        assert_eq!(
            (store.read(&id).unwrap(), store.exists(&id).unwrap(), store.remove(&id).unwrap()),
            (None, false, false)
        );
        store.write(&id, b"a lock").unwrap();
        fs::write(repository.path().join("locks").join(unfinished(&id)), "half").unwrap();
        fs::write(repository.path().join("locks/note"), "by a person").unwrap();
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&id));
        assert_eq!(store.read(&id).unwrap().as_deref(), Some(b"a lock".as_slice()));
        assert!(store.remove(&id).unwrap());
        let left: Vec<_> = fs::read_dir(repository.path().join("locks")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "only what is ours is removed: {left:?}");
    }

    #[test]
    fn no_url_with_its_password_is_repeated() {
        let store = Store::of(&Location("rest:http://me:hidden-pass@127.0.0.1:1/repo".to_owned())).unwrap();
        let failure = store.list().unwrap_err();
        assert_eq!(failure.reason, Reason::Network);
        assert!(!format!("{failure:?}").contains("hidden-pass"), "{failure:?}");
    }
}
