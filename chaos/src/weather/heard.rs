//! What nodes and coordinators say beside the log, as far as it was heard: each node's last beat, and where coordinators stood.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use landfall_proto::bus::Inbox;
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode};
use landfall_proto::id::{Holder, Incarnation, NodeId};
use landfall_proto::live::{BEAT_KIND, Beat, Digest, PRESENCE_KIND, Presence};
use landfall_proto::subject::{Filter, Subject, Topic};

use crate::live::Operator;
use crate::live::bus::cluster;
use crate::live::wait::{seconds, until};

/// Shared with the task that listens, which ends with the last inbox.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<Said>>);

/// Everything that was heard.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub beats: BTreeMap<NodeId, Beat>,
    /// The last word of each coordinator process, and every digest that it ever showed.
    pub presences: BTreeMap<(Holder, Incarnation), (Presence, Vec<Digest>)>,
}

impl Heard {
    pub async fn listen(operator: &Operator) -> Self {
        let heard = Self::default();
        let beacon = Subject::new(&cluster(), Topic::Beacon).to_string();
        for filter in [Filter::Beats.of(&cluster()), beacon] {
            let inbox = until("the bus takes a subscription", seconds(10), async || operator.hear(&filter).await).await;
            tokio::spawn(take(inbox, heard.clone()));
        }
        heard
    }

    pub fn said(&self) -> Said {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, kind: &str, body: &[u8]) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kind == BEAT_KIND
            && let Ok(beat) = decode::<Beat>(body, MESSAGE_BYTES_MAX)
        {
            said.beats.insert(beat.node.clone(), beat);
        } else if kind == PRESENCE_KIND
            && let Ok(presence) = decode::<Presence>(body, MESSAGE_BYTES_MAX)
        {
            let key = (presence.holder.clone(), presence.incarnation);
            let (last, digests) = said.presences.entry(key).or_insert_with(|| (presence.clone(), Vec::new()));
            for digest in &presence.digests {
                if !digests.contains(digest) {
                    digests.push(*digest);
                }
            }
            *last = presence;
        }
    }
}

async fn take(mut inbox: Inbox, heard: Heard) {
    while let Some(message) = inbox.next().await {
        if let Ok(envelope) = message.envelope() {
            heard.note(&envelope.kind, &envelope.body);
        }
    }
}
