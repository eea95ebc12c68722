//! `/events?page=…`: the live parts of one page, rendered again by the page's own functions when something has changed.
//!
//! A stream begins with every part and then sends those that differ, a few times a second at most. It keeps no backlog: whoever is
//! slow gets the latest state. Its ids are `position:log-offset`, so that a stream which begins again misses no line of a log.
//! It ends with the words `over` when whoever looks may not look any more.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use landfall_proto::control::Problem;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::shown::{Glance, Memory, Part, Query, wrapped};
use super::{Place, acting, log, render};
use crate::edge::clock;
use crate::web::access::{Actor, Presence};
use crate::web::events::{self, Event, Heard, What};
use crate::web::markup;
use crate::web::server::Site;

/// No page is rendered more often. Each one that is open beside it makes it wait longer, so that all of them together are not
/// rendered more than five hundred times a second. Streams of programs render nothing and let nobody wait.
const EVERY: Duration = Duration::from_millis(150);
const EVERY_A_PAGE: Duration = Duration::from_millis(2);

/// Ages grow without any news, and so does blindness.
const AT_LATEST: Duration = Duration::from_secs(10);

/// How often a log that grows is asked for.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Messages that wait for a slow reader; the next one is only made when there is room.
const AHEAD: usize = 2;

pub(super) async fn stream(
    State(site): State<Site>,
    presence: Presence,
    actor: Actor,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let asked = Query::of(&uri);
    let page = asked.get("page").unwrap_or("/").parse::<Uri>().ok();
    let found = page.and_then(|page| Some((Place::at(page.path())?, Query::of(&page))));
    let Some((place, query)) = found else {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    };
    let Some(events) = site.events.listen(&site, (presence, actor), None) else { return events::full() };
    let Some(shown) = site.events.page() else { return events::full() };
    let from = offset(&headers).or_else(|| asked.get("log")?.parse().ok());
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(acting::carry(acting::present(), async move {
        let mut viewer = Viewer::new(site, place, query, from, sender);
        // Only an end that the browser cannot see by itself is told.
        if matches!(viewer.watch(events).await, Err(End::Over)) {
            let _ = viewer.send("over", "logged out".to_owned()).await;
        }
        drop(shown);
    }));
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()).into_response()
}

/// How long a page stands still while so many are open.
fn pause(open: usize) -> Duration {
    EVERY + EVERY_A_PAGE * u32::try_from(open).unwrap_or(u32::MAX)
}

/// Where the log was when the stream broke off.
fn offset(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.split_once(':')?.1.parse().ok()
}

/// Why a page is not kept fresh any more.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nobody reads, or the pages end.
    Gone,
    /// Whoever reads may not do so any more.
    Over,
}

/// One open page.
struct Viewer {
    site: Site,
    place: Place,
    query: Query,
    memory: Memory,
    /// What the browser has, by part.
    sent: BTreeMap<&'static str, u64>,
    position: u64,
    log: Option<log::Follower>,
    sender: mpsc::Sender<Result<Sent, Infallible>>,
}

impl Viewer {
    fn new(
        site: Site,
        place: Place,
        query: Query,
        from: Option<u64>,
        sender: mpsc::Sender<Result<Sent, Infallible>>,
    ) -> Self {
        let log = match (&place, from) {
            (Place::Run(run), Some(from)) => Some(log::Follower::new(*run, from)),
            _ => None,
        };
        Self {
            site,
            place,
            query,
            memory: Memory { has_page: true, ..Memory::default() },
            sent: BTreeMap::new(),
            position: 0,
            log,
            sender,
        }
    }

    async fn watch(&mut self, mut events: events::Stream) -> Result<(), End> {
        let (mut parts_at, mut log_at) = (Instant::now(), Instant::now());
        loop {
            let began = Instant::now();
            if parts_at <= began {
                let acting = acting::present().known_as(events.actor());
                acting::carry(acting, self.send_parts()).await?;
                parts_at = began + AT_LATEST;
            }
            if log_at <= began {
                self.send_log().await?;
                log_at = Instant::now() + LOG_EVERY;
            }
            sleep_until(began + pause(self.site.events.pages_open())).await;
            let grows = self.log.as_ref().is_some_and(|log| !log.has_ended());
            let until = if grows { parts_at.min(log_at) } else { parts_at };
            let gone = self.sender.clone();
            tokio::select! {
                heard = changed(&mut events, &self.place, until) => if let Some(position) = heard? {
                    self.position = position;
                    parts_at = Instant::now();
                },
                () = gone.closed() => return Err(End::Gone),
            }
        }
    }

    async fn send_parts(&mut self) -> Result<(), End> {
        let glance = Glance { site: &self.site, query: &self.query, now: clock::now(), memory: &mut self.memory };
        let parts = match render(&self.place, glance).await {
            Ok(shown) => shown.parts,
            Err(problem) => vec![trouble(&problem)],
        };
        let mut html = String::new();
        for part in parts {
            let Part::Live(id, markup) = part else { continue };
            let text = markup.into_string();
            let hash = hash(&text);
            if self.sent.insert(id, hash) != Some(hash) {
                html.push_str(&text);
            }
        }
        if html.is_empty() { Ok(()) } else { self.send("parts", html).await }
    }

    async fn send_log(&mut self) -> Result<(), End> {
        let Some(log) = &mut self.log else { return Ok(()) };
        match log.next(&self.site).await {
            Some(html) => self.send("log", html).await,
            None => Ok(()),
        }
    }

    async fn send(&self, kind: &str, html: String) -> Result<(), End> {
        let offset = self.log.as_ref().map_or(0, log::Follower::offset);
        let sent = Sent::default().event(kind).id(format!("{}:{offset}", self.position)).data(html.replace('\r', ""));
        self.sender.send(Ok(sent)).await.map_err(|_| End::Gone)
    }
}

/// The page stays as it was, below the words that it may be out of date.
fn trouble(problem: &Problem) -> Part {
    Part::Live("pulse", wrapped("pulse", &markup::problem(problem)))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Waits for a change of what the page shows, until then; the position of the log that it came with.
async fn changed(events: &mut events::Stream, place: &Place, until: Instant) -> Result<Option<u64>, End> {
    loop {
        match timeout_at(until, events.next()).await {
            Ok(heard) => {
                let event = told(heard)?;
                if is_of_interest(place, &event) {
                    return caught_up(event.id.seq, || events.next().now_or_never()).map(Some);
                }
            }
            Err(_) => return Ok(None),
        }
    }
}

/// Takes everything that waits already: what is rendered next is at least as young as all of it. One fact changes several records,
/// and would wake the page once for each of them, with a rest between.
fn caught_up(mut position: u64, mut waiting: impl FnMut() -> Option<Heard>) -> Result<u64, End> {
    while let Some(heard) = waiting() {
        position = told(heard)?.id.seq;
    }
    Ok(position)
}

fn told(heard: Heard) -> Result<Arc<Event>, End> {
    match heard {
        Heard::Event(event) => Ok(event),
        Heard::Over => Err(End::Over),
        Heard::Ended => Err(End::Gone),
    }
}

/// Whether the page shows what has changed. Of what stands above every page only open alerts are waited for; the rest of it may be as
/// old as ages may.
fn is_of_interest(place: &Place, event: &Event) -> bool {
    match (place, &event.what) {
        (_, What::Reset) | (Place::Queue | Place::Round(_), What::Progress(_)) => true,
        (Place::Report | Place::Trends, _) => false,
        (Place::Run(shown), What::Run(run) | What::Progress(run)) => shown == run,
        (_, What::Progress(_)) => false,
        (Place::Monitor(shown), What::Monitor(name)) => shown == name,
        (place, What::Monitor(_)) => matches!(place, Place::Home | Place::Monitors),
        (Place::Landed, What::Run(_)) => true,
        (Place::Run(_) | Place::Landed | Place::Monitors | Place::Monitor(_), what) => matches!(what, What::Alert(_)),
        (
            Place::Home
            | Place::Queue
            | Place::Rounds
            | Place::Round(_)
            | Place::Nodes
            | Place::Node(_)
            | Place::Routines
            | Place::Routine(_)
            | Place::Alerts,
            _,
        ) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::alert::AlertKey;
    use landfall_proto::id::{RoutineName, RunId};
    use uuid::Uuid;

    #[test]
    fn a_stream_that_begins_again_reads_the_log_on_from_its_last_line() {
        let mut headers = HeaderMap::new();
        assert_eq!(offset(&headers), None);
        headers.insert("last-event-id", "812:4096".parse().unwrap());
        assert_eq!(offset(&headers), Some(4096));
        headers.insert("last-event-id", "x".parse().unwrap());
        assert_eq!(offset(&headers), None);
    }

    #[test]
    fn few_pages_are_shown_what_happens_at_once_and_many_do_not_wear_the_machine_out() {
        assert!(pause(1) < Duration::from_millis(200));
        for open in 1..=events::STREAMS_MAX {
            let a_second = open as f64 / pause(open).as_secs_f64();
            assert!(a_second < 500.0 && pause(open) < Duration::from_secs(2), "{open}: {a_second}");
        }
    }

    #[test]
    fn the_page_of_a_run_is_rendered_for_that_run_only() {
        let (mine, other) = (RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(2)));
        let of = |what| Event { id: "1-2-3-4".parse().unwrap(), what, routine: None, node: None };
        let shows = |place: &Place, what| is_of_interest(place, &of(what));
        for what in [What::Run, What::Progress] {
            assert!(shows(&Place::Run(mine), what(mine)) && !shows(&Place::Run(mine), what(other)));
        }
        assert!(shows(&Place::Queue, What::Progress(other)) && !shows(&Place::Home, What::Progress(other)));
        assert!(shows(&Place::Home, What::Run(other)) && !shows(&Place::Trends, What::Run(other)));
        assert!(shows(&Place::Run(mine), What::Reset) && shows(&Place::Trends, What::Reset));
    }

    #[test]
    fn what_waits_already_is_shown_at_once_and_an_end_among_it_is_not_missed() {
        let of = |id: &str| {
            let what = What::Limits;
            Heard::Event(Arc::new(Event { id: id.parse().unwrap(), what, routine: None, node: None }))
        };
        let read = |waiting: Vec<Heard>| {
            let mut waiting = waiting.into_iter();
            (caught_up(7, || waiting.next()), waiting.len())
        };
        assert_eq!(read(Vec::new()), (Ok(7), 0));
        assert_eq!(read(vec![of("1-7-1-4"), of("1-8-0-4"), of("1-9-0-4")]), (Ok(9), 0));
        assert_eq!(read(vec![of("1-8-0-4"), Heard::Over]), (Err(End::Over), 0));
        assert_eq!(read(vec![Heard::Ended, of("1-8-0-4")]), (Err(End::Gone), 1));
    }

    #[test]
    fn a_page_waits_for_what_it_shows_and_for_alerts() {
        let name = |text: &str| -> RoutineName { text.parse().unwrap() };
        let of = |what| Event { id: "1-2-3-4".parse().unwrap(), what, routine: None, node: None };
        let shows = |place: &Place, what: &What| is_of_interest(place, &of(what.clone()));
        let run = What::Run(RunId(Uuid::nil()));
        let pinged = What::Monitor(name("shop"));
        let raised = What::Alert(AlertKey("overdue/nightly".to_owned()));
        for (place, [of_run, of_monitor, of_alert]) in [
            (Place::Home, [true, true, true]),
            (Place::Queue, [true, false, true]),
            (Place::Routine(name("shop")), [true, false, true]),
            (Place::Monitors, [false, true, true]),
            (Place::Monitor(name("shop")), [false, true, true]),
            (Place::Monitor(name("till")), [false, false, true]),
            (Place::Landed, [true, false, true]),
            (Place::Report, [false, false, false]),
        ] {
            let found = [&run, &pinged, &raised].map(|what| shows(&place, what));
            assert_eq!(found, [of_run, of_monitor, of_alert], "{place:?}");
        }
    }
}
