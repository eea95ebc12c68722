//! Figures over days, made of the backups of a routine, a node or everything.

use landfall_proto::overview::{TrendDay, TrendsView};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::{Timestamp, between};

use super::day::Days;
use crate::core::run::Run;

/// Gathers runs that come newest first.
#[derive(Debug)]
pub struct TrendScan {
    days: Days,
    sums: Vec<Sums>,
}

/// What one day adds up to; the figures are those of good backups that know them.
#[derive(Debug, Clone, Default)]
struct Sums {
    good: u32,
    failed: u32,
    other: u32,
    durations: Mean,
    bytes: Mean,
    added_bytes: Option<u64>,
    /// Bytes and milliseconds of the runs that know both.
    moved: (u64, u64),
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: u64,
    of: u64,
}

impl Mean {
    const fn add(&mut self, value: u64) {
        self.sum = self.sum.saturating_add(value);
        self.of += 1;
    }

    const fn value(self) -> Option<u64> {
        self.sum.checked_div(self.of)
    }
}

impl TrendScan {
    pub fn new(now: Timestamp, zone: &str, days: u32) -> Self {
        let days = Days::until(now, zone, days);
        let sums = vec![Sums::default(); days.number()];
        Self { days, sums }
    }

    /// Whether a run of this instant belongs to one of the days; older ones need not be looked at.
    pub fn reaches(&self, queued_at: Timestamp) -> bool {
        self.days.position(queued_at).is_some()
    }

    pub fn take(&mut self, run: &Run) {
        let Some(end) = run.end.as_ref().filter(|_| run.task == TaskKind::Backup) else { return };
        let Some(day) = self.days.position(run.queued_at).and_then(|day| self.sums.get_mut(day)) else { return };
        if !run.is_good() {
            match end.outcome {
                Outcome::Skipped | Outcome::Cancelled | Outcome::Lost => day.other += 1,
                Outcome::Ok | Outcome::Warning | Outcome::Partial | Outcome::Failed => day.failed += 1,
            }
            return;
        }
        day.good += 1;
        let Some(report) = &end.report else { return };
        let ms = between(report.started_at, report.finished_at).as_ms();
        day.durations.add(ms);
        let evidence = report.evidence.as_ref().map(|evidence| evidence.bytes);
        if let Some(bytes) = report.statistics.bytes.or(evidence) {
            day.bytes.add(bytes);
            day.moved.0 = day.moved.0.saturating_add(bytes);
            day.moved.1 = day.moved.1.saturating_add(ms);
        }
        if let Some(added) = report.statistics.added_bytes {
            day.added_bytes = Some(day.added_bytes.unwrap_or(0).saturating_add(added));
        }
    }

    /// `complete` is false where history was left out.
    pub fn view(&self, complete: bool) -> TrendsView {
        let days = self.days.dates().zip(&self.sums).map(|(date, sums)| TrendDay {
            date,
            good: sums.good,
            failed: sums.failed,
            other: sums.other,
            duration_ms: sums.durations.value(),
            bytes: sums.bytes.value(),
            added_bytes: sums.added_bytes,
            rate_bytes: sums.moved.0.saturating_mul(1000).checked_div(sums.moved.1),
        });
        TrendsView { zone: self.days.zone().to_owned(), days: days.collect(), complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{Stage, at};

    #[test]
    fn a_day_is_told_by_its_good_backups_and_what_failed_is_counted_beside_them() {
        let stage = Stage::new().with_a_verdict();
        let mut scan = TrendScan::new(at(70), "UTC", 7);
        for run in stage.mesh.runs().values() {
            assert!(scan.reaches(run.queued_at));
            scan.take(run);
        }
        let view = scan.view(true);
        let today = view.days.last().unwrap();
        assert_eq!((view.days.len(), today.date.as_str()), (7, "2026-11-20"));
        assert_eq!((today.good, today.failed, today.other), (1, 1, 0));
        assert!(today.duration_ms.is_some() && today.bytes.is_some());
        assert!(view.days[..6].iter().all(|day| day.good == 0 && day.duration_ms.is_none() && day.bytes.is_none()));
        assert!(!scan.reaches(Timestamp::from_second(at(0).as_second() - 8 * 86_400).unwrap()));
    }
}
