//! Answers as programs get them: JSON with an ETag, or a problem with its status.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use landfall_proto::control::{Problem, ProblemCode, Reply};
use serde::Serialize;

use crate::web::problem::Details;

/// A value, or nothing where the caller has it already.
pub(super) fn json<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let text = match serde_json::to_vec(value) {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem {
                what: "the answer cannot be written as JSON".to_owned(),
                why: error.to_string(),
                fix: "report this with the address that was asked".to_owned(),
                code: None,
            };
            return Details::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", &problem).into_response();
        }
    };
    let hash = blake3::hash(&text).to_hex();
    let tag = format!("\"{}\"", hash.chars().take(32).collect::<String>());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| {
        tags.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    let common = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A reply that is not what was asked for.
pub(super) fn refused(reply: Reply) -> Details {
    let Reply::Refused(problem) = reply else {
        let problem = Problem {
            what: "the coordinator answered something else".to_owned(),
            why: "question and answer do not belong together".to_owned(),
            fix: "see that all coordinators have the same version".to_owned(),
            code: None,
        };
        return Details::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", &problem);
    };
    match problem.code {
        Some(ProblemCode::NotFound) => Details::new(StatusCode::NOT_FOUND, "not-found", &problem),
        Some(ProblemCode::Unknown) => Details::new(StatusCode::SERVICE_UNAVAILABLE, "unknown", &problem),
        None => Details::new(StatusCode::CONFLICT, "refused", &problem),
    }
}
