//! Where a ledger comes from that is not there: the newest sound snapshot of this machine, else a peer's, else the log alone.

use std::fmt;
use std::path::Path;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::bus::{Bus, LogState};
use landfall_proto::envelope::Position;
use landfall_proto::id::{CommandId, Holder};
use uuid::Uuid;

use super::clock;
use super::ledger::put_aside;
use super::snapshot::{self, FOLDER, Fetched, SnapshotError, SnapshotName, SnapshotRefusal, fetch, fill, list};
use crate::config::Config;
use crate::core::record::Records;

/// Where a rebuilt state came from; the log behind it is read in every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    OwnSnapshot(SnapshotName),
    Peer(Holder, SnapshotName),
    LogAlone,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnSnapshot(name) => {
                write!(formatter, "this machine's snapshot of position {} and the log behind it", name.seq)
            }
            Self::Peer(holder, name) => {
                write!(formatter, "the snapshot of {holder} of position {} and the log behind it", name.seq)
            }
            Self::LogAlone => formatter.write_str("the log alone"),
        }
    }
}

/// What happened to this coordinator's state that a person should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Why the state was built again; absent where nothing was lost.
    pub(super) why: Option<String>,
    /// Where the broken store lies.
    pub(super) aside: Option<String>,
    pub(super) source: Option<Source>,
    /// The first and the last position that are in no snapshot and no longer in the log.
    pub(super) gap: Option<(u64, u64)>,
}

/// Whether a ledger holds nothing that the log's beginning would not give.
pub(super) fn is_empty(records: &Records) -> bool {
    records.meta.cursor == Position::START
}

/// Fills the ledger's place from the best snapshot there is. The store must be closed. Without any snapshot nothing is done:
/// the log fills the empty ledger.
pub(super) async fn rebuild(config: &Config, bus: &Bus) -> Source {
    if let Some(name) = from_own(config) {
        return Source::OwnSnapshot(name);
    }
    match fetch(bus, &config.holder, None, &config.state_dir.join(FOLDER)).await {
        Fetched::Sound { from, snapshot } => match fill(&config.state_dir, &snapshot) {
            Ok(()) => return Source::Peer(from, snapshot.name),
            Err(error) => complain(snapshot.name, &error),
        },
        Fetched::Nobody => {}
        Fetched::Failed(why) => tracing::warn!(why, "no snapshot was fetched from another coordinator"),
    }
    Source::LogAlone
}

/// Tries the own files, newest first.
fn from_own(config: &Config) -> Option<SnapshotName> {
    let folder = config.state_dir.join(FOLDER);
    let names = list(&folder).unwrap_or_else(|error| {
        tracing::error!(%error, "the snapshots cannot be listed");
        Vec::new()
    });
    for name in names.into_iter().rev() {
        let path = folder.join(name.to_string());
        let filled = snapshot::read(&path, name, &config.cluster)
            .map_err(SnapshotError::from)
            .and_then(|snapshot| fill(&config.state_dir, &snapshot).map(|()| snapshot.head));
        match filled {
            Ok(head) => {
                tracing::info!(%name, by = %head.holder, at = %head.written_at, version = head.version, "a snapshot fills the ledger");
                return Some(name);
            }
            Err(error) => {
                complain(name, &error);
                put_refused_aside(&path, &error);
            }
        }
    }
    None
}

fn complain(name: SnapshotName, error: &SnapshotError) {
    let reason = if let SnapshotError::Refused(refusal) = error { refusal.name() } else { "not taken over" };
    tracing::error!(%name, reason, error = error as &dyn std::error::Error, "a snapshot cannot be used");
}

/// A file whose content is not what was written must not be taken for the newest again. One is kept for a look.
fn put_refused_aside(path: &Path, error: &SnapshotError) {
    let SnapshotError::Refused(
        SnapshotRefusal::Truncated { .. } | SnapshotRefusal::Hash { .. } | SnapshotRefusal::Malformed { .. },
    ) = error
    else {
        return;
    };
    if let Err(error) = std::fs::rename(path, path.with_file_name("refused")) {
        tracing::warn!(%error, "a refused snapshot cannot be moved aside");
    }
}

/// Gives up a state that is not the leader's and takes over the leader's. The store must be closed; it is moved aside with what
/// it holds, and the snapshots of that state go.
pub(super) async fn adopt(config: &Config, bus: &Bus, leader: &Holder) -> Result<News, String> {
    let folder = config.state_dir.join(FOLDER);
    let snapshot = match fetch(bus, &config.holder, Some(leader), &folder).await {
        Fetched::Sound { snapshot, .. } => snapshot,
        Fetched::Nobody => return Err(format!("{leader} does not answer, or has nothing to give")),
        Fetched::Failed(why) => return Err(why),
    };
    let told = |error: &dyn std::error::Error| error.to_string();
    for other in list(&folder).map_err(|error| told(&error))?.into_iter().filter(|name| *name != snapshot.name) {
        std::fs::remove_file(folder.join(other.to_string())).map_err(|error| told(&error))?;
    }
    let aside = put_aside(&config.state_dir, clock::now()).map_err(|error| told(&error))?;
    fill(&config.state_dir, &snapshot).map_err(|error| told(&error))?;
    Ok(News {
        why: Some(format!("differed from what {leader}, who leads, made of the same log")),
        aside: Some(aside.display().to_string()),
        source: Some(Source::Peer(leader.clone(), snapshot.name)),
        gap: None,
    })
}

/// Positions between the state and the oldest that the log still holds.
pub(super) const fn gap(cursor: Position, log: LogState) -> Option<(u64, u64)> {
    // A log that ends before the cursor is another log, which is told elsewhere.
    if log.first_seq > cursor.seq + 1 && log.last_seq >= cursor.seq {
        Some((cursor.seq + 1, log.first_seq - 1))
    } else {
        None
    }
}

impl News {
    /// The alert that tells it; `None` where there is nothing to tell.
    pub(super) fn alert(&self, config: &Config) -> Option<Alert> {
        let holder = &config.holder;
        let gap = self.gap.map(|(from, until)| {
            format!("positions {from} to {until} are neither in it nor in the log any more, so that what happened there is missing")
        });
        let (kind, title, severity) = match (&self.why, gap) {
            (None, None) => return None,
            (None, Some(gap)) => (
                "log_gap",
                format!("The log no longer reaches back to the state of {holder}: {gap}"),
                Severity::Critical,
            ),
            (Some(why), gap) => {
                let source = self.source.as_ref().map_or_else(String::new, |source| format!(" from {source}"));
                let title = format!("The ledger of {holder} {why} and is built again{source}");
                match gap {
                    Some(gap) => ("ledger_rebuilt", format!("{title}; {gap}"), Severity::Critical),
                    None => ("ledger_rebuilt", title, Severity::Warning),
                }
            }
        };
        let mut fix = "check the disk of this machine".to_owned();
        if let Some(aside) = &self.aside {
            fix = format!("{fix}; what was moved aside lies in {aside} and may be removed");
        }
        if self.gap.is_some() {
            fix = format!(
                "{fix}; agents send again what they still have, and `landfall rounds` shows what is missing: start those routines again"
            );
        }
        let key = format!("{kind}/{holder}");
        let id = CommandId::of(kind, Uuid::nil(), &format!("{holder} {title} {}", clock::now())).0;
        let runbook = config.policy.runbook(&key, None);
        Some(Alert {
            key: AlertKey(key),
            id,
            severity,
            title,
            routine: None,
            round: None,
            nodes: Vec::new(),
            reason: None,
            last_good_at: None,
            fix,
            runbook,
            stakes: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::envelope::ContentHash;
    use landfall_proto::time::Timestamp;

    use super::*;

    fn cursor(seq: u64) -> Position {
        Position { era: 0, seq, hash: ContentHash([1; 16]) }
    }

    const fn log(first_seq: u64, last_seq: u64) -> LogState {
        LogState { created: Timestamp::UNIX_EPOCH, first_seq, last_seq, messages: 0, bytes: 0 }
    }

    #[test]
    fn a_gap_is_what_neither_the_state_nor_the_log_has() {
        assert_eq!(gap(cursor(10), log(1, 20)), None);
        assert_eq!(gap(cursor(10), log(11, 20)), None, "the log goes on where the state ends");
        assert_eq!(gap(cursor(10), log(12, 20)), Some((11, 11)));
        assert_eq!(gap(Position::START, log(5, 9)), Some((1, 4)), "nothing is known, and the log's beginning is gone");
        assert_eq!(gap(Position::START, log(0, 0)), None, "an empty log");
        assert_eq!(gap(cursor(10), log(1, 3)), None, "another log, which is told elsewhere");
        assert_eq!(gap(cursor(10), log(21, 20)), Some((11, 20)), "everything behind the state was removed");
    }
}
