//! Commands on their way to agents: signed, bounded in number, and answered or not within a moment.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{Bus, Signer, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::command::{ANSWER_KIND, Answer, COMMAND_KIND, Command};
use landfall_proto::envelope::Envelope;
use landfall_proto::id::{CommandId, Incarnation, NodeId};
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::version::PROTOCOL;
use tokio::sync::Semaphore;

/// Commands that wait for their answers at the same time.
const UNDER_WAY_MAX: usize = 256;

/// An agent answers within two seconds; a little more is for the way.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);

/// Sends commands. Cheap to clone.
#[derive(Clone)]
pub(super) struct Commander {
    bus: Bus,
    signer: Arc<Signer>,
    incarnation: Incarnation,
    permits: Arc<Semaphore>,
}

impl Commander {
    pub(super) fn new(bus: Bus, signer: Signer, incarnation: Incarnation) -> Self {
        Self { bus, signer: Arc::new(signer), incarnation, permits: Arc::new(Semaphore::new(UNDER_WAY_MAX)) }
    }

    /// The answer, or `None`: then nothing is known, and the command may still arrive until it expires.
    pub(super) async fn ask(&self, node: &NodeId, command: &Command) -> Option<Answer> {
        let _permit = self.permits.acquire().await.ok()?;
        let subject = Subject::new(self.bus.cluster(), Topic::Command(node.clone()));
        let question = Envelope {
            protocol: PROTOCOL,
            kind: COMMAND_KIND.to_owned(),
            id: command.id.0,
            writer: command.holder.to_string(),
            incarnation: self.incarnation,
            seq: 0,
            sent_at: command.issued_at,
            body: encode(&self.signer.sign(command)),
        };
        match self.bus.request(&subject, &question, ANSWER_WITHIN).await {
            Told::Done(answer) => read(node, command.id, &answer),
            Told::Refused(refusal) => {
                tracing::debug!(%node, command = %command.id, %refusal, "a command was not heard");
                None
            }
            Told::Unknown => None,
        }
    }
}

fn read(node: &NodeId, command: CommandId, answer: &Envelope) -> Option<Answer> {
    if answer.kind != ANSWER_KIND || answer.writer != node.as_str() {
        tracing::warn!(%node, %command, kind = answer.kind, writer = answer.writer, "an answer is not an answer of this node");
        return None;
    }
    match decode(&answer.body, MESSAGE_BYTES_MAX) {
        Ok(answer) => Some(answer),
        Err(refusal) => {
            tracing::warn!(%node, %command, %refusal, "an answer cannot be read");
            None
        }
    }
}
