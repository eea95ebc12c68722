//! A message's wrapper, as every reader of the log meets it first.

use landfall_proto::codec::{FACT_BYTES_MAX, MESSAGE_BYTES_MAX, decode_fact};
use landfall_proto::envelope::Envelope;
use landfall_proto::subject::Subject;

/// The first line is the subject, or the input is an envelope from its first byte.
pub(crate) fn body(bytes: &[u8]) {
    let (subject, payload) = super::headed(bytes).unwrap_or(("", bytes));
    if let Ok(subject) = subject.parse::<Subject>() {
        assert_eq!(subject.to_string().parse(), Ok(subject), "a subject is read back");
    }
    if let Some(envelope) = super::settles::<Envelope>(payload, MESSAGE_BYTES_MAX) {
        let checked = decode_fact(payload, &envelope.writer);
        let fits = payload.len() <= FACT_BYTES_MAX;
        assert!(fits || checked.is_err(), "a fact that is too long is refused");
        if let Ok(fact) = checked {
            assert_eq!(fact.identity(), envelope.identity());
            assert_eq!(fact.content_hash(), envelope.content_hash());
        }
        let foreign = format!("{}x", envelope.writer);
        assert!(decode_fact(payload, &foreign).is_err(), "a foreign writer is believed");
    }
}
