//! A node's clock is wrong by a day, or steps while a run is under way.

use std::time::Duration;

use crate::live::wait::seconds;
use crate::weather::case::{Case, Weather};
use crate::weather::hours::Hours;
use crate::weather::judge::close;
use crate::weather::mesh::NIGHTLY;
use crate::weather::need::Need;

const DAY: i64 = 86_400;

/// How long the mesh may take to say that a clock is wrong.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// How an alert about a wrong clock begins.
const CLOCK: &str = "clock";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("clock-ahead", "A node's clock is a day ahead from its start.", |weather| {
            Box::pin(wrong(weather, DAY))
        })
        .needs(&[Need::Clock]),
        Case::new("clock-behind", "A node's clock is a day behind from its start.", |weather| {
            Box::pin(wrong(weather, -DAY))
        })
        .needs(&[Need::Clock]),
        Case::new(
            "clock-steps",
            "A node's clock jumps by an hour and by a day, and back, while runs are under way.",
            |weather| Box::pin(steps(weather)),
        )
        .needs(&[Need::Clock]),
    ]
}

async fn wrong(weather: Weather, offset: i64) {
    let draft = weather.mesh(&["a", "b"]);
    let hours = Hours::new(draft.place(), "a");
    hours.step(offset);
    let mut mesh = draft.node("a", |node| hours.given_to(node)).start().await;
    mesh.fault(&format!("the clock of a is wrong by {offset} s"));
    // To a clock that is ahead every command looks too old: then the round waits, and nothing is called failed.
    let round = mesh.open(NIGHTLY).await;
    let key = mesh.cluster.operator.seen("somebody is told that the clock of a is wrong", NOTICED_WITHIN, |log| {
        log.alert_keys().into_iter().find(|key| key.starts_with(CLOCK)).map(str::to_owned)
    });
    let key = key.await;
    mesh.say(&format!("the mesh raised {key}"));
    hours.step(0);
    mesh.say("the clock of a is right again");
    mesh.verdict(round, seconds(120)).await;
    let second = mesh.open(NIGHTLY).await;
    mesh.verdict(second, seconds(120)).await;
    mesh.alerts_allowed.push(CLOCK.to_owned());
    close(mesh).await;
}

async fn steps(weather: Weather) {
    let draft = weather.mesh(&["a", "b"]);
    let hours = Hours::new(draft.place(), "a");
    let mut mesh = draft.node("a", |node| hours.given_to(node)).start().await;
    for offset in [3600, -3600, 86_400, -86_400] {
        let round = mesh.open(NIGHTLY).await;
        mesh.pause(Duration::from_millis(50), Duration::from_millis(600)).await;
        hours.step(offset);
        mesh.fault(&format!("the clock of a steps to {offset:+} s"));
        tokio::time::sleep(seconds(2)).await;
        hours.step(0);
        mesh.fault("the clock of a steps back to the true time");
        mesh.verdict(round, seconds(120)).await;
    }
    mesh.alerts_allowed.push(CLOCK.to_owned());
    close(mesh).await;
}
