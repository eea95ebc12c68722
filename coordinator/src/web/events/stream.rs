//! `/api/v1/events`: changes as server-sent events, for programs.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{StreamExt as _, unfold};
use landfall_proto::control::Problem;
use landfall_proto::id::{NodeId, RoutineName};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::{Event, EventId, Heard, STREAMS_MAX, Stream, What};
use crate::web::access::{Actor, Presence};
use crate::web::problem::Details;
use crate::web::server::Site;

/// How often a silent stream shows that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// When to come again where every place is taken, in seconds.
const AGAIN_AFTER: u16 = 5;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Watched {
    /// Only what concerns this routine.
    routine: Option<RoutineName>,
    /// Only what concerns this node.
    node: Option<NodeId>,
}

impl Watched {
    fn shows(&self, event: &Event) -> bool {
        event.what == What::Reset
            || (self.routine.is_none() || self.routine == event.routine)
                && (self.node.is_none() || self.node == event.node)
    }
}

/// Changes as they happen (server-sent events): `hello` with the position where the stream begins, then `round`, `run`, `progress`
/// (once a second and run at most), `node`, `routine`, `alert`, `monitor` and `limits` with the name of what has changed, to be read
/// again. `Last-Event-ID` goes on behind that event; `reset` says that some were missed, and everything has to be read again; `over`
/// that the token or visit is no longer good, with which the stream ends.
#[utoipa::path(get, path = "/events", tag = "events", params(Watched, ("Last-Event-ID" = Option<String>, Header)), responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(in crate::web) async fn stream(
    State(site): State<Site>,
    presence: Presence,
    actor: Actor,
    uri: axum::http::Uri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let watched = Query::<Watched>::try_from_uri(&uri).map_err(|error| bad(&error.body_text()))?.0;
    let last = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse::<EventId>().ok()));
    let Some(stream) = site.events.listen(&site, (presence, actor), last.flatten()) else { return Err(full()) };
    let hello = hello(&site, &stream);
    // Who names an event that is not known, or none that can be read, has missed some.
    let reset = (last.is_some() && !stream.is_resumed)
        .then(|| sent(&Event { id: stream.at, what: What::Reset, routine: None, node: None }));
    let first: Vec<Sent> = [Some(hello), reset].into_iter().flatten().collect();
    let told = unfold(Some((first.into_iter(), stream, watched)), |going| async move {
        let (mut first, mut stream, watched) = going?;
        if let Some(event) = first.next() {
            return Some((Ok::<_, Infallible>(event), Some((first, stream, watched))));
        }
        loop {
            match stream.next().await {
                Heard::Event(event) if watched.shows(&event) => {
                    return Some((Ok(sent(&event)), Some((first, stream, watched))));
                }
                Heard::Event(_) => {}
                Heard::Over => return Some((Ok(over()), None)),
                Heard::Ended => return None,
            }
        }
    });
    Ok(Sse::new(told.fuse()).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response())
}

fn hello(site: &Site, stream: &Stream) -> Sent {
    let data = json!({
        "cluster": site.cluster,
        "position": { "era": stream.at.era, "seq": stream.at.seq },
        "resumed": stream.is_resumed,
    });
    event("hello", stream.at, &data)
}

fn sent(of: &Event) -> Sent {
    let (routine, node) = (&of.routine, &of.node);
    match &of.what {
        What::Round(id) => event("round", of.id, &json!({ "id": id, "routine": routine })),
        What::Run(id) => event("run", of.id, &json!({ "id": id, "routine": routine, "node": node })),
        What::Progress(id) => event("progress", of.id, &json!({ "id": id, "routine": routine, "node": node })),
        What::Node(id) => event("node", of.id, &json!({ "id": id })),
        What::Routine(name) => event("routine", of.id, &json!({ "name": name })),
        What::Alert(key) => event("alert", of.id, &json!({ "key": key, "routine": routine, "node": node })),
        What::Monitor(name) => event("monitor", of.id, &json!({ "name": name })),
        What::Limits => event("limits", of.id, &json!({})),
        What::Reset => event("reset", of.id, &json!({ "why": "some changes were missed; read everything again" })),
    }
}

/// The last words to somebody who may not read on. It has no id, for there is nothing behind it.
fn over() -> Sent {
    Sent::default().event("over").data(json!({ "why": "the token or visit is no longer good" }).to_string())
}

fn event(kind: &str, id: EventId, data: &Value) -> Sent {
    Sent::default().event(kind).id(id.to_string()).data(data.to_string())
}

fn bad(why: &str) -> Response {
    let problem = Problem {
        what: "the query cannot be used".to_owned(),
        why: why.chars().take(600).collect(),
        fix: "a stream can be narrowed by `routine` and `node`".to_owned(),
        code: None,
    };
    Details::new(StatusCode::BAD_REQUEST, "bad-request", &problem).into_response()
}

pub(in crate::web) fn full() -> Response {
    let problem = Problem {
        what: "there is no place for another stream".to_owned(),
        why: format!("{STREAMS_MAX} are open"),
        fix: format!("try again in {AGAIN_AFTER} s, or close one"),
        code: None,
    };
    let mut response = Details::new(StatusCode::SERVICE_UNAVAILABLE, "full", &problem).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(AGAIN_AFTER));
    response
}
