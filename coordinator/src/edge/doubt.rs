//! What the bus says against the log that was read is believed only after it has been asked again for some seconds: a server of
//! several that has just come back without its copy may answer for the log until the others have chosen who leads it.

use std::time::Duration;

use landfall_proto::bus::{BusRefusal, LOSS_BELIEVED_AFTER, LogInfo, Told};
use landfall_proto::time::Timestamp;
use tokio::time::Instant;

/// Answers that have to agree, so that a process that stood still in between does not take two for a long time of asking.
const ANSWERS_MIN: u32 = 3;

/// What one answer says about the log that was read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It is there, with everything that was folded.
    Kept { created: Timestamp, last_seq: u64 },
    /// There is none.
    Gone,
    /// It ends before what was folded.
    Rewound { last_seq: u64 },
    /// It was made anew.
    Replaced,
    /// Nothing that counts.
    Nothing,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    Kept {
        created: Timestamp,
        last_seq: u64,
    },
    /// It may be lost: until that is sure the log is out of sight.
    Doubted {
        is_new: bool,
    },
    /// There is certainly none, and it has to be made.
    Gone,
    /// It is certainly another one than was read, from this sequence on.
    Lost {
        from: u64,
    },
    Nothing,
}

/// What was heard against the log since it was last seen as it was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    at: Instant,
    answers: u32,
    was_gone: bool,
}

impl Word {
    /// Reads an answer. `folded_to` had been folded when the question left; `created` tells the log that was read from others.
    pub(super) fn of(told: &Told<LogInfo>, folded_to: u64, created: Option<Timestamp>) -> Self {
        match told {
            Told::Done(info) if !info.is_from_leader => Self::Nothing,
            Told::Done(info) if info.state.last_seq < folded_to => Self::Rewound { last_seq: info.state.last_seq },
            Told::Done(info) if created.is_some_and(|created| created != info.state.created) => Self::Replaced,
            Told::Done(info) => Self::Kept { created: info.state.created, last_seq: info.state.last_seq },
            Told::Refused(BusRefusal::NoLog { .. }) => Self::Gone,
            Told::Refused(_) | Told::Unknown => Self::Nothing,
        }
    }
}

impl Doubt {
    /// Takes in one answer. `replicas` are the log's copies, as far as is known.
    pub(super) fn hear(&mut self, word: Word, replicas: usize, now: Instant) -> Belief {
        let is_gone = match word {
            Word::Kept { created, last_seq } => {
                self.begun = None;
                return Belief::Kept { created, last_seq };
            }
            Word::Nothing => return Belief::Nothing,
            Word::Gone => true,
            Word::Rewound { .. } | Word::Replaced => false,
        };
        // A server alone that had no log has a new one once it is made. Among several, another answer may be another server's.
        let goes_on = |begun: &Begun| replicas <= 1 || begun.was_gone == is_gone;
        let is_new = self.begun.is_none();
        let before = self.begun.filter(goes_on).unwrap_or(Begun { at: now, answers: 0, was_gone: is_gone });
        let begun = Begun { answers: before.answers.saturating_add(1), was_gone: is_gone, ..before };
        self.begun = Some(begun);
        if begun.answers < ANSWERS_MIN || now.duration_since(begun.at) < LOSS_BELIEVED_AFTER {
            return Belief::Doubted { is_new };
        }
        match word {
            Word::Rewound { last_seq } => Belief::Lost { from: last_seq + 1 },
            Word::Replaced => Belief::Lost { from: 1 },
            Word::Gone | Word::Kept { .. } | Word::Nothing => Belief::Gone,
        }
    }
}

/// How long a log is asked for before one is made: who never read one here, and wants no copies, need not wait.
pub(super) const fn patience_before_making(has_read: bool, replicas: usize) -> Duration {
    if has_read || replicas > 1 { LOSS_BELIEVED_AFTER } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use landfall_proto::bus::LogState;

    use super::*;

    const KEPT: Word = Word::Kept { created: Timestamp::UNIX_EPOCH, last_seq: 9 };

    fn believed(words: &[(u64, Word)], replicas: usize) -> Vec<Belief> {
        let (mut doubt, begin) = (Doubt::default(), Instant::now());
        words.iter().map(|(at, word)| doubt.hear(*word, replicas, begin + Duration::from_secs(*at))).collect()
    }

    fn is_believed(words: &[(u64, Word)], replicas: usize) -> bool {
        matches!(believed(words, replicas).last(), Some(Belief::Gone | Belief::Lost { .. }))
    }

    #[test]
    fn a_loss_is_believed_after_some_seconds_of_the_same_answer() {
        let rewound = Word::Rewound { last_seq: 3 };
        let heard = believed(&[(0, rewound), (1, rewound), (4, rewound), (5, rewound)], 3);
        assert_eq!(heard[0], Belief::Doubted { is_new: true });
        assert_eq!(heard[2], Belief::Doubted { is_new: false });
        assert_eq!(heard[3], Belief::Lost { from: 4 });
        assert!(!is_believed(&[(0, rewound), (9, rewound)], 1), "who stood still has not asked for long");
    }

    #[test]
    fn a_log_that_comes_back_whole_was_never_lost() {
        let empty = Word::Rewound { last_seq: 0 };
        assert!(!is_believed(&[(0, empty), (2, empty), (4, KEPT), (5, empty), (6, empty), (7, empty)], 3));
        assert_eq!(
            believed(&[(0, empty), (3, KEPT)], 3)[1],
            Belief::Kept { created: Timestamp::UNIX_EPOCH, last_seq: 9 }
        );
    }

    #[test]
    fn one_server_that_lost_its_log_is_believed_at_once_when_the_new_one_is_made_and_several_are_asked_again() {
        let words = [(0, Word::Gone), (3, Word::Gone), (5, Word::Gone), (6, Word::Replaced)];
        assert_eq!(believed(&words[..3], 1)[2], Belief::Gone);
        assert!(is_believed(&words, 1));
        assert!(!is_believed(&words, 3));
    }

    #[test]
    fn an_answer_that_is_not_the_leading_copys_says_nothing() {
        let state = LogState { created: Timestamp::UNIX_EPOCH, first_seq: 1, last_seq: 0, messages: 0, bytes: 0 };
        let told = |is_from_leader| {
            Told::Done(LogInfo { state, replicas: 3, is_from_leader, server_version: None, notes: Vec::new() })
        };
        assert_eq!(Word::of(&told(false), 9, None), Word::Nothing);
        assert_eq!(Word::of(&told(true), 9, None), Word::Rewound { last_seq: 0 });
        let other = Some(Timestamp::from_second(7).unwrap());
        assert_eq!(Word::of(&told(true), 0, other), Word::Replaced);
        assert_eq!(Word::of(&Told::Unknown, 9, None), Word::Nothing);
    }

    #[test]
    fn only_who_has_nothing_to_lose_makes_a_log_at_once() {
        assert_eq!(patience_before_making(false, 1), Duration::ZERO);
        assert_eq!(patience_before_making(true, 1), LOSS_BELIEVED_AFTER);
        assert_eq!(patience_before_making(false, 3), LOSS_BELIEVED_AFTER);
    }
}
