//! One `up` per state folder: a lock that ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::place::Place;
use crate::cli::failure::{BAD, Failure};

/// Held as long as the value lives. Children do not inherit it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(place: &Place) -> Result<Self, Failure> {
        let path = place.lock();
        let unwritable = |error: std::io::Error| super::unwritable(&path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, place)),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        let own = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(own.as_bytes())).map_err(unwritable)?;
        Ok(Self { _file: file })
    }
}

fn held(file: &mut File, place: &Place) -> Failure {
    let mut holder = String::new();
    // Who holds it only makes the message better.
    let _ = file.read_to_string(&mut holder);
    let who =
        if holder.trim().is_empty() { "another process".to_owned() } else { format!("process {}", holder.trim()) };
    Failure::new(
        BAD,
        format!("{} is in use", place.root().display()),
        format!("{who} runs `landfall up` on it"),
        "use that one, end it with Ctrl-C, or name another folder with --state",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_until_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(folder.path()).unwrap();
        let first = Lock::take(&place).unwrap();
        let failure = Lock::take(&place).unwrap_err();
        assert!(failure.problem.why.contains(&std::process::id().to_string()), "{failure:?}");
        drop(first);
        Lock::take(&place).unwrap();
    }
}
