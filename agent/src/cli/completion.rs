//! `completion`: binds a shell to this program, which is then asked for words: plans and runs of this node among them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;

use super::{Tool, print};
use crate::config::{CONFIG_PATH, Config};
use crate::edge::plans::Folders;
use crate::edge::receipt::Runs;

/// With it a shell asks for words; its value names the shell.
const VARIABLE: &str = "COMPLETE";

/// Words that are offered at most.
const WORDS_MAX: usize = 100;

pub(super) fn print(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    if let Some(known) = Shells::builtins().completer(&shell.to_string()) {
        known.write_registration(VARIABLE, "landfall-agent", "landfall-agent", "landfall-agent", &mut script)?;
    }
    print::text(&String::from_utf8_lossy(&script));
    if shell == clap_complete::Shell::Zsh {
        // Where zsh loads it by itself, the first word it is asked for is completed as well.
        print::text(
            "if [[ \"${funcstack[1]}\" == \"_landfall-agent\" ]]; then\n    _clap_dynamic_completer_landfall_agent \"$@\"\nfi\n",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers a shell that asks for words, and ends the program then. The scripts call with `--` and the words, and without
/// any to be bound; with other arguments somebody wants a backup, and a variable that is set by chance is not heeded.
pub(super) fn answer_shell() {
    if std::env::args_os().nth(1).is_none_or(|first| first == OsStr::new("--")) {
        CompleteEnv::with_factory(Tool::command).var(VARIABLE).complete();
    }
}

/// The plans of this node.
pub(super) fn plans() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some(config) = config() else { return Vec::new() };
        let loaded = Folders { plans: config.plans_dir, targets: config.targets_dir }.load();
        let plans = loaded.catalog.plans.values().take(WORDS_MAX);
        let words = plans.map(|entry| {
            let plan = &entry.plan;
            let calendar = plan.schedule.as_ref().map(|schedule| schedule.calendar.to_string());
            let calendar = calendar.as_deref().unwrap_or("by hand");
            let help = format!("{} to {}, {calendar}", plan.driver.as_str(), plan.target);
            CompletionCandidate::new(plan.name.as_str()).help(Some(help.into()))
        });
        words.collect()
    })
}

/// The last runs on this node.
pub(super) fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let path = config().map(|config| config.state_dir.join("runs")).filter(|path| path.is_dir());
        let traces = path.and_then(|path| Runs::new(path).ok()).and_then(|runs| runs.traces().ok());
        let words = traces.into_iter().flatten().rev().take(WORDS_MAX).map(|trace| {
            let row = super::runs::row(trace);
            let help =
                format!("{} {} of {}, {}", row.state.as_str(), row.task, row.routine, print::moment(row.started_at));
            CompletionCandidate::new(row.id.to_string()).help(Some(help.into()))
        });
        words.collect()
    })
}

fn config() -> Option<Config> {
    Config::load(&config_path(std::env::args_os())).ok()
}

/// The agent's file that the line itself names, else the environment's, else the usual one. `arguments` are this program's
/// own: the words of the line stand behind the first `--`.
fn config_path(arguments: impl Iterator<Item = OsString>) -> PathBuf {
    let mut words = arguments.skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        let Some(word) = word.to_str() else { continue };
        let path = if word == "--config" { words.next() } else { word.strip_prefix("--config=").map(OsString::from) };
        if let Some(path) = path {
            return PathBuf::from(path);
        }
    }
    std::env::var_os("LANDFALL_AGENT_CONFIG").map_or_else(|| PathBuf::from(CONFIG_PATH), PathBuf::from)
}
