//! What backup programs print: the worker's events, progress, evidence, and the secrets among it all.

use std::path::Path;

use landfall_agent::driver::hostile;
use landfall_proto::time::Timestamp;

/// The first line is a secret, the rest is what a program printed.
pub(crate) fn body(bytes: &[u8]) {
    let (secret, rest) = super::headed(bytes).unwrap_or(("", bytes));
    let printed = String::from_utf8_lossy(rest);
    let now = Timestamp::UNIX_EPOCH;
    for line in printed.split(['\n', '\r']) {
        if let Some((summary, written)) = hostile::worker_event(line) {
            assert!(hostile::worker_event(&written).is_some(), "an event is read back: {summary}");
        }
        if let Some(percent) = hostile::progress(line) {
            assert!(percent.is_none_or(|percent| percent <= 100), "{line}");
        }
        if let Err(why) = hostile::evidence(line, Path::new("/nowhere"), now, now) {
            assert!(!why.is_empty());
        }
        let _ = hostile::address(line);
        let _ = hostile::matches(secret, line);
    }
    for text in [hostile::redacted(secret, &printed), hostile::redacted_cut(secret, &printed)] {
        assert!(!text.chars().any(|letter| letter.is_control() && letter != '\t'), "{text:?}");
        // A secret made of what stands where secrets stood cannot be told from it, nor one that a broken end makes.
        let can_be_told = !secret.is_empty() && !secret.contains(['*', '…']);
        assert!(!can_be_told || !text.contains(secret), "{secret:?} stays in {text:?}");
    }
}
