//! `plan`: check files before they are put in place, or print an example.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use jiff::tz::TimeZone;
use landfall_proto::file::FileProblem;
use landfall_proto::plan::{read_plan, read_target};

use super::{USAGE, print};
use crate::edge::clock;

/// A commented plan with every key; a test reads it.
const PLAN_EXAMPLE: &str = include_str!("../../../deploy/config/plans.d/nightly.toml");

/// A commented target with every key; a test reads it.
const TARGET_EXAMPLE: &str = include_str!("../../../deploy/config/targets.d/disk.toml");

/// Slots that are shown of a good plan.
const SLOTS_SHOWN: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Plan {
    /// Read plan files and say everything that is wrong with them
    #[command(
        after_help = "Examples:\n  landfall-agent plan check ./nightly.toml\n  landfall-agent plan check --target ./disk.toml\n\nExit codes: 0 all are good, 2 at least one is not."
    )]
    Check {
        /// The files are targets, not plans
        #[arg(long)]
        target: bool,
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a commented plan with every key
    #[command(
        after_help = "Examples:\n  landfall-agent plan example > /etc/landfall/plans.d/nightly.toml\n  landfall-agent plan example --target > /etc/landfall/targets.d/disk.toml"
    )]
    Example {
        /// Print a target instead
        #[arg(long)]
        target: bool,
    },
}

impl Plan {
    pub(super) fn main(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Example { target } => {
                print::text(if *target { TARGET_EXAMPLE } else { PLAN_EXAMPLE });
                Ok(ExitCode::SUCCESS)
            }
            Self::Check { target, files } => {
                let mut is_good = true;
                for file in files {
                    is_good &= check(file, *target)?;
                }
                Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(USAGE) })
            }
        }
    }
}

fn check(file: &Path, is_target: bool) -> anyhow::Result<bool> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    let said = if is_target { said_of_target(&name, &text) } else { said_of_plan(&name, &text) };
    match said {
        Ok(said) => {
            print::line(&format!("{name}: {said}"));
            Ok(true)
        }
        Err(problems) => {
            for problem in problems {
                print::complain(&problem.to_string());
            }
            Ok(false)
        }
    }
}

fn said_of_target(name: &str, text: &str) -> Result<String, Vec<FileProblem>> {
    read_target(name, text).map(|target| format!("good: the target {} at {}", target.name, target.location))
}

fn said_of_plan(name: &str, text: &str) -> Result<String, Vec<FileProblem>> {
    let plan = read_plan(name, text)?;
    let mut said = format!("good: the plan {} to the target {}", plan.name, plan.target);
    if let Some(schedule) = &plan.schedule {
        let zone = TimeZone::get(&schedule.zone).unwrap_or(TimeZone::UTC);
        let slots = schedule.calendar.iter(clock::now(), &zone).take(SLOTS_SHOWN);
        let slots: Vec<String> =
            slots.map(|slot| slot.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()).collect();
        said.push_str(&format!("; next: {}", slots.join(", ")));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_read_and_show_every_key() {
        let plan = read_plan("nightly.toml", PLAN_EXAMPLE).unwrap();
        let target = read_target("disk.toml", TARGET_EXAMPLE).unwrap();
        assert_eq!(plan.target, target.name);
        assert!(plan.check.is_some() && plan.rpo.is_some() && plan.schedule.is_some());
        let keys = [
            "excludes",
            "one_file_system",
            "driver",
            "catch_up",
            "start_within",
            "finish_within",
            "stall_after",
            "attempts",
            "delay_max",
            "shrink_percent",
            "grow_percent",
            "slow_factor",
            "allow_empty",
            "history_min",
            "nice",
            "ionice",
            "memory_bytes",
            "timeout",
            "data_parts",
            "priority",
            "builds_on",
            "environment",
            "exit",
            "progress",
            "min_bytes",
            "max_bytes",
            "check_program",
        ];
        for key in keys {
            assert!(PLAN_EXAMPLE.contains(key), "{key}");
        }
        for key in ["create", "free_percent_min", "storage", "credential", "command", "rest:"] {
            assert!(TARGET_EXAMPLE.contains(key), "{key}");
        }
    }

    /// What stands behind a comment sign in the example is right too.
    #[test]
    fn the_command_in_the_plan_example_is_a_plan_of_its_own() {
        let at = PLAN_EXAMPLE.find("# name = \"dump\"").unwrap();
        let text: String = PLAN_EXAMPLE[at..]
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line)))
            .collect();
        let plan = read_plan("dump.toml", &text).unwrap();
        assert!(plan.command.is_some_and(|command| command.progress && command.exit.len() == 2));
    }
}
