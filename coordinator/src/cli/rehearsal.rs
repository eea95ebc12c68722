//! What `landfall start --dry-run` shows: the round that was not opened.

use std::process::ExitCode;

use landfall_proto::rehearsal::{RehearsalView, RehearsedNode};

use super::failure::BAD;
use super::human::{instant, short_round};
use super::screen::{Screen, Tone};

pub(super) fn show(view: &RehearsalView, screen: &Screen) -> ExitCode {
    if screen.json {
        screen.json_answer(view);
    } else {
        text(view, screen);
    }
    if view.doubtful == 0 && view.expected > 0 { ExitCode::SUCCESS } else { ExitCode::from(BAD) }
}

fn text(view: &RehearsalView, screen: &Screen) {
    let RehearsalView { routine, task, expected, at_once, doubtful, .. } = view;
    screen.line(&format!(
        "A {task} of {routine}, without starting it: {expected} nodes expected, {at_once} would start at once"
    ));
    screen.line(&format!(
        "rule {}   begin by {}   verdict by {}",
        view.rule,
        instant(view.start_by),
        instant(view.deadline)
    ));
    let rows = view.nodes.iter().map(|row| vec![row.node.to_string(), outlook(row, screen)]).collect();
    screen.table(&["NODE", "WOULD"], rows);
    let shown = u32::try_from(view.nodes.len()).unwrap_or(u32::MAX);
    if *expected > shown {
        screen.line(&format!("{} more nodes are not shown", expected - shown));
    }
    if !view.retired.is_empty() {
        let names: Vec<&str> = view.retired.iter().map(|node| node.as_str()).collect();
        screen.line(&format!("not expected, because retired: {}", names.join(", ")));
    }
    if view.queued_before > 0 {
        screen.line(&format!("{} runs wait already and come first", view.queued_before));
    }
    for round in &view.open_rounds {
        screen.line(&format!("round {} of the same routine is under way", short_round(*round)));
    }
    if *doubtful > 0 {
        let text = format!("{doubtful} of {expected} nodes cannot be relied on: the round may end without them");
        screen.line(&screen.paint(&text, Tone::Warn));
    }
}

fn outlook(row: &RehearsedNode, screen: &Screen) -> String {
    let paused = row.paused.as_ref().map(|why| format!("paused: {why}"));
    let lacking = (!row.has_plan).then(|| "its latest announcement lacks the plan".to_owned());
    let waits = row.waits_for.as_ref().map(|reason| format!("wait: {reason}"));
    let said: Vec<String> = [waits, paused, lacking].into_iter().flatten().collect();
    if said.is_empty() { screen.paint("start at once", Tone::Good) } else { screen.paint(&said.join("; "), Tone::Warn) }
}
