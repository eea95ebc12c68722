//! `plans`: what this node would run, and every file that cannot be read.

use std::process::ExitCode;

use clap::Args;
use landfall_proto::id::{RoutineName, TargetName};
use landfall_proto::time::Timestamp;
use serde::Serialize;

use super::{USAGE, print};
use crate::config::Config;
use crate::core::CatalogEntry;
use crate::edge::clock;
use crate::edge::plans::Folders;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall-agent plans\n  landfall-agent plans --json | jq '.plans[].next_slot'\n\nExit codes: 0 all files are good, 2 at least one is not."
)]
pub(super) struct Plans {
    /// Print JSON with stable field names
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    plans: Vec<Row>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Row {
    name: RoutineName,
    driver: &'static str,
    target: TargetName,
    location: String,
    calendar: Option<String>,
    zone: String,
    next_slot: Option<Timestamp>,
    hash: String,
}

#[derive(Serialize)]
struct Problem {
    file: String,
    line: Option<usize>,
    key: String,
    what: String,
    fix: String,
}

impl Plans {
    pub(super) fn main(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let loaded = Folders { plans: config.plans_dir.clone(), targets: config.targets_dir.clone() }.load();
        let code = if loaded.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        if self.json {
            let problems = loaded.problems.into_iter().map(|problem| Problem {
                file: problem.file,
                line: problem.line,
                key: problem.key,
                what: problem.what,
                fix: problem.fix,
            });
            print::json(&Listing {
                plans: loaded.catalog.plans.values().map(row).collect(),
                problems: problems.collect(),
            })?;
            return Ok(code);
        }
        if loaded.catalog.plans.is_empty() {
            print::line(&format!(
                "There is no plan in {}; `landfall-agent plan example` prints one to begin with.",
                config.plans_dir.display()
            ));
        } else {
            let rows = loaded.catalog.plans.values().map(row).map(|row| {
                let next = row.next_slot.map_or_else(|| "by hand".to_owned(), print::moment);
                vec![
                    row.name.to_string(),
                    row.driver.to_owned(),
                    row.target.to_string(),
                    row.calendar.unwrap_or_default(),
                    next,
                ]
            });
            print::table(&["PLAN", "DRIVER", "TARGET", "CALENDAR", "NEXT"], rows.collect());
        }
        for problem in &loaded.problems {
            print::complain(&problem.to_string());
        }
        Ok(code)
    }
}

fn row(entry: &CatalogEntry) -> Row {
    let plan = &entry.plan;
    let schedule = plan.schedule.as_ref();
    Row {
        name: plan.name.clone(),
        driver: plan.driver.as_str(),
        target: plan.target.clone(),
        location: entry.target.location.clone(),
        calendar: schedule.map(|schedule| schedule.calendar.to_string()),
        zone: plan.zone().to_owned(),
        next_slot: schedule.and_then(|schedule| schedule.calendar.next_after(clock::now(), &entry.zone)),
        hash: plan.hash(),
    }
}
