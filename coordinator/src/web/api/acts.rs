//! Acts: start, cancel, try again, retire, set a limit. Each carries the caller's name to the log, and stands in the journal.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::report::TaskKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::BASE;
use super::answer::refused;
use super::query::{Given, bad, name};
use crate::edge::clock;
use crate::web::access::{Actor, perform};
use crate::web::problem::Details;
use crate::web::server::Site;

/// Longest `Idempotency-Key`.
const KEY_MAX: usize = 255;

/// Nodes that one start names at most.
const NODES_MAX: usize = 1000;

/// What to start. Everything may be left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StartGiven {
    /// Only these nodes; all that announced the routine where it is empty.
    #[schema(max_items = 1000)]
    nodes: Vec<NodeId>,
    task: TaskKind,
}

impl Default for StartGiven {
    fn default() -> Self {
        Self { nodes: Vec::new(), task: TaskKind::Backup }
    }
}

/// The round that an act opened; it may have been open before, where the same key was used.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Opened {
    round: RoundId,
}

/// What was done, in a sentence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    message: String,
}

/// How large a limit shall be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitGiven {
    /// How many at once; 0 holds everything back.
    size: Option<u32>,
}

pub(super) type Told = Result<Response, Refusal>;

/// Why an act was not done.
pub(super) struct Refusal(Box<Response>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Box<Response>> for Refusal {
    fn from(response: Box<Response>) -> Self {
        Self(response)
    }
}

/// Starts a routine now.
#[utoipa::path(post, path = "/routines/{name}/start", tag = "routines", params(("name" = RoutineName, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = StartGiven, responses((status = 202, body = Opened)))]
pub(super) async fn start(
    State(site): State<Site>,
    actor: Actor,
    Path(text): Path<String>,
    headers: HeaderMap,
    Given(given): Given<StartGiven>,
) -> Told {
    let routine: RoutineName = name(&text).map_err(boxed)?;
    if given.nodes.len() > NODES_MAX {
        return Err(boxed(bad(
            "the body cannot be used",
            &format!("{NODES_MAX} nodes are the most that one start names"),
        )));
    }
    let request = request_id(&actor, &format!("start {routine}"), &headers).map_err(boxed)?;
    if let reply @ Reply::Refused(_) = site.door.ask(Request::Routine { name: routine.clone() }).await {
        return Err(boxed(refused(reply)));
    }
    let act = Request::Start { routine, nodes: given.nodes, task: given.task, by: actor.name.clone(), request };
    tell(&site, &actor, act, &text).await
}

/// Ends a run.
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "runs", params(("id" = RunId, Path)), responses((status = 200, body = Done)))]
pub(super) async fn cancel_run(State(site): State<Site>, actor: Actor, Path(text): Path<String>) -> Told {
    let id = known_run(&site, &text).await?;
    tell(&site, &actor, Request::Cancel { id, by: actor.name.clone() }, &text).await
}

/// Runs again what did not go well; the old run stays as it is.
#[utoipa::path(post, path = "/runs/{id}/retry", tag = "runs", params(("id" = RunId, Path), ("Idempotency-Key" = Option<String>, Header)), responses((status = 202, body = Opened)))]
pub(super) async fn retry_run(
    State(site): State<Site>,
    actor: Actor,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Told {
    let id = known_run(&site, &text).await?;
    let request = request_id(&actor, &format!("retry {id}"), &headers).map_err(boxed)?;
    tell(&site, &actor, Request::Retry { id, by: actor.name.clone(), request }, &text).await
}

/// Ends all runs of a round.
#[utoipa::path(post, path = "/rounds/{id}/cancel", tag = "rounds", params(("id" = RoundId, Path)), responses((status = 200, body = Done)))]
pub(super) async fn cancel_round(State(site): State<Site>, actor: Actor, Path(text): Path<String>) -> Told {
    let id = known_round(&site, &text).await?;
    tell(&site, &actor, Request::Cancel { id, by: actor.name.clone() }, &text).await
}

/// Runs again, as a round of its own, on every node of a round that was not good.
#[utoipa::path(post, path = "/rounds/{id}/retry", tag = "rounds", params(("id" = RoundId, Path), ("Idempotency-Key" = Option<String>, Header)), responses((status = 202, body = Opened)))]
pub(super) async fn retry_round(
    State(site): State<Site>,
    actor: Actor,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Told {
    let id = known_round(&site, &text).await?;
    let request = request_id(&actor, &format!("retry {id}"), &headers).map_err(boxed)?;
    tell(&site, &actor, Request::Retry { id, by: actor.name.clone(), request }, &text).await
}

/// Says that a node is gone for good: later rounds do not expect it.
#[utoipa::path(post, path = "/nodes/{id}/retire", tag = "nodes", params(("id" = NodeId, Path)), responses((status = 200, body = Done)))]
pub(super) async fn retire(State(site): State<Site>, actor: Actor, Path(text): Path<String>) -> Told {
    let node: NodeId = name(&text).map_err(boxed)?;
    if let reply @ Reply::Refused(_) = site.door.ask(Request::Node { id: node.clone() }).await {
        return Err(boxed(refused(reply)));
    }
    tell(&site, &actor, Request::Retire { node, by: actor.name.clone() }, &text).await
}

/// Changes a limit; it counts from the next decision on.
#[utoipa::path(put, path = "/limits/{name}", tag = "limits", params(("name" = LimitName, Path)), request_body = LimitGiven, responses((status = 200, body = Done)))]
pub(super) async fn set_limit(
    State(site): State<Site>,
    actor: Actor,
    Path(text): Path<String>,
    Given(given): Given<LimitGiven>,
) -> Told {
    let name: LimitName = name(&text).map_err(boxed)?;
    let Some(value) = given.size else { return Err(boxed(bad("the body cannot be used", "size is missing"))) };
    tell(&site, &actor, Request::SetLimit { name, value, by: actor.name.clone() }, &text).await
}

/// Acts, and tells how it went.
pub(super) async fn tell(site: &Site, actor: &Actor, act: Request, target: &str) -> Told {
    let reply = perform(site, actor, act, target).await?;
    if let Reply::Opened { round } = reply {
        let place = [(header::LOCATION, format!("{BASE}/rounds/{round}"))];
        return Ok((StatusCode::ACCEPTED, place, Json(Opened { round })).into_response());
    }
    if let Reply::Done { message } = reply {
        return Ok(Json(Done { message }).into_response());
    }
    Err(boxed(refused(reply)))
}

/// Names the act, so that a repeat does nothing: the caller's key, or a fresh one.
fn request_id(actor: &Actor, act: &str, headers: &HeaderMap) -> Result<Uuid, Details> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(clock::command_id().0) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_MAX);
    let Some(key) = key else {
        return Err(bad("the header Idempotency-Key cannot be used", "1 to 255 visible characters are possible"));
    };
    Ok(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("landfall/{}/{act}/{key}", actor.name).as_bytes()))
}

async fn known_run(site: &Site, text: &str) -> Result<Uuid, Refusal> {
    let id: RunId = name(text).map_err(boxed)?;
    let reply = site.door.ask(Request::Run { id }).await;
    if matches!(reply, Reply::Refused(_)) { Err(boxed(refused(reply))) } else { Ok(id.0) }
}

async fn known_round(site: &Site, text: &str) -> Result<Uuid, Refusal> {
    let id: RoundId = name(text).map_err(boxed)?;
    let reply = site.door.ask(Request::Round { id }).await;
    if matches!(reply, Reply::Refused(_)) { Err(boxed(refused(reply))) } else { Ok(id.0) }
}

pub(super) fn boxed(details: Details) -> Refusal {
    Refusal(Box::new(details.into_response()))
}
