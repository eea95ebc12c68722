//! `landfall calendar EXPR`: what a calendar expression means and when it is due. Needs no mesh.

use std::process::ExitCode;

use clap::Args;
use jiff::tz::TimeZone;
use landfall_proto::calendar::Calendar;

use super::failure::{Failure, USAGE};
use super::human::ago;
use super::screen::Screen;
use crate::edge::clock;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall calendar 'mon..fri 22:00'\n  landfall calendar '*-*~01 03:00' --zone Europe/Berlin -n 12"
)]
pub(super) struct Explain {
    /// A systemd calendar expression
    expression: String,
    /// IANA zone of the times in it
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// How many instants
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    number: u16,
}

pub(super) fn run(options: &Explain, screen: &Screen) -> Result<ExitCode, Failure> {
    let calendar: Calendar = options.expression.parse().map_err(|error: landfall_proto::calendar::CalendarError| {
        Failure::new(
            USAGE,
            format!("{:?} is not a calendar expression", options.expression),
            error.to_string(),
            "correct it; `man systemd.time` describes the form",
        )
    })?;
    let zone = TimeZone::get(&options.zone).map_err(|_| {
        Failure::new(
            USAGE,
            format!("{:?} is not a time zone", options.zone),
            "no zone has this name",
            "write an IANA name such as Europe/Berlin",
        )
    })?;
    let now = clock::now();
    let slots: Vec<jiff::Timestamp> = calendar.iter(now, &zone).take(usize::from(options.number)).collect();
    if screen.json {
        screen.json_answer(&serde_json::json!({
            "calendar": calendar.to_string(), "zone": options.zone, "explained": calendar.explain(), "next": slots,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    screen.line(&format!("normalised {calendar}"));
    screen.line(&format!("means      {}", calendar.explain()));
    if slots.is_empty() {
        screen.line("never due again");
    }
    for slot in slots {
        let local = slot.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string();
        screen.line(&format!("{local}   {}", ago(slot, now)));
    }
    Ok(ExitCode::SUCCESS)
}
