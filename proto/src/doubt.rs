//! What the bus says against the log that was read is believed only after it has been asked again for some seconds: a server of
//! several that has just come back without its copy may answer for the log until the others have chosen who leads it.

use crate::time::{Duration, Timestamp};

/// A log that seems to be gone, rewound or another one is asked again for so long before that is believed. In a cluster of
/// servers, one that has lost its copy answers for the log until the others have chosen who leads it, which takes about as long;
/// what is really lost stays lost, and is noticed soon enough all the same.
pub const LOSS_BELIEVED_AFTER: Duration = Duration::from_secs(5);

/// Answers that have to agree, so that a process that stood still in between does not take two for a long time of asking.
pub const ANSWERS_MIN: u32 = 3;

/// What one answer says about the log that was read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It is there, with everything that was read.
    Kept { created: Timestamp, last_seq: u64 },
    /// There is none.
    Gone,
    /// It ends before what was read.
    Rewound { last_seq: u64 },
    /// It was made anew.
    Replaced,
    /// Nothing that counts.
    Nothing,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
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
pub struct Doubt {
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    at: Duration,
    answers: u32,
    was_gone: bool,
    /// The first sequence that is lost. A log that has lost its end grows again while it is asked about.
    from: u64,
}

impl Word {
    /// Reads an answer about a log that was made at `created` and ends at `last_seq`. `read_to` had been read when the question
    /// left; `known` tells when the log was made that was read, as far as that is known. Who has read nothing has lost nothing,
    /// whichever log it is.
    pub fn of(created: Timestamp, last_seq: u64, read_to: u64, known: Option<Timestamp>) -> Self {
        if read_to > 0 && known.is_some_and(|known| known != created) {
            Self::Replaced
        } else if last_seq < read_to {
            Self::Rewound { last_seq }
        } else {
            Self::Kept { created, last_seq }
        }
    }
}

impl Doubt {
    /// Takes in one answer. `replicas` are the log's copies, as far as is known; `asked` is when the question left, by a clock
    /// of the asker's that is never set: answers that were long on their way show no longer doubt.
    pub fn hear(&mut self, word: Word, replicas: usize, asked: Duration) -> Belief {
        let (is_gone, from) = match word {
            Word::Kept { created, last_seq } => {
                self.begun = None;
                return Belief::Kept { created, last_seq };
            }
            Word::Nothing => return Belief::Nothing,
            Word::Gone => (true, 1),
            Word::Replaced => (false, 1),
            Word::Rewound { last_seq } => (false, last_seq + 1),
        };
        // A server alone that had no log has a new one once it is made. Among several, another answer may be another server's.
        let goes_on = |begun: &Begun| replicas <= 1 || begun.was_gone == is_gone;
        let is_new = self.begun.is_none();
        let before = self.begun.filter(goes_on).unwrap_or(Begun { at: asked, answers: 0, was_gone: is_gone, from });
        let begun = Begun {
            answers: before.answers.saturating_add(1),
            was_gone: is_gone,
            from: before.from.min(from),
            ..before
        };
        self.begun = Some(begun);
        let asked_for_ms = asked.as_ms().saturating_sub(begun.at.as_ms());
        if begun.answers < ANSWERS_MIN || asked_for_ms < LOSS_BELIEVED_AFTER.as_ms() {
            return Belief::Doubted { is_new };
        }
        if is_gone { Belief::Gone } else { Belief::Lost { from: begun.from } }
    }
}

/// How long a log is asked for before one is made: who never read one here, and wants no copies, need not wait.
pub const fn patience_before_making(has_read: bool, replicas: usize) -> Duration {
    if has_read || replicas > 1 { LOSS_BELIEVED_AFTER } else { Duration::from_ms(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Word = Word::Kept { created: Timestamp::UNIX_EPOCH, last_seq: 9 };

    fn believed(words: &[(u64, Word)], replicas: usize) -> Vec<Belief> {
        let mut doubt = Doubt::default();
        words.iter().map(|(at, word)| doubt.hear(*word, replicas, Duration::from_secs(*at))).collect()
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
    fn what_is_lost_begins_where_the_log_was_shortest() {
        let rewound = |last_seq| Word::Rewound { last_seq };
        assert_eq!(
            believed(&[(0, rewound(3)), (2, rewound(6)), (5, rewound(8))], 1)[2],
            Belief::Lost { from: 4 },
            "others have gone on writing meanwhile"
        );
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
    fn a_log_that_ends_too_early_is_rewound_and_one_made_at_another_time_is_another_one() {
        let (one, other) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(7).unwrap());
        assert_eq!(Word::of(one, 0, 9, None), Word::Rewound { last_seq: 0 });
        assert_eq!(Word::of(one, 9, 9, Some(other)), Word::Replaced);
        assert_eq!(Word::of(one, 0, 9, Some(other)), Word::Replaced, "nothing of it is left, however long it is");
        assert_eq!(Word::of(one, 9, 9, Some(one)), KEPT);
        assert_eq!(Word::of(one, 9, 0, Some(other)), KEPT, "who has read nothing has lost nothing");
    }

    #[test]
    fn only_who_has_nothing_to_lose_makes_a_log_at_once() {
        assert_eq!(patience_before_making(false, 1), Duration::from_ms(0));
        assert_eq!(patience_before_making(true, 1), LOSS_BELIEVED_AFTER);
        assert_eq!(patience_before_making(false, 3), LOSS_BELIEVED_AFTER);
    }
}
