//! Asking the coordinator over the bus.

use landfall_proto::bus::{Bus, BusRefusal, ConnectOptions, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode};
use landfall_proto::control::{Problem, ProblemCode, Reply, Request};

use super::failure::{BAD, Failure, UNKNOWN};
use crate::edge;

/// A connection as the operator.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) bus: Bus,
}

impl Mesh {
    pub(super) async fn connect(options: &ConnectOptions) -> Result<Self, Failure> {
        Ok(Self { bus: Bus::connect(options.clone()).await? })
    }

    /// Asks; a refusal of the coordinator and silence are failures, each of its own kind.
    pub(super) async fn ask(&self, request: &Request) -> Result<Reply, Failure> {
        match edge::ask(&self.bus, request.verb(), "operator", request).await {
            Told::Done(reply) => match decode(&reply.body, MESSAGE_BYTES_MAX) {
                Ok(Reply::Refused(problem)) => {
                    let code = if problem.code == Some(ProblemCode::Unknown) { UNKNOWN } else { BAD };
                    Err(Failure { problem, code })
                }
                Ok(reply) => Ok(reply),
                Err(refusal) => Err(Failure::new(
                    UNKNOWN,
                    "the coordinator's answer cannot be read",
                    refusal.to_string(),
                    "use a tool of the coordinator's own version",
                )),
            },
            Told::Refused(BusRefusal::NobodyListens { .. }) | Told::Unknown => Err(Failure::silence(request.verb())),
            Told::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// A reply of another shape than the request's own.
    pub(super) fn strange(reply: &Reply) -> Failure {
        let shape = format!("{reply:?}").chars().take(60).collect::<String>();
        let problem = Problem {
            what: "the coordinator answered something else than was asked".to_owned(),
            why: shape,
            fix: "use a tool of the coordinator's own version".to_owned(),
            code: None,
        };
        Failure { problem, code: UNKNOWN }
    }
}

/// Takes one variant out of a reply, and anything else as a failure.
macro_rules! expect_reply {
    ($reply:expr, $variant:ident) => {
        match $reply {
            landfall_proto::control::Reply::$variant(inner) => Ok(inner),
            other => Err($crate::cli::ask::Mesh::strange(&other)),
        }
    };
}
pub(super) use expect_reply;
