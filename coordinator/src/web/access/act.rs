//! Acting for a person, the same from a page's form as from the API: whether he may, the act, and a line in the journal.

use axum::response::Response;
use landfall_proto::control::{Reply, Request};

use super::guard::Actor;
use super::role::Role;
use crate::web::server::Site;

/// What an act takes. Fleets are not made smaller, nor made to work harder, by everybody who may start a backup.
const fn needed(act: &Request) -> Role {
    match act {
        Request::Retire { .. }
        | Request::SetLimit { .. }
        | Request::SetMonitor { .. }
        | Request::RemoveMonitor { .. }
        | Request::SetPingKey { .. } => Role::Admin,
        Request::Start { .. }
        | Request::Cancel { .. }
        | Request::Retry { .. }
        | Request::TestSink { .. }
        | Request::Ping { .. } => Role::Operator,
        Request::Status
        | Request::Rounds { .. }
        | Request::Round { .. }
        | Request::Runs { .. }
        | Request::Run { .. }
        | Request::Nodes { .. }
        | Request::Node { .. }
        | Request::Routines
        | Request::Routine { .. }
        | Request::Alerts { .. }
        | Request::Alert { .. }
        | Request::Limits
        | Request::Board { .. }
        | Request::Queue { .. }
        | Request::Trends { .. }
        | Request::Monitors { .. }
        | Request::Monitor { .. }
        | Request::Storages { .. }
        | Request::Rehearse { .. }
        | Request::Metrics
        | Request::Logs { .. }
        | Request::Snapshot { .. } => Role::Viewer,
    }
}

/// Does it in the name of `actor`, or answers with why he may not. `target` is what the person named.
pub(in crate::web) async fn perform(
    site: &Site,
    actor: &Actor,
    act: Request,
    target: &str,
) -> Result<Reply, Box<Response>> {
    actor.must_be(needed(&act))?;
    let verb = act.verb();
    let reply = site.door.ask(act).await;
    let told =
        if let Reply::Refused(problem) = &reply { format!("refused: {}", problem.what) } else { "done".to_owned() };
    tracing::info!(audit = "act", by = actor.name, role = %actor.role, verb, target, told, "somebody acted over HTTP");
    Ok(reply)
}
