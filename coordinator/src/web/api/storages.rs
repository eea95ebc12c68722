//! `/storages`: the room of destinations over days, and when each will be full.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use landfall_proto::control::{Reply, Request};
use landfall_proto::overview::{Forecast, StorageView};
use serde::Deserialize;
use utoipa::IntoParams;

use super::answer::json;
use super::list::{Listing, has, walk};
use super::query::{Asked, Wanted, is_cursor};
use crate::web::problem::Details;
use crate::web::server::Site;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StoragesAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    after: Option<String>,
    /// In the name.
    q: Option<String>,
    /// Full within so many days; those of which nothing can be said are left out.
    #[param(minimum = 1, maximum = 3650)]
    full_within_days: Option<u64>,
}

/// Destinations by name, with one sample of their room a day.
#[utoipa::path(get, path = "/storages", tag = "storages", params(StoragesAsked), responses((status = 200, body = Listing<StorageView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn storages(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<StoragesAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, is_cursor)?;
    let fills = |storage: &StorageView, within: u64| match storage.forecast {
        Forecast::Filling { days, .. } => days < within,
        Forecast::Unknown | Forecast::Steady => false,
    };
    let keep = |storage: &StorageView| {
        asked.full_within_days.is_none_or(|within| fills(storage, within))
            && has(asked.q.as_deref(), &[storage.name.as_str()])
    };
    let page = |reply| if let Reply::Storages(page) = reply { Ok(page) } else { Err(Box::new(reply)) };
    let question = |paging| Request::Storages { name: None, paging };
    Ok(json(&headers, &walk(&site.door, wanted, &uri, question, page, keep).await?))
}
