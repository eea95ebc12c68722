//! The machine's clock with all its digits; the only file of the benchmarks that asks for it.

use landfall_proto::time::Timestamp;

/// This instant. Comparable with the times that a bus on the same machine gives to what it stores.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// From one instant to a later one, in milliseconds; negative where it is earlier.
pub(super) fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}
