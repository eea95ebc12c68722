//! Why a worker could not do its task, with the reason found where the cause is known.

use std::error::Error;
use std::io;

use landfall_proto::report::Reason;
use rustic_core::RusticError;

use super::emit::redact;
use super::protocol::Event;

/// Longest chain of causes that is reported.
const MAX_CAUSES: usize = 8;

/// A failed task.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) detail: Vec<String>,
}

impl Failure {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), detail: Vec::new() }
    }

    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.detail.push(cause.into());
        self
    }

    /// A failed call of the system. `NotFound` has no reason of its own: only the caller knows what was missing.
    pub(super) fn io(message: impl Into<String>, error: &io::Error) -> Self {
        Self::new(io_reason(error).unwrap_or(Reason::Unknown), message).because(error.to_string())
    }

    /// The engine's error, with `fallback` as the reason where its causes name none.
    pub(super) fn engine(error: &RusticError, fallback: Reason) -> Self {
        let reason = reason_of(error).unwrap_or(fallback);
        Self { reason, message: headline(error), detail: causes(error) }
    }

    pub(super) fn with_reason(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    pub(super) fn into_event(self) -> Event {
        Event::Failed {
            reason: self.reason,
            message: redact(&self.message),
            detail: self.detail.iter().map(|cause| redact(cause)).collect(),
        }
    }
}

impl From<Box<RusticError>> for Failure {
    fn from(error: Box<RusticError>) -> Self {
        Self::engine(&error, Reason::Unknown)
    }
}

/// What the chain of causes tells. The engine keeps its error kinds to itself, so the causes are asked instead.
pub(super) fn reason_of(error: &(dyn Error + 'static)) -> Option<Reason> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(reason) = own_reason(error) {
            return Some(reason);
        }
        cause = error.source();
    }
    None
}

/// One line without the engine's advice to its own users.
pub(super) fn headline(error: &RusticError) -> String {
    let line = error.display_log();
    let line = line.strip_prefix("Error: ").unwrap_or(&line);
    let line = line.split(" (kind: related to").next().unwrap_or(line);
    line.replace('\n', " ")
}

/// Whether the file named by the error did not exist.
pub(super) fn is_not_found(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let system = error.downcast_ref::<io::Error>().or_else(|| error.downcast_ref::<ignore::Error>()?.io_error());
        if let Some(system) = system {
            return system.kind() == io::ErrorKind::NotFound;
        }
        cause = error.source();
    }
    false
}

pub(super) fn io_reason(error: &io::Error) -> Option<Reason> {
    use io::ErrorKind as Kind;
    const NETWORK: [Kind; 9] = [
        Kind::ConnectionRefused,
        Kind::ConnectionReset,
        Kind::ConnectionAborted,
        Kind::NotConnected,
        Kind::HostUnreachable,
        Kind::NetworkUnreachable,
        Kind::NetworkDown,
        Kind::TimedOut,
        // The server of a network file system has forgotten the file.
        Kind::StaleNetworkFileHandle,
    ];
    const REASONS: [(Kind, Reason); 7] = [
        (Kind::StorageFull, Reason::NoSpace),
        (Kind::QuotaExceeded, Reason::NoSpace),
        (Kind::ReadOnlyFilesystem, Reason::ReadOnly),
        (Kind::PermissionDenied, Reason::Permission),
        (Kind::ResourceBusy, Reason::Busy),
        (Kind::UnexpectedEof, Reason::Integrity),
        (Kind::InvalidData, Reason::Integrity),
    ];
    let kind = error.kind();
    if NETWORK.contains(&kind) {
        return Some(Reason::Network);
    }
    REASONS.iter().find(|(known, _)| *known == kind).map(|(_, reason)| *reason)
}

fn own_reason(error: &(dyn Error + 'static)) -> Option<Reason> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return io_reason(error);
    }
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return Some(http_reason(error));
    }
    if error.downcast_ref::<serde_json::Error>().is_some() {
        return Some(Reason::Integrity);
    }
    let engine = error
        .downcast_ref::<RusticError>()
        .or_else(|| error.downcast_ref::<Box<RusticError>>().map(|error| &**error))?;
    if engine.is_incorrect_password() {
        return Some(Reason::Auth);
    }
    // C001 is the engine's code for data whose authentication tag does not fit.
    engine.is_code("C001").then_some(Reason::Integrity)
}

fn http_reason(error: &reqwest::Error) -> Reason {
    match error.status().map(|status| status.as_u16()) {
        Some(401) => Reason::Auth,
        Some(403) => Reason::Permission,
        // A server that offers the repository for reading only knows no way to write.
        Some(405 | 501) => Reason::ReadOnly,
        Some(404) => Reason::NoRepository,
        Some(429 | 503) => Reason::Busy,
        Some(507) => Reason::NoSpace,
        Some(_) | None => Reason::Network,
    }
}

fn causes(error: &RusticError) -> Vec<String> {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause
        && causes.len() < MAX_CAUSES
    {
        let engine = error
            .downcast_ref::<RusticError>()
            .or_else(|| error.downcast_ref::<Box<RusticError>>().map(|error| &**error));
        causes.push(engine.map_or_else(|| error.to_string(), headline));
        cause = error.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use rustic_core::ErrorKind;

    use super::*;

    fn engine_error(cause: io::Error) -> Box<RusticError> {
        RusticError::with_source(ErrorKind::Backend, "Reading `{name}` failed.", cause).attach_context("name", "x")
    }

    #[test]
    fn the_reason_comes_from_the_deepest_place_that_knows_it() {
        for (kind, reason) in [
            (io::ErrorKind::StorageFull, Some(Reason::NoSpace)),
            (io::ErrorKind::PermissionDenied, Some(Reason::Permission)),
            (io::ErrorKind::StaleNetworkFileHandle, Some(Reason::Network)),
            (io::ErrorKind::UnexpectedEof, Some(Reason::Integrity)),
            (io::ErrorKind::NotFound, None),
        ] {
            let inner = engine_error(io::Error::from(kind));
            assert_eq!(reason_of(&*inner), reason, "{kind}");
            let outer = RusticError::with_source(ErrorKind::Internal, "Outer.", inner);
            assert_eq!(reason_of(&*outer), reason, "{kind}, one level deeper");
        }
    }

    #[test]
    fn a_failure_names_what_happened_and_its_causes_in_single_lines() {
        let failure = Failure::engine(&engine_error(io::Error::other("the cable is cut")), Reason::Network);
        assert_eq!(failure.message, "Reading `x` failed.");
        assert_eq!(failure.detail, ["the cable is cut"]);
        assert_eq!(failure.reason, Reason::Network);
    }
}
