//! The judgement about one run's result, from what the destination showed. Pure: it looks at nothing itself.

use landfall_proto::plan::Guards;
use landfall_proto::report::{Evidence, Outcome, Reason, Statistics, Unread};

use super::HistoryEntry;

/// A run shorter than this is never slow: the machine's mood lasts longer than the work.
const SLOW_MS_MIN: u64 = 60_000;

/// What a driver found after its tool had ended without failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) said: Said,
    /// What the destination showed; absent where it showed nothing of this run.
    pub(crate) evidence: Option<Evidence>,
    /// Why there is no evidence, or what is wrong with it.
    pub(crate) absence: String,
    pub(crate) statistics: Statistics,
    pub(crate) unread: Unread,
    /// Sources that are not in what landed.
    pub(crate) missing_sources: Vec<String>,
    /// Notes for people that change nothing.
    pub(crate) notes: Vec<String>,
    /// Size that the plan asks for: at least, at most.
    pub(crate) bytes_band: (u64, Option<u64>),
}

/// What the tool said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Done,
    /// Nothing was left to do.
    AlreadyDone,
    Warning,
    Partial,
}

/// The verdict of the runner on its own run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) findings: Vec<String>,
}

/// Judges a backup. What the tool said is never enough: without evidence there is no success.
pub(crate) fn judge(claim: &Claim, guards: &Guards, history: &[HistoryEntry], duration_ms: u64) -> Judgement {
    let hard = claim.evidence.as_ref().map_or_else(
        || Some((Outcome::Failed, Reason::VerifyMissing, claim.absence.clone())),
        |evidence| broken(claim, evidence, guards),
    );
    let suspicions = claim
        .evidence
        .as_ref()
        .map(|evidence| suspicions(claim, evidence, guards, history, duration_ms))
        .unwrap_or_default();
    let mut findings: Vec<String> = suspicions.iter().map(|(_, text)| text.clone()).collect();
    findings.extend(claim.notes.iter().cloned());
    let (outcome, reason, message) = hard.unwrap_or_else(|| match (suspicions.into_iter().next(), claim.said) {
        (_, Said::Partial) => {
            (Outcome::Partial, Reason::ExitWarning, "The tool says that it could not save everything.".to_owned())
        }
        (Some((reason, text)), _) => (Outcome::Warning, reason, text),
        (None, Said::Warning) => {
            (Outcome::Warning, Reason::ExitWarning, "The backup landed; the tool reported a warning.".to_owned())
        }
        (None, Said::AlreadyDone) => {
            (Outcome::Ok, Reason::AlreadyDone, "The destination already holds this run's backup.".to_owned())
        }
        (None, Said::Done) => (Outcome::Ok, Reason::Completed, landed(claim)),
    });
    Judgement { outcome, reason, message, findings }
}

/// What a check of the whole repository found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) errors: u64,
    pub(crate) findings: Vec<String>,
    /// Structure or data; absent where the program that checked does not say how deep it looked.
    pub(crate) evidence: Option<Evidence>,
    pub(crate) statistics: Statistics,
}

/// Judges a check: any error is damage.
pub(crate) fn judge_check(checked: &Checked) -> Judgement {
    let findings = checked.findings.clone();
    if checked.errors > 0 {
        let first = findings.first().map(|finding| format!(": {}", finding.trim_end_matches('.'))).unwrap_or_default();
        let count = if checked.errors == 1 { "one error".to_owned() } else { format!("{} errors", checked.errors) };
        let message = format!("The check found {count}{first}.");
        return Judgement { outcome: Outcome::Failed, reason: Reason::Integrity, message, findings };
    }
    let message = match checked.statistics.packs_read {
        Some(packs) => format!("The structure is whole, and so is the data that was read ({packs} packs)."),
        None => "The check found no error.".to_owned(),
    };
    Judgement { outcome: Outcome::Ok, reason: Reason::Completed, message, findings }
}

/// What makes a backup no backup, or less than one.
fn broken(claim: &Claim, evidence: &Evidence, guards: &Guards) -> Option<(Outcome, Reason, String)> {
    let failed = |reason: Reason, text: String| Some((Outcome::Failed, reason, text));
    let (bytes_min, _) = claim.bytes_band;
    if evidence.matches == 0 {
        return failed(Reason::VerifyMissing, claim.absence.clone());
    }
    if evidence.matches > 1 {
        return failed(
            Reason::VerifyDoubled,
            format!("{} snapshots at the destination carry this run's id; one is right.", evidence.matches),
        );
    }
    if (evidence.files == 0 || evidence.bytes == 0) && !guards.allow_empty {
        return failed(
            Reason::Empty,
            format!("{} landed, but it is empty: {} files, {} bytes.", name(evidence), evidence.files, evidence.bytes),
        );
    }
    if evidence.bytes < bytes_min && !guards.allow_empty {
        return failed(
            Reason::Shrunk,
            format!("{} has {} bytes; the plan asks for at least {bytes_min}.", name(evidence), evidence.bytes),
        );
    }
    if !evidence.covers_sources {
        let missing = if claim.missing_sources.is_empty() {
            "not every source".to_owned()
        } else {
            claim.missing_sources.join(", ")
        };
        return Some((
            Outcome::Partial,
            Reason::VerifyIncomplete,
            format!("What landed lacks sources of the plan: {missing}."),
        ));
    }
    if claim.unread.count > 0 {
        let first = claim.unread.names.first().map(|name| format!(", first {name}")).unwrap_or_default();
        return Some((
            Outcome::Partial,
            Reason::SourceUnreadable,
            format!("{} files could not be read{first}.", claim.unread.count),
        ));
    }
    None
}

/// What is worth a look in a backup that landed: figures outside the band of the plan or of history.
fn suspicions(
    claim: &Claim,
    evidence: &Evidence,
    guards: &Guards,
    history: &[HistoryEntry],
    duration_ms: u64,
) -> Vec<(Reason, String)> {
    let mut found = Vec::new();
    if let Some(max) = claim.bytes_band.1.filter(|max| evidence.bytes > *max) {
        found.push((Reason::Grown, format!("It has {} bytes; the plan expects at most {max}.", evidence.bytes)));
    }
    let enough = history.len() >= usize::try_from(guards.history_min.max(1)).unwrap_or(usize::MAX);
    if !enough {
        return found;
    }
    let files = median(history.iter().map(|entry| entry.files).collect());
    let bytes = median(history.iter().map(|entry| entry.bytes).collect());
    for (what, value, usual) in [("files", evidence.files, files), ("bytes", evidence.bytes, bytes)] {
        if u128::from(value) * 100 < u128::from(usual) * u128::from(100_u32.saturating_sub(guards.shrink_percent)) {
            found.push((
                Reason::Shrunk,
                format!(
                    "It has {value} {what}; {usual} are usual, and {} percent fewer are too few.",
                    guards.shrink_percent
                ),
            ));
        } else if what == "bytes"
            && u128::from(value) * 100 > u128::from(usual) * (100 + u128::from(guards.grow_percent))
            && usual > 0
        {
            found.push((
                Reason::Grown,
                format!(
                    "It has {value} bytes; {usual} are usual, and {} percent more are too many.",
                    guards.grow_percent
                ),
            ));
        }
    }
    let usual_ms = median(history.iter().map(|entry| entry.duration_ms).collect());
    if claim.said != Said::AlreadyDone
        && duration_ms > SLOW_MS_MIN
        && duration_ms as f64 > usual_ms as f64 * guards.slow_factor
    {
        found.push((Reason::Slow, format!("It took {} seconds; {} are usual.", duration_ms / 1000, usual_ms / 1000)));
    }
    found
}

fn landed(claim: &Claim) -> String {
    match &claim.evidence {
        Some(evidence) => {
            format!("{} landed with {} files and {} bytes.", name(evidence), evidence.files, evidence.bytes)
        }
        None => claim.absence.clone(),
    }
}

/// Long ids are shortened as the tools themselves do; paths are not.
fn name(evidence: &Evidence) -> String {
    let id = &evidence.snapshot;
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        format!("Snapshot {}", &id[..8])
    } else {
        format!("`{id}`")
    }
}

/// The middle one; one odd run among many does not move it.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use landfall_proto::report::ProofLevel;
    use landfall_proto::time::Timestamp;

    use super::*;

    fn claim(files: u64, bytes: u64) -> Claim {
        let evidence = Evidence {
            repository: None,
            snapshot: "a".repeat(64),
            taken_at: Timestamp::UNIX_EPOCH,
            level: ProofLevel::Landed,
            matches: 1,
            covers_sources: true,
            files,
            bytes,
            read_at: Timestamp::UNIX_EPOCH,
        };
        Claim {
            said: Said::Done,
            evidence: Some(evidence),
            absence: "Nothing is there.".to_owned(),
            statistics: Statistics::default(),
            unread: Unread::default(),
            missing_sources: Vec::new(),
            notes: Vec::new(),
            bytes_band: (1, None),
        }
    }

    fn with(change: impl FnOnce(&mut Evidence)) -> Claim {
        let mut claim = claim(100, 1000);
        change(claim.evidence.as_mut().unwrap());
        claim
    }

    fn verdict(claim: &Claim) -> (Outcome, Reason) {
        let history = vec![HistoryEntry { files: 100, bytes: 1000, duration_ms: 60_000 }; 3];
        let judgement = judge(claim, &Guards::default(), &history, 70_000);
        (judgement.outcome, judgement.reason)
    }

    #[test]
    fn without_evidence_nothing_that_a_tool_says_is_success() {
        for said in [Said::Done, Said::AlreadyDone, Said::Warning, Said::Partial] {
            let lie = Claim { said, evidence: None, ..claim(1, 1) };
            assert_eq!(verdict(&lie), (Outcome::Failed, Reason::VerifyMissing));
        }
    }

    #[test]
    fn each_flaw_of_the_evidence_has_its_own_reason() {
        assert_eq!(verdict(&claim(100, 1000)), (Outcome::Ok, Reason::Completed));
        assert_eq!(verdict(&with(|evidence| evidence.matches = 0)), (Outcome::Failed, Reason::VerifyMissing));
        assert_eq!(verdict(&with(|evidence| evidence.matches = 2)), (Outcome::Failed, Reason::VerifyDoubled));
        assert_eq!(verdict(&with(|evidence| evidence.files = 0)), (Outcome::Failed, Reason::Empty));
        assert_eq!(
            verdict(&with(|evidence| evidence.covers_sources = false)),
            (Outcome::Partial, Reason::VerifyIncomplete)
        );
        assert_eq!(verdict(&with(|evidence| evidence.files = 40)), (Outcome::Warning, Reason::Shrunk));
        assert_eq!(verdict(&with(|evidence| evidence.bytes = 1501)), (Outcome::Warning, Reason::Grown));
        assert_eq!(verdict(&with(|evidence| evidence.bytes = 500)), (Outcome::Ok, Reason::Completed));
        let unread = Claim { unread: Unread { count: 2, names: vec!["/x".to_owned()] }, ..claim(100, 1000) };
        assert_eq!(verdict(&unread), (Outcome::Partial, Reason::SourceUnreadable));
        let small = Claim { bytes_band: (1001, None), ..claim(100, 1000) };
        assert_eq!(verdict(&small), (Outcome::Failed, Reason::Shrunk));
        let large = Claim { bytes_band: (1, Some(999)), ..claim(100, 1000) };
        assert_eq!(verdict(&large), (Outcome::Warning, Reason::Grown));
    }

    #[test]
    fn a_slow_run_is_a_warning_only_against_a_history() {
        let history = vec![HistoryEntry { files: 100, bytes: 1000, duration_ms: 60_000 }; 2];
        let judged = |history: &[HistoryEntry]| judge(&claim(100, 1000), &Guards::default(), history, 121_000).reason;
        assert_eq!(judged(&history), Reason::Completed, "two runs are no history yet");
        assert_eq!(judged(&history.repeat(2)), Reason::Slow);
    }

    #[test]
    fn an_empty_backup_is_right_where_the_plan_allows_it() {
        let guards = Guards { allow_empty: true, ..Guards::default() };
        assert_eq!(judge(&claim(0, 0), &guards, &[], 1).outcome, Outcome::Ok);
    }
}
