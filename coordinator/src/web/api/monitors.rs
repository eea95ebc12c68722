//! Monitors over the API: how they stand, what they said, and removing them.

use axum::extract::{OriginalUri, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{MonitorDetail, MonitorState, MonitorView};
use landfall_proto::view::Page;
use serde::Deserialize;
use utoipa::IntoParams;

use super::acts::{Done, Told, boxed, tell};
use super::answer::{json, refused};
use super::list::{Listing, has, is_number, walk};
use super::query::{Asked, Wanted, name};
use crate::web::access::Actor;
use crate::web::problem::Details;
use crate::web::server::Site;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MonitorsAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    #[param(pattern = "^[0-9]{1,9}$")]
    after: Option<String>,
    /// In the name, the note or the owner.
    q: Option<String>,
    state: Option<MonitorState>,
}

/// Programs that only ping, the worst first.
#[utoipa::path(get, path = "/monitors", tag = "monitors", params(MonitorsAsked), responses((status = 200, body = Listing<MonitorView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn monitors(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<MonitorsAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, is_number)?;
    let keep = |monitor: &MonitorView| {
        asked.state.is_none_or(|state| monitor.state == state)
            && has(asked.q.as_deref(), &[monitor.spec.name.as_str(), &monitor.spec.note, &monitor.spec.owner])
    };
    let page = |reply| {
        if let Reply::Monitors(all) = reply {
            Ok(Page { rows: all.monitors, next: all.next })
        } else {
            Err(Box::new(reply))
        }
    };
    let question = |paging| Request::Monitors { paging };
    Ok(json(&headers, &walk(&site.door, wanted, &uri, question, page, keep).await?))
}

/// One monitor with its latest pings.
#[utoipa::path(get, path = "/monitors/{name}", tag = "monitors", params(("name" = RoutineName, Path)), responses((status = 200, body = MonitorDetail), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn monitor(
    State(site): State<Site>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Details> {
    let reply = site.door.ask(Request::Monitor { name: name::<RoutineName>(&text)? }).await;
    if let Reply::Monitor(monitor) = reply { Ok(json(&headers, &monitor)) } else { Err(refused(reply)) }
}

/// Removes a monitor; pings to it are refused from then on.
#[utoipa::path(delete, path = "/monitors/{name}", tag = "monitors", params(("name" = RoutineName, Path)), responses((status = 200, description = "It stands in the log.", body = Done)))]
pub(super) async fn remove(State(site): State<Site>, actor: Actor, Path(text): Path<String>) -> Told {
    let name: RoutineName = name(&text).map_err(boxed)?;
    tell(&site, &actor, Request::RemoveMonitor { name, by: actor.name.clone() }, &text).await
}
