//! One of each: the mesh at a glance, and single routines, rounds, runs, nodes and alerts.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::view::{AlertView, NodeView, RoundDetail, RoutineView, RunDetail, StatusView};

use super::answer::{json, refused};
use super::query::name;
use crate::web::problem::Details;
use crate::web::server::Site;

/// The mesh at a glance.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = StatusView), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn status(State(site): State<Site>, headers: HeaderMap) -> Result<Response, Details> {
    let reply = site.door.ask(Request::Status).await;
    if let Reply::Status(status) = reply { Ok(json(&headers, &status)) } else { Err(refused(reply)) }
}

/// One routine.
#[utoipa::path(get, path = "/routines/{name}", tag = "routines", params(("name" = RoutineName, Path)), responses((status = 200, body = RoutineView), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn routine(
    State(site): State<Site>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Details> {
    let reply = site.door.ask(Request::Routine { name: name::<RoutineName>(&text)? }).await;
    if let Reply::Routine(routine) = reply { Ok(json(&headers, &routine)) } else { Err(refused(reply)) }
}

/// One round with its runs.
#[utoipa::path(get, path = "/rounds/{id}", tag = "rounds", params(("id" = RoundId, Path)), responses((status = 200, body = RoundDetail), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn round(
    State(site): State<Site>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Details> {
    let id: RoundId = name(&text)?;
    let reply = site.door.ask(Request::Round { id }).await;
    if let Reply::Round(round) = reply { Ok(json(&headers, &round)) } else { Err(refused(reply)) }
}

/// One run with everything known of it.
#[utoipa::path(get, path = "/runs/{id}", tag = "runs", params(("id" = RunId, Path)), responses((status = 200, body = RunDetail), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn run(
    State(site): State<Site>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Details> {
    let id: RunId = name(&text)?;
    let reply = site.door.ask(Request::Run { id }).await;
    if let Reply::Run(run) = reply { Ok(json(&headers, &run)) } else { Err(refused(reply)) }
}

/// One node with its findings.
#[utoipa::path(get, path = "/nodes/{id}", tag = "nodes", params(("id" = NodeId, Path)), responses((status = 200, body = NodeView), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn node(
    State(site): State<Site>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Details> {
    let reply = site.door.ask(Request::Node { id: name::<NodeId>(&text)? }).await;
    if let Reply::Node(node) = reply { Ok(json(&headers, &node)) } else { Err(refused(reply)) }
}

/// One alert with its deliveries, by its id or its key; slashes of a key are written as %2F.
#[utoipa::path(get, path = "/alerts/{key}", tag = "alerts", params(("key" = String, Path)), responses((status = 200, body = AlertView), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn alert(
    State(site): State<Site>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Details> {
    let reply = site.door.ask(Request::Alert { key: key.clone() }).await;
    if let Reply::Alert(alert) = reply { Ok(json(&headers, &alert)) } else { Err(refused(reply)) }
}
