//! A coordinator dies or stands still in the middle of a round, alone or with a standby beside it.

use std::time::Duration;

use crate::live::cluster::HOLDER;
use crate::live::wait::{seconds, until};
use crate::live::{Cluster, Log};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, NIGHTLY, TASK};

/// The second coordinator's name.
pub(super) const STANDBY: &str = "second";

/// Longer than a standby waits for a leader.
const SILENCE: Duration = Duration::from_secs(20);

/// How long a leader may be missing.
const TAKEOVER: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "coordinator-killed",
            "The only coordinator is killed at a random moment of every round, and comes back.",
            |weather| Box::pin(killed(weather)),
        )
        .rounds(6),
        Case::new(
            "leader-killed",
            "The leader of two coordinators is killed in the middle of every round.",
            |weather| Box::pin(leader_killed(weather)),
        )
        .rounds(3),
        Case::new(
            "leader-frozen",
            "The leader of two coordinators stands still in the middle of a round, and comes back with old orders.",
            |weather| Box::pin(leader_frozen(weather)),
        ),
        Case::new(
            "coordinator-ledger-lost",
            "A coordinator comes back with an empty folder in the middle of a round.",
            |weather| Box::pin(ledger_lost(weather)),
        ),
    ]
}

async fn killed(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b", "c"]).start().await;
    for number in 0..mesh.weather.rounds {
        let round = mesh.open(if number % 2 == 0 { TASK } else { NIGHTLY }).await;
        mesh.pause(Duration::ZERO, Duration::from_millis(1500)).await;
        mesh.cluster.kill_coordinator();
        mesh.fault("the coordinator is killed");
        mesh.pause(Duration::ZERO, Duration::from_millis(500)).await;
        mesh.cluster.start_coordinator();
        mesh.verdict(round, seconds(90)).await;
    }
    close(mesh).await;
}

async fn leader_killed(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b", "c"]).with(|setup| setup.standby(STANDBY)).start().await;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let leader = leader(&mesh.cluster).await;
        mesh.cluster.kill_coordinator_named(&leader);
        mesh.fault(&format!("the leader {leader} is killed"));
        let begun = tokio::time::Instant::now();
        mesh.release();
        let next = other_leader(&mesh, &leader).await;
        mesh.say(&format!("{next} leads after {:.1} s", begun.elapsed().as_secs_f64()));
        mesh.verdict(round, seconds(60)).await;
        mesh.cluster.start_coordinator_named(&leader);
    }
    close(mesh).await;
}

async fn leader_frozen(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).with(|setup| setup.standby(STANDBY)).start().await;
    for number in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let leader = leader(&mesh.cluster).await;
        let silence = mesh.standstill(number, SILENCE);
        mesh.cluster.coordinator_named(&leader).freeze();
        mesh.fault(&format!("the leader {leader} stands still until another one leads, and {silence:.1?} longer"));
        let next = other_leader(&mesh, &leader).await;
        mesh.say(&format!("{next} leads"));
        mesh.release();
        let second = mesh.open(TASK).await;
        tokio::time::sleep(silence).await;
        mesh.cluster.coordinator_named(&leader).thaw();
        mesh.say(&format!("{leader} goes on"));
        mesh.verdict(round, seconds(60)).await;
        mesh.verdict(second, seconds(60)).await;
    }
    close(mesh).await;
}

async fn ledger_lost(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        mesh.cluster.kill_coordinator();
        std::fs::remove_dir_all(mesh.cluster.coordinator_state(HOLDER)).expect("the coordinator has a folder");
        mesh.fault("the coordinator is killed and its folder is lost");
        mesh.release();
        mesh.cluster.start_coordinator();
        mesh.verdict(round, seconds(90)).await;
    }
    close(mesh).await;
}

/// Who leads, as a coordinator says.
pub(super) async fn leader(cluster: &Cluster) -> String {
    until("somebody leads", seconds(30), async || {
        cluster.operator.status().await.and_then(|status| status.leader).map(|holder| holder.to_string())
    })
    .await
}

/// Waits until somebody else has claimed to lead, and answers.
pub(super) async fn other_leader(mesh: &Mesh, gone: &str) -> String {
    // Two may have claimed one term; only a claim for a later one can be the answer to the leader's end.
    let claimed = mesh.cluster.operator.log().leaders().into_iter().map(|(_, claim)| claim.epoch).max();
    let what = format!("somebody else than {gone} leads");
    let newer = |log: &Log| {
        let newer = log.leaders().into_iter().filter(|(_, claim)| Some(claim.epoch) > claimed);
        newer.map(|(_, claim)| claim.holder.to_string()).find(|holder| holder != gone)
    };
    mesh.cluster.operator.seen(&what, TAKEOVER, newer).await
}
