//! `/ping` and `/heartbeat`: where programs that Landfall does not run say how they are. The secret is in the address; a ping is
//! answered once it stands in the log, so that a client which repeats what was not answered loses nothing.
//!
//! `/ping` speaks as healthchecks does (hc/api/urls.py, hc/api/views.py), `/heartbeat` takes the heartbeats of OneUptime's guide.

mod address;
mod body;
mod flood;
mod heartbeat;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Path, RawQuery, Request as HttpRequest, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use landfall_proto::control::{Reply, Request};
use landfall_proto::monitor::{KeyHash, Ping, PingAnswer, PingKind, PingTo, Said, WORD_BYTES_MAX};
use uuid::Uuid;

use self::address::Address;
use self::body::BODY_BYTES_MAX;
pub(super) use self::flood::Flood;
use super::server::Site;
use crate::edge::clock;

/// After a refusal that a client can do nothing about, it may come again.
const AGAIN_AFTER_S: u64 = 5;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/ping/{*address}", any(ping)).route("/heartbeat/{*key}", any(beat))
}

/// What a client is told where its ping was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused(StatusCode, &'static str);

/// One ping as it came, but for what its address says.
struct Came {
    peer: SocketAddr,
    method: Method,
    agent: String,
    /// What was read of the body.
    bytes: Vec<u8>,
}

async fn ping(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(text): Path<String>,
    RawQuery(query): RawQuery,
    request: HttpRequest,
) -> Response {
    let said = async {
        let Address { to, secret, kind, rid } = address::read(&text, query.as_deref().unwrap_or_default())?;
        let came = taken_in(peer, request).await?;
        take(&site, came, to, &secret, (kind, rid, Said::default())).await
    };
    told(said.await)
}

async fn beat(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(text): Path<String>,
    RawQuery(query): RawQuery,
    request: HttpRequest,
) -> Response {
    let said = async {
        let key = address::uuid(text.trim_end_matches('/')).ok_or(address::NOT_FOUND)?;
        let rid = address::rid(query.as_deref().unwrap_or_default())?;
        let came = taken_in(peer, request).await?;
        let said = heartbeat::read(&came.bytes, rid)?;
        take(&site, came, PingTo::Key { key: KeyHash::of(&key) }, &key, said).await
    };
    told(said.await)
}

async fn taken_in(peer: SocketAddr, request: HttpRequest) -> Result<Came, Refused> {
    let method = request.method().clone();
    if ![Method::GET, Method::HEAD, Method::POST].contains(&method) {
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"));
    }
    let agent = word(request.headers(), &header::USER_AGENT);
    let bytes = body::read(request.into_body()).await?;
    Ok(Came { peer, method, agent, bytes })
}

/// Hands a ping to the leader, if its sender and its monitor have not sent too many.
async fn take(
    site: &Site,
    came: Came,
    to: PingTo,
    secret: &str,
    (kind, rid, said): (PingKind, Option<Uuid>, Said),
) -> Result<PingAnswer, Refused> {
    let Came { peer, method, agent, bytes } = came;
    let address = peer.ip();
    let place = site.pings.admit(address, &to)?;
    let full = body::kept(&bytes, secret);
    let body = if site.pings.has_room(&place, full.len()) { full } else { String::new() };
    let ping = Ping {
        id: clock::command_id().0,
        kind,
        rid,
        from: address.to_string(),
        method: method.to_string(),
        agent: body::kept(agent.as_bytes(), secret),
        body_bytes: bytes.len() as u64,
        body,
        said: Said { error: said.error.map(|error| body::word(&error, secret)), ..said },
    };
    let reply = site.door.ask(Request::Ping { to, ping }).await;
    let Reply::Pinged(answer) = reply else {
        // What nobody could take stands nowhere: the client has to come again.
        if let Reply::Refused(problem) = reply {
            tracing::warn!(why = problem.why, "a ping could not be taken; its sender is told to repeat it");
        }
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "try again"));
    };
    site.pings.answered(address, place, answer);
    Ok(answer)
}

/// A header as text, as long as a word may be.
fn word(headers: &HeaderMap, name: &HeaderName) -> String {
    let text = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    text.unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(WORD_BYTES_MAX / 4).collect()
}

/// The words that healthchecks answers with.
fn told(said: Result<PingAnswer, Refused>) -> Response {
    let (status, text) = match said {
        Ok(PingAnswer::Taken) => (StatusCode::OK, "OK"),
        Ok(PingAnswer::Created) => (StatusCode::CREATED, "Created"),
        Ok(PingAnswer::NotFound) => (StatusCode::NOT_FOUND, "not found"),
        Ok(PingAnswer::Ambiguous) => (StatusCode::CONFLICT, "ambiguous slug"),
        Ok(PingAnswer::Full) => (StatusCode::FORBIDDEN, "there are as many monitors as there may be"),
        Err(Refused(status, text)) => (status, text),
    };
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("ping-body-limit"), HeaderValue::from(BODY_BYTES_MAX));
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(AGAIN_AFTER_S));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}
