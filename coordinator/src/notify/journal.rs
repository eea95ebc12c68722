//! A sink that writes each notice to the system's journal with a priority, or to the standard error where there is no journal.

use landfall_proto::alert::Severity;

use super::body::{NoticeBody, Status};

/// Writes one structured record; the process's subscriber carries it to the journal, and its level becomes the priority.
pub(super) fn write(body: &NoticeBody) {
    let nodes = body.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let routine = body.routine.as_ref().map(ToString::to_string).unwrap_or_default();
    let reason = body.reason.map(|reason| reason.as_str()).unwrap_or_default();
    macro_rules! record {
        ($level:ident) => {
            tracing::$level!(
                target: "landfall::alert",
                alert = %body.key, id = %body.id, severity = %body.severity, status = body.status.as_str(),
                routine, nodes, reason, fix = body.fix, "{}", body.sentence()
            )
        };
    }
    match (body.status, body.severity) {
        (Status::Resolved | Status::Succeeded, _) | (Status::Raised, Severity::Info) => record!(info),
        (Status::Raised, Severity::Warning) => record!(warn),
        (Status::Raised, Severity::Critical | Severity::Emergency) => record!(error),
    }
}
