//! Repeated measurements of one thing, and what is said of them.

/// Measurements in the order in which they were taken; never empty where one is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    /// The smallest measurement that at least so many percent do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn low(&self) -> f64 {
        self.percentile(0)
    }

    pub(super) fn high(&self) -> f64 {
        self.percentile(100)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_measurements() {
        let hundred: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (hundred.low(), hundred.percentile(50), hundred.percentile(99), hundred.high()),
            (1.0, 50.0, 99.0, 100.0)
        );
        assert_eq!(samples(&[7.0]).percentile(99), 7.0);
        assert_eq!(samples(&[1.0, 2.0]).percentile(99), 2.0);
    }
}
