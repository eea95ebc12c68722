//! Reading the log in memory from a cursor.

use std::time::Duration;

use tokio::time::Instant;

use super::client::MemoryClient;
use crate::bus::log::LogState;
use crate::bus::reader::{Batch, LogMessage};
use crate::bus::told::{BusRefusal, Told};
use crate::time::Timestamp;

#[derive(Debug)]
pub(in crate::bus) struct MemoryReader {
    client: MemoryClient,
    after: u64,
    created: Option<Timestamp>,
    /// What was delivered last; if something else stands there now, the tail was lost and grew again.
    last: Option<LogMessage>,
}

impl MemoryReader {
    pub(super) const fn new(client: MemoryClient, after: u64) -> Self {
        Self { client, after, created: None, last: None }
    }

    pub(in crate::bus) async fn next_batch(&mut self, max: usize, wait: Duration) -> Told<Batch> {
        let until = Instant::now() + wait;
        let mut changes = self.client.hub().changes();
        loop {
            let look = self.look(max);
            let settled = match &look {
                Told::Done(batch) => !batch.messages.is_empty(),
                Told::Refused(refusal) => !refusal.is_temporary(),
                Told::Unknown => false,
            };
            if settled || tokio::time::timeout_at(until, changes.changed()).await.is_err() {
                return look;
            }
        }
    }

    fn look(&mut self, max: usize) -> Told<Batch> {
        let log = match self.client.log_info() {
            Told::Done(info) => info.state,
            Told::Refused(refusal) => return Told::Refused(refusal),
            Told::Unknown => return Told::Unknown,
        };
        if self.after > 0 && self.created.is_some_and(|known| known != log.created) {
            return Told::Refused(BusRefusal::LogReplaced);
        }
        if log.last_seq < self.after {
            return Told::Refused(BusRefusal::LogRewound { after: self.after, last_seq: log.last_seq });
        }
        self.created = Some(log.created);
        if let Some(last_seq) = self.regrown() {
            return Told::Refused(BusRefusal::LogRewound { after: self.after, last_seq });
        }
        let messages = self.messages(max);
        if let Some(last) = messages.last() {
            self.after = last.seq;
            self.last = Some(last.clone());
        }
        Told::Done(Batch { messages, log: LogState { last_seq: log.last_seq.max(self.after), ..log } })
    }

    /// The last position that can be the same as before, where what was delivered last is not.
    fn regrown(&self) -> Option<u64> {
        let last = self.last.as_ref()?;
        let state = self.client.hub().state();
        let messages = &state.log.as_ref()?.messages;
        let place = messages.binary_search_by_key(&last.seq, |message| message.seq).ok()?;
        (messages[place] != *last).then_some(last.seq - 1)
    }

    fn messages(&self, max: usize) -> Vec<LogMessage> {
        let state = self.client.hub().state();
        let Some(log) = &state.log else { return Vec::new() };
        let start = log.messages.partition_point(|message| message.seq <= self.after);
        log.messages[start..].iter().take(max).cloned().collect()
    }
}
