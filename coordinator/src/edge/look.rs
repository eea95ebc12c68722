//! Looking at the log beside reading it: where does it end, is it still the same one, is the link up.

use landfall_proto::bus::{BusRefusal, Link, LogInfo, Told};
use landfall_proto::envelope::Position;
use landfall_proto::time::Timestamp;

use super::bus::Event;
use super::clock;
use super::shell::Shell;
use crate::core::LogSight;
use crate::core::step::Input;

/// So many answers in a row that lie before what was folded show that the end of the log is lost.
const SHORT_LOOKS_MAX: u32 = 2;

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
        match told {
            // Messages that came meanwhile may lie beyond the answer, but nothing that was folded before the question does.
            Told::Done(info) if info.state.last_seq < cursor.seq && cursor.era == self.mesh.cursor().era => {
                // In a cluster of servers one that has fallen behind may answer once.
                self.short_looks += 1;
                if self.short_looks >= SHORT_LOOKS_MAX {
                    tracing::error!(
                        cursor = cursor.seq,
                        end = info.state.last_seq,
                        "the bus has lost the end of the log"
                    );
                    self.log_replaced(Some(info.state.last_seq + 1));
                }
            }
            Told::Done(info) if self.is_same_log => {
                self.short_looks = 0;
                let sight = LogSight { asked_at, created: info.state.created, last_seq: info.state.last_seq };
                self.feed(Input::Sight(Some(sight)));
            }
            Told::Refused(refusal) => {
                if let BusRefusal::NoLog { .. } = refusal {
                    self.make_log();
                }
                self.feed(Input::Sight(None));
            }
            // What was seen before is good until it is too old.
            Told::Done(_) | Told::Unknown => {}
        }
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
