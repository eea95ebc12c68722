//! Reading a long log again: what many batches of facts have changed is written as one commit, beside the fold. Nothing is
//! decided and nothing is done so far behind the log's end, so that nobody waits for the commit but the next one.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::ledger::{Ledger, LedgerError};
use crate::core::record::Changes;
use crate::core::sight::LAG_MAX;

/// Who is further from the log's end than this gathers: twice as far as a leader may fall behind and still decide.
const FAR_BEHIND: u64 = 2 * LAG_MAX;

/// Facts, and bytes of them, that are folded before one commit. As much again may be on its way into the ledger, so that this
/// is what bounds the memory of a replay beside the state itself.
const FACTS_MAX: usize = 8192;
const BYTES_MAX: usize = 4 << 20;

/// How long what is folded waits for its commit where the log comes slowly.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What is folded and not committed, and the commit that is under way.
#[derive(Debug)]
pub(super) struct Replay {
    /// Positions between the cursor and the log's end, as it was last known.
    behind: u64,
    facts: usize,
    bytes: usize,
    since: Instant,
    writing: Option<JoinHandle<Result<(), LedgerError>>>,
}

impl Replay {
    pub(super) fn new() -> Self {
        Self { behind: 0, facts: 0, bytes: 0, since: Instant::now(), writing: None }
    }

    /// Notes how far the log's end is.
    pub(super) const fn is_behind(&mut self, behind: u64) {
        self.behind = behind;
    }

    /// Notes a folded fact.
    pub(super) const fn folded(&mut self, bytes: usize) {
        self.facts += 1;
        self.bytes += bytes;
    }

    pub(super) const fn is_far(&self) -> bool {
        self.behind > FAR_BEHIND
    }

    /// Whether the next piece of the log may be folded; else the commit that is under way is waited for.
    pub(super) const fn has_room(&self) -> bool {
        self.writing.is_none() || !self.is_full()
    }

    const fn is_full(&self) -> bool {
        self.facts >= FACTS_MAX || self.bytes >= BYTES_MAX
    }

    /// Whether what was gathered should be handed to [`Self::write`].
    pub(super) fn is_due(&self) -> bool {
        self.writing.is_none() && (self.is_full() || self.since.elapsed() >= WAIT_MAX)
    }

    /// Begins a commit beside the fold. There is one at a time.
    pub(super) fn write(&mut self, ledger: &Arc<dyn Ledger>, changes: Changes) {
        let ledger = Arc::clone(ledger);
        self.writing = Some(spawn_blocking(move || ledger.commit(&changes)));
        self.begin();
    }

    /// From here on nothing is gathered.
    pub(super) fn begin(&mut self) {
        (self.facts, self.bytes, self.since) = (0, 0, Instant::now());
    }

    /// Returns when the commit that is under way has ended; never where there is none. Dropping the future loses nothing.
    pub(super) async fn written(&mut self) -> Result<(), LedgerError> {
        let Some(writing) = &mut self.writing else { return pending().await };
        let ended = writing.await;
        self.writing = None;
        ended.unwrap_or_else(|_| {
            Err(LedgerError::Damaged { detail: "the store stopped at an inner error while it was written".to_owned() })
        })
    }

    /// Returns when nothing is under way.
    pub(super) async fn settle(&mut self) -> Result<(), LedgerError> {
        if self.writing.is_some() { self.written().await } else { Ok(()) }
    }
}
