//! What a benchmark says: rows of measurements, what each is compared with, and whether it keeps its budget.

use std::fmt;

use comfy_table::{CellAlignment, presets};
use serde::Serialize;

use super::samples::Samples;

/// One benchmark's result.
#[derive(Debug, Serialize)]
pub struct Table {
    pub benchmark: &'static str,
    /// What has to be known to repeat it: versions, sizes, machine.
    pub conditions: Vec<String>,
    pub rows: Vec<Row>,
}

/// One number, and what is said of it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub unit: Unit,
    pub value: f64,
    /// Which of the samples the value is.
    pub statistic: Statistic,
    pub low: f64,
    pub high: f64,
    pub samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

/// What the value is compared with, in the same run.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    pub what: String,
    pub ratio: f64,
}

/// The bound of the ratio where there is one, else of the value.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    Median,
    P99,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    Milliseconds,
    RunsPerSecond,
    FactsPerSecond,
    Mebibytes,
    MillisecondsPerMinute,
    Count,
}

impl Table {
    pub(super) fn new(benchmark: &'static str, mut conditions: Vec<String>) -> Self {
        conditions.extend(machine());
        Self { benchmark, conditions, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether no budget is broken.
    pub fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.met != Some(false))
    }
}

impl Row {
    pub(super) fn new(what: impl Into<String>, unit: Unit, statistic: Statistic, samples: &Samples) -> Self {
        let value = match statistic {
            Statistic::Median => samples.median(),
            Statistic::P99 => samples.percentile(99),
            Statistic::Max => samples.high(),
        };
        let (low, high) = (samples.low(), samples.high());
        Self {
            what: what.into(),
            unit,
            value,
            statistic,
            low,
            high,
            samples: samples.len(),
            against: None,
            budget: None,
            met: None,
        }
    }

    pub(super) fn median(what: impl Into<String>, unit: Unit, samples: &Samples) -> Self {
        Self::new(what, unit, Statistic::Median, samples)
    }

    /// Compares with the median of other measurements of the same run.
    #[must_use]
    pub(super) fn against(mut self, what: impl Into<String>, other: &Samples) -> Self {
        self.against = Some(Against { what: what.into(), ratio: self.value / other.median() });
        self
    }

    #[must_use]
    pub(super) fn budget(mut self, budget: Budget) -> Self {
        let number = self.against.as_ref().map_or(self.value, |against| against.ratio);
        self.met = Some(match budget {
            Budget::AtMost(most) => number <= most,
            Budget::AtLeast(least) => number >= least,
        });
        self.budget = Some(budget);
        self
    }

    fn cells(&self) -> [String; 7] {
        let (ratio, against) = match &self.against {
            Some(against) => (format!("{:.2} x", against.ratio), against.what.clone()),
            None => Default::default(),
        };
        let unit = if self.against.is_some() { "x" } else { self.unit.as_str() };
        let budget = match self.budget {
            Some(Budget::AtMost(most)) => format!("≤ {most} {unit}"),
            Some(Budget::AtLeast(least)) => format!("≥ {least} {unit}"),
            None => String::new(),
        };
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        let spread = if self.samples > 1 {
            format!("{} – {}", self.unit.number(self.low), self.unit.number(self.high))
        } else {
            String::new()
        };
        let value = format!("{} {}", self.unit.number(self.value), self.unit.as_str());
        [self.what.clone(), value, spread, ratio, against, budget, met.to_owned()]
    }
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::RunsPerSecond => "runs/s",
            Self::FactsPerSecond => "facts/s",
            Self::Mebibytes => "MiB",
            Self::MillisecondsPerMinute => "ms/min",
            Self::Count => "",
        }
    }

    fn number(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.3}"),
            Self::Milliseconds => format!("{value:.2}"),
            Self::RunsPerSecond | Self::Mebibytes | Self::MillisecondsPerMinute => format!("{value:.1}"),
            Self::FactsPerSecond | Self::Count => format!("{value:.0}"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {}", self.benchmark, self.conditions.join("; "))?;
        let mut table = comfy_table::Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["what", "measured", "low – high", "ratio", "against", "budget", ""]);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        for column in [1, 2, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        write!(formatter, "{table}")
    }
}

/// Processors and memory of this machine.
fn machine() -> Vec<String> {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let memory = memory.map(|kibibytes| format!("{} GiB of memory", (kibibytes + (1 << 19)) >> 20));
    std::iter::once(format!("{processors} processors")).chain(memory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn a_budget_bounds_the_ratio_where_there_is_one_and_else_the_value() {
        let row = Row::median("ours", Unit::Seconds, &samples(&[2.0])).against("theirs", &samples(&[4.0]));
        assert_eq!(row.budget(Budget::AtMost(0.5)).met, Some(true));
        let row =
            Row::median("rate", Unit::RunsPerSecond, &samples(&[90.0, 99.0, 120.0])).budget(Budget::AtLeast(100.0));
        assert_eq!((row.value, row.met), (99.0, Some(false)));
    }

    #[test]
    fn the_table_shows_what_is_not_met() {
        let mut table = Table::new("backup", vec!["three files".into()]);
        table.push(
            Row::median("ours", Unit::Seconds, &samples(&[2.0]))
                .against("theirs", &samples(&[1.0]))
                .budget(Budget::AtMost(0.5)),
        );
        let text = table.to_string();
        assert!(text.contains("2.00 x") && text.contains("≤ 0.5 x") && text.contains("NOT MET"), "{text}");
        assert!(!table.is_met());
        assert_eq!(serde_json::to_value(&table).unwrap()["rows"][0]["budget"]["at_most"], 0.5);
    }
}
