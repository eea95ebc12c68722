//! The answer: what was broken with its evidence, what was kept, and what nobody can tell.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Seen;
use crate::audit::{Audit, Violation, laws};
use crate::cli::screen::{Screen, Tone};

/// Lines of evidence that are shown to a person; programs get all.
const EVIDENCE_MAX: usize = 8;

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    cluster: &'a str,
    messages: usize,
    /// Receipts that were compared with the log.
    receipts: usize,
    violations: Vec<Broken<'a>>,
    kept: Vec<&'a str>,
    unchecked: Vec<Unchecked<'a>>,
    /// What could not be read.
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct Broken<'a> {
    law: &'a str,
    promise: &'a str,
    what: &'a str,
    evidence: &'a [String],
    /// Position in the log.
    at: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Unchecked<'a> {
    law: &'a str,
    lacks: &'a str,
}

pub(super) fn show(seen: &Seen, found: &Audit, screen: &Screen) {
    let promises: BTreeMap<&str, &str> = laws().iter().map(|law| (law.name(), law.promise())).collect();
    if screen.json {
        screen.json_answer(&answer(seen, found, &promises));
    } else {
        lines(seen, found, &promises).iter().for_each(|(tone, line)| screen.line(&screen.paint(line, *tone)));
    }
}

fn answer<'a>(seen: &'a Seen, found: &'a Audit, promises: &BTreeMap<&'a str, &'a str>) -> Answer<'a> {
    let broken = |violation: &'a Violation| Broken {
        law: violation.law,
        promise: promises.get(violation.law).copied().unwrap_or_default(),
        what: &violation.what,
        evidence: &violation.evidence,
        at: violation.at.map(|position| position.seq),
    };
    Answer {
        cluster: &seen.cluster,
        messages: seen.history.log.len(),
        receipts: receipts(seen),
        violations: found.violations.iter().map(broken).collect(),
        kept: kept(found),
        unchecked: found.unchecked.iter().map(|(law, lacks)| Unchecked { law, lacks }).collect(),
        notes: &seen.notes,
    }
}

fn lines(seen: &Seen, found: &Audit, promises: &BTreeMap<&str, &str>) -> Vec<(Tone, String)> {
    let mut lines = Vec::new();
    for violation in &found.violations {
        lines.push((Tone::Bad, format!("BROKEN   {}: {}", violation.law, violation.what)));
        lines.push((Tone::Dim, format!("         {}", promises.get(violation.law).copied().unwrap_or_default())));
        let more = violation.evidence.len().saturating_sub(EVIDENCE_MAX);
        let shown = violation.evidence.iter().take(EVIDENCE_MAX);
        lines.extend(shown.map(|evidence| (Tone::Plain, format!("         - {evidence}"))));
        if more > 0 {
            lines.push((Tone::Dim, format!("         - and {more} more; --json shows all")));
        }
    }
    for law in kept(found) {
        lines.push((Tone::Good, format!("kept     {law}")));
    }
    for (law, lacks) in &found.unchecked {
        lines.push((Tone::Warn, format!("unknown  {law}: it takes {lacks}")));
    }
    lines.extend(seen.notes.iter().map(|note| (Tone::Warn, format!("note     {note}"))));
    let summary = format!(
        "{}: {} messages and {} receipts; {} promises kept, {} broken, {} not to be told",
        seen.cluster,
        seen.history.log.len(),
        receipts(seen),
        kept(found).len(),
        found.checked.len() - kept(found).len(),
        found.unchecked.len()
    );
    lines.push((if found.violations.is_empty() { Tone::Good } else { Tone::Bad }, summary));
    lines
}

fn receipts(seen: &Seen) -> usize {
    seen.history.nodes.values().map(|node| node.receipts.len()).sum()
}

fn kept<'a>(found: &Audit) -> Vec<&'a str> {
    let is_kept = |law: &&&'static str| found.violations.iter().all(|violation| violation.law != **law);
    found.checked.iter().filter(is_kept).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::envelope::{ContentHash, Position};

    fn example() -> (Seen, Audit) {
        let seen = Seen {
            cluster: "home".to_owned(),
            notes: vec!["the log does not begin with its first message any more".to_owned()],
            ..Seen::default()
        };
        let violation = Violation {
            law: "one-verdict",
            what: "round 3f2a was judged twice".to_owned(),
            evidence: (1..=10).map(|number| format!("position {number}: round_concluded of main")).collect(),
            at: Some(Position { era: 0, seq: 10, hash: ContentHash([0; 16]) }),
        };
        let found = Audit {
            violations: vec![violation],
            checked: vec!["identity", "one-verdict"],
            unchecked: vec![("autonomy", "which slots were due while the machines worked")],
        };
        (seen, found)
    }

    #[test]
    fn a_person_sees_what_broke_what_was_kept_and_what_nobody_can_tell() {
        let (seen, found) = example();
        let promises = BTreeMap::from([("one-verdict", "Each round is judged once.")]);
        let text: Vec<String> = lines(&seen, &found, &promises).into_iter().map(|(_, line)| line).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn a_program_gets_all_the_evidence() {
        let (seen, found) = example();
        let promises = BTreeMap::from([("one-verdict", "Each round is judged once.")]);
        let value = serde_json::to_value(answer(&seen, &found, &promises)).unwrap();
        assert_eq!(value["violations"][0]["evidence"].as_array().unwrap().len(), 10);
        assert_eq!(value["violations"][0]["at"], 10);
        assert_eq!(value["kept"], serde_json::json!(["identity"]));
        assert_eq!(value["unchecked"][0]["law"], "autonomy");
    }
}
