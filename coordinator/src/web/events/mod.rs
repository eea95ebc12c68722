//! Changes as they happen: one task hears the coordinator's news, numbers them, keeps the last ones, and hands them to every stream.

mod ring;
mod stream;
mod throttle;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_proto::control::{Paging, Reply, Request, RunFilter};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::access::{Access, Actor, Presence};
use super::door::Door;
use super::server::Site;
use crate::edge::{Changed, News, clock};
use ring::Ring;
pub(in crate::web) use ring::{Event, EventId, What};
pub(in crate::web) use stream::{__path_stream, full, stream};
use throttle::Throttle;

/// Streams at once, of programs and pages together.
pub(in crate::web) const STREAMS_MAX: usize = 512;

/// Events that a slow stream may be behind; then it is told to read everything again.
const BEHIND_MAX: usize = 1024;

/// Runs and rounds whose names are remembered, so that streams of one routine or node can be told apart.
const NAMES_MAX: usize = 20_000;

/// How often it is asked whether the one who reads a stream may still do so.
const ASKED_EVERY: Duration = Duration::from_secs(2);

/// How often progress that was held back is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Pages of living runs that are read for their names at the beginning.
const NAMES_PAGES_MAX: usize = 20;

/// The place where all streams begin.
#[derive(Debug, Clone)]
pub(in crate::web) struct Hub {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    /// Of those, what pages take.
    pages: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    sender: broadcast::Sender<Arc<Event>>,
}

/// The task behind the hub; dropping it ends it.
#[derive(Debug)]
pub(in crate::web) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One stream's events: those it missed, then those that come.
#[derive(Debug)]
pub(in crate::web) struct Stream {
    /// Where it begins.
    pub(in crate::web) at: EventId,
    /// Whether nothing is missing since the event it named.
    pub(in crate::web) is_resumed: bool,
    tail: Tail,
    reader: Reader,
    _place: OwnedSemaphorePermit,
}

/// What a stream has not told yet.
#[derive(Debug)]
struct Tail {
    missed: std::vec::IntoIter<Arc<Event>>,
    receiver: broadcast::Receiver<Arc<Event>>,
    shared: Arc<Shared>,
}

/// For whom a stream is, and what ends it.
#[derive(Debug)]
struct Reader {
    presence: Presence,
    access: Arc<Access>,
    actor: Actor,
    asked: Interval,
    ending: watch::Receiver<bool>,
}

/// What a stream says next.
#[derive(Debug)]
pub(in crate::web) enum Heard {
    /// A [`What::Reset`] where this stream was too slow.
    Event(Arc<Event>),
    /// Whoever reads it has logged out, was removed, or his visit or token is over.
    Over,
    /// The pages end.
    Ended,
}

impl Hub {
    pub(in crate::web) fn start(door: Door) -> (Self, Listening) {
        let incarnation = clock::incarnation().0.as_u128();
        let process = u32::try_from(incarnation & u128::from(u32::MAX)).unwrap_or(0);
        let floor = EventId { era: 0, seq: 0, number: 0, process };
        let shared = Arc::new(Shared::new(floor));
        let hub = Self::new(Arc::clone(&shared));
        let ear = Ear::new(shared);
        // Heard from this moment on, also what happens before the task runs.
        let news = door.onlooker();
        (hub, Listening(tokio::spawn(ear.listen(door, news))))
    }

    fn new(shared: Arc<Shared>) -> Self {
        let places = || Arc::new(Semaphore::new(STREAMS_MAX));
        Self { shared, places: places(), pages: places() }
    }

    /// Counts a stream as that of a page for as long as the result lives. `None` where that many are open.
    pub(in crate::web) fn page(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pages).try_acquire_owned().ok()
    }

    /// Pages that are open.
    pub(in crate::web) fn pages_open(&self) -> usize {
        STREAMS_MAX.saturating_sub(self.pages.available_permits())
    }

    /// A stream that begins after the event `last`, or now. `None` where every place is taken.
    pub(in crate::web) fn listen(&self, site: &Site, who: (Presence, Actor), last: Option<EventId>) -> Option<Stream> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // Nothing is sent while the ring is held, so that the stream goes on exactly where the missed ones end.
        let ring = self.shared.ring();
        let missed = last.and_then(|last| ring.since(last));
        let is_resumed = missed.is_some();
        let at = if is_resumed { last.unwrap_or_else(|| ring.head()) } else { ring.head() };
        let receiver = self.shared.sender.subscribe();
        drop(ring);
        Some(Stream {
            at,
            is_resumed,
            tail: Tail { missed: missed.unwrap_or_default().into_iter(), receiver, shared: Arc::clone(&self.shared) },
            reader: Reader::new(site, who),
            _place: place,
        })
    }
}

impl Stream {
    /// Waits for what it says next; to stop waiting loses nothing.
    pub(in crate::web) async fn next(&mut self) -> Heard {
        tokio::select! {
            ended = self.reader.out() => ended,
            event = self.tail.next() => event.map_or(Heard::Ended, Heard::Event),
        }
    }

    /// Who reads it, in the role that he had when he was last asked for.
    pub(in crate::web) const fn actor(&self) -> &Actor {
        &self.reader.actor
    }
}

impl Tail {
    /// The next event; a [`What::Reset`] where this stream was too slow. `None` once there will be none.
    async fn next(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.missed.next() {
            return Some(event);
        }
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => Some(Arc::new(self.caught_up())),
            Err(RecvError::Closed) => None,
        }
    }

    /// Leaves out everything up to this moment, and says so.
    fn caught_up(&mut self) -> Event {
        let ring = self.shared.ring();
        let id = ring.head();
        self.receiver = self.shared.sender.subscribe();
        drop(ring);
        Event { id, what: What::Reset, routine: None, node: None }
    }
}

impl Reader {
    fn new(site: &Site, (presence, actor): (Presence, Actor)) -> Self {
        let mut asked = interval(ASKED_EVERY);
        asked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { presence, access: Arc::clone(&site.access), actor, asked, ending: site.ending.clone() }
    }

    /// Waits until this reader's stream has to end.
    async fn out(&mut self) -> Heard {
        loop {
            tokio::select! {
                _ = self.ending.wait_for(|is_ending| *is_ending) => return Heard::Ended,
                _ = self.asked.tick() => match self.presence.actor(&self.access) {
                    Some(actor) => self.actor = actor,
                    None => return Heard::Over,
                },
            }
        }
    }
}

impl Shared {
    fn new(floor: EventId) -> Self {
        Self { ring: Mutex::new(Ring::new(floor)), sender: broadcast::channel(BEHIND_MAX).0 }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who listens.
struct Ear {
    shared: Arc<Shared>,
    throttle: Throttle,
    /// Where runs run, and what they belong to.
    names: BTreeMap<RunId, (RoutineName, NodeId)>,
    rounds: BTreeMap<RoundId, RoutineName>,
}

impl Ear {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, throttle: Throttle::default(), names: BTreeMap::new(), rounds: BTreeMap::new() }
    }

    async fn listen(mut self, door: Door, mut news: broadcast::Receiver<Arc<News>>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.read_place(&door).await;
        self.read_names(&door).await;
        loop {
            tokio::select! {
                heard = news.recv() => match heard {
                    Ok(news) => self.hear(&news),
                    Err(RecvError::Lagged(_)) => self.lost_some(&mut news),
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => {
                    for run in self.throttle.due(Instant::now()) {
                        self.progress(run);
                    }
                }
            }
        }
    }

    /// Where the log stands, so that the first streams know where they begin.
    async fn read_place(&self, door: &Door) {
        let Reply::Status(status) = door.ask(Request::Status).await else { return };
        let mut ring = self.shared.ring();
        let floor = ring.head();
        ring.clear(EventId { era: status.epoch.era, seq: status.log_seq, ..floor });
    }

    /// The names of what lives already; what changes later names itself.
    async fn read_names(&mut self, door: &Door) {
        let filter = RunFilter { ended: Some(false), ..RunFilter::default() };
        let mut after = None;
        for _ in 0..NAMES_PAGES_MAX {
            let paging = Paging { rows: None, after };
            let Reply::Runs(page) = door.ask(Request::Runs { filter: filter.clone(), paging }).await else { return };
            for run in page.rows {
                self.rounds.insert(run.round, run.routine.clone());
                self.names.insert(run.id, (run.routine, run.node));
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    fn hear(&mut self, news: &News) {
        match news {
            News::Changed(changed) => self.changed(changed),
            News::Moved(run) => {
                if self.throttle.moved(*run, Instant::now()) {
                    self.progress(*run);
                }
            }
        }
    }

    fn changed(&mut self, changed: &Changed) {
        self.learn(changed);
        let position = Some(changed.position);
        for round in &changed.rounds {
            let routine = self.rounds.get(round).cloned();
            self.tell(position, What::Round(*round), routine, None);
        }
        for run in &changed.runs {
            let (routine, node) = self.names.get(run).cloned().unzip();
            self.tell(position, What::Run(*run), routine, node);
        }
        for node in &changed.nodes {
            self.tell(position, What::Node(node.clone()), None, Some(node.clone()));
        }
        for routine in &changed.routines {
            self.tell(position, What::Routine(routine.clone()), Some(routine.clone()), None);
        }
        for (key, routine, node) in &changed.alerted {
            self.tell(position, What::Alert(key.clone()), routine.clone(), node.clone());
        }
        for name in &changed.monitors {
            self.tell(position, What::Monitor(name.clone()), Some(name.clone()), None);
        }
        if changed.limits {
            self.tell(position, What::Limits, None, None);
        }
    }

    fn learn(&mut self, changed: &Changed) {
        if self.names.len() > NAMES_MAX || self.rounds.len() > NAMES_MAX {
            // Those that live name themselves again with their next change.
            self.names.clear();
            self.rounds.clear();
        }
        for (run, routine, node) in &changed.ran {
            self.names.insert(*run, (routine.clone(), node.clone()));
        }
        for (round, routine) in &changed.rounded {
            self.rounds.insert(*round, routine.clone());
        }
    }

    fn progress(&self, run: RunId) {
        let (routine, node) = self.names.get(&run).cloned().unzip();
        self.tell(None, What::Progress(run), routine, node);
    }

    /// Numbers an event, keeps it and sends it. Progress has no place in the log and stands behind what came last.
    fn tell(&self, position: Option<(u32, u64)>, what: What, routine: Option<RoutineName>, node: Option<NodeId>) {
        let mut ring = self.shared.ring();
        let head = ring.head();
        // A log that is read again under the same era goes over places that were told already.
        let place = position.map_or((head.era, head.seq), |place| place.max((head.era, head.seq)));
        let number = if place == (head.era, head.seq) { head.number.saturating_add(1) } else { 0 };
        let id = EventId { era: place.0, seq: place.1, number, process: head.process };
        let event = Arc::new(Event { id, what, routine, node });
        ring.push(Arc::clone(&event));
        // Nobody may be listening.
        let _ = self.shared.sender.send(event);
    }

    /// This task was too slow itself: every stream is told to read everything again.
    fn lost_some(&self, news: &mut broadcast::Receiver<Arc<News>>) {
        while !matches!(news.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
        let mut ring = self.shared.ring();
        let head = ring.head();
        let id = EventId { number: head.number.saturating_add(1), ..head };
        ring.clear(id);
        let _ = self.shared.sender.send(Arc::new(Event { id, what: What::Reset, routine: None, node: None }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_too_slow_is_told_to_read_everything_again_and_goes_on_from_there() {
        let shared = Arc::new(Shared::new(EventId { era: 1, seq: 0, number: 0, process: 7 }));
        let ear = Ear::new(Arc::clone(&shared));
        let (missed, receiver) = (Vec::new().into_iter(), shared.sender.subscribe());
        let mut slow = Tail { missed, receiver, shared: Arc::clone(&shared) };
        for seq in 1..=3000 {
            ear.tell(Some((1, seq)), What::Limits, None, None);
        }
        let told = slow.next().await.unwrap();
        assert_eq!((&told.what, told.id.seq), (&What::Reset, 3000), "nothing that was left out is told late");
        ear.tell(Some((1, 3001)), What::Limits, None, None);
        let told = slow.next().await.unwrap();
        assert_eq!((&told.what, told.id.seq), (&What::Limits, 3001));
    }
}
