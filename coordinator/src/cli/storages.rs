//! `landfall storages`: the room of every destination, how it grows, and when it will be full.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::{Paging, Request};
use landfall_proto::overview::{Forecast, SOON_DAYS, StorageView};

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::human::{bytes, dash};
use super::screen::{Screen, Tone};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall storages\n  landfall storages nas --json      (with one sample a day)\n\nFULL IN is a line through one sample a day, five at least; unknown until then."
)]
pub(super) struct Storages {
    /// One of them; a storage without a name of its own is NODE/TARGET
    #[arg(add = ArgValueCompleter::new(Live::Storages))]
    name: Option<String>,
    /// How many
    #[arg(long, default_value_t = 100)]
    rows: u32,
}

pub(super) async fn run(options: &Storages, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let paging = Paging { rows: Some(options.rows), after: None };
    let page = expect_reply!(mesh.ask(&Request::Storages { name: options.name.clone(), paging }).await?, Storages)?;
    if screen.json {
        screen.json_answer(&page);
    } else if page.rows.is_empty() {
        screen.note("no node has told the space of a destination yet; only destinations with a path are seen");
    } else {
        let rows = page.rows.iter().map(|storage| row(storage, screen)).collect();
        screen.table(&["STORAGE", "FREE", "SIZE", "USED", "GROWS", "FULL IN", "SAMPLES"], rows);
        if page.next.is_some() {
            screen.note("more with --rows");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(storage: &StorageView, screen: &Screen) -> Vec<String> {
    let room = storage.room();
    let (grows, full) = match storage.forecast {
        Forecast::Unknown => (dash(), "unknown".to_owned()),
        Forecast::Steady => ("no".to_owned(), "not in sight".to_owned()),
        Forecast::Filling { days, bytes_a_day } => {
            let tone = if days < SOON_DAYS { Tone::Warn } else { Tone::Plain };
            (format!("{}/d", bytes(bytes_a_day)), screen.paint(&format!("{days} d"), tone))
        }
    };
    vec![
        storage.name.clone(),
        room.map_or_else(dash, |room| bytes(room.free_bytes)),
        room.map_or_else(dash, |room| bytes(room.total_bytes)),
        storage.used_percent().map_or_else(dash, |percent| format!("{percent} %")),
        grows,
        full,
        storage.samples.len().to_string(),
    ]
}
