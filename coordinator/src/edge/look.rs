//! Looking at the log beside reading it: where does it end, is it still the same one, is the link up.

use landfall_proto::bus::{BusRefusal, Link, LogInfo, Told};
use landfall_proto::doubt::{Belief, Word};
use landfall_proto::envelope::Position;
use landfall_proto::time::{Duration, Timestamp};

use super::bus::Event;
use super::clock;
use super::shell::Shell;
use crate::core::LogSight;
use crate::core::step::Input;

/// What the bus said of the log when it was asked.
#[derive(Debug)]
pub(super) struct Look {
    asked_at: Timestamp,
    /// The same by a clock that is never set, from this process's start.
    asked: Duration,
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
        let (asked_at, asked, cursor) = (clock::now(), self.uptime(), self.mesh.cursor());
        tokio::spawn(async move {
            let told = bus.log_info().await;
            drop(permit);
            // The loop has ended where nobody takes the answer.
            let _ = events.send(Event::Saw(Look { asked_at, asked, cursor, told })).await;
        });
    }

    pub(super) fn saw(&mut self, look: Look) {
        let Look { asked_at, asked, cursor, told } = look;
        // Messages that came meanwhile may lie beyond the answer, but nothing that was folded before the question does.
        let folded_to = if cursor.era == self.mesh.cursor().era { cursor.seq } else { 0 };
        if let Told::Done(info) = &told {
            self.replicas = info.replicas;
        }
        let word = word_of(&told, folded_to, self.created);
        match self.doubt.hear(word, self.replicas, asked) {
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
        let (asked_at, asked, cursor) = (clock::now(), self.uptime(), self.mesh.cursor());
        tokio::spawn(async move {
            let told = bus.ensure_log(&settings).await;
            let _ = events.send(Event::Saw(Look { asked_at, asked, cursor, told })).await;
        });
    }

    fn uptime(&self) -> Duration {
        Duration::from_ms(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
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

/// Reads an answer. `folded_to` had been folded when the question left; `created` tells the log that was read from others.
fn word_of(told: &Told<LogInfo>, folded_to: u64, created: Option<Timestamp>) -> Word {
    match told {
        // Only the copy that leads the others shows where the log ends.
        Told::Done(info) if !info.is_from_leader => Word::Nothing,
        Told::Done(info) => Word::of(info.state.created, info.state.last_seq, folded_to, created),
        Told::Refused(BusRefusal::NoLog { .. }) => Word::Gone,
        Told::Refused(_) | Told::Unknown => Word::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::bus::LogState;

    use super::*;

    #[test]
    fn an_answer_that_is_not_the_leading_copys_says_nothing() {
        let state = LogState { created: Timestamp::UNIX_EPOCH, first_seq: 1, last_seq: 0, messages: 0, bytes: 0 };
        let told = |is_from_leader| {
            Told::Done(LogInfo { state, replicas: 3, is_from_leader, server_version: None, notes: Vec::new() })
        };
        assert_eq!(word_of(&told(false), 9, None), Word::Nothing);
        assert_eq!(word_of(&told(true), 9, None), Word::Rewound { last_seq: 0 });
        assert_eq!(word_of(&Told::Unknown, 9, None), Word::Nothing);
    }
}
