//! What a request asks for, read strictly: a filter or a field that is not known is an error that names those that are.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use landfall_proto::control::{PAGE_ROWS_MAX, Problem};
use serde::de::DeserializeOwned;

use crate::web::access::too_large;
use crate::web::problem::Details;
use crate::web::server::Site;

/// Rows of a page where the request does not say.
const ROWS: u32 = 50;

/// Longest place in a list, in characters.
const PLACE_MAX: usize = 1024;

/// A query in the shape of `T`.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Site> for Asked<T> {
    type Rejection = Details;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Details> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(asked)| Self(asked)).map_err(|error| {
            let text = error.body_text();
            let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            bad("the query cannot be used", why)
        })
    }
}

/// A body of JSON in the shape of `T`; none is the same as an empty object.
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Site> for Given<T> {
    type Rejection = Response;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Response> {
        let is_empty = request.headers().get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
            && !request.headers().contains_key(header::TRANSFER_ENCODING)
            && !request.headers().contains_key(header::CONTENT_TYPE);
        if is_empty {
            return Ok(Self(T::default()));
        }
        Json::<T>::from_request(request, site).await.map(|Json(given)| Self(given)).map_err(|error| refused(&error))
    }
}

fn refused(error: &JsonRejection) -> Response {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    bad("the body cannot be used", &error.body_text()).into_response()
}

/// A place in a path in the form of `T`.
pub(super) fn name<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Details> {
    text.parse().map_err(|error: T::Err| bad("the address names nothing", &error.to_string()))
}

pub(super) fn bad(what: &str, why: &str) -> Details {
    let why: String = why.chars().take(600).collect();
    let problem = Problem {
        what: what.to_owned(),
        why,
        fix: "/api/v1/openapi.json lists every address with its fields and filters".to_owned(),
        code: None,
    };
    Details::new(StatusCode::BAD_REQUEST, "bad-request", &problem)
}

/// How many rows, from where.
pub(super) struct Wanted {
    pub(super) rows: u32,
    pub(super) after: Option<String>,
}

impl Wanted {
    pub(super) fn read(
        limit: Option<u32>,
        after: Option<String>,
        is_place: impl Fn(&str) -> bool,
    ) -> Result<Self, Details> {
        let rows = limit.unwrap_or(ROWS);
        if rows == 0 || rows > PAGE_ROWS_MAX {
            return Err(bad(
                "the query cannot be used",
                &format!("limit is {rows}, and 1 to {PAGE_ROWS_MAX} rows are possible"),
            ));
        }
        if after.as_deref().is_some_and(|after| after.len() > PLACE_MAX || !is_place(after)) {
            return Err(bad(
                "the query cannot be used",
                "after is no place in this list; take the reference in `next` as it is",
            ));
        }
        Ok(Self { rows, after })
    }
}

/// Places in lists of the ledger.
pub(super) fn is_cursor(text: &str) -> bool {
    !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}
