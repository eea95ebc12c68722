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
}

impl MemoryReader {
    pub(super) const fn new(client: MemoryClient, after: u64) -> Self {
        Self { client, after, created: None }
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
        if *self.created.get_or_insert(log.created) != log.created {
            return Told::Refused(BusRefusal::LogReplaced);
        }
        if log.last_seq < self.after {
            return Told::Refused(BusRefusal::LogRewound { after: self.after, last_seq: log.last_seq });
        }
        let messages = self.messages(max);
        if let Some(last) = messages.last() {
            self.after = last.seq;
        }
        Told::Done(Batch { messages, log: LogState { last_seq: log.last_seq.max(self.after), ..log } })
    }

    fn messages(&self, max: usize) -> Vec<LogMessage> {
        let state = self.client.hub().state();
        let Some(log) = &state.log else { return Vec::new() };
        let start = log.messages.partition_point(|message| message.seq <= self.after);
        log.messages[start..].iter().take(max).cloned().collect()
    }
}
