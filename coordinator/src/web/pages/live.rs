//! `/events?page=…`: the live parts of one page, rendered again by the page's own functions when something has changed.
//!
//! A stream begins with every part and then sends those that differ, a few times a second at most. It keeps no backlog: whoever is
//! slow gets the latest state. Its ids are `position:log-offset`, so that a stream which begins again misses no line of a log.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use landfall_proto::control::Problem;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::shown::{Glance, Memory, Part, Query, wrapped};
use super::{Place, acting, log, render};
use crate::edge::{News, clock};
use crate::web::markup;
use crate::web::server::Site;

/// Pages that are kept fresh at once; one more is told to try later.
const STREAMS_MAX: usize = 256;

/// No page is rendered more often. Each that is open beside it makes it wait longer, so that all of them together are not
/// rendered more than five hundred times a second.
const EVERY: Duration = Duration::from_millis(150);
const EVERY_A_PAGE: Duration = Duration::from_millis(2);

/// Ages grow without any news, and so does blindness.
const AT_LATEST: Duration = Duration::from_secs(10);

/// How often a log that grows is asked for.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Messages that wait for a slow reader; the next one is only made when there is room.
const AHEAD: usize = 2;

static STREAMS: Semaphore = Semaphore::const_new(STREAMS_MAX);

pub(super) async fn stream(State(site): State<Site>, headers: HeaderMap, uri: Uri) -> Response {
    let asked = Query::of(&uri);
    let page = asked.get("page").unwrap_or("/").parse::<Uri>().ok();
    let found = page.and_then(|page| Some((Place::at(page.path())?, Query::of(&page))));
    let Some((place, query)) = found else {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    };
    let Ok(permit) = STREAMS.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; this one stands still for now\n")
            .into_response();
    };
    let from = offset(&headers).or_else(|| asked.get("log")?.parse().ok());
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(acting::carry(acting::present(), async move {
        let mut viewer = Viewer::new(site, place, query, from, sender);
        // The reader has gone.
        let _ = viewer.watch().await;
        drop(permit);
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

/// The other end has gone.
struct Gone;

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
    sender: mpsc::Sender<Result<Event, Infallible>>,
}

impl Viewer {
    fn new(
        site: Site,
        place: Place,
        query: Query,
        from: Option<u64>,
        sender: mpsc::Sender<Result<Event, Infallible>>,
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

    async fn watch(&mut self) -> Result<(), Gone> {
        let mut news = self.site.door.onlooker();
        let (mut parts_at, mut log_at) = (Instant::now(), Instant::now());
        loop {
            let began = Instant::now();
            if parts_at <= began {
                self.send_parts().await?;
                parts_at = began + AT_LATEST;
            }
            if log_at <= began {
                self.send_log().await?;
                log_at = Instant::now() + LOG_EVERY;
            }
            sleep_until(began + pause(STREAMS_MAX.saturating_sub(STREAMS.available_permits()))).await;
            let grows = self.log.as_ref().is_some_and(|log| !log.has_ended());
            let until = if grows { parts_at.min(log_at) } else { parts_at };
            let gone = self.sender.clone();
            tokio::select! {
                heard = heard(&mut news, &self.place, until) => if let Heard::Something(position) = heard {
                    self.position = position.unwrap_or(self.position);
                    parts_at = Instant::now();
                },
                () = gone.closed() => return Err(Gone),
            }
        }
    }

    async fn send_parts(&mut self) -> Result<(), Gone> {
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

    async fn send_log(&mut self) -> Result<(), Gone> {
        let Some(log) = &mut self.log else { return Ok(()) };
        match log.next(&self.site).await {
            Some(html) => self.send("log", html).await,
            None => Ok(()),
        }
    }

    async fn send(&self, kind: &str, html: String) -> Result<(), Gone> {
        let offset = self.log.as_ref().map_or(0, log::Follower::offset);
        let event = Event::default().event(kind).id(format!("{}:{offset}", self.position)).data(html.replace('\r', ""));
        self.sender.send(Ok(event)).await.map_err(|_| Gone)
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

enum Heard {
    /// Something that the page shows has changed, as of this position of the log.
    Something(Option<u64>),
    Nothing,
}

/// Waits for news of the page, until then.
async fn heard(news: &mut broadcast::Receiver<Arc<News>>, place: &Place, until: Instant) -> Heard {
    loop {
        match timeout_at(until, news.recv()).await {
            Ok(Ok(one)) if is_of_interest(place, &one) => {
                let position = match &*one {
                    News::Changed(changed) => Some(changed.position.1),
                    News::Moved(_) => None,
                };
                return Heard::Something(position);
            }
            Ok(Ok(_)) => {}
            Ok(Err(broadcast::error::RecvError::Lagged(_))) => return Heard::Something(None),
            // The coordinator begins again: its next loop speaks through the same feed.
            Ok(Err(broadcast::error::RecvError::Closed)) => {
                sleep_until(until).await;
                return Heard::Nothing;
            }
            Err(_) => return Heard::Nothing,
        }
    }
}

/// Whether the page shows what has changed. Where that is not sure it does.
fn is_of_interest(place: &Place, news: &News) -> bool {
    match (place, news) {
        (Place::Queue | Place::Round(_), News::Moved(_)) => true,
        (Place::Run(shown), News::Moved(run)) => shown == run,
        (Place::Run(shown), News::Changed(changed)) => changed.runs.contains(shown) || !changed.alerts.is_empty(),
        (Place::Report | Place::Trends, News::Changed(_)) => false,
        (_, News::Changed(_)) => true,
        (_, News::Moved(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::Changed;
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
        for open in 1..=STREAMS_MAX {
            let a_second = open as f64 / pause(open).as_secs_f64();
            assert!(a_second < 500.0 && pause(open) < Duration::from_secs(1), "{open}: {a_second}");
        }
    }

    #[test]
    fn the_page_of_a_run_is_rendered_for_that_run_only() {
        let (mine, other) =
            (landfall_proto::id::RunId(Uuid::from_u128(1)), landfall_proto::id::RunId(Uuid::from_u128(2)));
        assert!(is_of_interest(&Place::Run(mine), &News::Moved(mine)));
        assert!(!is_of_interest(&Place::Run(mine), &News::Moved(other)));
        let changed = |run| News::Changed(Changed { runs: vec![run], ..Changed::default() });
        assert!(is_of_interest(&Place::Run(mine), &changed(mine)));
        assert!(!is_of_interest(&Place::Run(mine), &changed(other)));
        assert!(
            is_of_interest(&Place::Queue, &News::Moved(other)) && !is_of_interest(&Place::Home, &News::Moved(other))
        );
    }
}
