//! The pages for people: rendered here, usable without a script, kept fresh by [`live`] where there is one.

mod acting;
mod acts;
mod alert;
mod ask;
mod card;
mod home;
mod incident;
mod landed;
mod list;
mod live;
mod log;
mod monitor;
mod node;
mod pulse;
mod queue;
mod report;
mod round;
mod routine;
mod run;
mod shown;
mod storage;
#[cfg(test)]
mod tests;
mod trend;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use landfall_proto::control::{Problem, ProblemCode};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};

use self::shown::{Glance, Memory, Query, Shown};
use super::markup::{Frame, Section, frame};
use super::server::Site;
use super::{assets, markup};
use crate::edge::clock;

pub(super) fn routes(site: &Site) -> Router<Site> {
    let mut router = Router::new();
    for path in [
        "/",
        "/queue",
        "/queue/{id}",
        "/rounds",
        "/rounds/{id}",
        "/runs/{id}",
        "/nodes",
        "/nodes/{id}",
        "/routines",
        "/routines/{name}",
        "/alerts",
        "/monitors",
        "/monitors/{name}",
        "/trends",
        "/report",
        "/snapshots",
    ] {
        router = router.route(path, get(show));
    }
    router
        .route("/runs/{id}/log.txt", get(log::download))
        .route("/runs/{id}/incident.md", get(incident::download))
        .route("/runs/{id}/cancel", post(acts::cancel_run))
        .route("/runs/{id}/retry", post(acts::retry))
        .route("/rounds/{id}/cancel", post(acts::cancel_round))
        .route("/routines/{name}/start", post(acts::start))
        .route("/nodes/{id}/retire", post(acts::retire))
        .route("/limits", post(acts::limit))
        .route("/events", get(live::stream))
        .layer(from_fn_with_state(site.clone(), acting::known))
        .route("/assets/{*path}", get(assets::serve))
}

/// Which page an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Home,
    Queue,
    Rounds,
    Round(RoundId),
    Run(RunId),
    Nodes,
    Node(NodeId),
    Routines,
    Routine(RoutineName),
    Alerts,
    Monitors,
    Monitor(RoutineName),
    Trends,
    Report,
    Landed,
}

impl Place {
    fn at(path: &str) -> Option<Self> {
        let mut steps = path.trim_matches('/').split('/');
        let place = (steps.next().unwrap_or_default(), steps.next());
        if steps.next().is_some() {
            return None;
        }
        Some(match place {
            ("", None) => Self::Home,
            ("queue", None) => Self::Queue,
            ("rounds", None) => Self::Rounds,
            ("rounds", Some(id)) => Self::Round(id.parse().ok()?),
            ("runs" | "queue", Some(id)) => Self::Run(id.parse().ok()?),
            ("nodes", None) => Self::Nodes,
            ("nodes", Some(id)) => Self::Node(id.parse().ok()?),
            ("routines", None) => Self::Routines,
            ("routines", Some(name)) => Self::Routine(name.parse().ok()?),
            ("alerts", None) => Self::Alerts,
            ("monitors", None) => Self::Monitors,
            ("monitors", Some(name)) => Self::Monitor(name.parse().ok()?),
            ("trends", None) => Self::Trends,
            ("report", None) => Self::Report,
            ("snapshots", None) => Self::Landed,
            _ => return None,
        })
    }
}

/// The page at this place as it is now.
async fn render(place: &Place, glance: Glance<'_>) -> Result<Shown, Problem> {
    let (site, now) = (glance.site, glance.now);
    let shown = match place {
        Place::Home => home::show(glance).await,
        Place::Queue => queue::show(glance).await,
        Place::Rounds => round::list(glance).await,
        Place::Round(id) => round::show(glance, *id).await,
        Place::Run(id) => run::show(glance, *id).await,
        Place::Nodes => node::list(glance).await,
        Place::Node(id) => node::show(glance, id).await,
        Place::Routines => routine::list(glance).await,
        Place::Routine(name) => routine::show(glance, name).await,
        Place::Alerts => alert::show(glance).await,
        Place::Monitors => monitor::list(glance).await,
        Place::Monitor(name) => monitor::show(glance, name).await,
        Place::Trends => trend::show(glance).await,
        Place::Report => report::show(glance).await,
        Place::Landed => landed::show(glance).await,
    };
    let pulse = pulse::part(site, now).await;
    shown.map(|shown| shown.first("pulse", &pulse))
}

async fn show(State(site): State<Site>, uri: Uri) -> Response {
    let query = Query::of(&uri);
    let mut memory = Memory::default();
    let glance = Glance { site: &site, query: &query, now: clock::now(), memory: &mut memory };
    let shown = match Place::at(uri.path()) {
        Some(place) => render(&place, glance).await,
        None => Err(ask::missing(uri.path())),
    };
    match shown {
        Ok(shown) => answer(&site, &shown),
        Err(problem) => refusal(&problem),
    }
}

/// The page that only says what is wrong.
fn refusal(problem: &Problem) -> Response {
    let status = match problem.code {
        Some(ProblemCode::NotFound) => StatusCode::NOT_FOUND,
        Some(ProblemCode::Unknown) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::CONFLICT,
    };
    (status, markup::page(&problem.what, Section::Elsewhere, &markup::problem(problem))).into_response()
}

fn answer(site: &Site, shown: &Shown) -> Response {
    let cluster = site.cluster.to_string();
    let who = acting::name();
    let about = Frame { title: &shown.title, active: shown.active, cluster: &cluster, live: true, who: &who };
    frame(about, &shown.body()).into_response()
}
