//! Handing snapshots to other coordinators, piece by piece, beside the loop.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{Bus, Incoming, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::control::{
    Problem, REPLY_KIND, REQUEST_KIND, Reply, Request, SNAPSHOT_PIECE_BYTES_MAX, SNAPSHOT_PLACE, SnapshotPiece,
};
use landfall_proto::id::{Holder, Incarnation};
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::version::is_readable;
use tokio::task::spawn_blocking;

use super::keeper::{Newest, Shared};
use super::name::SnapshotName;
use crate::edge::{clock, message};

/// Pause before a subscription that ended is taken again.
const AGAIN: Duration = Duration::from_secs(1);

/// Answers peers, one after the other: a snapshot is fetched once in a while, and by one of them.
pub(super) async fn answer(bus: Bus, shared: Arc<Shared>) {
    let subject = Subject::new(bus.cluster(), Topic::Control(SNAPSHOT_PLACE.to_owned())).to_string();
    let incarnation = clock::incarnation();
    loop {
        match bus.serve(&subject, &Role::Coordinator).await {
            Told::Done(mut inbox) => {
                while let Some(incoming) = inbox.next().await {
                    answer_one(&shared, incarnation, &incoming).await;
                }
            }
            Told::Refused(refusal) => tracing::error!(%refusal, "the bus forbids that other coordinators are answered"),
            Told::Unknown => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn answer_one(shared: &Arc<Shared>, incarnation: Incarnation, incoming: &Incoming) {
    let Some((name, offset)) = wanted(shared.holder(), incoming) else { return };
    let shared = Arc::clone(shared);
    let holder = shared.holder().clone();
    let Ok(reply) = spawn_blocking(move || reply(&shared, name.as_deref(), offset)).await else { return };
    let envelope = message(REPLY_KIND, holder.as_str(), incarnation, encode(&reply));
    if let Told::Refused(refusal) = incoming.reply(&envelope).await {
        tracing::debug!(%refusal, "a piece of a snapshot was not given");
    }
}

/// What a peer asks of this coordinator; `None` where it means another one, or nobody could read it.
fn wanted(me: &Holder, incoming: &Incoming) -> Option<(Option<String>, u64)> {
    let envelope = incoming.envelope().ok()?;
    if !is_readable(envelope.protocol) || envelope.kind != REQUEST_KIND || envelope.writer == me.as_str() {
        return None;
    }
    let Request::Snapshot { name, offset, holder } = decode(&envelope.body, MESSAGE_BYTES_MAX).ok()? else {
        return None;
    };
    holder.is_none_or(|holder| holder == *me).then_some((name, offset))
}

fn reply(shared: &Shared, name: Option<&str>, offset: u64) -> Reply {
    let name = match name.map(str::parse::<SnapshotName>) {
        Some(Ok(name)) => name,
        Some(Err(error)) => return refused("there is no such snapshot", &error.to_string()),
        None => match shared.newest() {
            Newest::File(name) => name,
            Newest::Soon => return refused("the snapshot is not there yet", "it is being written"),
            Newest::Nothing => {
                let (holder, name) = (shared.holder().clone(), String::new());
                return Reply::Snapshot(SnapshotPiece { holder, name, total_bytes: 0, offset: 0, bytes: Vec::new() });
            }
        },
    };
    match piece(&shared.folder().join(name.to_string()), offset) {
        Ok((total_bytes, bytes)) => {
            let (holder, name) = (shared.holder().clone(), name.to_string());
            Reply::Snapshot(SnapshotPiece { holder, name, total_bytes, offset, bytes })
        }
        Err(error) => refused("the snapshot cannot be read", &error.to_string()),
    }
}

fn piece(path: &Path, offset: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let total_bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(SNAPSHOT_PIECE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok((total_bytes, bytes))
}

fn refused(what: &str, why: &str) -> Reply {
    Reply::Refused(Problem {
        what: what.to_owned(),
        why: why.to_owned(),
        fix: "ask again in a moment".to_owned(),
        code: None,
    })
}
