//! The worker's only way out: events as JSON lines, one at a time, with the secrets struck from every text.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use landfall_proto::report::Reason;

use super::failure::Failure;
use super::protocol::{EXIT_ORPHANED, Event, Level, MAX_LOG_RECORDS};

static HIDDEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOGGED: AtomicU64 = AtomicU64::new(0);
static FINISHED: AtomicBool = AtomicBool::new(false);
static OUT: Mutex<()> = Mutex::new(());

/// A shorter secret is part of ordinary words, and striking it would only make every text unreadable.
const SHORTEST_SECRET: usize = 4;

/// From here on no text of the worker contains this.
pub(super) fn hide(secret: &str) {
    if secret.len() >= SHORTEST_SECRET
        && let Ok(mut hidden) = HIDDEN.lock()
    {
        hidden.push(secret.to_owned());
    }
}

pub(super) fn redact(text: &str) -> String {
    let Ok(hidden) = HIDDEN.lock() else { return "(text withheld)".to_owned() };
    hidden
        .iter()
        .fold(text.to_owned(), |text, secret| if text.contains(secret) { text.replace(secret, "***") } else { text })
}

/// Writes an event that is not the last one. Nothing follows the last one.
pub(super) fn emit(event: &Event) {
    let _turn = OUT.lock();
    if !FINISHED.load(Ordering::SeqCst) {
        write(event);
    }
}

/// Writes the last event. Only the first call does, so a panic beside the result cannot make two of them.
pub(super) fn finish(event: &Event) -> bool {
    let _turn = OUT.lock();
    let first = !FINISHED.swap(true, Ordering::SeqCst);
    if first {
        write(event);
    }
    first
}

pub(super) fn log(level: Level, message: &str) {
    match LOGGED.fetch_add(1, Ordering::Relaxed) {
        earlier if earlier < MAX_LOG_RECORDS => emit(&Event::Log { level, message: redact(message.trim()) }),
        earlier if earlier == MAX_LOG_RECORDS => {
            emit(&Event::Log { level: Level::Warning, message: "further records are not shown".to_owned() });
        }
        _ => {}
    }
}

/// Turns a panic on any thread into the last event and ends the process. A snapshot is the last thing a backup writes,
/// so ending at any moment leaves the repository whole.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic
            .payload()
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.payload().downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        if text.contains("SendError(") && std::thread::current().name() != Some("main") {
            // The engine's loaders panic when the reader of their results has stopped at an error. That error, which the
            // main thread is about to report, is the result.
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let failure = Failure::new(Reason::Internal, "The backup engine stopped at an inner error.")
            .because(format!("{text} ({place})"));
        finish(&failure.into_event());
        std::process::exit(1);
    }));
}

fn write(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(&line).and_then(|()| out.flush()).is_err() {
        // Nobody reads any more: the agent is gone, and an orphan must not go on writing to the repository.
        std::process::exit(EXIT_ORPHANED.into());
    }
}
