//! What this client knows about its link to the bus, kept up to date by the client library's events.

use std::collections::VecDeque;

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::watch;

/// Denials that are remembered; older ones are forgotten.
const DENIALS_MAX: usize = 16;

/// The state of the link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Link {
    /// Not connected since the start.
    #[default]
    Connecting,
    Up,
    /// It was up before; reconnecting goes on for ever.
    Down,
}

/// A snapshot for status pages and doctors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BusHealth {
    pub link: Link,
    /// How often a connection was made; a change means that a connection was lost between.
    pub connects: u64,
    pub server_version: Option<String>,
    /// What the bus forbade, newest last, at most 16: each is a mistake in its configuration.
    pub denials: VecDeque<Denial>,
    /// Denials since the start.
    pub denials_total: u64,
    /// Times that messages were dropped because this client did not take them in time.
    pub slow_consumer: u64,
    /// The latest complaint of the server or the client library.
    pub last_error: Option<String>,
}

/// A subject that the bus refused to this client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub subject: String,
    /// True for a subscription, false for a publication.
    pub subscription: bool,
}

/// The writing side; readers subscribe.
#[derive(Debug)]
pub(super) struct Pulse {
    state: watch::Sender<BusHealth>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::new(BusHealth::default()) }
    }

    pub(super) fn snapshot(&self) -> BusHealth {
        self.state.borrow().clone()
    }

    pub(super) fn connects(&self) -> u64 {
        self.state.borrow().connects
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<BusHealth> {
        self.state.subscribe()
    }

    pub(super) fn set_link(&self, link: Link) {
        self.state.send_modify(|health| {
            if link == Link::Up {
                health.connects += 1;
            }
            health.link = link;
        });
    }

    pub(super) fn deny(&self, denial: Denial) {
        self.state.send_modify(|health| {
            if health.denials.len() == DENIALS_MAX {
                health.denials.pop_front();
            }
            health.denials.push_back(denial);
            health.denials_total += 1;
        });
    }

    /// Takes one event; returns the denial in it, if it was one.
    pub(super) fn take(&self, event: &Event) -> Option<Denial> {
        let denial = match event {
            Event::ServerError(ServerError::Other(text)) => denial_in(text),
            Event::Connected
            | Event::Disconnected
            | Event::LameDuckMode
            | Event::Draining
            | Event::Closed
            | Event::SlowConsumer(_)
            | Event::ServerError(_)
            | Event::ClientError(_) => None,
        };
        match event {
            Event::Connected => self.set_link(Link::Up),
            Event::Disconnected => self.set_link(Link::Down),
            Event::Closed => self.complain("the connection was closed", Link::Down),
            Event::SlowConsumer(_) => self.state.send_modify(|health| health.slow_consumer += 1),
            Event::ServerError(error) => self.note(error.to_string()),
            Event::ClientError(ClientError::Other(text)) => self.note(text.clone()),
            Event::ClientError(error) => self.note(error.to_string()),
            Event::LameDuckMode | Event::Draining => {}
        }
        if let Some(denial) = &denial {
            self.deny(denial.clone());
        }
        denial
    }

    fn note(&self, text: String) {
        self.state.send_modify(|health| health.last_error = Some(text.chars().take(300).collect()));
    }

    fn complain(&self, text: &str, link: Link) {
        self.set_link(link);
        self.note(text.to_owned());
    }
}

/// Finds the refused subject in a text such as `Permissions Violation for Publish to "a.b"`.
fn denial_in(text: &str) -> Option<Denial> {
    let lower = text.to_ascii_lowercase();
    if !lower.contains("permissions violation") {
        return None;
    }
    let subject = text.split('"').nth(1)?.to_owned();
    Some(Denial { subject, subscription: lower.contains("subscription") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_its_subject_and_its_side() {
        let publish = denial_in("Permissions Violation for Publish to \"lf.x.A\"");
        assert_eq!(publish, Some(Denial { subject: "lf.x.A".into(), subscription: false }));
        let subscribe = denial_in("Permissions Violation for Subscription to \"lf.>\" using queue \"q\"");
        assert_eq!(subscribe, Some(Denial { subject: "lf.>".into(), subscription: true }));
        assert_eq!(denial_in("Stale Connection"), None);
    }

    #[test]
    fn denials_are_bounded_and_counted() {
        let pulse = Pulse::new();
        for number in 0..40 {
            pulse.deny(Denial { subject: number.to_string(), subscription: false });
        }
        let health = pulse.snapshot();
        assert_eq!((health.denials.len(), health.denials_total), (DENIALS_MAX, 40));
        assert_eq!(health.denials.back().map(|denial| denial.subject.as_str()), Some("39"));
    }
}
