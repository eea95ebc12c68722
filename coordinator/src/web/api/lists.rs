//! Lists: routines, rounds, runs, snapshots, nodes, alerts and limits, with their filters.

use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use landfall_proto::alert::Severity;
use landfall_proto::control::{Reply, Request, RunFilter};
use landfall_proto::id::{NodeId, RepositoryId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{VerdictKind, Witness};
use landfall_proto::view::{AlertView, LimitView, NodeView, RoundView, RoutineView, RunState, RunView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{json, refused};
use super::list::{Listing, has, is_number, part, walk};
use super::query::{Asked, Wanted, is_cursor};
use crate::web::problem::Details;
use crate::web::server::Site;

/// Lists that the log orders: the newest first, and no other way.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub(super) enum NewestFirst {
    #[serde(rename = "-queued_at", alias = "-opened_at", alias = "-raised_at")]
    Newest,
}

/// Lists that are ordered by name, either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(super) enum ByName {
    #[default]
    #[serde(rename = "name")]
    Rising,
    #[serde(rename = "-name")]
    Falling,
}

macro_rules! page {
    ($variant:ident) => {
        |reply| if let Reply::$variant(page) = reply { Ok(page) } else { Err(Box::new(reply)) }
    };
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    after: Option<String>,
    /// `-queued_at`
    #[param(inline)]
    ordering: Option<NewestFirst>,
    /// In id, routine, node or snapshot.
    q: Option<String>,
    node: Option<NodeId>,
    routine: Option<RoutineName>,
    round: Option<RoundId>,
    task: Option<TaskKind>,
    state: Option<RunState>,
    outcome: Option<Outcome>,
    ended: Option<bool>,
    started_after: Option<Timestamp>,
    started_before: Option<Timestamp>,
    finished_after: Option<Timestamp>,
    finished_before: Option<Timestamp>,
}

impl RunsAsked {
    fn split(self) -> Result<(Wanted, RunFilter, impl Fn(&RunView) -> bool), Details> {
        let wanted = Wanted::read(self.limit, self.after, is_cursor)?;
        let (Some(NewestFirst::Newest) | None) = self.ordering;
        let filter = RunFilter {
            node: self.node,
            routine: self.routine,
            round: self.round,
            outcome: self.outcome,
            ended: self.ended,
        };
        let keep = move |run: &RunView| {
            self.task.is_none_or(|task| run.task == task)
                && self.state.is_none_or(|state| run.state == state)
                && is_within(run.started_at, self.started_after, self.started_before)
                && is_within(run.finished_at, self.finished_after, self.finished_before)
                && has(
                    self.q.as_deref(),
                    &[
                        &run.id.to_string(),
                        &run.routine.to_string(),
                        &run.node.to_string(),
                        run.snapshot.as_deref().unwrap_or_default(),
                    ],
                )
        };
        Ok((wanted, filter, keep))
    }
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsAsked), responses((status = 200, body = Listing<RunView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn runs(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<RunsAsked>,
) -> Result<Response, Details> {
    let (wanted, filter, keep) = asked.split()?;
    let question = |paging| Request::Runs { filter: filter.clone(), paging };
    Ok(json(&headers, &walk(&site.door, wanted, &uri, question, page!(Runs), keep).await?))
}

/// What landed: one snapshot of one run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SnapshotRow {
    snapshot: String,
    repository: Option<RepositoryId>,
    node: NodeId,
    routine: RoutineName,
    run: RunId,
    round: RoundId,
    finished_at: Option<Timestamp>,
    files: Option<u64>,
    bytes: Option<u64>,
    added_bytes: Option<u64>,
    /// Whether a neighbour saw it at the destination.
    witness: Option<Witness>,
}

/// What landed, the newest first: every run that left a snapshot.
#[utoipa::path(get, path = "/snapshots", tag = "runs", params(RunsAsked), responses((status = 200, body = Listing<SnapshotRow>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn snapshots(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<RunsAsked>,
) -> Result<Response, Details> {
    let (wanted, filter, keep) = asked.split()?;
    let filter = RunFilter { ended: Some(true), ..filter };
    let question = |paging| Request::Runs { filter: filter.clone(), paging };
    let keep = |run: &RunView| run.snapshot.is_some() && keep(run);
    let found = walk(&site.door, wanted, &uri, question, page!(Runs), keep).await?;
    let row = |run: RunView| {
        Some(SnapshotRow {
            snapshot: run.snapshot?,
            repository: run.repository,
            node: run.node,
            routine: run.routine,
            run: run.id,
            round: run.round,
            finished_at: run.finished_at,
            files: run.files,
            bytes: run.bytes,
            added_bytes: run.added_bytes,
            witness: run.witness,
        })
    };
    let results = found.results.into_iter().filter_map(row).collect();
    Ok(json(&headers, &Listing { count: found.count, next: found.next, previous: found.previous, results }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RoundsAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    after: Option<String>,
    /// `-opened_at`
    #[param(inline)]
    ordering: Option<NewestFirst>,
    /// In id or routine.
    q: Option<String>,
    routine: Option<RoutineName>,
    /// Without a verdict, or with one.
    open: Option<bool>,
    verdict: Option<VerdictKind>,
    task: Option<TaskKind>,
    opened_after: Option<Timestamp>,
    opened_before: Option<Timestamp>,
}

/// Rounds, the newest first.
#[utoipa::path(get, path = "/rounds", tag = "rounds", params(RoundsAsked), responses((status = 200, body = Listing<RoundView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn rounds(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<RoundsAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, is_cursor)?;
    let (Some(NewestFirst::Newest) | None) = asked.ordering;
    let question = |paging| Request::Rounds { routine: asked.routine.clone(), open: asked.open, paging };
    let keep = |round: &RoundView| {
        asked.verdict.is_none_or(|verdict| round.verdict == Some(verdict))
            && asked.task.is_none_or(|task| round.task == task)
            && is_within(Some(round.opened_at), asked.opened_after, asked.opened_before)
            && has(asked.q.as_deref(), &[&round.id.to_string(), &round.routine.to_string()])
    };
    Ok(json(&headers, &walk(&site.door, wanted, &uri, question, page!(Rounds), keep).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NodesAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    after: Option<String>,
    /// In id, host or labels.
    q: Option<String>,
    routine: Option<RoutineName>,
    online: Option<bool>,
    retired: Option<bool>,
    /// In at least one routine, or in none.
    covered: Option<bool>,
    /// With findings, or without.
    findings: Option<bool>,
}

/// Nodes by their id.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(NodesAsked), responses((status = 200, body = Listing<NodeView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn nodes(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<NodesAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, |after| after.parse::<NodeId>().is_ok())?;
    let keep = |node: &NodeView| {
        let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let texts: Vec<&str> =
            [node.id.as_str(), &node.host].into_iter().chain(labels.iter().map(String::as_str)).collect();
        asked.routine.as_ref().is_none_or(|name| node.routines.iter().any(|routine| routine.routine == *name))
            && asked.online.is_none_or(|online| node.online == online)
            && asked.retired.is_none_or(|retired| node.retired == retired)
            && asked.covered.is_none_or(|covered| node.routines.is_empty() != covered)
            && asked.findings.is_none_or(|findings| node.findings.is_empty() != findings)
            && has(asked.q.as_deref(), &texts)
    };
    let listing = walk(&site.door, wanted, &uri, |paging| Request::Nodes { paging }, page!(Nodes), keep).await?;
    Ok(json(&headers, &listing))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    after: Option<String>,
    /// `-raised_at`
    #[param(inline)]
    ordering: Option<NewestFirst>,
    /// In key or title.
    q: Option<String>,
    /// Only those that are open; true where it is not given.
    open: Option<bool>,
    severity: Option<Severity>,
    routine: Option<RoutineName>,
    node: Option<NodeId>,
}

/// Alerts, the newest first; the open ones where nothing else is asked for.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(AlertsAsked), responses((status = 200, body = Listing<AlertView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn alerts(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<AlertsAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, is_cursor)?;
    let (Some(NewestFirst::Newest) | None) = asked.ordering;
    let open = asked.open.unwrap_or(true);
    let keep = |view: &AlertView| {
        let alert = &view.alert;
        view.open == open
            && asked.severity.is_none_or(|severity| alert.severity == severity)
            && asked.routine.as_ref().is_none_or(|name| alert.routine.as_ref() == Some(name))
            && asked.node.as_ref().is_none_or(|node| alert.nodes.contains(node))
            && has(asked.q.as_deref(), &[&alert.key.0, &alert.title])
    };
    let question = |paging| Request::Alerts { all: !open, paging };
    Ok(json(&headers, &walk(&site.door, wanted, &uri, question, page!(Alerts), keep).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RoutinesAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    #[param(pattern = "^[0-9]{1,9}$")]
    after: Option<String>,
    #[serde(default)]
    #[param(inline)]
    ordering: ByName,
    /// In the name.
    q: Option<String>,
    node: Option<NodeId>,
    /// The verdict of its last round.
    verdict: Option<VerdictKind>,
}

/// Routines with their next slots and last rounds.
#[utoipa::path(get, path = "/routines", tag = "routines", params(RoutinesAsked), responses((status = 200, body = Listing<RoutineView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn routines(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<RoutinesAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, is_number)?;
    let reply = site.door.ask(Request::Routines).await;
    let Reply::Routines(mut all) = reply else { return Err(refused(reply)) };
    all.retain(|routine| {
        let last = routine.last_round.as_ref().and_then(|round| round.verdict);
        asked.node.as_ref().is_none_or(|node| routine.nodes.contains(node))
            && asked.verdict.is_none_or(|verdict| last == Some(verdict))
            && has(asked.q.as_deref(), &[routine.name.as_str()])
    });
    all.sort_by(|one, other| one.name.cmp(&other.name));
    if asked.ordering == ByName::Falling {
        all.reverse();
    }
    Ok(json(&headers, &part(all, &wanted, &uri)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LimitsAsked {
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// A place in the list, from `next`.
    #[param(pattern = "^[0-9]{1,9}$")]
    after: Option<String>,
    #[serde(default)]
    #[param(inline)]
    ordering: ByName,
    /// In the name.
    q: Option<String>,
    /// As built in, or set by somebody.
    is_default: Option<bool>,
}

/// Limits on how much runs at once, and how much of each is taken.
#[utoipa::path(get, path = "/limits", tag = "limits", params(LimitsAsked), responses((status = 200, body = Listing<LimitView>), (status = 304, description = "As `If-None-Match` has it.")))]
pub(super) async fn limits(
    State(site): State<Site>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Asked(asked): Asked<LimitsAsked>,
) -> Result<Response, Details> {
    let wanted = Wanted::read(asked.limit, asked.after, is_number)?;
    let reply = site.door.ask(Request::Limits).await;
    let Reply::Limits(mut all) = reply else { return Err(refused(reply)) };
    all.retain(|limit| {
        asked.is_default.is_none_or(|is_default| limit.is_default == is_default)
            && has(asked.q.as_deref(), &[&limit.name.to_string()])
    });
    all.sort_by_key(|limit| limit.name.to_string());
    if asked.ordering == ByName::Falling {
        all.reverse();
    }
    Ok(json(&headers, &part(all, &wanted, &uri)))
}

/// Whether an instant lies between the two, where they are given; what has not happened lies nowhere.
fn is_within(at: Option<Timestamp>, after: Option<Timestamp>, before: Option<Timestamp>) -> bool {
    (after.is_none() && before.is_none())
        || at.is_some_and(|at| after.is_none_or(|after| at >= after) && before.is_none_or(|before| at < before))
}
