//! What may happen to facts that wait for the log: which may be dropped, which forgotten, which are said again, and when
//! the journal itself may not go on.

use std::collections::{BTreeSet, VecDeque};

use landfall_proto::envelope::{ContentHash, Envelope};
use landfall_proto::fact::agent::{AgentFact, RunAbout, RunFinished};
use landfall_proto::id::{Incarnation, RunId};
use landfall_proto::live::Sync;
use landfall_proto::report::RunReport;
use landfall_proto::time::{Duration, Timestamp};

/// Facts are kept for so long even when they are confirmed: the confirming coordinator may lose its own disk at once.
pub const KEPT_AT_LEAST: Duration = Duration::from_secs(600);

/// Facts that are kept while nobody confirms; beyond it only what ends or begins something is still written.
pub const OUTBOX_MAX: u64 = 100_000;

/// Between two marks of the journal's age: facts are kept for so much longer than they must be, and marks stay few.
const MARK_EVERY: Duration = Duration::from_secs(30);

/// The pauses of the pump between two tries: the first, and the longest that doubling reaches.
const PAUSE_MIN: Duration = Duration::from_ms(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What became of one published fact, without the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told3 {
    Done,
    Refused,
    /// It may be in the log, may come there later, or never: said again under its identity, it is there once.
    Unknown,
}

/// Whether a fact is left out of an outbox that holds so many: only progress that the next progress or the end makes
/// superfluous, never what begins or ends something.
pub fn is_dropped(fact: &AgentFact, outbox_len: u64) -> bool {
    let is_coalescable = match fact {
        AgentFact::RunPhase(_) | AgentFact::RunMilestone(_) => true,
        AgentFact::AgentStarted(_)
        | AgentFact::PlansAnnounced(_)
        | AgentFact::RunStarted(_)
        | AgentFact::RunRetried(_)
        | AgentFact::RunFinished(_)
        | AgentFact::SlotMissed(_)
        | AgentFact::Witnessed(_) => false,
    };
    is_coalescable && outbox_len >= OUTBOX_MAX
}

/// How long the journal's facts have been there, by the time that the process has been up: the clock on the wall may be
/// set, and would then hold facts for ever or let them go too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aging {
    /// How long the process had been up, and the sequence that the next fact was going to get. Oldest first.
    marks: VecDeque<(Duration, u64)>,
}

impl Aging {
    /// For a journal whose next fact gets `next_seq`, in a process that has been up for `uptime`.
    pub fn new(uptime: Duration, next_seq: u64) -> Self {
        Self { marks: VecDeque::from([(uptime, next_seq)]) }
    }

    /// Facts below the answer may be forgotten: they are safe elsewhere, and were in the journal when it was looked at
    /// [`KEPT_AT_LEAST`] ago. Every call is a look.
    pub fn forgettable(&mut self, uptime: Duration, next_seq: u64, durable_below: u64) -> u64 {
        if self.marks.back().is_none_or(|(at, _)| passed(*at, uptime) >= MARK_EVERY.as_ms()) {
            self.marks.push_back((uptime, next_seq));
        }
        while self.marks.get(1).is_some_and(|(at, _)| passed(*at, uptime) >= KEPT_AT_LEAST.as_ms()) {
            self.marks.pop_front();
        }
        let old = self.marks.front().filter(|(at, _)| passed(*at, uptime) >= KEPT_AT_LEAST.as_ms());
        old.map_or(0, |(_, seq)| *seq).min(durable_below)
    }
}

const fn passed(from: Duration, until: Duration) -> u64 {
    until.as_ms().saturating_sub(from.as_ms())
}

/// What a synchronisation says about the journal that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMeans {
    /// It speaks of another life of the journal, and says nothing about this one.
    OtherLife,
    /// The coordinator has read facts of this life that the journal never wrote: the disk was set back or copied. Its
    /// sequences must not be used again; a new life has to begin.
    SetBack,
    /// The coordinator misses facts that this journal has let go, because they were safe: the log was lost, and the ledgers
    /// with it. Whatever comes behind them would wait for them for ever; a new life has to begin, with all that is known.
    LetGo,
    Continue,
}

/// A journal as it lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    pub incarnation: Incarnation,
    /// The oldest fact that it holds; where it holds none, the next one.
    pub first_seq: u64,
    pub next_seq: u64,
    /// What it still holds just below the synchronisation's watermark, oldest first.
    pub written: &'a [ContentHash],
}

/// Reads a synchronisation.
pub fn sync_means(sync: &Sync, held: &Held<'_>) -> SyncMeans {
    let Held { incarnation, first_seq, next_seq, written } = *held;
    if sync.incarnation != incarnation {
        return SyncMeans::OtherLife;
    }
    let is_ahead = sync.durable_below.max(sync.resend_from.unwrap_or(0)) > next_seq;
    let is_other =
        written.iter().rev().zip(sync.last_halves.iter().rev()).any(|(written, told)| written.half() != *told);
    // A watermark alone may be an old one that was long on its way. What is missed is said only after a second beat.
    let is_let_go = sync.resend_from.is_some_and(|from| from.max(sync.durable_below) < first_seq);
    match (is_ahead || is_other, is_let_go) {
        (true, _) => SyncMeans::SetBack,
        (false, true) => SyncMeans::LetGo,
        (false, false) => SyncMeans::Continue,
    }
}

/// The ends of runs that a new life says first: those that receipts tell of and the journal no longer holds, oldest first, each
/// with the time at which it was first said.
pub fn ends_to_repeat(kept: &[Envelope], receipts: Vec<(RunAbout, RunReport)>) -> Vec<(Timestamp, AgentFact)> {
    let decoded = kept.iter().filter_map(|fact| AgentFact::decode(&fact.kind, &fact.body).ok().flatten());
    let told: BTreeSet<RunId> = decoded.filter_map(|fact| ended_run(&fact)).collect();
    let mut ends: Vec<(Timestamp, AgentFact)> = receipts
        .into_iter()
        .filter(|(about, _)| !told.contains(&about.run))
        .map(|(mut about, report)| {
            if let Some(repository) = report.evidence.as_ref().and_then(|evidence| evidence.repository.clone()) {
                about.repository = Some(repository);
            }
            (report.finished_at, RunFinished { about, report }.into())
        })
        .collect();
    ends.sort_by_key(|(at, _)| *at);
    ends
}

const fn ended_run(fact: &AgentFact) -> Option<RunId> {
    match fact {
        AgentFact::RunFinished(finished) => Some(finished.about.run),
        AgentFact::AgentStarted(_)
        | AgentFact::PlansAnnounced(_)
        | AgentFact::RunStarted(_)
        | AgentFact::RunPhase(_)
        | AgentFact::RunMilestone(_)
        | AgentFact::RunRetried(_)
        | AgentFact::SlotMissed(_)
        | AgentFact::Witnessed(_) => None,
    }
}

/// Where the pump stands: which fact it says next, and how long it rests after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pump {
    next: u64,
    /// Everything from here on has to be said again. Noted apart, because a batch may be under way.
    back_to: Option<u64>,
    /// Whose facts were said last.
    life: Option<Incarnation>,
    pause: Duration,
}

/// What the pump does after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onward {
    /// Everything is in the log: the next batch at once.
    Go,
    /// The rest is said again after this pause. Where nothing at all got through, waiting for the link alone is not enough.
    Pause { pause: Duration, is_stuck: bool },
}

impl Pump {
    /// After a start everything that is kept is said again: what the log has already it does not take twice.
    pub const fn new() -> Self {
        Self { next: 0, back_to: None, life: None, pause: PAUSE_MIN }
    }

    /// Everything from this sequence on has to be said again, whatever is under way at this moment.
    pub fn go_back(&mut self, seq: u64) {
        self.back_to = Some(self.back_to.map_or(seq, |known| known.min(seq)));
    }

    /// The first sequence of the next batch.
    pub fn begin(&mut self) -> u64 {
        if let Some(back_to) = self.back_to.take() {
            self.next = self.next.min(back_to);
        }
        self.next
    }

    /// Whether the facts of this life that were read from [`Self::begin`] on may be said. The journal may have begun another life
    /// before the pump was sent back: its facts are said from the first on, so nothing waits for them at the other end.
    pub fn goes_on_in(&mut self, life: Incarnation) -> bool {
        let goes_on = self.life.replace(life).is_none_or(|before| before == life);
        if !goes_on {
            self.next = 0;
        }
        goes_on
    }

    /// Takes the results of a batch in, in the order of its facts. Only what the log has in one piece from the batch's
    /// beginning counts; behind a fact that is not there nothing is skipped.
    pub fn settle(&mut self, batch: &[(u64, Told3)]) -> Onward {
        let done = batch.iter().take_while(|(_, told)| *told == Told3::Done).count();
        if let Some((last, _)) = done.checked_sub(1).and_then(|index| batch.get(index)) {
            self.next = last + 1;
            self.pause = PAUSE_MIN;
        }
        if done == batch.len() {
            return Onward::Go;
        }
        let pause = self.pause;
        self.pause = Duration::from_ms(pause.as_ms() * 2).min(PAUSE_MAX);
        Onward::Pause { pause, is_stuck: done == 0 }
    }
}

impl Default for Pump {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::envelope::{Epoch, Identity};
    use landfall_proto::fact::agent::{RunMilestone, SlotMissed};
    use landfall_proto::report::{Outcome, Reason, Statistics, TaskKind, Trigger, Unread};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sync(durable_below: u64, last: &[ContentHash]) -> Sync {
        Sync {
            epoch: Epoch::default(),
            incarnation: Incarnation(Uuid::nil()),
            durable_below,
            last_halves: last.iter().map(|hash| hash.half()).collect(),
            resend_from: None,
            queued: Vec::new(),
            announce: false,
        }
    }

    #[test]
    fn facts_of_another_life_are_said_from_its_first_on() {
        let life = |number| Incarnation(Uuid::from_u128(number));
        let mut pump = Pump::new();
        assert!(pump.begin() == 0 && pump.goes_on_in(life(1)));
        pump.settle(&[(0, Told3::Done), (1, Told3::Done)]);
        assert!(pump.begin() == 2 && pump.goes_on_in(life(1)));
        assert!(pump.begin() == 2 && !pump.goes_on_in(life(2)), "the new life has a third fact already");
        assert!(pump.begin() == 0 && pump.goes_on_in(life(2)));
    }

    #[test]
    fn only_progress_is_dropped_and_only_at_the_cap() {
        let milestone = RunMilestone { run: RunId(Uuid::nil()), percent: 10, files_done: 0, bytes_done: 0 };
        let (first, last) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let missed = SlotMissed { routine: "db".parse().unwrap(), first, last, count: 1 };
        assert!(!is_dropped(&milestone.clone().into(), OUTBOX_MAX - 1));
        assert!(is_dropped(&milestone.into(), OUTBOX_MAX));
        assert!(!is_dropped(&missed.into(), u64::MAX));
    }

    #[test]
    fn a_fact_is_forgotten_ten_minutes_after_it_was_seen_and_never_above_the_watermark() {
        let mut aging = Aging::new(seconds(0), 2);
        assert_eq!(aging.forgettable(seconds(599), 5, 4), 0);
        assert_eq!(aging.forgettable(seconds(600), 5, 1), 1);
        assert_eq!(aging.forgettable(seconds(600), 5, 4), 2);
        assert_eq!(aging.forgettable(seconds(1198), 9, 9), 2);
        assert_eq!(aging.forgettable(seconds(1199), 9, 9), 5, "seen at the first look");
    }

    #[test]
    fn a_sync_of_another_life_says_nothing_and_one_that_knows_more_ends_this_life() {
        let life = Incarnation(Uuid::nil());
        let hash = |number| ContentHash([number; 16]);
        let held = |next_seq| Held { incarnation: life, first_seq: 0, next_seq, written: &[] };
        let other = Held { incarnation: Incarnation(Uuid::max()), ..held(1) };
        assert_eq!(sync_means(&sync(9, &[]), &other), SyncMeans::OtherLife);
        assert_eq!(sync_means(&sync(9, &[]), &held(8)), SyncMeans::SetBack);
        assert_eq!(sync_means(&sync(9, &[]), &held(9)), SyncMeans::Continue);
        assert_eq!(sync_means(&Sync { resend_from: Some(9), ..sync(0, &[]) }, &held(8)), SyncMeans::SetBack);
        let told = sync(9, &[hash(1), hash(2), hash(3)]);
        for (written, means) in [
            (vec![hash(2), hash(3)], SyncMeans::Continue),
            (vec![hash(9), hash(1), hash(2), hash(3)], SyncMeans::Continue),
            (vec![hash(4), hash(3)], SyncMeans::SetBack),
            (vec![hash(4)], SyncMeans::SetBack),
            (Vec::new(), SyncMeans::Continue),
        ] {
            assert_eq!(sync_means(&told, &Held { written: &written, ..held(20) }), means, "{written:?}");
        }
    }

    #[test]
    fn a_journal_that_is_asked_for_what_it_has_let_go_begins_a_new_life() {
        let held = Held { incarnation: Incarnation(Uuid::nil()), first_seq: 7, next_seq: 9, written: &[] };
        let asked = |durable_below, from| Sync { resend_from: Some(from), ..sync(durable_below, &[]) };
        assert_eq!(sync_means(&asked(0, 0), &held), SyncMeans::LetGo);
        assert_eq!(sync_means(&asked(6, 6), &held), SyncMeans::LetGo);
        assert_eq!(sync_means(&asked(7, 7), &held), SyncMeans::Continue, "it is still there");
        assert_eq!(sync_means(&sync(0, &[]), &held), SyncMeans::Continue, "nobody misses anything yet");
        let empty = Held { first_seq: 9, ..held };
        assert_eq!(sync_means(&asked(3, 3), &empty), SyncMeans::LetGo);
    }

    #[test]
    fn a_new_life_says_the_ends_that_only_receipts_know_each_once_and_oldest_first() {
        let about = |number| RunAbout {
            run: RunId(Uuid::from_u128(number)),
            round: landfall_proto::id::RoundId(Uuid::nil()),
            routine: "db".parse().unwrap(),
            slot: None,
            task: TaskKind::Backup,
            trigger: Trigger::Autonomous,
            plan_hash: "h".to_owned(),
            repository: None,
        };
        let ended = |number, second| {
            let report = RunReport {
                outcome: Outcome::Ok,
                reason: Reason::Completed,
                message: String::new(),
                started_at: Timestamp::UNIX_EPOCH,
                finished_at: Timestamp::from_second(second).unwrap(),
                attempts: 1,
                exit: None,
                statistics: Statistics::default(),
                evidence: None,
                unread: Unread::default(),
                findings: Vec::new(),
                tail: String::new(),
            };
            (about(number), report)
        };
        let (told, report) = ended(2, 5);
        let told = AgentFact::from(RunFinished { about: told, report });
        let identity = Identity { writer: "a".to_owned(), incarnation: Incarnation(Uuid::nil()), seq: 7 };
        let kept = Envelope::fact(identity, told.kind(), Timestamp::UNIX_EPOCH, told.encode());
        let again = ends_to_repeat(&[kept], vec![ended(1, 9), ended(2, 5), ended(3, 4)]);
        let runs: Vec<_> = again.iter().map(|(at, end)| (at.as_second(), ended_run(end).unwrap())).collect();
        assert_eq!(runs, [(4, RunId(Uuid::from_u128(3))), (9, RunId(Uuid::from_u128(1)))]);
    }

    #[test]
    fn a_wish_to_go_back_is_not_lost_to_a_batch_under_way() {
        let mut pump = Pump::new();
        assert_eq!(pump.begin(), 0);
        pump.go_back(1);
        assert_eq!(pump.settle(&[(0, Told3::Done), (1, Told3::Done), (2, Told3::Done)]), Onward::Go);
        assert_eq!(pump.begin(), 1);
        assert_eq!(pump.settle(&[(1, Told3::Done), (2, Told3::Done)]), Onward::Go);
        assert_eq!(pump.begin(), 3);
    }

    #[test]
    fn the_pause_doubles_to_its_bound_and_begins_anew_where_something_got_through() {
        let mut pump = Pump::new();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            if let Onward::Pause { pause, is_stuck } = pump.settle(&[(0, Told3::Unknown)]) {
                assert!(is_stuck);
                pauses.push(pause.as_ms());
            }
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        let half = pump.settle(&[(0, Told3::Done), (1, Told3::Refused)]);
        assert_eq!(half, Onward::Pause { pause: PAUSE_MIN, is_stuck: false });
    }

    proptest! {
        #[test]
        fn no_fact_is_forgotten_early_nor_held_for_ever(steps in proptest::collection::vec((1u64..400, 0u64..5), 1..60)) {
            let mut aging = Aging::new(seconds(0), 0);
            let mut written: Vec<u64> = Vec::new();
            let mut uptime = 0;
            for (pass, facts) in steps {
                uptime += pass;
                written.extend(std::iter::repeat_n(uptime, usize::try_from(facts).unwrap()));
                let next_seq = written.len() as u64;
                let below = aging.forgettable(seconds(uptime), next_seq, next_seq);
                for at in &written[..usize::try_from(below).unwrap()] {
                    prop_assert!(uptime - at >= 600);
                }
                prop_assert!(aging.marks.len() <= 24);
            }
            let next_seq = written.len() as u64;
            aging.forgettable(seconds(uptime + 30), next_seq, next_seq);
            prop_assert_eq!(aging.forgettable(seconds(uptime + 630), next_seq, next_seq), next_seq);
        }

        /// Whatever the log answers, each fact is said until it is there, and none is passed over.
        #[test]
        fn the_pump_passes_nothing_over(answers in proptest::collection::vec((0usize..5, 0u8..3, proptest::option::of(0u64..20)), 1..60)) {
            let mut pump = Pump::new();
            let mut there = [false; 20];
            for (length, told, back_to) in answers {
                let from = pump.begin();
                prop_assert!(there[..usize::try_from(from).unwrap()].iter().all(|is_there| *is_there));
                let told = [Told3::Done, Told3::Refused, Told3::Unknown][usize::from(told)];
                let seqs = (from..20).take(4);
                let batch: Vec<(u64, Told3)> =
                    seqs.enumerate().map(|(index, seq)| (seq, if index < length { Told3::Done } else { told })).collect();
                for (seq, told) in &batch {
                    there[usize::try_from(*seq).unwrap()] |= *told == Told3::Done;
                }
                if let Some(back_to) = back_to {
                    pump.go_back(back_to);
                }
                pump.settle(&batch);
            }
        }
    }
}
