//! What operators ask, and what they are answered.

use landfall_proto::codec::MESSAGE_BYTES_MAX;
use landfall_proto::control::{Reply, Request};
use landfall_proto::subject::{Subject, Topic};

pub(crate) fn body(bytes: &[u8]) {
    if let Some(request) = super::settles::<Request>(bytes, MESSAGE_BYTES_MAX) {
        let Ok(cluster) = "home".parse() else { return };
        let subject = Subject::new(&cluster, Topic::Control(request.verb().to_owned()));
        assert_eq!(subject.to_string().parse(), Ok(subject), "every request has a subject");
    }
    let _ = super::settles::<Reply>(bytes, MESSAGE_BYTES_MAX);
}
