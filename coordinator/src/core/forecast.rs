//! When a destination will be full: a line through one sample a day, or the honest word that nothing can be said.

use landfall_proto::overview::{Forecast, SpaceSample};
use landfall_proto::time::between;

/// Fewer samples, or samples over fewer days, say nothing.
pub const SAMPLES_MIN: usize = 5;
pub const DAYS_MIN: f64 = 4.0;

/// What is further away than ten years is no forecast.
const DAYS_MAX: f64 = 3650.0;

/// A slope has to be so many times its own error to be one.
const SIGNIFICANCE: f64 = 2.0;

const DAY_MS: f64 = 86_400_000.0;

/// `samples` come oldest first.
pub fn forecast(samples: &[SpaceSample]) -> Forecast {
    let samples = since_replaced(samples);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Forecast::Unknown };
    let days = |sample: &SpaceSample| between(first.at, sample.at).as_ms() as f64 / DAY_MS;
    if samples.len() < SAMPLES_MIN || days(last) < DAYS_MIN {
        return Forecast::Unknown;
    }
    let points: Vec<(f64, f64)> = samples.iter().map(|sample| (days(sample), used(sample) as f64)).collect();
    let Some((slope, error)) = slope(&points) else { return Forecast::Unknown };
    let left = last.free_bytes as f64 / slope;
    // A byte a day is no growth either.
    if slope < 1.0 || slope < SIGNIFICANCE * error || left > DAYS_MAX {
        return Forecast::Steady;
    }
    Forecast::Filling { days: whole(left), bytes_a_day: whole(slope) }
}

/// What was measured before the file system was exchanged for another one is not its history.
fn since_replaced(samples: &[SpaceSample]) -> &[SpaceSample] {
    let is_other =
        |pair: &[SpaceSample]| pair[0].total_bytes != pair[1].total_bytes && used(&pair[1]) < used(&pair[0]) / 2;
    let place = (1..samples.len()).rev().find(|place| is_other(&samples[place - 1..=*place]));
    &samples[place.unwrap_or(0)..]
}

const fn used(sample: &SpaceSample) -> u64 {
    sample.total_bytes.saturating_sub(sample.free_bytes)
}

/// Slope of the line with the least squares, and its standard error; `None` where all points stand at one instant.
fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    let missed: f64 = points.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    Some((slope, (missed / (count - 2.0).max(1.0) / spread).sqrt()))
}

/// Rounded down: full a little earlier than said would be worse. A hair is added, for what a line loses to rounding.
fn whole(value: f64) -> u64 {
    // Through text, because a cast would change what does not fit without a word.
    format!("{:.0}", (value + 1e-6).floor().max(0.0)).parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::time::Timestamp;
    use proptest::prelude::*;

    const GB: u64 = 1_000_000_000;

    fn sample(day: i64, used: u64, total: u64) -> SpaceSample {
        let at = Timestamp::from_second(1_700_000_000 + day * 86_400).unwrap();
        SpaceSample { at, free_bytes: total - used, total_bytes: total }
    }

    fn days(used: impl IntoIterator<Item = u64>) -> Vec<SpaceSample> {
        used.into_iter().zip(0..).map(|(used, day)| sample(day, used * GB, 1000 * GB)).collect()
    }

    fn filling(samples: &[SpaceSample]) -> (u64, u64) {
        match forecast(samples) {
            Forecast::Filling { days, bytes_a_day } => (days, bytes_a_day),
            other @ (Forecast::Unknown | Forecast::Steady) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_steady_growth_says_when_it_ends() {
        let (left, bytes_a_day) = filling(&days((0..10).map(|day| 500 + day * 10)));
        assert_eq!((left, bytes_a_day / GB), (41, 10));
    }

    #[test]
    fn too_few_samples_say_nothing() {
        assert_eq!(forecast(&[]), Forecast::Unknown);
        assert_eq!(forecast(&days([1, 2, 3, 4])), Forecast::Unknown);
        let of_one_day: Vec<SpaceSample> = (0..10).map(|_| sample(0, GB, 10 * GB)).collect();
        assert_eq!(forecast(&of_one_day), Forecast::Unknown);
    }

    #[test]
    fn what_shrinks_stands_or_only_wavers_is_not_filling() {
        assert_eq!(forecast(&days([90, 80, 70, 60, 50, 40])), Forecast::Steady);
        assert_eq!(forecast(&days([50; 10])), Forecast::Steady);
        assert_eq!(forecast(&days([50, 90, 50, 90, 50, 90, 50, 90])), Forecast::Steady);
    }

    #[test]
    fn a_prune_every_week_hides_no_growth() {
        // Ten a day, and every week most of it is let go again.
        let (left, bytes_a_day) = filling(&days((0..35).map(|day| 400 + day * 10 - day / 7 * 50)));
        assert!((2 * GB..5 * GB).contains(&bytes_a_day), "{bytes_a_day}");
        assert!((60..240).contains(&left), "{left}");
    }

    #[test]
    fn another_disk_begins_a_history_of_its_own() {
        let mut samples = days((0..20).map(|day| 500 + day * 20));
        samples.extend((0..6).map(|day| sample(20 + day, u64::try_from(10 + day * 2).unwrap() * GB, 2000 * GB)));
        let (left, bytes_a_day) = filling(&samples);
        assert_eq!((left, bytes_a_day / GB), (990, 2));
        assert_eq!(forecast(&samples[..23]), Forecast::Unknown, "three days of the new disk are too few");
    }

    #[test]
    fn a_disk_that_was_made_larger_goes_on_with_its_history() {
        let mut samples = days((0..10).map(|day| 500 + day * 10));
        samples.push(sample(10, 600 * GB, 2000 * GB));
        let (left, bytes_a_day) = filling(&samples);
        assert_eq!((left, bytes_a_day / GB), (140, 10));
    }

    proptest! {
        #[test]
        fn no_history_breaks_it(values in prop::collection::vec((any::<u32>(), any::<u64>(), any::<u64>()), 0..70)) {
            let at = |second| Timestamp::from_second(i64::from(second)).unwrap();
            let samples: Vec<SpaceSample> = values
                .into_iter()
                .map(|(second, free_bytes, total_bytes)| SpaceSample { at: at(second), free_bytes, total_bytes })
                .collect();
            if let Forecast::Filling { days, .. } = forecast(&samples) {
                prop_assert!(days <= 3650);
            }
        }

        #[test]
        fn growth_is_found_whatever_its_size(gb_a_day in 1_u64..50, start in 0_u64..100, count in 5_u64..9) {
            let samples = days((0..count).map(|day| start + day * gb_a_day));
            let expected = samples.last().unwrap().free_bytes / (gb_a_day * GB);
            prop_assert!(filling(&samples).0.abs_diff(expected) <= 1);
        }
    }
}
