//! Completion: `landfall completion SHELL` prints what binds a shell to it, and the shell then asks this program for words.

mod live;
mod word;

pub(super) use live::Live;

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use landfall_proto::report::{Outcome, Reason, TaskKind};

use super::Tool;
use super::failure::Failure;

/// With it a shell asks for words; its value names the shell.
const VARIABLE: &str = "COMPLETE";

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(landfall completion bash)        in ~/.bashrc; the same with zsh in ~/.zshrc\n  landfall completion fish | source         in ~/.config/fish/config.fish\n  landfall completion bash > /etc/bash_completion.d/landfall\n  landfall completion zsh > ~/.zfunc/_landfall\n\nRoutines, nodes, runs, rounds, alerts, monitors, storages and limits are asked of the coordinator while you type, for a\nsecond at most; where none answers nothing is offered. A script that was written to a file is written again after an upgrade."
)]
pub(super) struct Completion {
    shell: Shell,
}

pub(super) fn run(options: &Completion) -> Result<ExitCode, Failure> {
    let script = script(options.shell).map_err(|error| Failure::internal("the script cannot be made", &error))?;
    // A reader who has gone away is no error of ours.
    let _ = std::io::stdout().write_all(&script);
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    if let Some(known) = Shells::builtins().completer(&shell.to_string()) {
        known.write_registration(VARIABLE, "landfall", "landfall", "landfall", &mut script)?;
    }
    if shell == Shell::Zsh {
        // Where zsh loads it by itself, the first word it is asked for is completed as well.
        script.extend_from_slice(
            b"if [[ \"${funcstack[1]}\" == \"_landfall\" ]]; then\n    _clap_dynamic_completer_landfall \"$@\"\nfi\n",
        );
    }
    Ok(script)
}

/// Answers a shell that asks for words, and ends the program then. The scripts call with `--` and the words, and without
/// any to be bound; with other arguments somebody wants work done, and a variable that is set by chance is not heeded.
pub(super) fn answer_shell() {
    if std::env::args_os().nth(1).is_none_or(|first| first == OsStr::new("--")) {
        CompleteEnv::with_factory(Tool::command).var(VARIABLE).complete();
    }
}

/// What `landfall explain` explains.
pub(super) fn explained() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let tasks = TaskKind::ALL.iter().map(|task| candidate(task.as_str(), task.good_when()));
        tasks.chain(Reason::ALL.iter().map(|reason| candidate(reason.as_str(), reason.cause()))).collect()
    })
}

/// How a run can end.
pub(super) fn outcomes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = [
            Outcome::Ok,
            Outcome::Warning,
            Outcome::Partial,
            Outcome::Failed,
            Outcome::Skipped,
            Outcome::Cancelled,
            Outcome::Lost,
        ];
        all.iter().map(|outcome| CompletionCandidate::new(outcome.as_str())).collect()
    })
}

fn candidate(value: &'static str, help: &'static str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_gets_a_script_that_asks_this_program() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell).unwrap()).unwrap();
            assert!(script.contains("landfall") && script.contains(VARIABLE), "{shell}: {script}");
        }
    }
}
