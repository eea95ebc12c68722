//! What is wrong, as a program reads it: problem details (RFC 9457) with the cause and the next step.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use landfall_proto::control::Problem;
use serde::Serialize;
use utoipa::ToSchema;

/// One answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Details {
    /// A short name of the kind of problem; stable.
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    status: u16,
    /// Why.
    detail: String,
    /// What to do now.
    fix: String,
}

impl Details {
    pub(super) fn new(status: StatusCode, kind: &'static str, problem: &Problem) -> Self {
        Self {
            kind,
            title: problem.what.clone(),
            status: status.as_u16(),
            detail: problem.why.clone(),
            fix: problem.fix.clone(),
        }
    }

    pub(super) fn not_found(path: &str) -> Self {
        let problem = Problem {
            what: "there is nothing at this address".to_owned(),
            why: format!("no page and no resource is at {}", path.chars().take(200).collect::<String>()),
            fix: "begin at /".to_owned(),
            code: None,
        };
        Self::new(StatusCode::NOT_FOUND, "not-found", &problem)
    }
}

impl IntoResponse for Details {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}
