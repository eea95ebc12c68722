//! Looking at the log beside reading it: where does it end, is it still the same one, is the link up.

use landfall_proto::bus::{Link, LogInfo, Told};
use landfall_proto::envelope::Position;
use landfall_proto::time::Timestamp;
use tokio::time::Instant;

use super::bus::Event;
use super::clock;
use super::doubt::{Belief, Word};
use super::shell::Shell;
use crate::core::LogSight;
use crate::core::step::Input;

/// What the bus said of the log when it was asked.
#[derive(Debug)]
pub(super) struct Look {
    asked_at: Timestamp,
    /// What had been folded then.
    cursor: Position,
    told: Told<LogInfo>,
}

impl Shell {
    /// Asks the bus where the log ends. Only an answer shows that this process sees what it decides about: a link that stands
    /// is no proof, and neither is what was read before the process itself stood still.
    pub(super) fn look(&self) {
        let Ok(permit) = std::sync::Arc::clone(&self.looks).try_acquire_owned() else { return };
        let (bus, events) = (self.bus.clone(), self.events.clone());
        let (asked_at, cursor) = (clock::now(), self.mesh.cursor());
        tokio::spawn(async move {
            let told = bus.log_info().await;
            drop(permit);
            // The loop has ended where nobody takes the answer.
            let _ = events.send(Event::Saw(Look { asked_at, cursor, told })).await;
        });
    }

    pub(super) fn saw(&mut self, look: Look) {
        let Look { asked_at, cursor, told } = look;
        // Messages that came meanwhile may lie beyond the answer, but nothing that was folded before the question does.
        let folded_to = if cursor.era == self.mesh.cursor().era { cursor.seq } else { 0 };
        if let Told::Done(info) = &told {
            self.replicas = info.replicas;
        }
        let word = Word::of(&told, folded_to, self.created);
        match self.doubt.hear(word, self.replicas, Instant::now()) {
            Belief::Kept { created, last_seq } if self.is_same_log => {
                self.created = Some(created);
                self.feed(Input::Sight(Some(LogSight { asked_at, created, last_seq })));
            }
            Belief::Doubted { is_new } => {
                if is_new {
                    tracing::warn!(
                        folded_to,
                        ?word,
                        "the log may be lost; the bus is asked again before that is believed"
                    );
                }
                self.feed(Input::Sight(None));
            }
            Belief::Gone => {
                self.feed(Input::Sight(None));
                self.make_log();
            }
            Belief::Lost { from } => {
                tracing::error!(folded_to, from, "the bus has lost the log, or its end");
                self.log_replaced(Some(from));
            }
            Belief::Nothing if matches!(told, Told::Refused(_)) => self.feed(Input::Sight(None)),
            // What was seen before is good until it is too old.
            Belief::Kept { .. } | Belief::Nothing => {}
        }
    }

    /// The bus has lost the log with its disk, or nobody has made it yet.
    fn make_log(&self) {
        let (bus, events, settings) = (self.bus.clone(), self.events.clone(), self.log.clone());
        let (asked_at, cursor) = (clock::now(), self.mesh.cursor());
        tokio::spawn(async move {
            let told = bus.ensure_log(&settings).await;
            let _ = events.send(Event::Saw(Look { asked_at, cursor, told })).await;
        });
    }

    /// The link went up or down, or the bus forbade something.
    pub(super) fn link_changed(&mut self) {
        match self.bus.health().link {
            Link::Up => self.look(),
            Link::Connecting | Link::Down => self.feed(Input::Sight(None)),
        }
    }

    /// Another log stands where the one that was read stood, or a part of it. Own facts on their way may be lost with it, and
    /// only a fresh start forgets them; from the ledger it reads the log from its beginning.
    pub(super) fn log_replaced(&mut self, lost_from: Option<u64>) {
        self.count("log_replaced");
        self.feed(Input::LogReplaced(lost_from));
        self.must_restart = true;
    }
}
