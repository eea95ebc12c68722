//! An agent dies, stands still, or is asked to go, while its runs are under way.

use std::time::Duration;

use crate::live::wait::seconds;
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{NIGHTLY, TASK};

/// Longer than a node may be silent.
const SILENCE: Duration = Duration::from_secs(20);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("agent-killed", "An agent is killed at a random moment of every round, and comes back.", |weather| {
            Box::pin(killed(weather))
        })
        .rounds(6),
        Case::new(
            "agent-frozen",
            "An agent stands still in the middle of its run for longer than it may be silent.",
            |weather| Box::pin(frozen(weather)),
        ),
        Case::new(
            "agent-asked-to-end",
            "An agent is asked to end in the middle of its run, and comes back.",
            |weather| Box::pin(asked_to_end(weather)),
        )
        .rounds(2),
    ]
}

async fn killed(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b", "c"]).start().await;
    for number in 0..mesh.weather.rounds {
        let round = mesh.open(if number % 2 == 0 { TASK } else { NIGHTLY }).await;
        let name = mesh.any_node();
        mesh.pause(Duration::ZERO, Duration::from_millis(900)).await;
        mesh.cluster.kill_agent(&name);
        mesh.fault(&format!("the agent of {name} is killed"));
        mesh.pause(Duration::ZERO, Duration::from_millis(400)).await;
        mesh.cluster.start_agent(&name);
        mesh.verdict(round, seconds(90)).await;
    }
    close(mesh).await;
}

async fn frozen(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    for number in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let name = mesh.any_node();
        let silence = mesh.standstill(number, SILENCE);
        mesh.cluster.agent(&name).freeze();
        mesh.fault(&format!("the agent of {name} stands still for {silence:.1?}"));
        mesh.release();
        tokio::time::sleep(silence).await;
        mesh.cluster.agent(&name).thaw();
        mesh.verdict(round, seconds(60)).await;
    }
    close(mesh).await;
}

async fn asked_to_end(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let name = mesh.any_node();
        mesh.fault(&format!("the agent of {name} is asked to end"));
        let code = mesh.cluster.stop_agent(&name).await;
        assert_eq!(code, Some(0), "expected that the agent of {name} ends well when it is asked to");
        mesh.release();
        mesh.cluster.start_agent(&name);
        mesh.verdict(round, seconds(60)).await;
    }
    close(mesh).await;
}
