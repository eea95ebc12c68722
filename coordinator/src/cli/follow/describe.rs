//! One run in one line: what it does, how far it is, or why it waits.

use landfall_proto::report::Progress;
use landfall_proto::view::{RoundDetail, RunState, RunView};

use crate::cli::human::{bytes, span, state_tone};
use crate::cli::screen::Screen;

/// Everything but the name and the bar.
pub(super) fn run_text(run: &RunView, progress: Option<&Progress>, screen: &Screen) -> String {
    let state = screen.paint(run.state.as_str(), state_tone(run.state));
    match run.state {
        RunState::Queued => match &run.waits_for {
            Some(wait) => format!("{state}: {wait}"),
            None => state,
        },
        RunState::Sent | RunState::Running => {
            progress.map_or_else(|| run.phase.map_or(state, |phase| phase.to_string()), figures)
        }
        RunState::Cancelling => format!("{state} until its process is gone"),
        RunState::Unknown => format!("{state}: the node is silent"),
        RunState::Ok
        | RunState::Warning
        | RunState::Partial
        | RunState::Failed
        | RunState::Skipped
        | RunState::Cancelled
        | RunState::Lost => ended(run, &state),
    }
}

/// `transferring  120/400 files  1.2 GiB/3.4 GiB  120 MiB/s  done in 12.0s`
pub(super) fn figures(progress: &Progress) -> String {
    let mut parts = vec![progress.phase.to_string()];
    if progress.files_done > 0 || progress.files_total.is_some() {
        parts.push(of(progress.files_done.to_string(), progress.files_total.map(|total| total.to_string()), " files"));
    }
    if progress.bytes_done > 0 || progress.bytes_total.is_some() {
        parts.push(of(bytes(progress.bytes_done), progress.bytes_total.map(bytes), ""));
    }
    if progress.rate_bytes > 0 {
        parts.push(format!("{}/s", bytes(progress.rate_bytes)));
    }
    if let Some(eta_ms) = progress.eta_ms {
        parts.push(format!("done in {}", span(eta_ms)));
    }
    parts.join("  ")
}

/// How the round as a whole stands.
pub(super) fn round_text(detail: &RoundDetail, unshown: usize) -> String {
    let round = &detail.round;
    let count = |state: RunState| detail.runs.iter().filter(|run| run.state == state).count();
    let mut text = format!("{} good, {} not good, {} to report", round.good, round.bad, round.missing);
    if round.missing == 0 {
        text.push_str("; the destinations are looked at before the verdict");
    } else if unshown > 0 {
        text.push_str(&format!(
            " ({} running, {} queued; {unshown} not shown)",
            count(RunState::Running),
            count(RunState::Queued)
        ));
    }
    text
}

fn of(done: String, total: Option<String>, unit: &str) -> String {
    match total {
        Some(total) => format!("{done}/{total}{unit}"),
        None => format!("{done}{unit}"),
    }
}

fn ended(run: &RunView, state: &str) -> String {
    let mut parts = vec![state.to_owned()];
    parts.extend(run.reason.map(|reason| reason.to_string()));
    parts.extend(run.files.map(|files| format!("{files} files")));
    parts.extend(run.bytes.map(bytes));
    parts.extend(run.duration_ms.map(|ms| format!("in {}", span(ms))));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::id::RunId;
    use landfall_proto::report::Phase;
    use landfall_proto::time::Timestamp;
    use uuid::Uuid;

    #[test]
    fn a_figure_that_is_not_known_is_not_shown() {
        let scanning = Progress {
            run: RunId(Uuid::from_u128(1)),
            phase: Phase::Scanning,
            action: String::new(),
            percent: None,
            files_done: 0,
            files_total: None,
            bytes_done: 0,
            bytes_total: None,
            rate_bytes: 0,
            eta_ms: None,
            at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(figures(&scanning), "scanning");
        let moving = Progress {
            phase: Phase::Transferring,
            files_done: 3,
            files_total: Some(9),
            bytes_done: 1536,
            rate_bytes: 2048,
            eta_ms: Some(12_000),
            ..scanning
        };
        assert_eq!(figures(&moving), "transferring  3/9 files  1.5 KiB  2.0 KiB/s  done in 12.0s");
    }
}
