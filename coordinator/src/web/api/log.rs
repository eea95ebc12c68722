//! A run's log as text: a piece from an offset on, or the whole for a file.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, StreamExt as _};
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::RunId;
use landfall_proto::view::LogView;
use serde::Deserialize;
use utoipa::IntoParams;

use super::answer::refused;
use super::query::{Asked, name};
use crate::web::door::Door;
use crate::web::problem::Details;
use crate::web::server::Site;

const NEXT: HeaderName = HeaderName::from_static("landfall-next-offset");
const ENDED: HeaderName = HeaderName::from_static("landfall-ended");

/// Pieces of a whole log at most.
const PIECES_MAX: u32 = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogAsked {
    /// Bytes to leave out; `Landfall-Next-Offset` of the piece before.
    #[serde(default)]
    offset: u64,
    /// Everything that there is from there on, as a file.
    #[serde(default)]
    whole: bool,
}

/// The log of a run, read from the node that keeps it. `Landfall-Ended` is true where nothing will follow.
#[utoipa::path(get, path = "/runs/{id}/log", tag = "runs", params(("id" = RunId, Path), LogAsked), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn log(
    State(site): State<Site>,
    Path(text): Path<String>,
    Asked(asked): Asked<LogAsked>,
) -> Result<Response, Details> {
    let run: RunId = name(&text)?;
    let first = piece(&site.door, run, asked.offset).await.map_err(refused)?;
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    if !asked.whole {
        let place = [(NEXT, first.next_offset.to_string()), (ENDED, first.ended.to_string())];
        return Ok((place, [kind], first.text).into_response());
    }
    let file = (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{run}.log\""));
    Ok(([file], [kind], Body::from_stream(rest(site.door, first))).into_response())
}

async fn piece(door: &Door, run: RunId, offset: u64) -> Result<LogView, Reply> {
    let reply = door.ask(Request::Logs { run, offset }).await;
    if let Reply::Logs(log) = reply { Ok(log) } else { Err(reply) }
}

/// This piece and all that follow. A log that cannot be read on breaks the download off, so that it does not look whole.
pub(in crate::web) fn rest(door: Door, first: LogView) -> impl stream::Stream<Item = Result<String, std::io::Error>> {
    stream::unfold((door, Some(first), 0), |(door, at, pieces)| async move {
        let log = at.filter(|log| !log.text.is_empty() && pieces < PIECES_MAX)?;
        let next = if log.ended { None } else { Some(piece(&door, log.run, log.next_offset).await) };
        match next.transpose() {
            Ok(next) => Some((Ok(log.text), (door, next, pieces + 1))),
            Err(_) => Some((Err(std::io::Error::other("the node does not answer")), (door, None, pieces))),
        }
    })
    // A body may be asked again after its end.
    .fuse()
}
