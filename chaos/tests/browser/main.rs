//! The whole life of rounds as a person sees them in a browser: a real mesh, a real Chromium, and a script that looks and clicks.
//!
//! `LANDFALL_SCREENSHOTS=FOLDER` keeps the pictures, among them those of the README; the mesh then has more to do, so that bars are seen.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration as Time;

use jiff::tz::TimeZone;
use landfall_chaos::live::gate::Gate;
use landfall_chaos::live::process::{binary, find_fetched, outside};
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Node, Place, Setup, now, plans, source};
use landfall_proto::plan::{Plan, Schedule};
use landfall_proto::time::Duration;
use serde_json::json;
use tokio::process::Command;

/// The script looks at some thirty pages on a machine that may have other work.
const WITHIN: Time = Time::from_secs(330);

/// What must never become a part of a page: as a folder, so that it is among the options and the progress, and in a tool's words.
const HOSTILE: &str = "<img src=x onerror=pwned=1>";

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

/// Every day, and half a day away: it is shown, and does not come while the story lasts.
fn daily() -> Schedule {
    let hour = (now().to_zoned(TimeZone::UTC).hour() + 12) % 24;
    let (calendar, zone) = (format!("*-*-* {hour:02}:00").parse().unwrap(), "UTC".to_owned());
    Schedule { calendar, zone, catch_up: false }
}

fn nightly(folder: &Path) -> Plan {
    let mut plan = plans::rustic("nightly", folder);
    plan.schedule = Some(daily());
    plan.rpo = Some(Duration::from_secs(26 * 3600));
    plan.deadlines.finish_within = Duration::from_secs(300);
    plan
}

/// A routine that fails with words of its own until a file is there.
fn failing(place: &Place, mended: &Path) -> Node {
    let out = place.folder("mail");
    let (mended, at) = (mended.display(), out.display());
    let body = format!(
        "echo 'reading the spool'\necho 'WARN: two messages are locked'\n\
         [ -e '{mended}' ] || {{ echo 'error: spool is not mounted {HOSTILE}' >&2; exit 9; }}\necho saved > '{at}/artifact'"
    );
    let plan = plans::command("mail", &place.script("mail-task", &body), &out.join("artifact"));
    Node::new("web-2").plan(plan).target(plans::folder(&out))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_watches_rounds_converge_cancels_retries_and_is_never_misled() {
    let pictures = std::env::var_os("LANDFALL_SCREENSHOTS").map(PathBuf::from);
    let place = Place::new("browser");
    // A picture shows what most people have.
    let folder = place.folder(&format!("srv/{}", if pictures.is_some() { "data" } else { HOSTILE }));
    source::tree(&folder, 20, if pictures.is_some() { 12_000_000 } else { 20_000 });
    let (log, mended) = (place.log_of("coordinator"), place.path("mended"));
    let gate = Gate::new(&place, "dump");
    let nodes =
        [Node::new("db-1").plan(gate.plan("dump")).target(gate.target()), Node::new("web-1"), failing(&place, &mended)];
    let repository = plans::repository(&place.path("repository"), &place.path("secrets/password"));
    let nodes = nodes.map(|node| node.plan(nightly(&folder)).target(repository.clone()));
    let config = place.path("coordinator/coordinator.toml");
    let cluster = nodes.into_iter().fold(Setup::new(place).pages(), Setup::node).start().await;
    cluster.ready().await;
    let note = if pictures.is_some() { "the shop's orders" } else { HOSTILE };
    cluster.tool(&["monitor", "add", "shop-db", "--every", "1d", "--note", note]).await.good();
    let node = outside("LANDFALL_NODE", "node");
    let core = find_fetched("LANDFALL_PLAYWRIGHT", "playwright/package");
    let told = json!({
        "link": first_link(log).await,
        "chromium": outside("LANDFALL_CHROMIUM", "chromium"),
        "playwright": core.expect("playwright-core; do: export LANDFALL_PLAYWRIGHT=\"$(deploy/tools.sh playwright)\""),
        "user": [binary("landfall").display().to_string(), "user".to_owned(), "--config".to_owned(), config.display().to_string()],
        "mended": mended,
        "hostile": HOSTILE,
        "pictures": pictures,
    });
    let mut command = Command::new(node);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser/story.js")).arg(told.to_string());
    let words = std::fs::File::create(cluster.place.log_of("browser")).unwrap();
    command.stdin(Stdio::null()).stdout(words.try_clone().unwrap()).stderr(words).kill_on_drop(true);
    let ended = tokio::time::timeout(WITHIN, command.status()).await.expect("expected that the script ends in time");
    let said = std::fs::read_to_string(cluster.place.log_of("browser")).unwrap_or_default();
    assert!(ended.unwrap().success(), "expected that the browser has nothing to complain of:\n{said}");
}
