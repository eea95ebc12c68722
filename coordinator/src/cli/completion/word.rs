//! Words that a shell is offered: each a value that can be typed as it is, and a few words about it.

use clap_complete::engine::CompletionCandidate;
use landfall_proto::monitor::MonitorView;
use landfall_proto::overview::StorageView;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{AlertView, LimitView, NodeView, RoundView, RoutineView, RunView};

use crate::cli::human::{ago, ago_or_dash, bytes};

/// Of what is said about a word so much is shown.
const HELP_CHARS_MAX: usize = 80;

/// A value and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) value: String,
    pub(super) help: String,
}

impl Word {
    /// The candidate for a line that goes on with `current`. What nodes announce ends up on the line of a person's shell, so
    /// a value that a shell would not take for one plain word is not offered.
    pub(super) fn candidate(self, current: &str) -> Option<CompletionCandidate> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@+,%".contains(letter);
        if self.value.is_empty() || !self.value.starts_with(current) || !self.value.chars().all(is_plain) {
            return None;
        }
        let help = self.help.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let help: String = help.take(HELP_CHARS_MAX).collect();
        Some(CompletionCandidate::new(self.value).help((!help.is_empty()).then(|| help.into())))
    }
}

pub(super) fn routine(view: &RoutineView, now: Timestamp) -> Word {
    let calendar = view.calendar.as_deref().unwrap_or("by hand");
    let last = view.last_round.as_ref().map_or_else(String::new, |round| format!(", {}", verdict(round, now)));
    Word { value: view.name.to_string(), help: format!("{} nodes, {calendar}{last}", view.nodes.len()) }
}

pub(super) fn node(view: &NodeView, now: Timestamp) -> Word {
    let state = match (view.retired, view.online, view.paused.is_some()) {
        (true, ..) => "retired",
        (false, false, _) => "silent",
        (false, true, true) => "paused",
        (false, true, false) => "online",
    };
    let heard = ago_or_dash(view.last_beat_at, now);
    Word { value: view.id.to_string(), help: format!("{state}, {} routines, heard {heard}", view.routines.len()) }
}

pub(super) fn run(view: &RunView, now: Timestamp) -> Word {
    let phase = view.phase.filter(|_| view.finished_at.is_none());
    let phase = phase.map_or_else(String::new, |phase| format!(" ({phase})"));
    let at = view.finished_at.or(view.started_at).unwrap_or(view.queued_at);
    let about = format!("{} {} {} on {}{phase}", view.state.as_str(), view.task, view.routine, view.node);
    Word { value: view.id.to_string(), help: format!("{about}, {}", ago(at, now)) }
}

pub(super) fn round(view: &RoundView, now: Timestamp) -> Word {
    let help = format!("round of {} {}, {}", view.task, view.routine, verdict(view, now));
    Word { value: view.id.to_string(), help }
}

fn verdict(round: &RoundView, now: Timestamp) -> String {
    let word = round.verdict.map_or("converging", |kind| kind.as_str());
    format!("{word} {}", ago(round.concluded_at.unwrap_or(round.opened_at), now))
}

pub(super) fn alert(view: &AlertView) -> Word {
    Word { value: view.alert.key.to_string(), help: format!("{}: {}", view.alert.severity, view.alert.title) }
}

pub(super) fn monitor(view: &MonitorView, now: Timestamp) -> Word {
    let good = ago_or_dash(view.last_good_at, now);
    Word { value: view.spec.name.to_string(), help: format!("{}, last good {good}", view.state.as_str()) }
}

pub(super) fn storage(view: &StorageView) -> Word {
    let free = view.space.map(|space| space.free_bytes);
    Word { value: view.name.clone(), help: free.map_or_else(String::new, |free| format!("{} free", bytes(free))) }
}

pub(super) fn limit(view: &LimitView) -> Word {
    let size = view.size.map_or_else(|| "no limit".to_owned(), |size| format!("limit {size}"));
    Word { value: view.name.to_string(), help: format!("{size}, {} in use", view.used) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(value: &str, help: &str, current: &str) -> Option<CompletionCandidate> {
        Word { value: value.to_owned(), help: help.to_owned() }.candidate(current)
    }

    #[test]
    fn a_word_goes_on_with_what_is_typed_and_its_help_is_one_short_line() {
        let found = offered("nightly", "two\nlines\u{1b}[31m", "ni").unwrap();
        assert_eq!(found.get_value(), "nightly");
        assert_eq!(found.get_help().unwrap().to_string(), "two lines [31m");
        assert!(offered("nightly", "", "web").is_none());
        let long = offered("nightly", &"x".repeat(500), "").unwrap();
        assert_eq!(long.get_help().unwrap().to_string().len(), HELP_CHARS_MAX);
    }

    #[test]
    fn what_a_shell_would_read_as_more_than_one_plain_word_is_not_offered() {
        for value in ["", "a b", "a;rm -rf x", "$(id)", "`id`", "a\nb", "a\u{b}b", "a'b", "a>b", "a&b", "~a", "a*", "é"]
        {
            assert!(offered(value, "", "").is_none(), "{value:?}");
        }
        for value in ["storage:nas", "overdue/nightly", "label:site=b", "web-1.example", "node-1/disk"] {
            assert!(offered(value, "", "").is_some(), "{value:?}");
        }
    }
}
