//! `/api/v1`: everything the mesh knows and takes, for programs. Lists are read forwards by `next`; filters that do not exist are
//! errors; acts take an `Idempotency-Key`.

mod acts;
mod answer;
mod detail;
mod document;
mod list;
mod lists;
mod log;
mod monitors;
mod query;
mod storages;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use log::rest as rest_of_log;

use super::server::Site;

/// Where this version of the API is.
const BASE: &str = "/api/v1";

pub(super) fn routes() -> Router<Site> {
    let (router, document) = documented().split_for_parts();
    // It is made once and never changes while the process lives.
    let text: Arc<str> = document::finished(document).into();
    let document = get(move || {
        let text = String::from(&*text);
        async move { ([(header::CONTENT_TYPE, "application/json")], text).into_response() }
    });
    router.route(&format!("{BASE}/openapi.json"), document)
}

fn documented() -> OpenApiRouter<Site> {
    let api = OpenApiRouter::new()
        .routes(routes!(detail::status))
        .routes(routes!(lists::routines))
        .routes(routes!(detail::routine))
        .routes(routes!(lists::rounds))
        .routes(routes!(detail::round))
        .routes(routes!(lists::runs))
        .routes(routes!(detail::run))
        .routes(routes!(log::log))
        .routes(routes!(lists::snapshots))
        .routes(routes!(lists::nodes))
        .routes(routes!(detail::node))
        .routes(routes!(lists::alerts))
        .routes(routes!(detail::alert))
        .routes(routes!(lists::limits))
        .routes(routes!(monitors::monitors))
        .routes(routes!(monitors::monitor, monitors::remove))
        .routes(routes!(storages::storages))
        .routes(routes!(acts::start))
        .routes(routes!(acts::cancel_run))
        .routes(routes!(acts::retry_run))
        .routes(routes!(acts::cancel_round))
        .routes(routes!(acts::retry_round))
        .routes(routes!(acts::retire))
        .routes(routes!(acts::set_limit))
        .routes(routes!(super::events::stream));
    OpenApiRouter::with_openapi(document::head()).nest(BASE, api)
}
