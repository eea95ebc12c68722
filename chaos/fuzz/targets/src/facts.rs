//! The bodies of facts and of messages that may be lost, each read by its kind.

use landfall_proto::codec::{FACT_BYTES_MAX, MESSAGE_BYTES_MAX};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::live::{BEACON_KIND, BEAT_KIND, Beacon, Beat, OUTPUT_KIND, Output, PROGRESS_KIND, SYNC_KIND, Sync};
use landfall_proto::report::Progress;

/// The first line is the kind, the rest the body.
pub(crate) fn body(bytes: &[u8]) {
    let Some((kind, body)) = super::headed(bytes) else { return };
    if let Ok(Some(fact)) = AgentFact::decode(kind, body) {
        let written = fact.encode();
        // What is accepted at the limit may be longer with every field named; it is refused then, not misread.
        if written.len() <= FACT_BYTES_MAX {
            let again = AgentFact::decode(fact.kind(), &written).map(|again| again.map(|again| again.encode()));
            assert_eq!(again, Ok(Some(written)), "{kind} is written differently each time");
        }
    }
    if let Ok(Some(fact)) = CoordinatorFact::decode(kind, body) {
        let written = fact.encode();
        if written.len() <= FACT_BYTES_MAX {
            let again = CoordinatorFact::decode(fact.kind(), &written).map(|again| again.map(|again| again.encode()));
            assert_eq!(again, Ok(Some(written)), "{kind} is written differently each time");
        }
    }
    match kind {
        BEAT_KIND => drop(super::settles::<Beat>(body, MESSAGE_BYTES_MAX)),
        BEACON_KIND => drop(super::settles::<Beacon>(body, MESSAGE_BYTES_MAX)),
        SYNC_KIND => drop(super::settles::<Sync>(body, MESSAGE_BYTES_MAX)),
        PROGRESS_KIND => drop(super::settles::<Progress>(body, MESSAGE_BYTES_MAX)),
        OUTPUT_KIND => drop(super::settles::<Output>(body, MESSAGE_BYTES_MAX)),
        _ => {}
    }
}
