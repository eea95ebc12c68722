//! Words that only the mesh knows: the coordinator is asked for them while a person types, briefly and without a sound.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::engine::{CompletionCandidate, ValueCompleter};
use landfall_proto::control::{Paging, Reply, Request, RunFilter};
use landfall_proto::view::{RunState, RunView};
use tokio::time::timeout;

use super::word::{self, Word};
use crate::cli::ask::Mesh;
use crate::cli::context;
use crate::edge::clock;

/// How long a person waits for words, connection included; what came by then is offered.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Words that are offered at most.
const WORDS_MAX: usize = 100;

/// Pages of a list that are looked through for words that begin as typed.
const PAGES_MAX: usize = 10;

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Live {
    Routines,
    Nodes,
    Runs,
    Rounds,
    /// Runs and rounds that have not ended.
    Open,
    /// Runs that ended otherwise than well, and rounds that are over.
    Repeatable,
    Alerts,
    Monitors,
    Storages,
    Limits,
}

impl ValueCompleter for Live {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let Some(current) = current.to_str() else { return Vec::new() };
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
        let mut found = Vec::new();
        // Nobody reads an error between two words: where nothing answers in time, what came by then is all there is.
        let _ = runtime.block_on(async { timeout(ANSWER_WITHIN, self.find(current, &mut found)).await });
        // A name that is being looked up would be waited for.
        runtime.shutdown_background();
        found
    }
}

impl Live {
    async fn find(self, current: &str, found: &mut Vec<CompletionCandidate>) -> Option<()> {
        let options = context::find(named_context(std::env::args_os()).as_deref()).ok()?;
        let mesh = Mesh::connect(&options).await.ok()?;
        for list in self.lists() {
            // Each list has its share, so that none takes the place of another.
            let room = found.len() + WORDS_MAX / self.lists().len();
            let mut after = None;
            for _ in 0..PAGES_MAX {
                let reply = mesh.ask(&request(*list, after)).await.ok()?;
                let (words, next) = self.words(reply);
                found.extend(words.into_iter().filter_map(|word| word.candidate(current)));
                after = next;
                if after.is_none() || found.len() >= room {
                    break;
                }
            }
            found.truncate(room);
        }
        Some(())
    }

    /// The lists that hold such names.
    const fn lists(self) -> &'static [List] {
        match self {
            Self::Routines => &[List::Routines],
            Self::Nodes => &[List::Nodes],
            Self::Runs => &[List::Runs(None)],
            Self::Rounds => &[List::Rounds(None)],
            Self::Open => &[List::Rounds(Some(true)), List::Runs(Some(false))],
            Self::Repeatable => &[List::Rounds(Some(false)), List::Runs(Some(true))],
            Self::Alerts => &[List::Alerts],
            Self::Monitors => &[List::Monitors],
            Self::Storages => &[List::Storages],
            Self::Limits => &[List::Limits],
        }
    }

    fn words(self, reply: Reply) -> (Vec<Word>, Option<String>) {
        let now = clock::now();
        let is_wanted =
            |run: &&RunView| self != Self::Repeatable || !matches!(run.state, RunState::Ok | RunState::Warning);
        match reply {
            Reply::Routines(rows) => (rows.iter().map(|row| word::routine(row, now)).collect(), None),
            Reply::Nodes(page) => (page.rows.iter().map(|row| word::node(row, now)).collect(), page.next),
            Reply::Runs(page) => {
                (page.rows.iter().filter(is_wanted).map(|row| word::run(row, now)).collect(), page.next)
            }
            Reply::Rounds(page) => (page.rows.iter().map(|row| word::round(row, now)).collect(), page.next),
            Reply::Alerts(page) => (page.rows.iter().map(word::alert).collect(), page.next),
            Reply::Monitors(view) => (view.monitors.iter().map(|row| word::monitor(row, now)).collect(), view.next),
            Reply::Storages(page) => (page.rows.iter().map(word::storage).collect(), page.next),
            Reply::Limits(rows) => (rows.iter().map(word::limit).collect(), None),
            Reply::Status(_)
            | Reply::Round(_)
            | Reply::Run(_)
            | Reply::Node(_)
            | Reply::Routine(_)
            | Reply::Alert(_)
            | Reply::Board(_)
            | Reply::Queue(_)
            | Reply::Trends(_)
            | Reply::Metrics(_)
            | Reply::Rehearsal(_)
            | Reply::Logs(_)
            | Reply::Monitor(_)
            | Reply::Pinged(_)
            | Reply::Snapshot(_)
            | Reply::Opened { .. }
            | Reply::Done { .. }
            | Reply::Refused(_) => (Vec::new(), None),
        }
    }
}

/// One list of the coordinator.
#[derive(Debug, Clone, Copy)]
enum List {
    Routines,
    Nodes,
    /// Whether they have ended; all if absent.
    Runs(Option<bool>),
    /// Whether they are open; all if absent.
    Rounds(Option<bool>),
    Alerts,
    Monitors,
    Storages,
    Limits,
}

fn request(list: List, after: Option<String>) -> Request {
    let paging = Paging { rows: None, after };
    match list {
        List::Routines => Request::Routines,
        List::Nodes => Request::Nodes { paging },
        List::Runs(ended) => Request::Runs { filter: RunFilter { ended, ..RunFilter::default() }, paging },
        List::Rounds(open) => Request::Rounds { routine: None, open, paging },
        List::Alerts => Request::Alerts { all: false, paging },
        List::Monitors => Request::Monitors { paging },
        List::Storages => Request::Storages { name: None, paging },
        List::Limits => Request::Limits,
    }
}

/// The context file that the line itself names, else the one that the environment names. `arguments` are this program's
/// own: the words of the line stand behind the first `--`.
fn named_context(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut words = arguments.skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        let Some(word) = word.to_str() else { continue };
        let path = if word == "--context" {
            words.next().map(PathBuf::from)
        } else {
            word.strip_prefix("--context=").map(PathBuf::from)
        };
        if let Some(path) = path {
            // The shell hands the line over as it was typed.
            let below_home = path.strip_prefix("~").ok().map(ToOwned::to_owned);
            return match (below_home, std::env::var_os("HOME")) {
                (Some(below), Some(home)) => Some(PathBuf::from(home).join(below)),
                (Some(_), None) | (None, _) => Some(path),
            };
        }
    }
    std::env::var_os("LANDFALL_CONTEXT").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context_of(line: &[&str]) -> Option<PathBuf> {
        named_context(line.iter().map(OsString::from))
    }

    #[test]
    fn the_line_that_is_being_typed_may_say_where_the_mesh_is() {
        let file = Some(PathBuf::from("/x/operator.toml"));
        assert_eq!(context_of(&["landfall", "--", "landfall", "--context", "/x/operator.toml", "runs", ""]), file);
        assert_eq!(context_of(&["landfall", "--", "landfall", "runs", "--context=/x/operator.toml", ""]), file);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join("o.toml"));
        assert_eq!(context_of(&["landfall", "--", "landfall", "--context", "~/o.toml", ""]), home);
    }
}
