//! What is said about runs: in lines that people read and can act on.

use std::fmt::Write;

use landfall::audit::Violation;

use crate::generate::Wishes;
use crate::hits::{EXPECTED, Hits};
use crate::options::Plan;
use crate::round::Cost;
use crate::run::Outcome;
use crate::seeds::Summary;
use crate::trace::offset;

/// Evidence of one violation that is printed at most.
const EVIDENCE_MAX: usize = 12;

/// A run's options, in full.
pub fn plan(plan: &Plan) -> String {
    let mut text = format!("seed {}\noptions {}\n", plan.options.seed, plan.options.line());
    for planned in &plan.faults {
        let at = landfall_proto::time::after(plan.options.start, planned.at);
        let _ = writeln!(text, "fault {} {}", offset(plan.options.start, at), planned.fault.line());
    }
    text
}

/// How a run went, in one or two lines.
pub fn outcome(outcome: &Outcome) -> String {
    let Outcome { steps, events, passed, messages, .. } = outcome;
    let rest =
        outcome.rested_after.map_or_else(|| "never at rest".to_owned(), |after| format!("at rest after {after}"));
    format!("{passed} of virtual time, {events} events, {steps} core steps, {messages} messages in the log, {rest}\n")
}

pub fn violations(violations: &[Violation]) -> String {
    let mut text = String::new();
    for violation in violations {
        let _ = writeln!(text, "BROKEN {}: {}", violation.law, violation.what);
        for line in violation.evidence.iter().take(EVIDENCE_MAX) {
            let _ = writeln!(text, "    {line}");
        }
        if violation.evidence.len() > EVIDENCE_MAX {
            let _ = writeln!(text, "    and {} more", violation.evidence.len() - EVIDENCE_MAX);
        }
    }
    text
}

/// The one command that makes the same run again.
pub fn command(seed: u64, wishes: Wishes) -> String {
    let mut text = format!("cargo sim --seed {seed}");
    if let Some(nodes) = wishes.nodes {
        let _ = write!(text, " --nodes {nodes}");
    }
    if let Some(coordinators) = wishes.coordinators {
        let _ = write!(text, " --coordinators {coordinators}");
    }
    text
}

/// What bad weather really did.
pub fn hits(hits: &Hits) -> String {
    let mut text = String::new();
    for (name, meaning) in EXPECTED {
        let _ = writeln!(text, "{:>10}  {name:<32} {meaning}", hits.count(name));
    }
    text
}

/// Many runs in a few lines. `seconds` is how long they took.
pub fn summary(summary: &Summary, seconds: f64) -> String {
    let Summary { runs, steps, events, messages, faults, passed_secs, .. } = summary;
    let per_second = *steps as f64 / seconds.max(0.001);
    let mut text = format!(
        "{runs} runs, {steps} core steps ({per_second:.0}/s), {events} events, {messages} messages in logs, {:.0} hours of virtual \
         time, {seconds:.1} s\n{faults} faults planned, {} of {} kinds took effect, {} runs broke a promise\n",
        *passed_secs as f64 / 3600.0,
        EXPECTED.len() - summary.hits.missing().len(),
        EXPECTED.len(),
        summary.failures.len(),
    );
    let mut laws: std::collections::BTreeMap<&str, (u64, u64)> = std::collections::BTreeMap::new();
    for (seed, violations) in &summary.failures {
        let broken: std::collections::BTreeSet<&str> = violations.iter().map(|violation| violation.law).collect();
        for law in broken {
            laws.entry(law).or_insert((0, *seed)).0 += 1;
        }
    }
    for (law, (count, seed)) in laws {
        let _ = writeln!(text, "BROKEN {law} in {count} runs, first by seed {seed}");
    }
    text
}

/// What one large round cost, in all and for each node. `grown` is how much memory the process took for it, in bytes.
pub fn cost(cost: &Cost, seconds: f64, grown: Option<u64>) -> String {
    let Cost { nodes, steps, messages, log_bytes, kinds, took, verdict, good } = cost;
    let each = |all: u64| all as f64 / f64::from((*nodes).max(1));
    let verdict = verdict.map_or_else(|| "no verdict".to_owned(), |verdict| format!("{verdict:?}"));
    let took = took.map_or_else(String::new, |took| format!(" {took} after the slot"));
    let mut text = format!("{nodes} nodes, {good} good runs: {verdict}{took}, in {seconds:.1} s\n");
    if let Some(grown) = grown {
        let _ = writeln!(
            text,
            "memory  {:>12} bytes, {:>8.0} for each node (coordinator, its ledger and the log)",
            grown,
            each(grown)
        );
    }
    let _ = writeln!(
        text,
        "steps   {steps:>12}      , {:>8.1} for each node, {:.0}/s",
        each(*steps),
        *steps as f64 / seconds.max(0.001)
    );
    let _ = writeln!(
        text,
        "log     {log_bytes:>12} bytes, {:>8.0} for each node, in {messages} messages",
        each(*log_bytes)
    );
    for (kind, count) in kinds {
        let _ = writeln!(text, "        {count:>12} {kind}");
    }
    text
}
