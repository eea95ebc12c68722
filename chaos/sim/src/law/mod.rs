//! The promises over a simulated world: the same laws as over a live cluster.

use landfall::audit::{History, Violation, audit};

/// The name under which a world is reported that does not come to rest.
pub const AT_REST: &str = "liveness-after-heal";

/// Everything that was not kept.
pub fn check(history: &History) -> Vec<Violation> {
    audit(history).violations
}
