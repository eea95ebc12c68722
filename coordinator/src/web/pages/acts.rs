//! What people do on pages: forms that post, acts that the log takes, and the way back to a page that shows it.

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use landfall_proto::control::{Problem, ProblemCode, Reply, Request};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::report::TaskKind;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{RunState, RunView};
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::shown::Query;
use super::{acting, refusal};
use crate::web::access::{self, Actor, Role};
use crate::web::markup;
use crate::web::server::Site;

/// Within this long the same button asks for the same thing: a second click does not do it twice.
const SAME_ACT_SECONDS: i64 = 600;

/// What pages say after an act; only the word before it travels, so that no link can put words into our mouth.
const TOLD: [(&str, &str); 5] = [
    ("cancelling", "The wish to cancel stands in the log. The run is cancelling until its process is gone."),
    ("retried", "A round of its own tries this run again; the old run stays as it is."),
    ("started", "The round is opened."),
    ("retired", "The node is retired: nothing is expected of it."),
    ("limited", "The limit counts from the next decision on."),
];

/// The sentence after an act, where this page was reached by one.
pub(super) fn told(query: &Query) -> Markup {
    let said = query.get("told").and_then(|word| TOLD.into_iter().find(|(known, _)| *known == word));
    html! { @if let Some((_, sentence)) = said { div.banner.good role="status" { (sentence) } } }
}

pub(super) fn token() -> Markup {
    markup::csrf(&acting::token())
}

/// The buttons of one run.
pub(super) fn of_run(run: &RunView, now: Timestamp) -> Markup {
    html! {
        @if can_cancel(run.state) && acting::may(Role::Operator) { (button(&format!("/runs/{}/cancel", run.id), "Cancel", true, html! {})) " " }
        @if can_retry(run.state) && acting::may(Role::Operator) { (retry_button(run.id, now)) " " }
        @if run.snapshot.as_ref().is_some_and(|name| !name.is_empty()) {
            a.button.small href={ "/runs/" (run.id) "#snapshot" } { "Snapshot" } " "
        }
        @if run.started_at.is_some() { a.button.small href={ "/runs/" (run.id) "#log-card" } { "Log" } }
    }
}

pub(super) fn retry_button(run: RunId, now: Timestamp) -> Markup {
    button(
        &format!("/runs/{run}/retry"),
        "Retry",
        false,
        html! { input type="hidden" name="request" value=(request_id(run.0, now)); },
    )
}

pub(super) const fn can_cancel(state: RunState) -> bool {
    matches!(state, RunState::Queued | RunState::Sent | RunState::Running | RunState::Unknown)
}

pub(super) const fn can_retry(state: RunState) -> bool {
    matches!(state, RunState::Failed | RunState::Partial | RunState::Lost | RunState::Cancelled | RunState::Skipped)
}

fn button(action: &str, name: &str, is_danger: bool, fields: Markup) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (token()) (fields)
            button class={ "small" @if is_danger { " danger" } } type="submit" { (name) }
        }
    }
}

/// The same for every click within a while.
fn request_id(about: Uuid, now: Timestamp) -> Uuid {
    Uuid::new_v5(&about, format!("{}", now.as_second().div_euclid(SAME_ACT_SECONDS)).as_bytes())
}

/// The fields of every form; each act takes those that it needs.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    request: Option<Uuid>,
    #[serde(default)]
    task: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<u32>,
}

pub(super) async fn cancel_run(State(site): State<Site>, actor: Actor, Path(id): Path<RunId>) -> Response {
    act(&site, &actor, Request::Cancel { id: id.0, by: actor.name.clone() }, &format!("/runs/{id}?told=cancelling"))
        .await
}

pub(super) async fn cancel_round(State(site): State<Site>, actor: Actor, Path(id): Path<RoundId>) -> Response {
    act(&site, &actor, Request::Cancel { id: id.0, by: actor.name.clone() }, &format!("/rounds/{id}?told=cancelling"))
        .await
}

pub(super) async fn retry(
    State(site): State<Site>,
    actor: Actor,
    Path(id): Path<RunId>,
    Form(fields): Form<Fields>,
) -> Response {
    let Some(request) = fields.request else { return refusal(&unreadable("request", "it is missing")) };
    act(
        &site,
        &actor,
        Request::Retry { id: id.0, by: actor.name.clone(), request },
        &format!("/runs/{id}?told=retried"),
    )
    .await
}

pub(super) async fn start(
    State(site): State<Site>,
    actor: Actor,
    Path(name): Path<RoutineName>,
    Form(fields): Form<Fields>,
) -> Response {
    let wanted = fields.task.as_deref().unwrap_or(TaskKind::Backup.as_str());
    let Some(task) = TaskKind::ALL.into_iter().find(|task| task.as_str() == wanted) else {
        return refusal(&unreadable("task", wanted));
    };
    let nodes = match fields.node.as_deref().filter(|node| !node.is_empty()).map(str::parse::<NodeId>) {
        None => Vec::new(),
        Some(Ok(node)) => vec![node],
        Some(Err(error)) => return refusal(&unreadable("node", &error.to_string())),
    };
    let Some(request) = fields.request else { return refusal(&unreadable("request", "it is missing")) };
    let request = Request::Start { routine: name.clone(), nodes, task, by: actor.name.clone(), request };
    act(&site, &actor, request, &format!("/routines/{name}?told=started")).await
}

pub(super) async fn retire(State(site): State<Site>, actor: Actor, Path(node): Path<NodeId>) -> Response {
    let back = format!("/nodes/{node}?told=retired");
    act(&site, &actor, Request::Retire { node, by: actor.name.clone() }, &back).await
}

pub(super) async fn limit(State(site): State<Site>, actor: Actor, Form(fields): Form<Fields>) -> Response {
    let name = fields.name.unwrap_or_default();
    let (Ok(name), Some(value)) = (name.parse::<LimitName>(), fields.value) else {
        return refusal(&unreadable("limit", &name));
    };
    act(&site, &actor, Request::SetLimit { name, value, by: actor.name.clone() }, "/queue?told=limited").await
}

/// Asks, and goes to the page that shows what came of it.
#[expect(clippy::wildcard_enum_match_arm, reason = "an act is told as done, as opened, or not at all")]
async fn act(site: &Site, actor: &Actor, request: Request, back: &str) -> Response {
    let target = back.split('?').next().unwrap_or(back);
    let reply = match access::perform(site, actor, request, target).await {
        Ok(reply) => reply,
        Err(refused) => return *refused,
    };
    match reply {
        Reply::Opened { round } => Redirect::to(&format!("/rounds/{round}?told=started")).into_response(),
        Reply::Done { .. } => Redirect::to(back).into_response(),
        other => refusal(&super::ask::instead(other)),
    }
}

fn unreadable(field: &str, value: &str) -> Problem {
    Problem {
        what: format!("there is no such {field}"),
        why: format!("the form said: {}", value.chars().take(80).collect::<String>()),
        fix: "go back, load the page again and use its form".to_owned(),
        code: Some(ProblemCode::NotFound),
    }
}
