//! People: what reaches them, and what they ask.

use landfall::core::step::{Delivery, Notice, Ticket};
use landfall_proto::control::Request;

use super::World;
use super::event::Event;

/// A sink that fails is tried so often before the notice is given up.
const SINK_ATTEMPTS: u32 = 4;

impl World {
    /// People's sinks: slow now and then, and given up after a few attempts where they fail.
    pub(super) fn notify(&mut self, seat: usize, notice: &Notice) {
        let (life, id, resolved) = (self.seats[seat].life, notice.alert.id, notice.resolved.is_some());
        let key = notice.alert.key.0.clone();
        self.note(|| format!("people are told: {key}{}", if resolved { " is over" } else { "" }));
        for sink in notice.sinks.clone() {
            let has_failed = self.sinks_fail;
            let (attempts, at) = if has_failed {
                self.hits.hit("sink-failed");
                (SINK_ATTEMPTS, self.soon(5000, 20_000))
            } else {
                (1, self.soon(5, 800))
            };
            let error = has_failed.then(|| "the sink does not answer".to_owned());
            let delivery =
                Delivery { id, resolved, reminder: notice.reminder, sink, attempts, answer: None, error, at };
            self.queue.put(at, Event::Delivered { seat, life, delivery });
        }
    }

    pub(super) fn seat_asked(&mut self, ticket: Ticket, request: &Request) {
        for seat in 0..self.seats.len() {
            let place = &self.seats[seat];
            if place.link.is_whole() && self.bus.is_up() && !place.coordinator.is_paused {
                let request = request.clone();
                self.with(seat, |coordinator, now, out| {
                    coordinator.asked(now, ticket, request, out);
                });
            }
        }
    }
}
