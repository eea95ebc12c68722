//! Connections made and broken, the bus going away and coming back, and the end of all bad weather.

use landfall_proto::time::{Duration, after};

use super::World;
use super::event::{Client, Disturbance, Event, Parcel};
use crate::bus::{Standing, Store};

/// A client that pings every ten seconds gives up after the third unanswered one.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A client tries again after so many milliseconds, with full jitter.
const CONNECT_AGAIN_MS: (u64, u64) = (250, 4000);

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        let paused = match &event {
            Event::AtClient { client: Client::Seat(seat), .. }
            | Event::CoordinatorWakes(seat)
            | Event::CoordinatorBeats { seat, .. }
            | Event::CoordinatorReads { seat, .. }
            | Event::CoordinatorSees { seat, .. }
            | Event::CoordinatorGivesUp { seat, .. }
            | Event::CoordinatorPublishes { seat, .. }
            | Event::Delivered { seat, .. } => Some(*seat).filter(|seat| self.seats[*seat].coordinator.is_paused),
            Event::AtClient { client: Client::Node(_), .. }
            | Event::Begins(_)
            | Event::Ends(_)
            | Event::AtBus { .. }
            | Event::Connects { .. }
            | Event::NoticesSilence { .. }
            | Event::NodeBoots(_)
            | Event::NodeWakes(_)
            | Event::NodeGivesUp { .. }
            | Event::CoordinatorBoots(_)
            | Event::Unanswered { .. }
            | Event::Asked { .. }
            | Event::BusStarts => None,
        };
        if let Some(seat) = paused {
            if matches!(event, Event::CoordinatorWakes(_)) {
                self.seats[seat].woken_at = None;
            }
            self.seats[seat].held.push(event);
            return;
        }
        self.take_up(event);
    }

    fn take_up(&mut self, event: Event) {
        match event {
            Event::Begins(index) => self.begin(index),
            Event::Ends(ending) => self.end(ending),
            Event::AtBus { client, life, frame } => self.at_bus(client, life, frame),
            Event::AtClient { client, life, parcel } => {
                let link = self.link(client);
                if link.life == life && link.is_connected {
                    match client {
                        Client::Node(index) => self.at_node(index, parcel),
                        Client::Seat(index) => self.at_seat(index, parcel),
                    }
                }
            }
            Event::Connects { client, life } => self.connect(client, life),
            Event::NoticesSilence { client, life } => self.notice_silence(client, life),
            Event::NodeBoots(node) => self.boot_node(node),
            Event::NodeWakes(node) => self.node_wakes(node),
            Event::NodeGivesUp { node, life, identity, attempt } => self.node_gives_up(node, life, &identity, attempt),
            Event::CoordinatorBoots(seat) => self.boot_seat(seat),
            Event::CoordinatorWakes(seat) => self.seat_wakes(seat),
            Event::CoordinatorBeats { seat, life } => self.seat_beats(seat, life),
            Event::CoordinatorSees { seat, life, asked, look } => self.seat_sees(seat, life, asked, look),
            Event::CoordinatorReads { seat, life } => self.seat_reads(seat, life),
            Event::CoordinatorGivesUp { seat, life, round } => self.seat_told(seat, life, round),
            Event::CoordinatorPublishes { seat, life } => self.seat_publishes(seat, life),
            Event::Unanswered { question } => self.unanswered(question),
            Event::Delivered { seat, life, delivery } => self.seat_delivered(seat, life, delivery),
            Event::Asked { ticket, request } => self.seat_asked(ticket, &request),
            Event::BusStarts => self.start_bus(),
        }
    }

    fn is_running(&self, client: Client) -> bool {
        match client {
            Client::Node(index) => self.nodes[index].is_up(),
            Client::Seat(index) => self.seats[index].coordinator.is_up(),
        }
    }

    /// A client without a connection tries after a while.
    pub(super) fn connect_soon(&mut self, client: Client, low_ms: u64, high_ms: u64) {
        let at = self.soon(low_ms, high_ms);
        let life = self.link(client).life;
        self.queue.put(at, Event::Connects { client, life });
    }

    fn connect(&mut self, client: Client, life: u64) {
        let is_reachable = self.bus.is_up();
        let is_running = self.is_running(client);
        // A journal that could not be begun for want of room is begun later, and the line after it.
        let begins_later = matches!(client, Client::Node(index) if self.nodes[index].down_since.is_none());
        let link = self.link(client);
        if link.life != life || link.is_connected || !(is_running || begins_later) {
            return;
        }
        if !is_running || !is_reachable || link.is_cut() {
            self.connect_soon(client, CONNECT_AGAIN_MS.0, CONNECT_AGAIN_MS.1);
            return;
        }
        link.is_connected = true;
        link.broken_since = None;
        match client {
            Client::Node(index) => self.node_linked(index, true),
            Client::Seat(index) => {
                // A coordinator makes the log at its start unless it is there, and its old consumer is unknown by now.
                self.bus.ensure_log(self.now);
                self.seats[index].coordinator.lost_consumer();
            }
        }
        let late = std::mem::take(&mut self.late);
        for (to, event) in late {
            if to == client {
                let at = self.soon(1, 20);
                self.queue.put(at, event);
            } else {
                self.late.push((to, event));
            }
        }
    }

    /// The connection is gone, with everything on its way in it.
    pub(super) fn drop_link(&mut self, client: Client) {
        let link = self.link(client);
        let was_connected = link.is_connected;
        link.is_connected = false;
        link.life += 1;
        self.forget_stuck(client);
        if was_connected && let Client::Node(index) = client {
            self.tell_gone(index);
        }
    }

    /// The bus tells coordinators that a node's client went away.
    fn tell_gone(&mut self, index: usize) {
        if !self.bus.is_up() {
            return;
        }
        let node = self.nodes[index].id.clone();
        for seat in 0..self.seats.len() {
            let life = self.seats[seat].link.life;
            self.deliver(Client::Seat(seat), life, Parcel::Gone(node.clone()));
        }
    }

    /// A line has just broken in one way or the other: the client notices when its pings stay unanswered.
    pub(super) fn line_broke(&mut self, client: Client) {
        let now = self.now;
        let link = self.link(client);
        if link.is_connected && link.broken_since.is_none() {
            link.broken_since = Some(now);
            let life = link.life;
            self.queue.put(after(now, SILENCE_MAX), Event::NoticesSilence { client, life });
        }
    }

    fn notice_silence(&mut self, client: Client, life: u64) {
        let is_bus_silent = self.bus.standing == Standing::Paused;
        let now = self.now;
        let link = self.link(client);
        let since = link.broken_since;
        if link.life != life || !link.is_connected {
            return;
        }
        if !link.is_cut() && !is_bus_silent {
            link.broken_since = None;
            return;
        }
        if since.is_some_and(|since| after(since, SILENCE_MAX) > now) {
            return;
        }
        self.hits.hit("cut-long");
        self.drop_link(client);
        self.disconnected(client);
    }

    /// The client knows that it has no connection, and tries to get one.
    fn disconnected(&mut self, client: Client) {
        match client {
            Client::Node(index) => self.node_linked(index, false),
            Client::Seat(index) => self.seat_blinded(index),
        }
        self.connect_soon(client, CONNECT_AGAIN_MS.0, CONNECT_AGAIN_MS.1);
    }

    pub(super) fn kill_bus(&mut self, away: Duration) {
        if self.bus.standing == Standing::Down {
            return;
        }
        self.hits.hit("bus-killed");
        self.note(|| format!("the bus dies, for {away}"));
        self.bus.standing = Standing::Down;
        self.held_by_bus.clear();
        for client in self.clients() {
            // Who had no connection is trying to get one already.
            if self.link(client).is_connected {
                self.drop_link(client);
                self.disconnected(client);
            }
        }
        self.queue.put(after(self.now, away), Event::BusStarts);
    }

    fn start_bus(&mut self) {
        if self.bus.standing == Standing::Down {
            self.bus.standing = Standing::Up;
            self.bus.store = Store::Sound;
            self.note(|| "the bus starts".to_owned());
        }
    }

    pub(super) fn pause_bus(&mut self) {
        if self.bus.is_up() {
            self.bus.standing = Standing::Paused;
            self.note(|| "the bus stands still".to_owned());
            for client in self.clients() {
                self.line_broke(client);
            }
        }
    }

    pub(super) fn resume_bus(&mut self) {
        if self.bus.standing == Standing::Paused {
            self.bus.standing = Standing::Up;
            self.note(|| "the bus goes on".to_owned());
            for event in std::mem::take(&mut self.held_by_bus) {
                self.queue.put(self.now, event);
            }
        }
    }

    pub(super) fn mend_link(&mut self, client: Client, what: Disturbance) {
        let (delay_us, loss) = (self.options.delay_us, self.options.loss_percent);
        let link = self.link(client);
        match what {
            Disturbance::Cut { to_bus, from_bus } => {
                link.to_bus.is_cut &= !to_bus;
                link.from_bus.is_cut &= !from_bus;
                if !link.is_cut() {
                    link.broken_since = None;
                }
                self.unstick(client);
                self.note(|| format!("{client:?} is no longer cut off"));
                if let Client::Seat(seat) = client {
                    self.read_soon(seat);
                }
            }
            Disturbance::Order => {
                link.to_bus.is_unordered = false;
                link.from_bus.is_unordered = false;
            }
            Disturbance::Loss => {
                link.to_bus.loss_percent = 0;
                link.from_bus.loss_percent = loss;
            }
            Disturbance::Doubling => link.to_bus.twice_percent = 0,
            Disturbance::Delay => {
                link.to_bus.delay_us = delay_us;
                link.from_bus.delay_us = delay_us;
            }
        }
    }

    /// Every fault ends: lines are whole, clocks are right, disks have room, everybody is up.
    pub fn heal(&mut self) {
        self.healed_at = Some(self.now);
        self.note(|| "all faults end".to_owned());
        self.sinks_fail = false;
        self.late_requests.clear();
        self.resume_bus();
        if self.bus.store != Store::Sound {
            // Only a restart makes a full store take facts again.
            self.kill_bus(Duration::from_ms(500));
        }
        if self.bus.standing == Standing::Down {
            self.queue.put(after(self.now, Duration::from_secs(1)), Event::BusStarts);
        }
        self.bus.skew_ms = 0;
        self.bus.acks_to_empty = 0;
        self.bus.is_unsure = false;
        for client in self.clients() {
            let cut = Disturbance::Cut { to_bus: true, from_bus: true };
            for what in [cut, Disturbance::Order, Disturbance::Loss, Disturbance::Doubling, Disturbance::Delay] {
                self.mend_link(client, what);
            }
            let link = self.link(client);
            (link.acks_to_lose, link.acks_to_delay) = (0, 0);
        }
        for seat in 0..self.seats.len() {
            self.seats[seat].coordinator.trap = None;
            self.seats[seat].coordinator.ledger.is_full = false;
            self.seats[seat].coordinator.skew_ms = 0;
            self.resume_seat(seat);
            self.queue.put(after(self.now, Duration::from_secs(2)), Event::CoordinatorBoots(seat));
        }
        self.heal_nodes();
    }

    pub(super) fn resume_seat(&mut self, seat: usize) {
        if !self.seats[seat].coordinator.is_paused {
            return;
        }
        self.seats[seat].coordinator.is_paused = false;
        let holder = self.seats[seat].coordinator.holder.clone();
        self.note(|| format!("{holder} goes on"));
        self.hits.hit("coordinator-paused");
        if self.seats[seat].led_when_paused && self.another_was_claimed(seat) {
            self.hits.hit("leader-paused");
        }
        for event in std::mem::take(&mut self.seats[seat].held) {
            self.queue.put(self.now, event);
        }
        let at = self.now;
        self.seats[seat].woken_at = Some(at);
        self.queue.put(at, Event::CoordinatorWakes(seat));
    }

    /// Whether another coordinator's core holds a higher epoch than this one's.
    fn another_was_claimed(&self, seat: usize) -> bool {
        let epoch = |index: usize| self.seats[index].coordinator.process.as_ref().map(|process| process.mesh.epoch());
        (0..self.seats.len()).any(|other| other != seat && epoch(other) > epoch(seat))
    }
}
