//! Everything at once: whatever is killed or frozen while rounds go on.

use std::time::Duration;

use super::coordinators::STANDBY;
use crate::live::cluster::HOLDER;
use crate::live::wait::seconds;
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, NIGHTLY, TASK};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "storm",
            "Agents, coordinator and bus are killed or frozen at random while rounds go on.",
            |weather| Box::pin(storm(weather, false)),
        )
        .rounds(12),
        Case::new("storm-two", "The same with two coordinators.", |weather| Box::pin(storm(weather, true))).rounds(12),
    ]
}

async fn storm(weather: Weather, has_standby: bool) {
    let draft = weather.mesh(&["a", "b", "c"]);
    let draft = if has_standby { draft.with(|setup| setup.standby(STANDBY)) } else { draft };
    let mut mesh = draft.start().await;
    let mut rounds = Vec::new();
    for number in 0..mesh.weather.rounds {
        let name = if number % 3 == 2 { NIGHTLY } else { TASK };
        let round = mesh.plan_round(name, landfall_proto::verdict::VerdictKind::Converged);
        mesh.ask(round).await;
        rounds.push(round);
        break_something(&mut mesh).await;
    }
    for round in rounds {
        // What was lost with the bus or the coordinator is made good, and nothing is opened twice.
        mesh.insist(round).await;
        mesh.verdict(round, seconds(120)).await;
    }
    close(mesh).await;
}

/// Breaks one thing and mends it.
async fn break_something(mesh: &mut Mesh) {
    let pause = mesh.weather.dice.between(Duration::ZERO, Duration::from_millis(800));
    let name = mesh.any_node();
    let coordinators = mesh.cluster.coordinator_names().to_vec();
    let coordinator = mesh.weather.dice.one_of(&coordinators).clone();
    match mesh.weather.dice.below(6) {
        0 => {
            mesh.fault(&format!("the coordinator {coordinator} is killed for {pause:?}"));
            mesh.cluster.kill_coordinator_named(&coordinator);
            tokio::time::sleep(pause).await;
            mesh.cluster.start_coordinator_named(&coordinator);
        }
        1 => {
            mesh.fault(&format!("the agent of {name} is killed for {pause:?}"));
            mesh.cluster.kill_agent(&name);
            tokio::time::sleep(pause).await;
            mesh.cluster.start_agent(&name);
        }
        2 => {
            mesh.fault(&format!("the bus is killed for {pause:?}"));
            mesh.cluster.bus.kill();
            tokio::time::sleep(pause).await;
            mesh.cluster.bus.start();
        }
        3 => {
            mesh.fault(&format!("the bus stands still for {pause:?}"));
            mesh.cluster.bus.freeze();
            tokio::time::sleep(pause).await;
            mesh.cluster.bus.thaw();
        }
        4 => {
            mesh.fault(&format!("the agent of {name} stands still for {pause:?}"));
            mesh.cluster.agent(&name).freeze();
            tokio::time::sleep(pause).await;
            mesh.cluster.agent(&name).thaw();
        }
        _ => {
            mesh.fault(&format!("the coordinator {HOLDER} stands still for {pause:?}"));
            mesh.cluster.coordinator().freeze();
            tokio::time::sleep(pause).await;
            mesh.cluster.coordinator().thaw();
        }
    }
}
