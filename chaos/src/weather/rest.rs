//! After the weather: everything is mended, and the mesh has to come to rest within a bounded time.

use std::time::Duration;

use landfall_proto::view::StatusView;
use tokio::time::{Instant, sleep};

use super::mesh::Mesh;

/// How long a mended mesh may take until nothing is open any more: a client waits up to half a minute before it tries a bus
/// again, and a coordinator may have to read the whole log.
pub const REST_WITHIN: Duration = Duration::from_secs(120);

/// How long it must stay so.
const CALM: Duration = Duration::from_secs(1);

/// Waits until a leader answers, nothing is open, queued or running, every node is online, every round asked for has its
/// verdict, and the log is folded to its end.
pub async fn come_to_rest(mesh: &Mesh) {
    let begun = Instant::now();
    let mut calm_since: Option<Instant> = None;
    let mut unrest = String::from("nobody was asked yet");
    while begun.elapsed() < REST_WITHIN {
        match unrest_of(mesh).await {
            None => {
                let since = *calm_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= CALM {
                    mesh.say(&format!("at rest after {:.1} s", begun.elapsed().as_secs_f64()));
                    return;
                }
            }
            Some(why) => {
                calm_since = None;
                unrest = why;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("expected that the mended mesh comes to rest within {REST_WITHIN:?}: {unrest}");
}

/// Why the mesh is not at rest.
async fn unrest_of(mesh: &Mesh) -> Option<String> {
    let Some(status) = mesh.cluster.operator.status().await else { return Some("nobody answers".to_owned()) };
    let StatusView { rounds_open, runs_queued, runs_running, nodes_silent, lag, .. } = &status;
    if status.leader.is_none() {
        return Some("nobody leads".to_owned());
    }
    if (*rounds_open, *runs_queued, *runs_running) != (0, 0, 0) {
        return Some(format!("{rounds_open} rounds are open, {runs_queued} runs queued, {runs_running} running"));
    }
    if !nodes_silent.is_empty() {
        return Some(format!("these nodes are silent: {nodes_silent:?}"));
    }
    match (lag, mesh.cluster.operator.log_state().await) {
        (Some(lag), _) if *lag > 0 => return Some(format!("{lag} facts are not folded")),
        (_, None) => return Some("the bus does not tell the log's state".to_owned()),
        (_, Some(log)) if status.log_seq < log.last_seq => {
            return Some(format!("folded to {} of {}", status.log_seq, log.last_seq));
        }
        (_, Some(_)) => {}
    }
    for asked in &mesh.asked {
        let request = landfall_proto::control::Request::Round { id: asked.round };
        match mesh.cluster.operator.ask(&request).await {
            Some(landfall_proto::control::Reply::Round(detail)) if detail.round.verdict.is_some() => {}
            Some(landfall_proto::control::Reply::Round(_)) => return Some(format!("round {} is open", asked.round)),
            Some(other) => return Some(format!("round {}: {other:?}", asked.round)),
            None => return Some(format!("round {} is not shown", asked.round)),
        }
    }
    None
}
