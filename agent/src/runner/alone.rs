//! One run at a time on a target of this node, across every process of the agent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use landfall_proto::fact::agent::RunAbout;
use rustix::fs::{FlockOperation, flock};

/// Longest description of a holder that is read, in bytes.
const HOLDER_BYTES_MAX: u64 = 1024;

/// The right to use a target, held until dropped. The system takes it back when the process dies, so no stale one exists.
#[derive(Debug)]
pub(super) struct Alone {
    _file: File,
}

/// Why the right could not be had.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another run holds it: its routine and its id.
    Held {
        routine: String,
        run: String,
    },
    Io(io::Error),
}

impl Alone {
    /// Takes the right to `location`; `directory` is the same for all processes of one agent.
    pub(super) fn claim(directory: &Path, location: &str, about: &RunAbout) -> Result<Self, Refused> {
        fs::create_dir_all(directory).map_err(Refused::Io)?;
        let name = format!("target-{}.lock", &blake3::hash(location.as_bytes()).to_hex()[..16]);
        let options = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(directory.join(name));
        let mut file = options.map_err(Refused::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => return Err(holder(&mut file)),
            Err(error) => return Err(Refused::Io(error.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{} {}", about.routine, about.run))
            .map_err(Refused::Io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Refused {
    let mut text = String::new();
    // Who holds it is for people only; that it is held is known already.
    let _ = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
    let (routine, run) = text.split_once(' ').unwrap_or_default();
    Refused::Held { routine: routine.to_owned(), run: run.to_owned() }
}

#[cfg(test)]
mod tests {
    use landfall_proto::id::RunId;
    use landfall_proto::report::{TaskKind, Trigger};

    use super::*;

    #[test]
    fn the_second_learns_who_was_first_and_may_when_the_first_is_done() {
        let round = crate::edge::clock::draw_round();
        let about = RunAbout {
            run: RunId::of(round, &"a".parse().unwrap(), TaskKind::Backup),
            round,
            routine: "nightly".parse().unwrap(),
            slot: None,
            task: TaskKind::Backup,
            trigger: Trigger::Hand,
            plan_hash: String::new(),
            repository: None,
        };
        let directory = tempfile::tempdir().unwrap();
        let first = Alone::claim(directory.path(), "/target", &about).unwrap();
        let refused = Alone::claim(directory.path(), "/target", &about).unwrap_err();
        assert!(
            matches!(refused, Refused::Held { routine, run } if routine == "nightly" && run == about.run.to_string())
        );
        assert!(Alone::claim(directory.path(), "/other", &about).is_ok());
        drop(first);
        assert!(Alone::claim(directory.path(), "/target", &about).is_ok());
    }
}
