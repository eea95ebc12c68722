//! The table at the end: what was broken, what came of it, and what was promised in vain.

use std::fmt;

use comfy_table::{CellAlignment, presets};
use serde_json::{Value, json};

use super::run::{Ending, Told};

/// Cases in the order in which they were told.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub told: Vec<Told>,
}

impl Report {
    /// Whether nothing failed. What could not be shown has neither passed nor failed.
    pub fn is_good(&self) -> bool {
        self.told.iter().all(|told| matches!(told.ending, Ending::Passed | Ending::Skipped(_)))
    }

    pub fn json(&self) -> Value {
        let rows = self.told.iter().map(|told| {
            json!({
                "case": told.case,
                "seed": told.seed,
                "result": result(&told.ending),
                "why": why(&told.ending),
                "faults": told.counts.faults,
                "rounds": told.counts.rounds,
                "verdicts": told.counts.verdicts.iter().map(|(kind, count)| (kind.to_string(), *count)).collect::<std::collections::BTreeMap<_, _>>(),
                "laws": told.counts.laws,
                "violations": told.counts.violations,
                "seconds": told.took.as_secs_f64(),
                "again": told.again(),
            })
        });
        json!({ "cases": rows.collect::<Vec<_>>(), "good": self.is_good() })
    }
}

const fn result(ending: &Ending) -> &'static str {
    match ending {
        Ending::Passed => "passed",
        Ending::Failed(_) => "failed",
        Ending::Skipped(_) => "not possible here",
        Ending::Stopped => "stopped",
    }
}

fn why(ending: &Ending) -> Option<&str> {
    match ending {
        Ending::Failed(why) | Ending::Skipped(why) => Some(why),
        Ending::Passed | Ending::Stopped => None,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["case", "result", "faults", "rounds", "verdicts", "laws", "violations", "seconds"]);
        for told in &self.told {
            let counts = &told.counts;
            let verdicts: Vec<String> = counts.verdicts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            table.add_row([
                told.case.to_owned(),
                result(&told.ending).to_owned(),
                counts.faults.to_string(),
                counts.rounds.to_string(),
                verdicts.join(", "),
                counts.laws.to_string(),
                counts.violations.len().to_string(),
                format!("{:.1}", told.took.as_secs_f64()),
            ]);
        }
        for column in [2, 3, 5, 6, 7] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(formatter, "{table}")?;
        let count = |wanted: fn(&Ending) -> bool| self.told.iter().filter(|told| wanted(&told.ending)).count();
        let sum = |figure: fn(&Told) -> u32| self.told.iter().map(figure).sum::<u32>();
        write!(
            formatter,
            "{} passed, {} failed, {} not possible here; {} faults, {} rounds, {} violations",
            count(|ending| *ending == Ending::Passed),
            count(|ending| matches!(ending, Ending::Failed(_) | Ending::Stopped)),
            count(|ending| matches!(ending, Ending::Skipped(_))),
            sum(|told| told.counts.faults),
            sum(|told| told.counts.rounds),
            sum(|told| u32::try_from(told.counts.violations.len()).unwrap_or(u32::MAX)),
        )?;
        for told in &self.told {
            match &told.ending {
                Ending::Failed(why) => write!(formatter, "\n{}: {why}\n  again: {}", told.case, told.again())?,
                Ending::Skipped(why) => write!(formatter, "\n{}: not possible here: {why}", told.case)?,
                Ending::Passed | Ending::Stopped => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::weather::diary::Counts;

    fn told(ending: Ending) -> Told {
        let counts = Counts { faults: 2, ..Counts::default() };
        Told { case: "rain", seed: 3, rounds: 1, ending, counts, took: Duration::from_secs(4) }
    }

    #[test]
    fn what_cannot_be_shown_is_neither_passed_nor_failed() {
        let report = Report { told: vec![told(Ending::Skipped("no root".to_owned())), told(Ending::Passed)] };
        assert!(report.is_good());
        let text = report.to_string();
        assert!(text.contains("1 passed, 0 failed, 1 not possible here; 4 faults"), "{text}");
        assert!(text.contains("rain: not possible here: no root"), "{text}");
    }

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        let report = Report { told: vec![told(Ending::Failed("it rained".to_owned()))] };
        assert!(!report.is_good());
        assert!(report.to_string().contains("again: cargo chaos run rain --seed 3 --rounds 1 --keep"));
        assert_eq!(report.json()["cases"][0]["why"], "it rained");
    }
}
