//! The bus dies and comes back, or stands still; what is stored stays whole.

use std::time::Duration;

use crate::live::wait::{seconds, until_true};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{NIGHTLY, TASK};

/// Longer than any request waits.
const OUTAGE: Duration = Duration::from_secs(30);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("bus-killed", "The bus is killed at a random moment of every round, and comes back.", |weather| {
            Box::pin(killed(weather))
        })
        .rounds(4),
        Case::new("bus-frozen", "The bus stands still for half a minute in the middle of a round.", |weather| {
            Box::pin(frozen(weather))
        }),
        Case::new("bus-gone-at-boot", "An agent and the coordinator start while there is no bus.", |weather| {
            Box::pin(gone_at_boot(weather))
        }),
    ]
}

async fn killed(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b", "c"]).start().await;
    for number in 0..mesh.weather.rounds {
        let round = mesh.open(if number % 2 == 0 { TASK } else { NIGHTLY }).await;
        mesh.pause(Duration::ZERO, Duration::from_millis(1500)).await;
        mesh.cluster.bus.kill();
        mesh.fault("the bus is killed");
        mesh.pause(Duration::ZERO, Duration::from_millis(2000)).await;
        mesh.cluster.bus.start();
        mesh.verdict(round, seconds(120)).await;
    }
    close(mesh).await;
}

async fn frozen(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    for number in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let outage = mesh.standstill(number, OUTAGE);
        mesh.cluster.bus.freeze();
        mesh.fault(&format!("the bus stands still for {outage:.1?}"));
        mesh.release();
        let late = mesh.plan_round(TASK, landfall_proto::verdict::VerdictKind::Converged);
        assert!(!mesh.ask(late).await, "expected that nobody answers over a bus that stands still");
        tokio::time::sleep(outage).await;
        mesh.cluster.bus.thaw();
        // What was asked into the silence may be heard late; asked again under its own id it is the same round.
        mesh.insist(late).await;
        mesh.verdict(round, seconds(90)).await;
        mesh.verdict(late, seconds(90)).await;
    }
    close(mesh).await;
}

async fn gone_at_boot(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    mesh.cluster.kill_agent("a");
    mesh.cluster.kill_coordinator();
    mesh.cluster.bus.kill();
    mesh.fault("the bus, the coordinator and an agent are killed; the two start before the bus does");
    mesh.cluster.start_agent("a");
    mesh.cluster.start_coordinator();
    mesh.release();
    let run = crate::live::bus::run_of(round, "a", landfall_proto::report::TaskKind::Backup);
    let receipt = mesh.cluster.state("a").join(format!("runs/{run}/receipt.json"));
    until_true("the agent ends its run without any bus", seconds(60), || receipt.is_file()).await;
    mesh.cluster.bus.start();
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}
