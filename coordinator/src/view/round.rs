//! One round as people see it: how many are good, bad and missing, and what its verdict says.

use landfall_proto::codec::encode;
use landfall_proto::verdict::{Standing, Verdict};
use landfall_proto::view::{RoundDetail, RoundView, TimelineEntry};

use super::page::{PAGE_BYTES_MAX, Pager};
use super::{Scene, run};
use crate::core::round::Round;
use crate::core::run::Run;

/// Runs in one detail.
const RUNS_MAX: usize = 500;

/// Late reports in one detail.
const LATE_MAX: usize = 100;

/// One round in a list.
pub fn round(round: &Round) -> RoundView {
    let (good, bad, missing) = match &round.verdict {
        Some(verdict) => {
            let count = |wanted: Standing| verdict.nodes.iter().filter(|node| node.standing == wanted).count();
            let count = |wanted| u32::try_from(count(wanted)).unwrap_or(u32::MAX);
            (count(Standing::Good), count(Standing::Bad), count(Standing::Missing))
        }
        None => {
            let counts = round.counts;
            let reported = counts.ended.saturating_sub(counts.lost);
            (counts.good, reported.saturating_sub(counts.good), round.expected.saturating_sub(reported))
        }
    };
    RoundView {
        id: round.id,
        routine: round.routine.clone(),
        task: round.task,
        slot: round.slot,
        opened_at: round.opened_at,
        opened_by: round.opened_by.clone(),
        by: round.by.clone(),
        deadline: round.deadline,
        rule: round.rule.clone(),
        expected: round.expected,
        good,
        bad,
        missing,
        verdict: round.verdict.as_ref().map(|verdict| verdict.kind),
        concluded_at: round.concluded_at,
    }
}

/// One round with its runs, as many as fit into one message. Where they are too many, those that are not good come first.
pub fn detail(scene: Scene<'_>, of: &Round, runs: &[&Run]) -> RoundDetail {
    let is_large = runs.len() > RUNS_MAX;
    let mut ordered: Vec<&Run> = runs.to_vec();
    ordered.sort_by_key(|run| (is_large && run.is_good(), !run.expected, run.position, run.id));
    let verdict = of.verdict.as_ref().map(|verdict| fitting(verdict, PAGE_BYTES_MAX / 4));
    // The verdict has a share of the message.
    let bytes_max = if verdict.is_some() { PAGE_BYTES_MAX * 3 / 4 } else { PAGE_BYTES_MAX };
    let mut rows = Pager::within(RUNS_MAX, bytes_max);
    for one in ordered {
        if !rows.push(run(scene, one, Some(of))) {
            break;
        }
    }
    RoundDetail { round: round(of), verdict, runs: rows.into_rows(), late: late(runs) }
}

/// The verdict with as many nodes as fit; those that are not good come first.
fn fitting(verdict: &Verdict, bytes_max: usize) -> Verdict {
    let mut nodes = verdict.nodes.clone();
    if encode(&nodes).len() > bytes_max {
        nodes.sort_by_key(|node| node.standing == Standing::Good);
        let mut left = bytes_max;
        nodes.retain(|node| {
            let bytes = encode(node).len();
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
    }
    Verdict { kind: verdict.kind, summary: verdict.summary.clone(), nodes, late: verdict.late }
}

fn late(runs: &[&Run]) -> Vec<TimelineEntry> {
    let mut late: Vec<TimelineEntry> = runs
        .iter()
        .filter_map(|run| run.end.as_ref().filter(|end| end.late).map(|end| (run, end)))
        .map(|(run, end)| TimelineEntry {
            at: end.at,
            what: format!("{} reported {} ({})", run.node, end.outcome, end.reason),
        })
        .collect();
    late.sort_by_key(|entry| entry.at);
    late.truncate(LATE_MAX);
    late
}
