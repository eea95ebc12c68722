//! For load balancers and supervisors: whether the process answers, and whether it follows the log.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use landfall_proto::control::{Reply, Request};

use super::server::Site;

/// `/health/live`: this process answers. `/health/ready`: its loop answers too, so that pages show something.
pub(super) fn routes() -> Router<Site> {
    Router::new().route("/health/live", get(|| async { "alive\n" })).route("/health/ready", get(ready))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "any other kind of reply is the same mistake")]
async fn ready(State(site): State<Site>) -> (StatusCode, String) {
    let reply = site.door.ask(Request::Status).await;
    match &reply {
        Reply::Status(_) => (StatusCode::OK, format!("{} is followed\n", site.cluster)),
        Reply::Refused(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}: {}\n", problem.what, problem.why)),
        _ => (StatusCode::SERVICE_UNAVAILABLE, format!("an answer of another kind: {reply:?}\n")),
    }
}
