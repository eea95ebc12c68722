//! `landfall watch`: every fact of the log as it comes.

mod concern;
mod line;
mod sentence;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::bus::{BusRefusal, Told};
use landfall_proto::control::Request;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::{Failure, USAGE};
use super::human::instant;
use super::rounds;
use super::screen::{Screen, Tone};
use concern::Concern;
use line::Line;

/// Facts taken at once, and how long to wait for the first.
const BATCH_MAX: usize = 200;
const WAIT: Duration = Duration::from_secs(30);

/// Pause before a log that cannot be read is tried again.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall watch\n  landfall watch --json --from 1 | jq -c 'select(.kind == \"run_finished\")'\n  landfall watch --from 1 --round 3f2a1b\n\nWithout --from it begins with the next fact; Ctrl-C ends it."
)]
pub(super) struct Watch {
    /// Begin at this position of the log; 1 is its start
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// Only what concerns this round; the first letters of its id are enough
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(Live::Rounds))]
    round: Option<String>,
    /// Only facts of this kind, such as run_finished or round_concluded
    #[arg(long)]
    kind: Option<String>,
}

pub(super) async fn run(options: &Watch, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let mut concern = match &options.round {
        Some(text) => Some(concern(text, mesh).await?),
        None => None,
    };
    let after = match options.from {
        Some(from) => from.saturating_sub(1),
        None => end_of_log(mesh).await?,
    };
    let mut wanted = |line: &Line| {
        let right_round = concern.as_mut().is_none_or(|concern| concern.takes(line));
        right_round && options.kind.as_ref().is_none_or(|kind| line.kind() == Some(kind))
    };
    let mut reader = mesh.bus.read_log(after);
    let mut noted = false;
    loop {
        match reader.next_batch(BATCH_MAX, WAIT).await {
            Told::Done(batch) => {
                noted = false;
                batch.messages.iter().map(line::read).filter(&mut wanted).for_each(|line| show(&line, screen));
            }
            Told::Refused(BusRefusal::LogRewound { last_seq, .. }) => {
                screen.note(&format!("the bus has lost the end of the log; going on behind position {last_seq}"));
                reader = mesh.bus.read_log(last_seq);
            }
            Told::Refused(BusRefusal::LogReplaced) => {
                screen.note("the log is another one than before; reading it from its start");
                reader = mesh.bus.read_log(0);
            }
            Told::Refused(refusal) if !refusal.is_temporary() => return Err(refusal.into()),
            Told::Refused(refusal) => note_once(&mut noted, &format!("{refusal}; trying again"), screen).await,
            Told::Unknown => note_once(&mut noted, "the bus cannot be reached; trying again", screen).await,
        }
    }
}

async fn note_once(noted: &mut bool, text: &str, screen: &Screen) {
    if !*noted {
        screen.note(text);
    }
    *noted = true;
    tokio::time::sleep(AGAIN).await;
}

async fn end_of_log(mesh: &Mesh) -> Result<u64, Failure> {
    match mesh.bus.log_info().await {
        Told::Done(info) => Ok(info.state.last_seq),
        Told::Refused(refusal) => Err(refusal.into()),
        Told::Unknown => Err(Failure::silence("where the log ends")),
    }
}

/// The runs of a round are asked for, because some facts name only their run.
async fn concern(text: &str, mesh: &Mesh) -> Result<Concern, Failure> {
    if text.is_empty() {
        return Err(Failure::new(
            USAGE,
            "no round is named",
            "--round is empty",
            "write --round ID; `landfall rounds` lists them",
        ));
    }
    let round = rounds::resolve(text, mesh).await?;
    let detail = expect_reply!(mesh.ask(&Request::Round { id: round }).await?, Round)?;
    Ok(Concern::new(round, detail.runs.iter().map(|run| run.id)))
}

fn show(line: &Line, screen: &Screen) {
    if screen.json {
        screen.json_line(line);
        return;
    }
    let (tone, text) = sentence::of(line);
    let head = format!("{:>6}  {}", line.position(), instant(line.at()));
    screen.line(&format!("{}  {}  {}", screen.paint(&head, Tone::Dim), line.writer(), screen.paint(&text, tone)));
}
