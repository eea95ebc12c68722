//! Asking the coordinator on a page's behalf; anything but the answer is a problem to be shown.

use landfall_proto::control::{Problem, ProblemCode, Reply};

/// Asks, and takes the one kind of answer that the question has.
macro_rules! told {
    ($site:expr, $request:expr, $kind:ident) => {
        match $site.door.ask($request).await {
            landfall_proto::control::Reply::$kind(it) => Ok(it),
            other => Err($crate::web::pages::ask::instead(other)),
        }
    };
}
pub(super) use told;

/// Why there is no answer of the right kind.
#[expect(clippy::wildcard_enum_match_arm, reason = "any other kind of answer is the same mistake")]
pub(super) fn instead(reply: Reply) -> Problem {
    match reply {
        Reply::Refused(problem) => problem,
        other => Problem {
            what: "the coordinator answered something else than was asked".to_owned(),
            why: format!("{other:?}").chars().take(60).collect(),
            fix: "use pages and coordinator of one version".to_owned(),
            code: None,
        },
    }
}

pub(super) fn missing(path: &str) -> Problem {
    Problem {
        what: "there is no such page".to_owned(),
        why: format!("nothing is at {path}"),
        fix: "begin at the overview".to_owned(),
        code: Some(ProblemCode::NotFound),
    }
}
