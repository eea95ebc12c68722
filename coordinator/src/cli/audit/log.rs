//! The whole log as it is now, read once from its first message to the last one that stood there at the beginning.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use landfall_proto::bus::{BusRefusal, LogMessage, LogState, Told};
use landfall_proto::envelope::Position;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::subject::Topic;

use super::Seen;
use crate::audit::Entry;
use crate::cli::ask::Mesh;
use crate::cli::failure::{Failure, UNKNOWN};
use crate::cli::screen::Screen;

/// Messages taken at once.
const BATCH_MAX: usize = 500;

/// Longest wait for the next piece.
const WAIT: Duration = Duration::from_secs(10);

/// A bus that gives nothing for so many waits is given up.
const EMPTY_MAX: u32 = 3;

/// Reads until the end that the log had at the beginning. The reader, and with it its consumer on the bus, ends here.
pub(super) async fn read(mesh: &Mesh, seen: &mut Seen, screen: &Screen) -> Result<(), Failure> {
    let state = match mesh.bus.log_info().await {
        Told::Done(info) => info.state,
        Told::Refused(refusal) => return Err(refusal.into()),
        Told::Unknown => return Err(silent("where the log ends")),
    };
    let bar = screen.bars().add(ProgressBar::new(state.messages).with_style(style()));
    let mut reader = mesh.bus.read_log(0);
    let (mut reached, mut empty, mut refused) = (0, 0, 0_u64);
    while reached < state.last_seq && state.messages > 0 {
        match reader.next_batch(BATCH_MAX, WAIT).await {
            Told::Done(batch) if batch.messages.is_empty() => empty += 1,
            Told::Done(batch) => {
                empty = 0;
                for message in batch.messages.iter().filter(|message| message.seq <= state.last_seq) {
                    match entry(message) {
                        Some(entry) => seen.history.log.push(entry),
                        None => refused += 1,
                    }
                }
                reached = batch.messages.last().map_or(reached, |last| last.seq);
                bar.set_position(seen.history.log.len() as u64);
            }
            Told::Refused(refusal) => {
                if !refusal.is_temporary() || matches!(refusal, BusRefusal::LogRewound { .. } | BusRefusal::LogReplaced)
                {
                    return Err(refusal.into());
                }
                empty += 1;
            }
            Told::Unknown => empty += 1,
        }
        if empty > EMPTY_MAX {
            return Err(silent("the rest of the log"));
        }
    }
    bar.finish_and_clear();
    if refused > 0 {
        seen.notes.push(format!("{refused} messages of the log are accepted by no reader and were left out"));
    }
    judge_wholeness(seen, &state);
    Ok(())
}

/// A message that every reader accepts.
fn entry(message: &LogMessage) -> Option<Entry> {
    let (topic, envelope) = message.fact().ok()?;
    let position = Position { era: 0, seq: message.seq, hash: envelope.content_hash() };
    Some(Entry { position, at: message.time, topic, envelope, is_there: true, was_held: None })
}

/// Whether the log still holds all that it ever took.
fn judge_wholeness(seen: &mut Seen, state: &LogState) {
    let later_era = seen.history.log.iter().any(|entry| {
        matches!(&entry.topic, Topic::CoordinatorFact(_))
            && match CoordinatorFact::decode(&entry.envelope.kind, &entry.envelope.body) {
                Ok(Some(CoordinatorFact::LeaderClaimed(claim))) => claim.epoch.era > 0,
                Ok(_) | Err(_) => false,
            }
    });
    let has_gaps = state.messages > 0 && state.last_seq + 1 - state.first_seq > state.messages;
    let begins_late = state.first_seq > 1;
    seen.history.is_cut = later_era || has_gaps || begins_late;
    for (is_so, why) in [
        (later_era, "the log was lost or set back once, so what it held before cannot be told"),
        (has_gaps, "messages are missing within the log, so what they explained cannot be told"),
        (begins_late, "the log does not begin with its first message any more, so what it held before cannot be told"),
    ] {
        if is_so {
            seen.notes.push(why.to_owned());
        }
    }
}

fn silent(what: &str) -> Failure {
    Failure::new(
        UNKNOWN,
        format!("the bus does not tell {what}"),
        "it did not answer in time",
        "see that the bus runs and is not overloaded, then try again; `landfall doctor` looks at every part",
    )
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("reading the log {bar:30} {pos} of {len} messages, {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::time::Timestamp;

    #[test]
    fn a_log_that_lost_its_beginning_or_its_middle_is_cut() {
        let state = |first_seq, last_seq, messages| LogState {
            created: Timestamp::UNIX_EPOCH,
            first_seq,
            last_seq,
            messages,
            bytes: 0,
        };
        for (log, is_cut) in
            [(state(1, 9, 9), false), (state(0, 0, 0), false), (state(3, 9, 7), true), (state(1, 9, 8), true)]
        {
            let mut seen = Seen::default();
            judge_wholeness(&mut seen, &log);
            assert_eq!(seen.history.is_cut, is_cut, "{log:?}");
            assert_eq!(seen.notes.is_empty(), !is_cut);
        }
    }
}
