//! `landfall check`: one line and an exit code, as Nagios and its relatives read them.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::alert::{Alert, Severity};
use landfall_proto::control::{PAGE_ROWS_MAX, Paging, Request};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::overview::{BoardFilter, BoardRow, Grade};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::view::Page;
use serde::Serialize;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::context;
use super::failure::Failure;
use super::human::span;
use super::screen::Screen;
use crate::edge::clock;

/// Pages of the board, and of open alerts, that are looked at.
const PAGES_MAX: u32 = 100;

/// Rows and alerts that are told one by one.
const TOLD_MAX: usize = 10;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall check\n  landfall check --routine nightly\n  landfall check --node web-1 --json\n\nCritical: a backup that is too old or never was, or a critical alert. Warning: a last backup that failed, a node that is not heard,\nor a warning. What a newer good backup covers is not critical.\n\nExit codes: 0 ok, 1 warning, 2 critical, 3 unknown: the mesh could not be asked, or has nothing of this name."
)]
pub(super) struct Check {
    /// Only this routine
    #[arg(long, add = ArgValueCompleter::new(Live::Routines))]
    routine: Option<RoutineName>,
    /// Only this node
    #[arg(long, add = ArgValueCompleter::new(Live::Nodes))]
    node: Option<NodeId>,
}

/// What the code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl State {
    const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    state: State,
    summary: String,
    /// One for each trouble, the worst first.
    details: Vec<String>,
    figures: Figures,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    backups: usize,
    protected: usize,
    too_old: usize,
    never: usize,
    failing: usize,
    unheard: usize,
    alerts: usize,
    /// Of the oldest last good backup.
    oldest_ms: Option<u64>,
}

/// Whatever happens, there is a line and a code.
pub(super) async fn run(options: &Check, context: Option<&Path>, screen: &Screen) -> ExitCode {
    let answer = match look(options, context).await {
        Ok(answer) => answer,
        Err(failure) => Answer {
            state: State::Unknown,
            summary: format!("{}: {}", failure.problem.what, failure.problem.why),
            details: vec![failure.problem.fix],
            figures: Figures::default(),
        },
    };
    if screen.json {
        screen.json_answer(&answer);
    } else {
        screen.line(&line(&answer));
        answer.details.iter().take(TOLD_MAX).for_each(|detail| screen.line(&plain(detail)));
    }
    ExitCode::from(answer.state.code())
}

async fn look(options: &Check, context: Option<&Path>) -> Result<Answer, Failure> {
    let mesh = Mesh::connect(&context::find(context)?).await?;
    let mut rows = rows(options, &mesh).await?;
    rows.retain(|row| {
        options.routine.as_ref().is_none_or(|name| row.routine == *name)
            && options.node.as_ref().is_none_or(|node| row.node == *node)
    });
    let alerts = pages(async |after| {
        let paging = Paging { rows: Some(PAGE_ROWS_MAX), after };
        expect_reply!(mesh.ask(&Request::Alerts { all: false, paging }).await?, Alerts)
    });
    let concerns = |alert: &Alert| {
        options.routine.as_ref().is_none_or(|name| alert.routine.as_ref() == Some(name))
            && options.node.as_ref().is_none_or(|node| alert.nodes.contains(node))
    };
    let alerts: Vec<Alert> = alerts.await?.into_iter().map(|view| view.alert).filter(concerns).collect();
    Ok(judge(&rows, &alerts, clock::now()))
}

/// The board, as far as it may have to do with what was asked for.
async fn rows(options: &Check, mesh: &Mesh) -> Result<Vec<BoardRow>, Failure> {
    let search = match (&options.routine, &options.node) {
        (Some(routine), _) => Some(routine.to_string()),
        (None, Some(node)) => Some(node.to_string()),
        (None, None) => None,
    };
    let mut rows = Vec::new();
    for page in 0..PAGES_MAX {
        let offset = page * PAGE_ROWS_MAX;
        let filter = BoardFilter { search: search.clone(), offset, ..BoardFilter::default() };
        let board = expect_reply!(mesh.ask(&Request::Board { filter }).await?, Board)?;
        let is_last = board.rows.is_empty() || offset + PAGE_ROWS_MAX >= board.found;
        rows.extend(board.rows);
        if is_last {
            break;
        }
    }
    Ok(rows)
}

/// The rows of one page after the other, to the last.
async fn pages<T>(mut ask: impl AsyncFnMut(Option<String>) -> Result<Page<T>, Failure>) -> Result<Vec<T>, Failure> {
    let mut rows = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = ask(after).await?;
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(rows)
}

fn judge(rows: &[BoardRow], alerts: &[Alert], now: Timestamp) -> Answer {
    let mut figures = Figures { backups: rows.len(), alerts: alerts.len(), ..Figures::default() };
    let mut told: Vec<(State, String)> = Vec::new();
    for row in rows {
        let age = row.last_good_at.map(|at| between(at, now).as_ms());
        figures.oldest_ms = figures.oldest_ms.max(age);
        let about = format!("{} on {}", row.routine, row.node);
        let old = age.map_or_else(|| "no good backup".to_owned(), |age| format!("last good backup {} old", span(age)));
        match row.grade {
            Grade::Never => {
                figures.never += 1;
                told.push((State::Critical, format!("{about}: never backed up")));
            }
            Grade::TooOld => {
                figures.too_old += 1;
                told.push((State::Critical, format!("{about}: {old}, too old")));
            }
            Grade::Protected => figures.protected += 1,
            Grade::Waiting | Grade::Unbounded => {}
        }
        let is_fine = matches!(row.grade, Grade::Protected | Grade::Waiting | Grade::Unbounded);
        if row.failures_since_good > 0 {
            figures.failing += 1;
            if is_fine {
                let reason = row.last_reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                told.push((State::Warning, format!("{about}: the last backup failed{reason}; {old}")));
            }
        }
        if !row.online {
            figures.unheard += 1;
            if is_fine {
                told.push((State::Warning, format!("{about}: the node is not heard; {old}")));
            }
        }
    }
    for alert in alerts {
        let state = match alert.severity {
            Severity::Emergency | Severity::Critical => State::Critical,
            Severity::Warning => State::Warning,
            Severity::Info => continue,
        };
        told.push((state, format!("{}: {}", alert.severity, alert.title)));
    }
    told.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let state = match told.first() {
        Some((state, _)) => *state,
        None if rows.is_empty() => State::Unknown,
        None => State::Ok,
    };
    let summary = summary(&figures, told.first().map(|(_, first)| first.as_str()));
    Answer { state, summary, details: told.into_iter().skip(1).map(|(_, detail)| detail).collect(), figures }
}

fn summary(figures: &Figures, worst: Option<&str>) -> String {
    let oldest = figures.oldest_ms.map(|age| format!(", the oldest is of {} ago", span(age))).unwrap_or_default();
    match worst {
        Some(worst) => worst.to_owned(),
        None if figures.backups == 0 => "no node has announced such a plan".to_owned(),
        None => format!("{} of {} protected within their RPO{oldest}", figures.protected, figures.backups),
    }
}

/// The line that a monitoring reads: word, text, and figures behind a bar, which the text must not have.
fn line(answer: &Answer) -> String {
    let Figures { backups, protected, too_old, never, failing, unheard, alerts, oldest_ms } = &answer.figures;
    let oldest = oldest_ms.map(|ms| format!(" oldest={}s", ms / 1000)).unwrap_or_default();
    let text = plain(&answer.summary);
    format!(
        "LANDFALL {} - {text} | backups={backups} protected={protected} too_old={too_old} never={never} failing={failing} unheard={unheard} alerts={alerts}{oldest}",
        answer.state.word()
    )
}

/// A monitoring reads figures behind a bar, and everything behind the end of a line as another one.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter == '|' || letter.is_control() { '/' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::alert::AlertKey;
    use landfall_proto::report::Reason;
    use uuid::Uuid;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn row(grade: Grade) -> BoardRow {
        BoardRow {
            node: "a".parse().unwrap(),
            routine: "nightly".parse().unwrap(),
            grade,
            online: true,
            last_good_at: Some("2026-11-20T02:00:00Z".parse().unwrap()),
            last_good_run: None,
            last_outcome: None,
            last_reason: Some(Reason::NoSpace),
            last_run: None,
            last_finished_at: None,
            failures_since_good: 0,
            rpo_ms: None,
            next_slot: None,
            verified_at: None,
            restored_at: None,
            zone: "UTC".to_owned(),
            days: Vec::new(),
        }
    }

    fn alert(severity: Severity) -> Alert {
        Alert {
            key: AlertKey("storage_low/a".to_owned()),
            id: Uuid::nil(),
            severity,
            title: "the disk | of a is nearly full".to_owned(),
            routine: None,
            round: None,
            nodes: Vec::new(),
            reason: None,
            last_good_at: None,
            fix: String::new(),
            runbook: None,
            stakes: None,
        }
    }

    #[test]
    fn what_is_well_is_said_with_its_figures() {
        let answer = judge(&[row(Grade::Protected)], &[], now());
        assert_eq!(answer.state, State::Ok);
        assert_eq!(
            line(&answer),
            "LANDFALL OK - 1 of 1 protected within their RPO, the oldest is of 10h 00m ago | backups=1 protected=1 too_old=0 never=0 failing=0 unheard=0 alerts=0 oldest=36000s"
        );
    }

    #[test]
    fn the_worst_decides_and_comes_first() {
        let failed = BoardRow { failures_since_good: 1, ..row(Grade::Protected) };
        let answer = judge(std::slice::from_ref(&failed), &[], now());
        assert_eq!((answer.state, answer.details.len()), (State::Warning, 0));
        assert!(answer.summary.contains("failed (no_space); last good backup 10h"), "{}", answer.summary);
        let answer = judge(&[failed, row(Grade::TooOld)], &[alert(Severity::Warning)], now());
        assert_eq!((answer.state, answer.details.len()), (State::Critical, 2));
        assert!(answer.summary.contains("too old"), "{}", answer.summary);
        let answer = judge(&[row(Grade::Protected)], &[alert(Severity::Emergency)], now());
        assert_eq!(answer.state, State::Critical);
        assert_eq!(line(&answer).matches('|').count(), 1, "{}", line(&answer));
    }

    #[test]
    fn no_text_of_an_alert_passes_for_a_figure_or_for_another_line() {
        let sly = Alert { title: "disk\n| free=1 \x1b[2J full".to_owned(), ..alert(Severity::Warning) };
        let answer = judge(&[row(Grade::TooOld)], &[sly], now());
        assert_eq!(answer.details.len(), 1);
        assert_eq!(plain(&answer.details[0]), "warning: disk// free=1 /[2J full");
    }

    #[tokio::test]
    async fn every_page_is_read_and_no_list_without_an_end_is_followed_for_ever() {
        let page = |from: u32, next: Option<u32>| {
            let next = next.map(|next| next.to_string());
            Ok(Page { rows: vec![from, from + 1], next })
        };
        let number = |after: Option<String>| after.map_or(0, |after| after.parse::<u32>().unwrap());
        let read = pages(async |after| {
            let from = number(after);
            page(from, Some(from + 2).filter(|next| *next < 6))
        });
        assert_eq!(read.await.ok(), Some(vec![0, 1, 2, 3, 4, 5]));
        let endless = pages(async |after| page(number(after), Some(0)));
        assert_eq!(endless.await.map(|rows| rows.len()).ok(), Some(2 * PAGES_MAX as usize));
    }

    #[test]
    fn what_nobody_knows_is_neither_good_nor_bad() {
        assert_eq!(judge(&[], &[], now()).state, State::Unknown);
        let silent = BoardRow { online: false, ..row(Grade::Protected) };
        assert_eq!(judge(&[silent], &[], now()).state, State::Warning);
        assert_eq!(judge(&[row(Grade::Waiting), row(Grade::Unbounded)], &[], now()).state, State::Ok);
        assert_eq!(judge(&[row(Grade::Protected)], &[alert(Severity::Info)], now()).state, State::Ok);
    }
}
