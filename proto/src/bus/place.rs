//! Where in the log a delivered message stands, as the server writes it into the reply subject.

/// What the server writes into a delivered message's reply subject.
pub(super) struct Place {
    pub(super) seq: u64,
    /// The consumer's own count.
    pub(super) delivery: u64,
    pub(super) nanoseconds: i64,
    /// Messages that the consumer still holds behind this one.
    pub(super) pending: u64,
}

impl Place {
    /// Nine tokens, or from eleven on with the domain and the account before them; see ADR-15 of the server's project.
    pub(super) fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let first = if tokens.len() >= 11 { 7 } else { 5 };
        let number = |offset: usize| tokens.get(first + offset)?.parse::<u64>().ok();
        let nanoseconds = i64::try_from(number(2)?).ok()?;
        Some(Self { seq: number(0)?, delivery: number(1)?, nanoseconds, pending: number(3)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_place_are_read() {
        let short = Place::read("$JS.ACK.LF_home.c1.1.17.4.1700000000000000000.9").unwrap();
        assert_eq!((short.seq, short.delivery, short.pending), (17, 4, 9));
        let long = Place::read("$JS.ACK.dom.acc.LF_home.c1.1.17.4.1700000000000000000.9.tok").unwrap();
        assert_eq!((long.seq, long.delivery, long.nanoseconds), (17, 4, 1_700_000_000_000_000_000));
        assert!(Place::read("_INBOX.x").is_none());
    }
}
