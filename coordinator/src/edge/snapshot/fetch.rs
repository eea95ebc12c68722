//! Fetching a snapshot from another coordinator: piece by piece, going on where it stopped, and believed only as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::bus::{Bus, BusRefusal, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::control::{REQUEST_KIND, Reply, Request, SNAPSHOT_PLACE, SnapshotPiece};
use landfall_proto::envelope::Envelope;
use landfall_proto::id::{Holder, Incarnation};
use landfall_proto::subject::{Subject, Topic};
use tokio::time::{Instant, sleep};

use super::name::SnapshotName;
use super::read::{Sound, read};
use super::write::publish;
use crate::edge::{clock, message};

/// How long one piece may be on its way.
const PIECE_WITHIN: Duration = Duration::from_secs(3);

/// Questions in a row that may go unanswered, before anything came and in the middle. The middle is patient: whoever began to
/// answer is there, and so much is on this disk already.
const SILENCE_FIRST_MAX: u32 = 2;
const SILENCE_MAX: u32 = 20;

/// How long a peer may take to write what was asked for.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60);

/// Pause before a question is asked again.
const AGAIN: Duration = Duration::from_millis(250);

/// How often it is begun again with another file, because the one before went away or was wrong.
const FILES_MAX: u32 = 3;

/// More than any ledger holds; a peer that says so is not believed.
const TOTAL_BYTES_MAX: u64 = 64 << 30;

/// What the name of a file ends in that is not whole.
const PART: &str = ".part";

/// What came of it.
#[derive(Debug)]
pub(in crate::edge) enum Fetched {
    /// It lies among the own snapshots now.
    Sound { from: Holder, snapshot: Sound },
    /// Nobody is there, or nobody has a state.
    Nobody,
    /// Why it did not work.
    Failed(String),
}

/// Fetches the newest snapshot of `from`, or of whoever answers first, into `folder`.
pub(in crate::edge) async fn fetch(bus: &Bus, me: &Holder, from: Option<&Holder>, folder: &Path) -> Fetched {
    let asker = Asker { bus, me, incarnation: clock::incarnation(), folder };
    let mut why = String::new();
    for _ in 0..FILES_MAX {
        let first = match asker.first(from).await {
            First::Piece(piece) => piece,
            First::Nobody => return Fetched::Nobody,
            First::Failed(why) => return Fetched::Failed(why),
        };
        let from = first.holder.clone();
        match asker.rest(first).await {
            Ok(snapshot) => return Fetched::Sound { from, snapshot },
            Err(Stop { why, is_final: true }) => return Fetched::Failed(why),
            Err(stop) => {
                tracing::warn!(why = stop.why, %from, "the snapshot is fetched again from its beginning");
                why = stop.why;
            }
        }
    }
    Fetched::Failed(why)
}

struct Asker<'a> {
    bus: &'a Bus,
    me: &'a Holder,
    incarnation: Incarnation,
    folder: &'a Path,
}

enum First {
    Piece(SnapshotPiece),
    Nobody,
    Failed(String),
}

/// Why a file is not fetched further.
struct Stop {
    why: String,
    /// Whether another file would fare no better.
    is_final: bool,
}

impl Stop {
    fn another(why: impl ToString) -> Self {
        Self { why: why.to_string(), is_final: false }
    }

    fn disk(error: &io::Error) -> Self {
        Self { why: error.to_string(), is_final: true }
    }
}

impl Asker<'_> {
    async fn first(&self, from: Option<&Holder>) -> First {
        let deadline = Instant::now() + WRITTEN_WITHIN;
        let mut silence = 0;
        loop {
            match self.ask(None, 0, from).await {
                Told::Done(Reply::Snapshot(piece)) if piece.total_bytes == 0 => return First::Nobody,
                Told::Done(Reply::Snapshot(piece)) => return First::Piece(piece),
                Told::Done(Reply::Refused(problem)) if Instant::now() > deadline => {
                    return First::Failed(format!("{}: {}", problem.what, problem.why));
                }
                Told::Done(_) => silence = 0,
                Told::Refused(BusRefusal::NobodyListens { .. }) => return First::Nobody,
                Told::Refused(refusal) => return First::Failed(refusal.to_string()),
                Told::Unknown if silence >= SILENCE_FIRST_MAX => return First::Nobody,
                Told::Unknown => silence += 1,
            }
            sleep(AGAIN).await;
        }
    }

    /// Writes piece after piece behind what an earlier attempt left of the same file.
    async fn rest(&self, first: SnapshotPiece) -> Result<Sound, Stop> {
        let SnapshotPiece { holder, name, total_bytes, .. } = first;
        let name: SnapshotName = name.parse().map_err(Stop::another)?;
        if total_bytes > TOTAL_BYTES_MAX {
            return Err(Stop::another(format!("{holder} offers {total_bytes} bytes; {TOTAL_BYTES_MAX} is the most")));
        }
        let (path, mut file) = self.part(name).map_err(|error| Stop::disk(&error))?;
        let mut offset = file.metadata().map_err(|error| Stop::disk(&error))?.len();
        let mut silence = 0;
        while offset < total_bytes {
            match self.ask(Some(name), offset, Some(&holder)).await {
                Told::Done(Reply::Snapshot(piece)) if piece.offset == offset && !piece.bytes.is_empty() => {
                    file.write_all(&piece.bytes).map_err(|error| Stop::disk(&error))?;
                    offset += piece.bytes.len() as u64;
                    silence = 0;
                    continue;
                }
                Told::Done(Reply::Refused(problem)) => {
                    return Err(Stop::another(format!("{}: {}", problem.what, problem.why)));
                }
                Told::Done(_) | Told::Refused(_) | Told::Unknown => silence += 1,
            }
            if silence > SILENCE_MAX {
                return Err(Stop { why: format!("{holder} stopped answering at byte {offset}"), is_final: true });
            }
            sleep(AGAIN).await;
        }
        file.sync_all().map_err(|error| Stop::disk(&error))?;
        if let Err(refusal) = read(&path, name, self.bus.cluster()) {
            let _ = fs::remove_file(&path);
            return Err(Stop::another(refusal));
        }
        publish(self.folder, &path, name).map_err(|error| Stop { why: error.to_string(), is_final: true })?;
        read(&self.folder.join(name.to_string()), name, self.bus.cluster()).map_err(Stop::another)
    }

    /// The file that the pieces are written to. Parts of other files are worth nothing any more.
    fn part(&self, name: SnapshotName) -> io::Result<(PathBuf, File)> {
        fs::create_dir_all(self.folder)?;
        let wanted = format!("{name}{PART}");
        for entry in fs::read_dir(self.folder)? {
            let entry = entry?;
            let other = entry.file_name();
            if other.to_str().is_some_and(|other| other.ends_with(PART) && other != wanted) {
                fs::remove_file(entry.path())?;
            }
        }
        let path = self.folder.join(wanted);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok((path, file))
    }

    async fn ask(&self, name: Option<SnapshotName>, offset: u64, holder: Option<&Holder>) -> Told<Reply> {
        let subject = Subject::new(self.bus.cluster(), Topic::Control(SNAPSHOT_PLACE.to_owned()));
        let request = Request::Snapshot { name: name.map(|name| name.to_string()), offset, holder: holder.cloned() };
        let question: Envelope = message(REQUEST_KIND, self.me.as_str(), self.incarnation, encode(&request));
        match self.bus.request(&subject, &question, PIECE_WITHIN).await {
            Told::Done(answer) => match decode(&answer.body, MESSAGE_BYTES_MAX) {
                Ok(reply) => Told::Done(reply),
                Err(refusal) => {
                    tracing::warn!(%refusal, "a peer's answer cannot be read");
                    Told::Unknown
                }
            },
            Told::Refused(refusal) => Told::Refused(refusal),
            Told::Unknown => Told::Unknown,
        }
    }
}
