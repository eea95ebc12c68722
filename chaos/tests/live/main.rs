//! Bad input and bad luck, told as stories with real processes: each test starts a mesh of its own and takes it away again.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

mod agents;
mod alerts;
mod cards;
mod cases;
mod completion;
mod crashes;
mod destinations;
mod guards;
mod limits;
mod messages;
mod metrics;
mod monitoring;
mod pings;
mod programs;
mod rebuild;
mod rehearsals;
mod rounds;
mod served;
mod sinks;
mod slots;
mod sources;
mod together;
mod weather;

use std::path::{Path, PathBuf};

use landfall_chaos::live::{Node, Place, plans, source};
use landfall_proto::view::RoundDetail;

/// A small tree to protect.
fn small_tree(place: &Place, name: &str) -> PathBuf {
    let root = place.folder(name);
    source::tree(&root, 20, 2_000);
    root
}

/// A node that saves `source` into the repository that all nodes share.
fn saver(name: &str, place: &Place, source: &Path) -> Node {
    Node::new(name)
        .plan(plans::rustic("nightly", source))
        .target(plans::repository(&place.path("repository"), &place.path("secrets/password")))
}

/// Node, outcome and reason of each run, for failure messages that say it all.
fn table(detail: &RoundDetail) -> String {
    let rows: Vec<String> = detail
        .runs
        .iter()
        .map(|run| format!("{} {} {:?} {:?}", run.node, run.state.as_str(), run.reason, run.witness))
        .collect();
    format!("{:?}: {}", detail.round.verdict, rows.join("; "))
}
