//! `landfall alert`: does a sink work, and what became of the notices.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use landfall_proto::control::{Paging, Problem, Reply, Request};
use landfall_proto::time::Timestamp;
use landfall_proto::view::AlertView;
use serde::Serialize;

use super::ask::{Mesh, expect_reply};
use super::context;
use super::failure::{BAD, Failure, UNKNOWN, USAGE};
use super::human::ago;
use super::screen::{Screen, Tone};
use crate::config::{CONFIG_PATH, Config};
use crate::edge::clock;
use crate::notify::{self, Taken};

/// Alerts that are looked through for deliveries.
const ALERTS_MAX: usize = 2000;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall alert test pager\n  landfall alert deliveries --failed\n  landfall alert deliveries --sink mail --json"
)]
pub(super) struct AlertVerb {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Send a clearly marked test to a sink and say what it answered
    Test(Test),
    /// What became of each notice: sink, attempts, answer, time
    Deliveries(Deliveries),
}

#[derive(Debug, Args)]
struct Test {
    /// The sink's name
    sink: String,
    /// The coordinator's file; read where no coordinator answers
    #[arg(long, short, value_name = "FILE", env = "LANDFALL_CONFIG", default_value = CONFIG_PATH)]
    config: PathBuf,
    /// Do not ask the coordinator; send from here by its file
    #[arg(long)]
    direct: bool,
}

#[derive(Debug, Args)]
struct Deliveries {
    /// Only to this sink
    #[arg(long)]
    sink: Option<String>,
    /// Only those that were given up
    #[arg(long)]
    failed: bool,
    /// How many, the latest first
    #[arg(long, default_value_t = 50)]
    rows: u32,
}

/// A test that was taken.
#[derive(Debug, Serialize)]
struct Tested<'a> {
    sink: &'a str,
    /// "coordinator" or "file".
    through: &'static str,
    code: Option<u16>,
    answer: String,
}

/// One notice to one sink.
#[derive(Debug, Serialize)]
struct Row {
    at: Timestamp,
    sink: String,
    alert: String,
    /// "raised" or "resolved".
    status: &'static str,
    /// How often the sink had been told the same before.
    reminder: u32,
    attempts: u32,
    taken: bool,
    /// The status code in the answer or in the error.
    code: Option<u16>,
    answer: Option<String>,
    error: Option<String>,
}

pub(super) async fn run(verb: &AlertVerb, named: Option<&Path>, screen: &Screen) -> Result<ExitCode, Failure> {
    match &verb.act {
        Act::Test(options) => test(options, named, screen).await,
        Act::Deliveries(options) => {
            let mesh = Mesh::connect(&context::find(named)?).await?;
            deliveries(options, &mesh, screen).await
        }
    }
}

async fn test(options: &Test, named: Option<&Path>, screen: &Screen) -> Result<ExitCode, Failure> {
    let asked = if options.direct { None } else { Some(through_coordinator(&options.sink, named).await) };
    let (through, answer) = match asked {
        Some(Ok(answer)) => ("coordinator", answer),
        Some(Err(failure)) if failure.code == BAD => return Err(failure),
        Some(Err(failure)) => {
            screen.note(&format!("{}: {}; the test is sent from here", failure.problem.what, failure.problem.why));
            ("file", from_file(options).await.map_err(|other| neither(&failure.problem, other))?)
        }
        None => ("file", from_file(options).await?),
    };
    let tested = Tested { sink: &options.sink, through, code: code_of(&answer), answer };
    if screen.json {
        screen.json_answer(&tested);
    } else {
        screen.line(&format!("{} took the test: {}", tested.sink, tested.answer));
    }
    Ok(ExitCode::SUCCESS)
}

async fn through_coordinator(sink: &str, named: Option<&Path>) -> Result<String, Failure> {
    let mesh = Mesh::connect(&context::find(named)?).await?;
    let request = Request::TestSink { sink: sink.to_owned(), request: clock::command_id().0 };
    let reply = mesh.ask(&request).await?;
    if let Reply::Done { message } = &reply { Ok(message.clone()) } else { Err(Mesh::strange(&reply)) }
}

async fn from_file(options: &Test) -> Result<String, Failure> {
    let config = Config::load(&options.config)?;
    let Some(sink) = config.sinks.iter().find(|sink| sink.name == options.sink) else {
        let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
        return Err(Failure::new(
            USAGE,
            format!("there is no sink {:?}", options.sink),
            format!("{} has none of this name", options.config.display()),
            format!("the sinks are: {}", names.join(", ")),
        ));
    };
    let answer = notify::test(&config.cluster, sink).await;
    answer.map(|Taken(text)| text).map_err(|error| {
        let what = format!("the sink {} did not take the test", sink.name);
        Failure::new(BAD, what, error.message, "correct the sink's settings, or see that it can be reached from here")
    })
}

/// No coordinator, and no file either: both are said.
fn neither(asked: &Problem, file: Failure) -> Failure {
    if file.code == BAD {
        return file;
    }
    let why = format!("{} ({}); {}: {}", asked.what, asked.why, file.problem.what, file.problem.why);
    let fix = format!("{}; or name the coordinator's file with --config", asked.fix);
    Failure::new(UNKNOWN, "the test was not sent", why, fix)
}

async fn deliveries(options: &Deliveries, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut after, mut seen) = (None, 0);
    loop {
        let paging = Paging { rows: None, after };
        let page = expect_reply!(mesh.ask(&Request::Alerts { all: true, paging }).await?, Alerts)?;
        seen += page.rows.len();
        rows.extend(page.rows.iter().flat_map(of_alert));
        after = page.next;
        if after.is_none() || seen >= ALERTS_MAX {
            break;
        }
    }
    rows.retain(|row| options.sink.as_ref().is_none_or(|sink| row.sink == *sink) && !(options.failed && row.taken));
    rows.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.sink.cmp(&other.sink)));
    rows.truncate(usize::try_from(options.rows).unwrap_or(usize::MAX));
    if screen.json {
        screen.json_answer(&rows);
    } else if rows.is_empty() {
        screen.note("no notice was delivered or given up");
    } else {
        let now = clock::now();
        let table = rows.iter().map(|row| cells(row, now, screen)).collect();
        screen.table(&["AT", "SINK", "ALERT", "TOLD", "ATTEMPTS", "ANSWER"], table);
    }
    Ok(ExitCode::SUCCESS)
}

fn of_alert(view: &AlertView) -> Vec<Row> {
    let row = |done: &landfall_proto::fact::coordinator::AlertDelivered| Row {
        at: done.at,
        sink: done.sink.clone(),
        alert: view.alert.key.0.clone(),
        status: if done.resolved { "resolved" } else { "raised" },
        reminder: done.reminder,
        attempts: done.attempts,
        taken: done.error.is_none(),
        code: done.error.as_deref().or(done.answer.as_deref()).and_then(code_of),
        answer: done.answer.clone(),
        error: done.error.clone(),
    };
    view.deliveries.iter().map(row).collect()
}

fn cells(row: &Row, now: Timestamp, screen: &Screen) -> Vec<String> {
    let told =
        if row.reminder == 0 { row.status.to_owned() } else { format!("{} again ({})", row.status, row.reminder) };
    let answer = match (&row.error, &row.answer) {
        (Some(error), _) => screen.paint(&format!("given up: {error}"), Tone::Bad),
        (None, Some(answer)) => answer.clone(),
        (None, None) => "taken".to_owned(),
    };
    vec![ago(row.at, now), row.sink.clone(), row.alert.clone(), told, row.attempts.to_string(), answer]
}

/// The status code of HTTP or SMTP with which an answer begins.
fn code_of(text: &str) -> Option<u16> {
    let word = text.split(|letter: char| !letter.is_ascii_digit()).next()?;
    if word.len() == 3 { word.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_with_its_code_or_has_none() {
        assert_eq!(code_of("202 Accepted: ok"), Some(202));
        assert_eq!(code_of("550: no such user"), Some(550));
        assert_eq!(code_of("written"), None);
        assert_eq!(code_of("1234 things"), None);
    }
}
