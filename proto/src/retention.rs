//! Which snapshots to keep: a pure function from a policy and what exists to a reason for each snapshot.

use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::{Duration, Timestamp, between};

/// How many snapshots to keep of each kind. Rules add up: a snapshot goes only if none of them keeps it. A policy that
/// keeps nothing at all is read as "keep everything", so that a forgotten section never deletes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// The newest snapshot of each of the newest so many hours. Like every period rule, it counts only periods that
    /// have snapshots, so a pause in the backups ages nothing out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<u32>,
    /// Weeks begin on Monday.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<u32>,
    /// Everything, whatever the other rules say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_all: bool,
    /// Everything that is less than this older than the newest snapshot, as in restic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<Duration>,
}

/// One snapshot and why it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept<Id> {
    pub id: Id,
    pub at: Timestamp,
    /// Empty: the snapshot goes.
    pub reasons: Vec<KeepReason>,
}

/// One rule that keeps one snapshot. Positions count from 1, the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepReason {
    /// `keep_all` is set.
    All,
    /// No rule is set.
    NoRule,
    Last {
        position: u32,
        of: u32,
    },
    Period {
        period: Period,
        label: String,
        position: u32,
        of: u32,
    },
    Within {
        limit: Duration,
    },
}

/// A stretch of the calendar in the zone of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

impl Retention {
    /// Whether every snapshot stays: `keep_all`, or no rule that keeps anything.
    pub fn keeps_everything(&self) -> bool {
        self.keep_all || self.has_no_rule()
    }

    /// Judges every snapshot, newest first; of equal instants the larger id counts as the newer. Periods are those of
    /// `zone`. Ids are taken to be distinct.
    pub fn keep<Id: Clone + Ord>(
        &self,
        snapshots: &[(Id, Timestamp)],
        zone: &TimeZone,
        now: Timestamp,
    ) -> Vec<Kept<Id>> {
        let mut kept: Vec<Kept<Id>> =
            snapshots.iter().map(|(id, at)| Kept { id: id.clone(), at: *at, reasons: Vec::new() }).collect();
        kept.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        if self.keeps_everything() {
            let reason = if self.keep_all { KeepReason::All } else { KeepReason::NoRule };
            for one in &mut kept {
                one.reasons.push(reason.clone());
            }
            return kept;
        }
        self.keep_last(&mut kept);
        for (period, count) in self.period_rules() {
            keep_periods(&mut kept, period, count, zone);
        }
        self.keep_within(&mut kept, now);
        kept
    }

    fn has_no_rule(&self) -> bool {
        let nothing = |count: &Option<u32>| count.is_none_or(|count| count == 0);
        nothing(&self.keep_last)
            && self.period_rules().iter().all(|(_, count)| *count == 0)
            && self.keep_within.is_none_or(|limit| limit.as_ms() == 0)
    }

    fn period_rules(&self) -> [(Period, u32); 5] {
        [
            (Period::Hourly, self.keep_hourly.unwrap_or(0)),
            (Period::Daily, self.keep_daily.unwrap_or(0)),
            (Period::Weekly, self.keep_weekly.unwrap_or(0)),
            (Period::Monthly, self.keep_monthly.unwrap_or(0)),
            (Period::Yearly, self.keep_yearly.unwrap_or(0)),
        ]
    }

    fn keep_last<Id>(&self, kept: &mut [Kept<Id>]) {
        let of = self.keep_last.unwrap_or(0);
        for (one, position) in kept.iter_mut().zip(1..=of) {
            one.reasons.push(KeepReason::Last { position, of });
        }
    }

    /// Age is counted from the newest snapshot, so that a pause in the backups ages nothing out; but not from the
    /// future, where a wrong clock or a forged snapshot would age out everything.
    fn keep_within<Id>(&self, kept: &mut [Kept<Id>], now: Timestamp) {
        let (Some(limit), Some(newest)) = (self.keep_within, kept.first().map(|newest| newest.at.min(now))) else {
            return;
        };
        for one in kept.iter_mut().filter(|one| between(one.at, newest) < limit) {
            one.reasons.push(KeepReason::Within { limit });
        }
    }
}

impl<Id> Kept<Id> {
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

impl Period {
    /// What tells two periods of this kind apart, in words that sort and read well.
    fn label(self, at: Timestamp, zone: &TimeZone) -> String {
        let local = at.to_zoned(zone.clone());
        let date: Date = local.date();
        match self {
            // The offset tells the two passes of a repeated hour apart.
            Self::Hourly => local.strftime("%Y-%m-%d %H:00 %:z").to_string(),
            Self::Daily => date.to_string(),
            Self::Weekly => {
                let week = date.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Monthly => date.strftime("%Y-%m").to_string(),
            Self::Yearly => date.strftime("%Y").to_string(),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("everything is kept"),
            Self::NoRule => formatter.write_str("no rule is set"),
            Self::Last { position, of } => write!(formatter, "last {position} of {of}"),
            Self::Period { period, label, position, of } => write!(formatter, "{period} {label} ({position} of {of})"),
            Self::Within { limit } => write!(formatter, "within {limit} of the newest"),
        }
    }
}

/// Keeps the newest snapshot of each of the newest `of` periods. `kept` is sorted newest first.
fn keep_periods<Id>(kept: &mut [Kept<Id>], period: Period, of: u32, zone: &TimeZone) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut position = 0;
    for one in kept {
        if position == of {
            return;
        }
        let label = period.label(one.at, zone);
        if seen.insert(label.clone()) {
            position += 1;
            one.reasons.push(KeepReason::Period { period, label, position, of });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Local time taken apart, oldest first, one rule at a time: written differently from the rule on purpose.
    fn naive_keeps(retention: &Retention, snapshots: &[(u32, Timestamp)], which: u32, now: Timestamp) -> bool {
        let mut all = snapshots.to_vec();
        all.sort_by_key(|(id, at)| (*at, *id));
        let place = all.iter().position(|(id, _)| *id == which).unwrap();
        let newer = &all[place + 1..];
        let key = |at: Timestamp, kind: usize| {
            let local = at.to_zoned(zone());
            let date = local.date();
            let monday =
                date.checked_sub(jiff::Span::new().days(i64::from(date.weekday().to_monday_zero_offset()))).unwrap();
            match kind {
                0 => (
                    i64::from(date.year()) * 400 + i64::from(date.day_of_year()),
                    i64::from(local.hour()),
                    local.offset().seconds(),
                ),
                1 => (i64::from(date.year()) * 400 + i64::from(date.day_of_year()), 0, 0),
                2 => (i64::from(monday.year()) * 400 + i64::from(monday.day_of_year()), 0, 0),
                3 => (i64::from(date.year()) * 400 + i64::from(date.month()), 0, 0),
                _ => (i64::from(date.year()), 0, 0),
            }
        };
        let counts = [
            retention.keep_hourly,
            retention.keep_daily,
            retention.keep_weekly,
            retention.keep_monthly,
            retention.keep_yearly,
        ];
        let anything = retention.keep_last.into_iter().chain(counts.into_iter().flatten()).any(|count| count > 0)
            || retention.keep_within.is_some_and(|limit| limit.as_ms() > 0);
        if retention.keep_all || !anything {
            return true;
        }
        let by_period = counts.iter().enumerate().any(|(kind, count)| {
            let own = key(all[place].1, kind);
            let mut newer_periods: Vec<_> = newer.iter().map(|(_, at)| key(*at, kind)).collect();
            let newest_of_its_own = !newer_periods.contains(&own);
            newer_periods.sort_unstable();
            newer_periods.dedup();
            newest_of_its_own && newer_periods.len() < count.unwrap_or(0) as usize
        });
        let reference = all.last().unwrap().1.min(now);
        let by_age = retention.keep_within.is_some_and(|limit| {
            reference.as_millisecond() - all[place].1.as_millisecond() < i64::try_from(limit.as_ms()).unwrap()
        });
        by_period || by_age || newer.len() < retention.keep_last.unwrap_or(0) as usize
    }

    fn count() -> impl Strategy<Value = Option<u32>> {
        prop_oneof![2 => Just(None), 1 => Just(Some(0)), 4 => (1..9_u32).prop_map(Some)]
    }

    fn policy() -> impl Strategy<Value = Retention> {
        let within =
            prop_oneof![3 => Just(None), 1 => (0..4_000_u64).prop_map(|hours| Some(Duration::from_secs(hours * 3600)))];
        (count(), count(), count(), count(), count(), count(), proptest::bool::weighted(0.05), within).prop_map(
            |(keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly, keep_all, keep_within)| {
                Retention {
                    keep_last,
                    keep_hourly,
                    keep_daily,
                    keep_weekly,
                    keep_monthly,
                    keep_yearly,
                    keep_all,
                    keep_within,
                }
            },
        )
    }

    /// Dense and sparse stretches of three years, clock changes and equal instants included.
    fn snapshots() -> impl Strategy<Value = Vec<(u32, Timestamp)>> {
        let step = prop_oneof![0..3_i64, 60..8_000_i64, 80_000..100_000_i64, 500_000..6_000_000_i64];
        proptest::collection::vec(step, 0..60).prop_map(|steps| {
            let mut second = at("2024-09-01T00:00:00Z").as_second();
            let instants = steps.into_iter().map(|step| {
                second += step;
                Timestamp::from_second(second).unwrap()
            });
            (0..).zip(instants).collect()
        })
    }

    fn kept_ids(retention: &Retention, snapshots: &[(u32, Timestamp)]) -> BTreeSet<u32> {
        let now = at("2026-11-20T12:00:00Z");
        retention.keep(snapshots, &zone(), now).iter().filter(|one| one.is_kept()).map(|one| one.id).collect()
    }

    proptest! {
        #[test]
        fn it_keeps_what_the_naive_model_keeps(retention in policy(), snapshots in snapshots()) {
            let now = at("2026-11-20T12:00:00Z");
            for one in retention.keep(&snapshots, &zone(), now) {
                prop_assert_eq!(one.is_kept(), naive_keeps(&retention, &snapshots, one.id, now), "{:?}", one);
            }
        }

        #[test]
        fn every_snapshot_is_judged_once_and_the_newest_stays(retention in policy(), snapshots in snapshots()) {
            let judged = retention.keep(&snapshots, &zone(), at("2026-11-20T12:00:00Z"));
            let mut ids: Vec<u32> = judged.iter().map(|one| one.id).collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..u32::try_from(snapshots.len()).unwrap()).collect::<Vec<_>>());
            prop_assert!(judged.first().is_none_or(Kept::is_kept));
        }

        #[test]
        fn another_rule_never_removes_what_was_kept(one in policy(), other in policy(), snapshots in snapshots()) {
            prop_assume!(!one.keeps_everything() && !other.keeps_everything());
            let more = Retention {
                keep_last: one.keep_last.max(other.keep_last),
                keep_hourly: one.keep_hourly.max(other.keep_hourly),
                keep_daily: one.keep_daily.max(other.keep_daily),
                keep_weekly: one.keep_weekly.max(other.keep_weekly),
                keep_monthly: one.keep_monthly.max(other.keep_monthly),
                keep_yearly: one.keep_yearly.max(other.keep_yearly),
                keep_all: one.keep_all || other.keep_all,
                keep_within: one.keep_within.max(other.keep_within),
            };
            let both: BTreeSet<u32> = kept_ids(&one, &snapshots).union(&kept_ids(&other, &snapshots)).copied().collect();
            prop_assert!(kept_ids(&more, &snapshots).is_superset(&both));
        }

        #[test]
        fn the_order_of_the_input_does_not_matter(
            retention in policy(),
            (snapshots, shuffled) in snapshots().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        ) {
            let now = at("2026-11-20T12:00:00Z");
            prop_assert_eq!(retention.keep(&snapshots, &zone(), now), retention.keep(&shuffled, &zone(), now));
        }

        #[test]
        fn keeping_twice_keeps_the_same(retention in policy(), snapshots in snapshots()) {
            let once = kept_ids(&retention, &snapshots);
            let left: Vec<(u32, Timestamp)> = snapshots.into_iter().filter(|(id, _)| once.contains(id)).collect();
            prop_assert_eq!(kept_ids(&retention, &left), once);
        }
    }

    #[test]
    fn an_empty_policy_and_a_policy_of_zeros_keep_everything() {
        let snapshots = [(1, at("2020-01-01T00:00:00Z")), (2, at("2026-11-20T00:00:00Z"))];
        let zeros = Retention { keep_last: Some(0), keep_daily: Some(0), ..Retention::default() };
        for (retention, reason) in [
            (Retention::default(), "no rule is set"),
            (zeros, "no rule is set"),
            (Retention { keep_all: true, keep_last: Some(1), ..Retention::default() }, "everything is kept"),
        ] {
            let judged = retention.keep(&snapshots, &TimeZone::UTC, at("2026-11-20T12:00:00Z"));
            assert!(
                judged.iter().all(|one| one.reasons.len() == 1 && one.reasons[0].to_string() == reason),
                "{judged:?}"
            );
        }
    }

    #[test]
    fn the_reasons_name_rule_period_and_position() {
        let retention = Retention {
            keep_last: Some(1),
            keep_daily: Some(7),
            keep_weekly: Some(4),
            keep_monthly: Some(2),
            keep_yearly: Some(1),
            keep_hourly: Some(1),
            keep_within: Some(Duration::from_secs(3600)),
            ..Retention::default()
        };
        let snapshots = [
            ("a", at("2026-11-20T03:30:00Z")),
            ("b", at("2026-11-20T03:00:00Z")),
            ("c", at("2026-11-18T23:30:00Z")),
            ("d", at("2026-10-01T12:00:00Z")),
        ];
        let judged = retention.keep(&snapshots, &zone(), at("2026-11-20T12:00:00Z"));
        let told = |one: &Kept<&str>| one.reasons.iter().map(KeepReason::to_string).collect::<Vec<_>>().join("; ");
        let told: Vec<(&str, String)> = judged.iter().map(|one| (one.id, told(one))).collect();
        assert_eq!(told, [
            (
                "a",
                "last 1 of 1; hourly 2026-11-20 04:00 +01:00 (1 of 1); daily 2026-11-20 (1 of 7); weekly 2026-W47 (1 of 4); \
                 monthly 2026-11 (1 of 2); yearly 2026 (1 of 1); within 1h of the newest"
                    .to_owned()
            ),
            ("b", "within 1h of the newest".to_owned()),
            ("c", "daily 2026-11-19 (2 of 7)".to_owned()),
            ("d", "daily 2026-10-01 (3 of 7); weekly 2026-W40 (2 of 4); monthly 2026-10 (2 of 2)".to_owned()),
        ]);
    }

    #[test]
    fn a_snapshot_from_the_future_does_not_age_out_the_others() {
        let retention = Retention { keep_within: Some(Duration::from_secs(86_400)), ..Retention::default() };
        let snapshots =
            [(1, at("2026-11-20T03:00:00Z")), (2, at("2199-01-01T00:00:00Z")), (3, at("2026-11-01T00:00:00Z"))];
        let judged = retention.keep(&snapshots, &TimeZone::UTC, at("2026-11-20T12:00:00Z"));
        assert_eq!(
            judged.iter().map(|one| (one.id, one.is_kept())).collect::<Vec<_>>(),
            [(2, true), (1, true), (3, false)]
        );
    }

    #[test]
    fn a_policy_file_with_a_misspelled_rule_is_refused() {
        let good: Retention = toml::from_str("keep_daily = 7\nkeep_within = \"14d\"").unwrap();
        assert_eq!((good.keep_daily, good.keep_within), (Some(7), Some(Duration::from_secs(14 * 86_400))));
        assert!(toml::from_str::<Retention>("keep_dayly = 7").is_err());
        assert!(toml::from_str::<Retention>("keep_daily = -1").is_err());
        assert_eq!(toml::to_string(&Retention::default()).unwrap(), "");
    }
}
