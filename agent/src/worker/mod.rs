//! The embedded backup engine, run as a child process: one order on standard input, JSON events on standard output.
//!
//! The engine cannot be cancelled, logs what it skips and may panic, so it works in a process of its own. Killing that
//! process is the cancel, and it is safe: a snapshot is the last thing that a backup writes. Standard input stays open as
//! long as the agent lives; its end is the worker's end, so that no orphan goes on writing.

mod backup;
mod check;
mod destination;
mod emit;
mod failure;
mod list;
pub(crate) mod lock;
mod open;
mod progress;
pub mod protocol;
mod read_back;
mod source;
pub(crate) mod survey;
mod unread;

use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;

use landfall_proto::report::Reason;

use failure::Failure;
use progress::Counters;
use protocol::{EXIT_ORPHANED, Event, MAX_ORDER_BYTES, Order, Task};

/// Reads the order, does it, and returns 0 when it is done or 1 when it failed; the last event says which and why.
pub fn main_worker() -> ExitCode {
    emit::report_panics();
    unread::install();
    let event = read_order().and_then(|order| perform(&order)).unwrap_or_else(Failure::into_event);
    let failed = matches!(event, Event::Failed { .. });
    emit::finish(&event);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn read_order() -> Result<Order, Failure> {
    let refuse = |cause: String| Failure::new(Reason::Internal, "The worker was given no usable order.").because(cause);
    let mut input = BufReader::new(std::io::stdin());
    let mut line = zeroize::Zeroizing::new(String::new());
    input.by_ref().take(MAX_ORDER_BYTES).read_line(&mut line).map_err(|error| refuse(error.to_string()))?;
    if !line.ends_with('\n') {
        return Err(refuse("the line has no end".to_owned()));
    }
    std::thread::spawn(move || leave_with_agent(input));
    // The parser's message may quote the line, and the line holds the password.
    let order: Order = serde_json::from_str(&line).map_err(|error| {
        refuse(format!("not valid at line {}, column {} ({:?})", error.line(), error.column(), error.classify()))
    })?;
    for secret in [&order.secret.password, &order.secret.master_key].into_iter().flatten() {
        emit::hide(secret.expose());
    }
    emit::hide(order.repository.url_password().unwrap_or_default());
    Ok(order)
}

/// Waits for the end of standard input, which comes when the agent is gone, and ends the process.
fn leave_with_agent(mut input: impl BufRead) {
    let mut rest = [0; 256];
    loop {
        match input.read(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lock::farewell();
    std::process::exit(EXIT_ORPHANED.into());
}

fn perform(order: &Order) -> Result<Event, Failure> {
    if order.repository.rest_url().is_some() {
        // Two providers are compiled in nowhere, but the client wants one to be chosen. A second choice changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let counters = Counters::start();
    match &order.task {
        Task::Backup(task) => backup::run(order, task, &counters),
        Task::Check { data_subset } => check::run(order, data_subset.as_deref(), &counters),
        Task::List { run_tags, locks } => list::run(order, run_tags, *locks, &counters),
        Task::Unlock { ids } => Ok(Event::Unlocked { removed: lock::remove(order, ids)? }),
    }
}
