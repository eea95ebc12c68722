//! A bus of three servers with a copy of the log on each, and two coordinators: one of everything may fail.

use std::time::Duration;

use super::coordinators::{STANDBY, leader, other_leader};
use crate::live::server::BusServer;
use crate::live::wait::seconds;
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, TASK};
use crate::weather::store::{tear_tail, wipe};

/// How long a round may take while leaders of coordinators and of the log are elected.
const VERDICT_WITHIN: Duration = Duration::from_secs(120);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "three-leader-and-server-killed",
            "In the middle of a round the leading coordinator is killed, and then one of three bus servers.",
            |weather| Box::pin(leader_and_server(weather)),
        ),
        Case::new(
            "three-store-torn",
            "One of three bus servers is killed, loses the end of its copy of the log, and comes back.",
            |weather| Box::pin(one_store(weather, "torn")),
        ),
        Case::new(
            "three-store-wiped",
            "One of three bus servers is killed, loses its copy of the log, and comes back.",
            |weather| Box::pin(one_store(weather, "wiped")),
        ),
        Case::new(
            "three-rolling",
            "All bus servers are restarted in the middle of a round, one after the other.",
            |weather| Box::pin(rolling(weather)),
        ),
    ]
}

async fn mesh(weather: Weather) -> Mesh {
    weather.mesh(&["a", "b", "c"]).with(|setup| setup.three_servers().standby(STANDBY)).start().await
}

/// One of the three, by chance.
fn any_server(mesh: &mut Mesh) -> usize {
    *mesh.weather.dice.one_of(&[0, 1, 2])
}

fn server(mesh: &mut Mesh, number: usize) -> &mut BusServer {
    if number == 0 { &mut mesh.cluster.bus } else { &mut mesh.cluster.other_buses[number - 1] }
}

async fn leader_and_server(weather: Weather) {
    let mut mesh = mesh(weather).await;
    for _ in 0..mesh.weather.rounds {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let first = leader(&mesh.cluster).await;
        mesh.cluster.kill_coordinator_named(&first);
        mesh.fault(&format!("the leader {first} is killed"));
        let begun = tokio::time::Instant::now();
        let next = other_leader(&mesh, &first).await;
        mesh.say(&format!("{next} leads after {:.1} s", begun.elapsed().as_secs_f64()));
        let number = any_server(&mut mesh);
        server(&mut mesh, number).kill();
        mesh.fault(&format!("bus server {} of three is killed", number + 1));
        mesh.release();
        mesh.verdict(round, VERDICT_WITHIN).await;
        server(&mut mesh, number).start();
        mesh.cluster.start_coordinator_named(&first);
    }
    close(mesh).await;
}

async fn one_store(weather: Weather, what: &'static str) {
    let mut mesh = mesh(weather).await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    let number = any_server(&mut mesh);
    server(&mut mesh, number).kill();
    let store = server(&mut mesh, number).store().to_owned();
    match what {
        "torn" => {
            tear_tail(&store);
        }
        _ => wipe(&store),
    }
    mesh.fault(&format!("bus server {} of three is killed and its store is {what}", number + 1));
    mesh.release();
    server(&mut mesh, number).start();
    mesh.verdict(round, VERDICT_WITHIN).await;
    let second = mesh.open(TASK).await;
    mesh.verdict(second, VERDICT_WITHIN).await;
    close(mesh).await;
}

async fn rolling(weather: Weather) {
    let mut mesh = mesh(weather).await;
    let first = mesh.open(TASK).await;
    mesh.verdict(first, VERDICT_WITHIN).await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    for number in 0..3 {
        server(&mut mesh, number).kill();
        mesh.fault(&format!("bus server {} of three is restarted", number + 1));
        mesh.pause(Duration::from_millis(500), seconds(2)).await;
        server(&mut mesh, number).start();
        // The next one goes when this one has had time to take its place again, as a person would do it.
        tokio::time::sleep(seconds(6)).await;
    }
    mesh.release();
    mesh.verdict(round, VERDICT_WITHIN).await;
    close(mesh).await;
}
