//! `landfall alerts [KEY]`: what a person must know, and whether it was delivered.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::alert::Severity;
use landfall_proto::control::{Paging, Request};
use landfall_proto::time::Timestamp;
use landfall_proto::view::AlertView;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::human::{ago, ago_or_dash, instant};
use super::screen::{Screen, Tone};
use crate::edge::clock;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall alerts\n  landfall alerts --all\n  landfall alerts overdue/nightly")]
pub(super) struct Alerts {
    /// One alert's key
    #[arg(add = ArgValueCompleter::new(Live::Alerts))]
    key: Option<String>,
    /// Resolved ones too
    #[arg(long)]
    all: bool,
    /// How many
    #[arg(long, default_value_t = 50)]
    rows: u32,
}

pub(super) async fn run(options: &Alerts, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    if let Some(key) = &options.key {
        let alert = expect_reply!(mesh.ask(&Request::Alert { key: key.clone() }).await?, Alert)?;
        if screen.json {
            screen.json_answer(&alert);
        } else {
            show(&alert, clock::now(), screen);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let paging = Paging { rows: Some(options.rows), after: None };
    let page = expect_reply!(mesh.ask(&Request::Alerts { all: options.all, paging }).await?, Alerts)?;
    if screen.json {
        screen.json_answer(&page);
    } else if page.rows.is_empty() {
        screen.note("no open alert");
    } else {
        let now = clock::now();
        let rows = page.rows.iter().map(|alert| row(alert, now, screen)).collect();
        screen.table(&["SEVERITY", "KEY", "SINCE", "STATE", "TOLD", "TITLE"], rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn severity(severity: Severity, screen: &Screen) -> String {
    let tone = match severity {
        Severity::Info => Tone::Dim,
        Severity::Warning => Tone::Warn,
        Severity::Critical | Severity::Emergency => Tone::Bad,
    };
    screen.paint(severity.as_str(), tone)
}

fn row(alert: &AlertView, now: Timestamp, screen: &Screen) -> Vec<String> {
    let told: Vec<String> = alert
        .deliveries
        .iter()
        .filter(|delivery| !delivery.resolved)
        .map(
            |delivery| {
                if delivery.error.is_some() { format!("{} FAILED", delivery.sink) } else { delivery.sink.clone() }
            },
        )
        .collect();
    vec![
        severity(alert.alert.severity, screen),
        alert.alert.key.to_string(),
        ago(alert.raised_at, now),
        if alert.open {
            alert.covered_by.as_ref().map_or_else(|| "open".to_owned(), |_| "covered".to_owned())
        } else {
            format!("resolved {}", ago_or_dash(alert.resolved_at, now))
        },
        told.join(", "),
        alert.alert.title.clone(),
    ]
}

fn show(view: &AlertView, now: Timestamp, screen: &Screen) {
    let alert = &view.alert;
    screen.line(&format!("{}  {}", severity(alert.severity, screen), alert.key));
    screen.line(&alert.title);
    screen.line(&format!("raised    {} ({})", instant(view.raised_at), ago(view.raised_at, now)));
    match view.resolved_at {
        Some(at) => screen.line(&format!("resolved  {} ({})", instant(at), ago(at, now))),
        None => screen.line("open"),
    }
    if let Some(cover) = &view.covered_by {
        screen.line(&format!("covered   by {cover}, which is told in its place"));
    }
    if let Some(reason) = alert.reason {
        screen.line(&format!("reason    {reason} — {}", reason.cause()));
    }
    screen.line(&format!("last good {}", ago_or_dash(alert.last_good_at, now)));
    if !alert.fix.is_empty() {
        screen.line(&format!("now       {}", alert.fix));
    }
    if let Some(runbook) = &alert.runbook {
        screen.line(&format!("runbook   {runbook}"));
    }
    if let Some(stakes) = &alert.stakes {
        if let Some(risk) = stakes.risk {
            screen.line(&format!("risk      {risk}: {}", risk.meaning()));
        }
        if let Some(called) = stakes.called() {
            screen.line(&format!("call      {called}"));
        }
    }
    for delivery in &view.deliveries {
        let what = match (delivery.resolved, delivery.reminder) {
            (true, _) => "resolved",
            (false, 0) => "raised",
            (false, _) => "still open",
        };
        let how = match (&delivery.error, &delivery.answer) {
            (Some(error), _) => format!("given up: {error}"),
            (None, Some(answer)) => format!("taken: {answer}"),
            (None, None) => "taken".to_owned(),
        };
        screen.line(&format!(
            "told      {} of \"{what}\" at {}: {how} (attempts {})",
            delivery.sink,
            instant(delivery.at),
            delivery.attempts
        ));
    }
}
