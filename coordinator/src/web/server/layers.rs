//! What every answer has in common, also an error: headers that confine it, a deadline, and a host that is ours.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use landfall_proto::control::Problem;

use super::Front;
use crate::web::problem::Details;

/// An answer begins within this time: longer than the loop is waited for. A stream may then go on.
const ANSWER_BEGINS_WITHIN: Duration = Duration::from_secs(20);

/// Pages take scripts, styles and pictures from here only, and nobody frames them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// A certificate that browsers trust is asked for from then on.
const TLS_ONLY: &str = "max-age=31536000";

pub(super) async fn headers(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if front.is_trusted_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
    }
    // What is shown belongs to whoever asked for it.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn deadline(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER_BEGINS_WITHIN, next.run(request)).await.unwrap_or_else(|_| {
        let problem = Problem {
            what: "this took too long".to_owned(),
            why: format!("there was no whole request and no answer within {} s", ANSWER_BEGINS_WITHIN.as_secs()),
            fix: "try again; for an act, look first whether it was done".to_owned(),
            code: None,
        };
        Details::new(StatusCode::REQUEST_TIMEOUT, "too-slow", &problem).into_response()
    })
}

/// Without TLS a foreign page could have its own name point here and read what it likes; so only names of ours are answered.
pub(super) async fn host(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    if !front.is_plain || names_us(&front, authority(request.uri(), request.headers())) {
        return next.run(request).await;
    }
    let problem = Problem {
        what: "this server has another name".to_owned(),
        why: "the request names a host that is neither this machine itself nor the configured public_url".to_owned(),
        fix: "use http://127.0.0.1 or http://localhost with the port, or set `public_url` in [web] to the name in use"
            .to_owned(),
        code: None,
    };
    Details::new(StatusCode::MISDIRECTED_REQUEST, "wrong-host", &problem).into_response()
}

/// Host and port as the client named them.
pub(in crate::web) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(axum::http::uri::Authority::as_str).or(named)
}

fn names_us(front: &Front, authority: Option<&str>) -> bool {
    let Some(authority) = authority.map(str::to_ascii_lowercase) else { return false };
    if front.public_url.as_ref().is_some_and(|url| url.authority == authority) {
        return true;
    }
    let is_port =
        |text: &str| text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| authority.strip_prefix(name).is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublicUrl;

    #[test]
    fn only_names_of_this_machine_and_the_public_one_are_ours() {
        let public = PublicUrl {
            origin: "https://backup.example".to_owned(),
            authority: "backup.example".to_owned(),
            is_https: true,
        };
        let front = Front {
            public_url: Some(public),
            metrics_open: false,
            is_plain: true,
            is_trusted_tls: false,
            listens_at: "x".to_owned(),
        };
        for ours in ["localhost", "LOCALHOST:8440", "127.0.0.1:1", "[::1]:8440", "[::1]", "backup.example"] {
            assert!(names_us(&front, Some(ours)), "{ours}");
        }
        for foreign in ["localhost.evil.example", "127.0.0.1.evil", "backup.example:81", "evil", "127.0.0.1:x", ""] {
            assert!(!names_us(&front, Some(foreign)), "{foreign}");
        }
        assert!(!names_us(&front, None));
    }
}
