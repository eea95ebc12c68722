//! The whole life of a round as a person sees it in a browser: a real mesh, a real Chromium, and a script that looks.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::path::PathBuf;

use landfall_chaos::live::process::outside;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Node, Place, Setup, plans, source, tool};
use tokio::process::Command;

/// The link by which the coordinator lets the first person in.
async fn first_link(log: PathBuf) -> String {
    until("the coordinator shows a link for the first person", seconds(15), async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let is_link = |word: &&str| word.contains("/login/invite/");
        let word = text.split(|letter: char| letter.is_whitespace() || "\"=".contains(letter)).find(is_link)?;
        Some(word.to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium (LANDFALL_CHROMIUM), node and the folder of playwright-core (LANDFALL_PLAYWRIGHT)"]
async fn a_person_starts_a_round_watches_it_converge_and_reads_its_log() {
    let place = Place::new("browser");
    let folder = place.folder("data");
    source::tree(&folder, 20, 2_000);
    let log = place.log_of("coordinator");
    let shots = place.folder("shots");
    let nodes = ["node-1", "node-2"].map(|name| {
        Node::new(name)
            .plan(plans::rustic("nightly", &folder))
            .target(plans::repository(&place.path("repository"), &place.path("secrets/password")))
    });
    let cluster = nodes.into_iter().fold(Setup::new(place).pages(), Setup::node).start().await;
    cluster.ready().await;
    let link = first_link(log).await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser/round.js");
    let mut command = Command::new("node");
    command.arg(script).arg(link).arg(outside("LANDFALL_CHROMIUM", "chromium"));
    command.arg(std::env::var_os("LANDFALL_PLAYWRIGHT").unwrap_or_default()).arg(shots);
    let seen = tool::run(command).await;
    assert_eq!(seen.code, 0, "expected that the browser has nothing to complain of: {seen:#?}");
}
