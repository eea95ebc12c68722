//! The agent's own door on this machine: a socket that only the agent's user may use.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use landfall_proto::command::Answer;
use landfall_proto::id::{NodeId, RunId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, oneshot};

use super::clock;
use super::news::{News, Wish};
use super::shell::{Inputs, Wake};
use crate::core::Ask;

/// Longest line from a visitor, in bytes.
const WISH_BYTES_MAX: u64 = 4096;

/// The socket's path in the state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("agent.sock")
}

/// Takes the address; a socket left by an earlier life is replaced. The caller holds the state directory's lock.
pub(super) fn open(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves visitors for ever.
pub(super) async fn serve(listener: UnixListener, node: NodeId, inputs: Inputs, news: broadcast::Sender<News>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let visit = Visit { node: node.clone(), inputs: inputs.clone(), news: news.subscribe() };
                tokio::spawn(async move {
                    // A visitor who goes away changes nothing for the run.
                    let _ = visit.serve(stream).await;
                });
            }
            Err(error) => {
                tracing::warn!("a visitor could not be let in: {error}");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

struct Visit {
    node: NodeId,
    inputs: Inputs,
    news: broadcast::Receiver<News>,
}

impl Visit {
    async fn serve(mut self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut watched: Vec<RunId> = Vec::new();
        // Outlives each turn of the loop: news may interrupt a line that is half read.
        let mut line = Vec::new();
        loop {
            tokio::select! {
                wish = next_wish(&mut read, &mut line) => {
                    let Some(wish) = wish? else { return Ok(()) };
                    let news = self.grant(wish, &mut watched).await;
                    say(&mut write, &news).await?;
                }
                news = self.news.recv() => match news {
                    Ok(news) if self.concerns(&news, &watched) => say(&mut write, &news).await?,
                    // A visitor too slow for the output misses some of it; the end is never far behind.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    /// A visitor hears of the runs it started, and of the checks that follow them in the same round.
    fn concerns(&self, news: &News, watched: &[RunId]) -> bool {
        news.run().is_some_and(|run| watched.contains(&run))
    }

    async fn grant(&self, wish: Wish, watched: &mut Vec<RunId>) -> News {
        let (ask, run) = match wish {
            Wish::Start { plan, task } => {
                let round = clock::draw_round();
                // The check after a backup belongs to its round, so its id is known before it begins.
                watched.extend(landfall_proto::report::TaskKind::ALL.map(|task| RunId::of(round, &self.node, task)));
                (Ask::Start { routine: plan, task, round }, RunId::of(round, &self.node, task))
            }
            Wish::Cancel { run } => (Ask::Cancel { run }, run),
        };
        let (sender, answer) = oneshot::channel();
        self.inputs.send(Wake::Ask(ask, sender)).await;
        match answer.await {
            Ok(Answer::Accepted | Answer::AlreadyDone) => News::Started { run },
            Ok(Answer::Refused { message, .. }) => News::Refused { message },
            Ok(Answer::Log { .. }) | Err(_) => News::Refused { message: "the agent is about to stop".to_owned() },
        }
    }
}

async fn next_wish(read: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> io::Result<Option<Wish>> {
    let room = WISH_BYTES_MAX.saturating_sub(line.len() as u64);
    let count = (&mut *read).take(room).read_until(b'\n', line).await?;
    if count == 0 {
        return Ok(None);
    }
    let wish = serde_json::from_slice(line).map(Some).map_err(io::Error::other);
    line.clear();
    wish
}

async fn say(write: &mut OwnedWriteHalf, news: &News) -> io::Result<()> {
    let mut line = serde_json::to_vec(news)?;
    line.push(b'\n');
    write.write_all(&line).await
}
