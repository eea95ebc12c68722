//! `landfall status`: the mesh in one glance.

use std::collections::BTreeMap;
use std::process::ExitCode;

use landfall_proto::control::Request;
use landfall_proto::monitor::MonitorState;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{RoutineView, StandbyView, StatusView, WatchdogView};

use super::ask::{Mesh, expect_reply};
use super::failure::Failure;
use super::human::{ago, ago_or_dash, dash, verdict_tone};
use super::monitor::tone;
use super::screen::{Screen, Tone};
use crate::edge::clock;

pub(super) async fn run(mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let status = expect_reply!(mesh.ask(&Request::Status).await?, Status)?;
    if screen.json {
        screen.json_answer(&status);
    } else {
        show(&status, clock::now(), screen);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(status: &StatusView, now: Timestamp, screen: &Screen) {
    let leader = status.leader.as_ref().map_or_else(|| screen.paint("no leader", Tone::Bad), ToString::to_string);
    screen.line(&format!(
        "cluster {}   leader {leader} ({}term {})   log {}{}   bus {}",
        status.cluster,
        if status.epoch.era > 0 { format!("era {}, ", status.epoch.era) } else { String::new() },
        status.epoch.term,
        status.log_seq,
        match status.lag {
            Some(0) => String::new(),
            Some(lag) => format!(" ({lag} behind)"),
            None => screen.paint(" (out of sight)", Tone::Bad),
        },
        status.bus_version.as_deref().unwrap_or("unknown"),
    ));
    if !status.standbys.is_empty() {
        let standbys: Vec<String> = status.standbys.iter().map(|standby| shown(standby, screen)).collect();
        screen.line(&format!("standbys {}", standbys.join(", ")));
    }
    let silent: Vec<&str> = status.nodes_silent.iter().map(|node| node.as_str()).collect();
    screen.line(&format!(
        "nodes {}/{} online{}   rounds open {}   runs running {}, queued {}   alerts open {}",
        status.nodes_online,
        status.nodes,
        if silent.is_empty() {
            String::new()
        } else {
            format!(" (silent: {})", screen.paint(&silent.join(", "), Tone::Warn))
        },
        status.rounds_open,
        status.runs_running,
        status.runs_queued,
        if status.alerts_open > 0 { screen.paint(&status.alerts_open.to_string(), Tone::Bad) } else { "0".to_owned() },
    ));
    if !status.monitors.is_empty() {
        screen.line(&monitors(&status.monitors, screen));
    }
    if status.last_pass_at.is_some() || status.watchdog.is_some() {
        screen.line(&process(status.last_pass_at, status.watchdog, now, screen));
    }
    if !status.refused.is_empty() {
        let counts: Vec<String> = status.refused.iter().map(|(name, count)| format!("{name} {count}")).collect();
        screen.line(&format!("refused messages: {}", counts.join(", ")));
    }
    if !status.routines.is_empty() {
        screen.line("");
        let rows = status.routines.iter().map(|routine| row(routine, now, screen)).collect();
        screen.table(&["ROUTINE", "NODES", "LAST VERDICT", "WHEN", "NEXT"], rows);
    }
}

/// `monitors 1 overdue, 3 up`: the worst first.
fn monitors(counts: &BTreeMap<MonitorState, u32>, screen: &Screen) -> String {
    let told = |(state, count): (&MonitorState, &u32)| screen.paint(&format!("{count} {state}"), tone(*state));
    format!("monitors {}", counts.iter().rev().map(told).collect::<Vec<_>>().join(", "))
}

/// How the answering coordinator itself is.
fn process(last_pass_at: Option<Timestamp>, watchdog: Option<WatchdogView>, now: Timestamp, screen: &Screen) -> String {
    let pass = format!("last pass {}", ago_or_dash(last_pass_at, now));
    match watchdog {
        None => pass,
        Some(WatchdogView { called_at, failures, .. }) => {
            let failed = match failures {
                0 => String::new(),
                failures => format!(", {}", screen.paint(&format!("{failures} calls failed since"), Tone::Bad)),
            };
            format!("{pass}   watchdog called {}{failed}", ago_or_dash(called_at, now))
        }
    }
}

/// One standby: how far it is behind, and whether its state is the leader's.
fn shown(standby: &StandbyView, screen: &Screen) -> String {
    let lag = match standby.lag {
        Some(0) => "up to date".to_owned(),
        Some(lag) => format!("{lag} behind"),
        None => screen.paint("does not see the log", Tone::Warn),
    };
    let agrees = match standby.agrees {
        Some(true) => ", same state".to_owned(),
        Some(false) => screen.paint(", another state", Tone::Bad),
        None => String::new(),
    };
    format!("{} ({lag}{agrees})", standby.holder)
}

fn row(routine: &RoutineView, now: Timestamp, screen: &Screen) -> Vec<String> {
    let last = routine.last_round.as_ref();
    let verdict = match last.map(|round| round.verdict) {
        None => dash(),
        Some(None) => "converging".to_owned(),
        Some(Some(kind)) => screen.paint(kind.as_str(), verdict_tone(kind)),
    };
    vec![
        routine.name.to_string(),
        routine.nodes.len().to_string(),
        verdict,
        ago_or_dash(last.map(|round| round.concluded_at.unwrap_or(round.opened_at)), now),
        routine.next_slots.first().map_or_else(|| "by hand".to_owned(), |slot| ago(*slot, now)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitors_are_counted_with_the_worst_first() {
        let counts = BTreeMap::from([(MonitorState::New, 2), (MonitorState::Up, 3), (MonitorState::Overdue, 1)]);
        assert_eq!(monitors(&counts, &Screen::new(false, true)), "monitors 1 overdue, 3 up, 2 new");
    }

    #[test]
    fn the_answering_process_is_one_line() {
        let (screen, at) = (Screen::new(false, true), |second| Timestamp::from_second(second).unwrap());
        let calls = |failures| Some(WatchdogView { called_at: Some(at(40)), failures, failures_total: 9 });
        let lines = [
            process(None, None, at(100), &screen),
            process(Some(at(99)), calls(0), at(100), &screen),
            process(Some(at(10)), calls(3), at(100), &screen),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
