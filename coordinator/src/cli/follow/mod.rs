//! Following a round to its verdict: live figures from the nodes, and the coordinator's own word as the truth.

mod bars;
mod describe;
mod lines;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use landfall_proto::bus::{Inbox, Incoming};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode};
use landfall_proto::control::Request;
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::live::PROGRESS_KIND;
use landfall_proto::report::Progress;
use landfall_proto::subject::{Filter, Topic};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::{RoundDetail, RunView};
use tokio::time::{Instant, sleep};

use super::ask::{Mesh, expect_reply};
use super::failure::{BAD, Failure, INTERRUPTED, UNKNOWN};
use super::rounds;
use super::screen::Screen;
use bars::Bars;
use lines::Lines;

/// How often the coordinator is asked at first, and later.
const POLL_FIRST: Duration = Duration::from_millis(300);
const POLL_LATER: Duration = Duration::from_secs(1);

/// Quick polls before the slower ones.
const POLLS_QUICK: u32 = 20;

/// A coordinator may be restarted meanwhile; after so long without any answer nobody waits any more.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Follows a round and prints its verdict. Ends with 0 only where it converged; Ctrl-C leaves the round alone.
pub(super) async fn run(round: RoundId, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let detail = tokio::select! {
        detail = to_verdict(round, mesh, screen) => detail?,
        _ = tokio::signal::ctrl_c() => {
            screen.note(&format!("\nthe round goes on without you: landfall rounds {round} shows it, landfall cancel {round} ends it"));
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    print(&detail, screen);
    Ok(exit_code(&detail))
}

/// The whole round once its verdict has fallen; shows its progress meanwhile. Dropping the future leaves the round alone.
pub(super) async fn to_verdict(round: RoundId, mesh: &Mesh, screen: &Screen) -> Result<RoundDetail, Failure> {
    // Without live figures the polls still tell everything, once a second.
    let mut inbox = mesh.bus.listen(&Filter::Live.of(mesh.bus.cluster())).await.done();
    let mut show = Show::new(screen);
    let mut progress = BTreeMap::new();
    let mut polls = 0;
    let mut heard_at = Instant::now();
    let mut asked = Box::pin(ask(round, Duration::ZERO, mesh));
    loop {
        tokio::select! {
            answer = &mut asked => {
                match answer {
                    Ok(detail) => {
                        heard_at = Instant::now();
                        show.update(&detail, &progress);
                        if detail.verdict.is_some() {
                            show.end();
                            return Ok(detail);
                        }
                    }
                    Err(failure) if failure.code == UNKNOWN && heard_at.elapsed() < SILENCE_MAX => show.note("no coordinator answers; asking again"),
                    Err(failure) => {
                        show.end();
                        return Err(failure);
                    }
                }
                polls += 1;
                asked = Box::pin(ask(round, if polls < POLLS_QUICK { POLL_FIRST } else { POLL_LATER }, mesh));
            }
            figures = next_progress(&mut inbox) => {
                show.moved(&figures);
                progress.insert(figures.run, figures);
            }
        }
    }
}

/// The verdict in one line, and the table of the runs; with JSON the whole round.
pub(super) fn print(detail: &RoundDetail, screen: &Screen) {
    if screen.json {
        screen.json_line(&serde_json::json!({ "event": "verdict", "round": detail }));
        return;
    }
    rounds::verdict_line(detail, screen);
    screen.line("");
    rounds::runs_table(&detail.runs, screen);
}

/// 0 only for a round that converged.
pub(super) fn exit_code(detail: &RoundDetail) -> ExitCode {
    match detail.verdict.as_ref().map(|verdict| verdict.kind) {
        Some(VerdictKind::Converged) => ExitCode::SUCCESS,
        Some(VerdictKind::Diverged | VerdictKind::Overdue) | None => ExitCode::from(BAD),
    }
}

async fn ask(round: RoundId, after: Duration, mesh: &Mesh) -> Result<RoundDetail, Failure> {
    sleep(after).await;
    expect_reply!(mesh.ask(&Request::Round { id: round }).await?, Round)
}

/// The next live figures of any run; waits for ever where there are none.
async fn next_progress(inbox: &mut Option<Inbox>) -> Progress {
    loop {
        let Some(open) = inbox else { return std::future::pending().await };
        match open.next().await {
            Some(message) => {
                if let Some(figures) = read_progress(&message) {
                    return figures;
                }
            }
            None => *inbox = None,
        }
    }
}

/// Figures on another run's subject, or in a shape that this build does not know, are passed over: they repeat.
fn read_progress(message: &Incoming) -> Option<Progress> {
    let Ok(Topic::Live(_, run)) = message.topic() else { return None };
    let envelope = message.envelope().ok().filter(|envelope| envelope.kind == PROGRESS_KIND)?;
    decode::<Progress>(&envelope.body, MESSAGE_BYTES_MAX).ok().filter(|progress| progress.run == run)
}

/// The younger of what the node told everybody and what the coordinator passed on.
fn latest<'a>(run: &'a RunView, heard: &'a BTreeMap<RunId, Progress>) -> Option<&'a Progress> {
    let told = run.progress.as_ref();
    match (told, heard.get(&run.id)) {
        (Some(told), Some(heard)) => Some(if heard.at >= told.at { heard } else { told }),
        (told, heard) => heard.or(told),
    }
}

/// Where the progress is shown.
enum Show<'a> {
    Bars(Box<Bars<'a>>),
    Lines(Lines<'a>),
}

impl<'a> Show<'a> {
    fn new(screen: &'a Screen) -> Self {
        if screen.terminal && !screen.json {
            Self::Bars(Box::new(Bars::new(screen)))
        } else {
            Self::Lines(Lines::new(screen))
        }
    }

    fn update(&mut self, detail: &RoundDetail, heard: &BTreeMap<RunId, Progress>) {
        match self {
            Self::Bars(bars) => bars.update(detail, heard),
            Self::Lines(lines) => lines.update(detail),
        }
    }

    fn moved(&mut self, progress: &Progress) {
        match self {
            Self::Bars(bars) => bars.moved(progress),
            // Where nobody looks, only steps are told.
            Self::Lines(_) => {}
        }
    }

    fn note(&mut self, text: &str) {
        match self {
            Self::Bars(bars) => bars.note(text),
            Self::Lines(lines) => lines.note(text),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Bars(bars) => bars.end(),
            Self::Lines(_) => {}
        }
    }
}
