//! Answering a scrape: within a bounded time, and once for all who ask within a moment.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use landfall_proto::control::{Problem, Reply, Request};
use landfall_proto::metrics::MetricsView;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::text::{Format, write};
use crate::web::problem::Details;
use crate::web::server::Site;

/// Figures are shown for so long: several who ask at once cost the loop one look.
const FRESH: Duration = Duration::from_secs(2);

/// Shorter than Prometheus waits, so that it reads why there is nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The latest figures; who asks while they are fetched waits for them.
#[derive(Debug, Clone, Default)]
struct Latest(Arc<Mutex<Option<Taken>>>);

/// Figures, and when they were taken.
type Taken = (Instant, Arc<MetricsView>);

/// `/metrics`.
pub(in crate::web) fn routes() -> Router<Site> {
    Router::new().route("/metrics", get(scrape)).layer(Extension(Latest::default()))
}

async fn scrape(State(site): State<Site>, Extension(latest): Extension<Latest>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    let answered = async {
        let view = latest.get(&site).await?;
        // A large mesh is long to write, and other pages are not to wait for it.
        let written = tokio::task::spawn_blocking(move || write(view, format)).await;
        written.map_err(unwritten).and_then(|text| text.map_err(unwritten))
    };
    match tokio::time::timeout(ANSWER_WITHIN, answered).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Ok(Err(problem)) => unavailable(&problem),
        Err(_) => unavailable(&problem("the coordinator does not answer", "it is busy, or waits for the bus")),
    }
}

impl Latest {
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other kind of reply is the same mistake")]
    async fn get(&self, site: &Site) -> Result<Arc<MetricsView>, Problem> {
        let mut latest = self.0.lock().await;
        if let Some((at, view)) = &*latest
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(view));
        }
        match site.door.ask(Request::Metrics).await {
            Reply::Metrics(view) => {
                let view = Arc::new(view);
                *latest = Some((Instant::now(), Arc::clone(&view)));
                Ok(view)
            }
            Reply::Refused(problem) => Err(problem),
            other => Err(problem("the coordinator gave an answer of another kind", &format!("{other:?}"))),
        }
    }
}

fn unwritten(error: impl std::error::Error + 'static) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "the figures could not be written");
    problem("the figures could not be written", "see the journal")
}

fn unavailable(problem: &Problem) -> Response {
    Details::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", problem).into_response()
}

fn problem(what: &str, why: &str) -> Problem {
    let fix = "try again in a moment; `landfall status` says how the coordinator is".to_owned();
    Problem { what: what.to_owned(), why: why.to_owned(), fix, code: None }
}
