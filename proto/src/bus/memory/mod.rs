//! The bus in memory, for tests and simulation: the same answers as the real one, and knobs for the faults that were seen on it.

mod client;
mod hub;
mod reader;

use std::sync::Arc;
use std::time::Duration;

pub(super) use client::MemoryClient;
pub(super) use reader::MemoryReader;

use super::Bus;
use super::disconnects::Disconnects;
use super::health::Link;
use crate::id::ClusterName;
use crate::subject::Role;
use crate::time::Timestamp;
use hub::Hub;

/// Disconnects that may wait to be taken.
const DISCONNECTS_MAX: usize = 1024;

/// A bus in this process. Cheap to clone; every clone is the same bus.
#[derive(Debug, Clone)]
pub struct MemoryBus {
    hub: Arc<Hub>,
}

impl MemoryBus {
    /// A bus whose log has not been made yet.
    pub fn new(cluster: &ClusterName) -> Self {
        Self { hub: Arc::new(Hub::new(cluster.clone())) }
    }

    /// A client with exactly the role's permissions.
    pub fn connect(&self, role: Role) -> Bus {
        Bus::memory(MemoryClient::new(&self.hub, role))
    }

    /// Nodes whose clients went away: dropped, or cut off.
    pub fn disconnects(&self) -> Disconnects {
        let (sender, receiver) = tokio::sync::mpsc::channel(DISCONNECTS_MAX);
        self.hub.state().watchers.push(sender);
        Disconnects::memory(receiver)
    }

    /// Takes the whole bus off the network, or back. Nothing that was told meanwhile is delivered later.
    pub fn set_online(&self, online: bool) {
        self.hub.state().online = online;
        self.hub.show_links(if online { Link::Up } else { Link::Down });
    }

    /// Cuts off all clients of one role, or lets them back.
    pub fn set_cut(&self, role: &Role, cut: bool) {
        {
            let mut state = self.hub.state();
            if cut {
                state.cut.insert(role.clone())
            } else {
                state.cut.remove(role)
            };
            if cut {
                state.report_gone(role);
            }
        }
        self.hub.show_links(Link::Up);
    }

    /// The whole bus stands still, with every connection open, or goes on. What it is given meanwhile it takes in, answers
    /// nothing, and does it all when it goes on.
    pub fn set_paused(&self, paused: bool) {
        let mut state = self.hub.state();
        if paused {
            state.held.get_or_insert_default();
        } else {
            state.go_on(&self.hub.cluster);
        }
        drop(state);
        self.hub.changed();
    }

    /// The next `count` facts are stored, but their confirmation is lost.
    pub fn lose_acks(&self, count: u32) {
        self.hub.state().acks_to_lose = count;
    }

    /// The next `count` facts are lost on their way, unconfirmed.
    pub fn lose_facts(&self, count: u32) {
        self.hub.state().facts_to_lose = count;
    }

    /// The next `count` messages that are no facts are lost, questions included.
    pub fn lose_messages(&self, count: u32) {
        self.hub.state().messages_to_lose = count;
    }

    /// How long each message that is no fact is under way.
    pub fn set_delay(&self, delay: Duration) {
        self.hub.state().delay = delay;
    }

    /// The log refuses facts for want of room, or takes them again.
    pub fn set_full(&self, full: bool) {
        self.hub.state().full = full;
    }

    /// Forgets which ids were seen, as the real log does after its window.
    pub fn forget_duplicates(&self) {
        self.hub.state().seen.clear();
    }

    /// The machine lost power: the last `count` facts are gone, and their sequences will be handed out again.
    pub fn tear_tail(&self, count: usize) {
        self.hub.state().tear_tail(count);
        self.hub.changed();
    }

    /// The disk is lost: there is no log until it is made again.
    pub fn wipe(&self) {
        self.hub.state().wipe();
        self.hub.changed();
    }

    /// The server that answers has no copy of the log for a while, as one that has just come back; the log itself loses nothing.
    pub fn set_log_hidden(&self, hidden: bool) {
        self.hub.state().set_hidden(hidden);
        self.hub.changed();
    }

    /// What the server's clock shows; it moves by a millisecond with each fact.
    pub fn set_time(&self, now: Timestamp) {
        self.hub.state().clock = now;
    }
}
