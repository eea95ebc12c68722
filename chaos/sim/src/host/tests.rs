//! Stories of one machine: whatever happens to it, what it began ends once, and what it said stays said.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use landfall::audit::SlotFate;
use landfall_agent::core::CatalogEntry;
use landfall_proto::command::{Action, Answer, Command, Refused};
use landfall_proto::envelope::{Envelope, Epoch};
use landfall_proto::fact::agent::{AgentFact, StartCause};
use landfall_proto::id::{CommandId, Incarnation, RoundId, RunId};
use landfall_proto::live::{Beacon, SYNC_HALVES_MAX, Sync};
use landfall_proto::plan::{read_plan, read_target};
use landfall_proto::report::{Outcome, Reason, TaskKind};
use landfall_proto::time::{Duration, after};
use uuid::Uuid;

use super::*;

const TARGET: &str =
    "name = \"disk\"\ndriver = \"rustic\"\nlocation = \"/backup\"\ncreate = true\nsecret = { file = \"/s\" }\n";

fn plan_text(calendar: &str, rest: &str) -> String {
    format!(
        "name = \"db\"\nsources = [\"/etc\"]\ntarget = \"disk\"\n{rest}\n[schedule]\ncalendar = \"{calendar}\"\n[deadlines]\nstart_within = \"10m\"\nfinish_within = \"50m\"\nstall_after = \"5m\"\n"
    )
}

fn catalog(calendar: &str, rest: &str) -> Arc<Catalog> {
    let plan = read_plan("plan.toml", &plan_text(calendar, rest)).unwrap();
    let target = read_target("disk.toml", TARGET).unwrap();
    let entry = CatalogEntry { plan, target, zone: TimeZone::UTC };
    Arc::new(Catalog { plans: BTreeMap::from([(entry.plan.name.clone(), entry)]), broken: Vec::new() })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn tool(kind: ToolKind) -> HostFault {
    HostFault::Tool(Behaviour { kind, transfer: seconds(60), outlives_agent: false })
}

/// One machine, a log that takes everything, and a service manager that starts what died.
struct Story {
    host: Host,
    shared: Repositories,
    now: Timestamp,
    /// What the log took, in its order.
    log: Vec<Envelope>,
    takes: bool,
    deaths: Vec<Place>,
    alarms: usize,
    answers: Vec<Answer>,
    /// Everything that came out, where a story is told twice.
    lines: Option<Vec<String>>,
    is_restarted: bool,
    commands: u128,
}

impl Story {
    fn new(calendar: &str, rest: &str) -> Self {
        Self::with(calendar, rest, 7)
    }

    fn with(calendar: &str, rest: &str, seed: u64) -> Self {
        let spec = HostSpec {
            node: "a".parse().unwrap(),
            cluster: "home".parse().unwrap(),
            catalog: catalog(calendar, rest),
            labels: BTreeMap::new(),
            parallel: 1,
            leader_patience: seconds(60),
            coordinator_silence: seconds(900),
            beat_every: seconds(5),
            is_traced: true,
        };
        let mut story = Self {
            host: Host::new(spec, seed),
            shared: Repositories::default(),
            now: at("2026-11-20T00:30:00Z"),
            log: Vec::new(),
            takes: true,
            deaths: Vec::new(),
            alarms: 0,
            answers: Vec::new(),
            lines: None,
            is_restarted: true,
            commands: 0,
        };
        story.boot();
        story
    }

    fn boot(&mut self) {
        let mut out = Vec::new();
        self.host.boot(self.now, &mut self.shared, &mut out);
        self.hear(out);
        self.give(In::Link(true));
    }

    fn give(&mut self, input: In) {
        let mut out = Vec::new();
        self.host.take(self.now, &mut self.shared, input, &mut out);
        self.hear(out);
    }

    fn hear(&mut self, out: Vec<Out>) {
        for wish in out {
            if let Some(lines) = &mut self.lines {
                lines.push(format!("{} {wish:?}", self.now));
            }
            match wish {
                Out::Publish(fact) => {
                    let identity = fact.identity();
                    if self.takes {
                        self.log.push(fact);
                        self.give(In::Ack { identity, told: Told3::Done });
                    }
                }
                Out::Answer { answer, .. } => self.answers.push(answer),
                Out::Alarm(_) => self.alarms += 1,
                Out::Died { place, .. } => self.deaths.push(place),
                Out::Beat(_) | Out::Hit(_) | Out::Note(_) => {}
            }
        }
    }

    fn fault(&mut self, fault: HostFault) {
        self.host.fault(self.now, fault);
    }

    fn go(&mut self, until: Timestamp) {
        loop {
            if !self.host.is_up() && self.is_restarted {
                self.now = after(self.now, seconds(5));
                self.boot();
            }
            let Some(wake_at) = self.host.wake_at().filter(|wake_at| *wake_at <= until) else { break };
            self.now = self.now.max(wake_at);
            self.give(In::Woke);
        }
        self.now = until;
    }

    fn go_to(&mut self, until: &str) {
        self.go(at(until));
    }

    fn sync(&self, durable_below: u64) -> Sync {
        Sync {
            epoch: Epoch::default(),
            incarnation: self.host.disk.head().incarnation,
            durable_below,
            last_halves: Vec::new(),
            resend_from: None,
            queued: Vec::new(),
            announce: false,
        }
    }

    /// The log's facts, each identity once.
    fn facts(&self) -> Vec<AgentFact> {
        let mut seen = BTreeSet::new();
        let first = self.log.iter().filter(|fact| seen.insert(fact.identity()));
        first.map(|fact| AgentFact::decode(&fact.kind, &fact.body).unwrap().unwrap()).collect()
    }

    fn ends(&self) -> Vec<(RunId, Outcome, Reason)> {
        let facts = self.facts();
        let ends =
            facts.iter().filter_map(|fact| if let AgentFact::RunFinished(end) = fact { Some(end) } else { None });
        ends.map(|end| (end.about.run, end.report.outcome, end.report.reason)).collect()
    }

    fn starts(&self) -> Vec<u32> {
        let facts = self.facts();
        let starts =
            facts.iter().filter_map(|fact| if let AgentFact::RunStarted(start) = fact { Some(start) } else { None });
        starts.map(|start| start.attempt).collect()
    }

    fn snapshots(&self) -> usize {
        self.shared.trace().values().map(|repository| repository.snapshots.len()).sum()
    }

    fn slot(&self, slot: &str) -> (RoundId, RunId) {
        let round = RoundId::of_slot(&self.host.spec.cluster, &"db".parse().unwrap(), at(slot));
        (round, RunId::of(round, self.host.node(), TaskKind::Backup))
    }

    fn command(&mut self, term: u64, action: Action, is_signed: bool) -> Answer {
        self.commands += 1;
        let command = Command {
            id: CommandId(Uuid::from_u128(self.commands)),
            audience: self.host.node().clone(),
            holder: "main".parse().unwrap(),
            epoch: Epoch { era: 0, term },
            issued_at: self.now,
            not_after: after(self.now, seconds(30)),
            action,
        };
        let from = command.holder.clone();
        self.give(In::Command { question: 1, from, command: Box::new(command), is_signed });
        self.answers.pop().expect("every command is answered")
    }

    /// Each fact under one identity, without holes, and nothing published that was not written.
    fn assert_sound(&mut self) {
        let mut seqs: BTreeMap<Incarnation, BTreeMap<u64, _>> = BTreeMap::new();
        for fact in &self.log {
            let known = seqs.entry(fact.incarnation).or_default().insert(fact.seq, fact.content_hash());
            assert!(known.is_none_or(|known| known == fact.content_hash()), "two contents under {}", fact.seq);
        }
        for seqs in seqs.values() {
            assert!(seqs.keys().copied().eq(0..seqs.len() as u64), "{:?}", seqs.keys());
        }
        let trace = self.host.trace();
        let written = trace.written.as_ref().unwrap();
        assert!(self.log.iter().all(|fact| written.contains_key(&fact.identity())));
        assert!(trace.litter.is_empty(), "{:?}", trace.litter);
        let lost: Vec<_> = trace.due.iter().filter(|due| due.became.is_none()).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}

#[test]
fn without_a_leader_each_slot_is_run_and_ends_once() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T06:30:00Z");
    let ends = story.ends();
    assert_eq!(ends.len(), 6);
    assert!(ends.iter().all(|(_, outcome, reason)| (*outcome, *reason) == (Outcome::Ok, Reason::Completed)));
    assert_eq!((story.snapshots(), story.alarms), (6, 1), "one cry for the leader");
    assert!(story.host.is_at_rest());
    story.assert_sound();
    let due = &story.host.trace().due;
    assert_eq!(due.len(), 6);
    assert!(due.iter().all(|due| matches!(due.became, Some(SlotFate::Ran { at }) if at <= due.start_by)));
}

#[test]
fn with_a_leader_that_gives_no_turn_each_slot_has_one_end_all_the_same() {
    let mut story = Story::new("*:00/5", "");
    story.go_to("2026-11-20T00:52:00Z");
    let before = story.ends().len();
    let sync = story.sync(0);
    while story.now < at("2026-11-20T01:27:00Z") {
        let (epoch, position) = (Epoch::default(), landfall_proto::envelope::Position::START);
        story.give(In::Beacon(Beacon { holder: "main".parse().unwrap(), epoch, position, sent_at: story.now }));
        story.give(In::Sync(sync.clone()));
        story.go(after(story.now, seconds(5)));
    }
    let ends: Vec<_> = story.ends()[before..].iter().map(|(_, outcome, reason)| (*outcome, *reason)).collect();
    assert_eq!(ends, [(Outcome::Skipped, Reason::Missed); 6], "00:55 to 01:20; 01:25 still waits");
    story.go_to("2026-11-20T01:58:00Z");
    story.assert_sound();
    let due = &story.host.trace().due;
    assert_eq!(due.iter().filter(|due| due.became == Some(SlotFate::Skipped)).count(), 6);
    let mut slots: Vec<_> = due.iter().map(|due| due.slot).collect();
    slots.dedup();
    assert_eq!((due.len(), slots.len()), (17, 17), "from 00:35 to 01:55 each has one end");
}

#[test]
fn one_seed_tells_one_story() {
    let tell = |seed| {
        let mut story = Story::with("*:00", "", seed);
        story.lines = Some(Vec::new());
        story.fault(tool(ToolKind::FailsAtFirst { reason: Reason::Network, times: 2 }));
        story.fault(HostFault::KillAfter { boundaries: 20, power: Power::Machine });
        story.go_to("2026-11-20T03:30:00Z");
        story.lines
    };
    assert_eq!(tell(3), tell(3));
    assert_ne!(tell(3), tell(4));
}

/// Kills the agent at its first boundary, then at its second, and so on until a whole hour passes without a death.
fn dies_everywhere(power: Power, outlives_agent: bool) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for boundaries in 1.. {
        let mut story = Story::new("*:00", "");
        story.fault(HostFault::Tool(Behaviour { kind: ToolKind::Ok, transfer: seconds(60), outlives_agent }));
        story.go_to("2026-11-20T00:59:00Z");
        story.fault(HostFault::KillAfter { boundaries, power });
        story.go_to("2026-11-20T01:50:00Z");
        story.fault(HostFault::KillAfter { boundaries: u32::MAX, power });
        let ends = story.ends();
        let told: Vec<_> = ends.iter().map(|(_, outcome, reason)| (*outcome, *reason)).collect();
        assert!(
            told == [(Outcome::Ok, Reason::Completed)] || told == [(Outcome::Ok, Reason::Recovered)],
            "{boundaries} {:?}: {ends:?}",
            story.deaths
        );
        assert_eq!(story.snapshots(), 1, "{boundaries} {:?}", story.deaths);
        assert!(story.starts().len() <= 2 && story.host.is_at_rest());
        story.assert_sound();
        let receipts = &story.host.trace().receipts;
        assert_eq!(receipts.len(), 1, "{boundaries} {:?}", story.deaths);
        if story.deaths.is_empty() {
            assert!(boundaries > 40, "the run has too few boundaries: {boundaries}");
            return places;
        }
        places.extend(story.deaths.iter().copied());
    }
    unreachable!("a run has an end")
}

#[test]
fn a_run_ends_exactly_once_wherever_its_agent_dies() {
    let places = dies_everywhere(Power::Process, false);
    for place in [
        Place::BeforeIntent,
        Place::BeforeCommit,
        Place::AfterCommit,
        Place::IntentWritten,
        Place::AfterIntent,
        Place::AfterSpawn,
        Place::WhileToolRuns,
        Place::AfterSave,
        Place::BeforeReceipt,
        Place::ReceiptWritten,
        Place::AfterReceipt,
        Place::AfterPublish,
        Place::AfterAck,
    ] {
        assert!(places.contains(&place), "nobody died at {place:?}");
    }
}

#[test]
fn a_run_ends_exactly_once_wherever_its_agent_dies_and_its_tool_does_not() {
    assert!(dies_everywhere(Power::Process, true).contains(&Place::AfterSpawn), "the tool was noted nowhere");
}

#[test]
fn a_run_ends_exactly_once_wherever_its_machine_loses_power() {
    dies_everywhere(Power::Machine, false);
}

#[test]
fn a_tool_that_outlives_its_agent_is_ended_before_the_run_is_taken_up() {
    let mut story = Story::new("*:00", "");
    story.fault(HostFault::Tool(Behaviour { kind: ToolKind::Ok, transfer: seconds(600), outlives_agent: true }));
    story.go_to("2026-11-20T01:02:00Z");
    assert!(story.host.has_tool());
    story.host.kill(story.now, Power::Process);
    assert!(story.host.has_tool() && !story.host.is_up());
    story.go_to("2026-11-20T01:40:00Z");
    assert_eq!((story.snapshots(), story.ends().len()), (1, 1));
    assert_eq!(story.starts(), [1, 2]);
    let processes = &story.host.trace().processes;
    assert!(processes[0].ended_at <= Some(processes[1].started_at));
    story.assert_sound();
}

#[test]
fn a_tool_that_finishes_while_its_agent_is_away_is_found_and_not_repeated() {
    let mut story = Story::new("*:00", "");
    story.fault(HostFault::Tool(Behaviour { kind: ToolKind::Ok, transfer: seconds(600), outlives_agent: true }));
    story.go_to("2026-11-20T01:02:00Z");
    story.is_restarted = false;
    story.host.kill(story.now, Power::Process);
    story.go_to("2026-11-20T01:20:00Z");
    assert_eq!(story.snapshots(), 1);
    story.is_restarted = true;
    story.go_to("2026-11-20T01:40:00Z");
    assert_eq!(story.ends()[0].2, Reason::Recovered);
    assert_eq!(story.snapshots(), 1);
    story.assert_sound();
}

#[test]
fn a_disk_that_was_rolled_back_begins_a_new_life() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T00:50:00Z");
    story.fault(HostFault::Copy);
    story.go_to("2026-11-20T03:30:00Z");
    let (first, known) = (story.host.disk.head().incarnation, story.log.len() as u64);
    story.fault(HostFault::RollBack);
    story.takes = false;
    story.go(after(story.now, seconds(10)));
    assert_eq!(story.host.disk.head().incarnation, first, "nobody has told it yet");
    let sync = story.sync(known);
    story.takes = true;
    story.give(In::Sync(sync));
    let second = story.host.disk.head().incarnation;
    assert_ne!(second, first);
    story.go_to("2026-11-20T04:30:00Z");
    let rebuilt =
        |fact: &AgentFact| matches!(fact, AgentFact::AgentStarted(started) if started.cause == StartCause::Rebuilt);
    assert!(story.facts().iter().any(rebuilt));
    assert_eq!(story.host.trace().incarnations.len(), 2);
    // What ran between copy and return is run or found once more, and no snapshot is made a second time.
    assert_eq!(story.snapshots(), 4);
    story.log.retain(|fact| fact.incarnation == second);
    assert!(
        story.log.iter().map(|fact| fact.seq).collect::<BTreeSet<_>>().into_iter().eq(0..story
            .host
            .disk
            .head()
            .next_seq)
    );
}

#[test]
fn a_journal_that_is_asked_for_what_it_let_go_says_every_end_again_under_another_life() {
    let mut story = Story::new("*:00", "");
    for time in ["01:30", "01:45", "02:30"] {
        story.go_to(&format!("2026-11-20T{time}:00Z"));
        let sync = story.sync(story.log.len() as u64);
        story.give(In::Sync(sync));
    }
    let first = story.host.disk.head();
    let let_go = story.host.disk.first_seq();
    assert!(let_go > 0, "something was safe, and is deleted");
    let ends = story.ends();
    // The bus and every ledger are lost; a coordinator that knows nothing asks for everything.
    story.log.clear();
    let sync = Sync { resend_from: Some(0), ..story.sync(0) };
    story.give(In::Sync(sync));
    let second = story.host.disk.head();
    assert_ne!(second.incarnation, first.incarnation);
    story.go(after(story.now, seconds(60)));
    assert!(story.log.iter().map(|fact| fact.seq).collect::<BTreeSet<_>>().into_iter().eq(0..second.next_seq));
    assert_eq!(story.ends(), ends, "each end once");
    let sync = Sync { resend_from: Some(0), ..story.sync(0) };
    story.give(In::Sync(sync));
    assert_eq!(story.host.disk.head().incarnation, second.incarnation, "nothing is missing in this life");
}

#[test]
fn a_rolled_back_journal_that_grew_past_the_watermark_is_recognised_by_its_content() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T00:50:00Z");
    story.fault(HostFault::Copy);
    story.go_to("2026-11-20T01:00:01Z");
    let head = story.host.disk.head();
    let last = story.host.disk.contents_below(head.next_seq, SYNC_HALVES_MAX);
    let sync = Sync { last_halves: last.iter().map(|hash| hash.half()).collect(), ..story.sync(head.next_seq) };
    story.give(In::Sync(sync.clone()));
    assert_eq!(story.host.disk.head().incarnation, head.incarnation, "it is the same journal");
    story.fault(HostFault::RollBack);
    story.go_to("2026-11-20T02:30:00Z");
    assert!(story.host.disk.head().next_seq > head.next_seq);
    story.give(In::Sync(sync));
    assert_ne!(story.host.disk.head().incarnation, head.incarnation);
}

#[test]
fn a_full_disk_begins_nothing_and_says_so() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T01:30:00Z");
    story.fault(HostFault::DiskFull(true));
    story.go_to("2026-11-20T02:30:00Z");
    assert_eq!(
        story.ends().last().map(|(_, outcome, reason)| (*outcome, *reason)),
        Some((Outcome::Failed, Reason::NoSpace))
    );
    assert_eq!(story.host.trace().processes.len(), 1);
    story.fault(HostFault::DiskFull(false));
    story.go_to("2026-11-20T03:30:00Z");
    assert_eq!(story.ends().last().map(|(_, outcome, _)| *outcome), Some(Outcome::Ok));
    assert_eq!(story.snapshots(), 2);
    story.assert_sound();
}

#[test]
fn where_nothing_at_all_can_be_written_nothing_happens_until_it_can() {
    let mut story = Story::new("*:00", "");
    story.fault(HostFault::DiskFull(true));
    story.go_to("2026-11-20T02:30:00Z");
    assert!(story.starts().is_empty() && story.host.trace().processes.is_empty(), "there was no reserve yet");
    story.fault(HostFault::DiskFull(false));
    story.go_to("2026-11-20T03:30:00Z");
    assert_eq!(story.ends().last().map(|(_, outcome, _)| *outcome), Some(Outcome::Ok));
    story.assert_sound();
}

#[test]
fn the_outbox_keeps_what_the_watermark_does_not_cover_and_everything_for_ten_minutes() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T00:31:00Z");
    let kept = story.host.outbox_len();
    assert!(kept >= 2);
    for minute in 31..41 {
        story.go_to(&format!("2026-11-20T00:{minute}:30Z"));
        let sync = story.sync(1);
        story.give(In::Sync(sync));
        assert_eq!(story.host.outbox_len(), kept, "minute {minute}");
    }
    story.go_to("2026-11-20T00:43:00Z");
    let sync = story.sync(1);
    story.give(In::Sync(sync));
    assert_eq!(story.host.outbox_len(), kept - 1);
    let deleted = &story.host.trace().deleted[0];
    assert!(deleted.age >= seconds(600) && deleted.identity.seq == 0 && deleted.durable_below == 1);
}

#[test]
fn a_clock_that_jumps_neither_holds_facts_for_ever_nor_lets_them_go_early() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T00:31:00Z");
    let kept = story.host.outbox_len();
    story.fault(HostFault::ClockStep(SignedDuration::from_hours(24)));
    let sync = story.sync(kept);
    story.give(In::Sync(sync.clone()));
    assert!(story.host.outbox_len() >= kept, "a day has not passed");
    story.fault(HostFault::ClockStep(SignedDuration::from_hours(-48)));
    for minute in 32..46 {
        story.go_to(&format!("2026-11-20T00:{minute}:00Z"));
        story.give(In::Sync(sync.clone()));
    }
    assert!(story.host.trace().deleted.len() as u64 == kept, "they are old, whatever the clock says");
}

#[test]
fn rot_in_the_journal_is_survived_with_the_receipts_and_nothing_is_run_again() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T03:30:00Z");
    let first = story.host.disk.head().incarnation;
    story.fault(HostFault::Rot);
    story.host.kill(story.now, Power::Process);
    story.go_to("2026-11-20T03:50:00Z");
    assert_ne!(story.host.disk.head().incarnation, first);
    assert_eq!(story.snapshots(), 3);
    let runs: BTreeSet<RunId> = story.ends().iter().map(|(run, ..)| *run).collect();
    assert_eq!((story.ends().len(), runs.len()), (6, 3), "each end is told under the new life too");
    assert_eq!(story.host.trace().incarnations.last().unwrap().1, "Rebuilt");
    story.go_to("2026-11-20T04:30:00Z");
    assert_eq!(story.snapshots(), 4);
    story.assert_sound();
}

#[test]
fn rot_in_the_journal_or_its_loss_makes_no_older_leader_obeyed() {
    for fault in [HostFault::Rot, HostFault::SpoolLost] {
        let mut story = Story::new("*:00", "");
        let cancel = Action::Cancel { run: story.slot("2026-11-20T01:00:00Z").1 };
        assert!(matches!(story.command(5, cancel.clone(), true), Answer::Refused { reason: Refused::NoRun, .. }));
        story.fault(fault);
        story.host.kill(story.now, Power::Machine);
        story.go_to("2026-11-20T00:50:00Z");
        let stale = story.command(4, cancel.clone(), true);
        assert!(matches!(stale, Answer::Refused { reason: Refused::StaleEpoch, .. }), "{stale:?}");
        assert!(matches!(story.command(5, cancel, true), Answer::Refused { reason: Refused::NoRun, .. }));
    }
}

#[test]
fn a_folder_without_its_receipt_gets_one_while_the_end_is_unsent_and_else_goes() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T03:30:00Z");
    let (_, first) = story.slot("2026-11-20T01:00:00Z");
    let lose = |story: &mut Story| story.host.disk.folders.get_mut(&first).unwrap().receipt = None;
    lose(&mut story);
    assert_eq!(story.host.trace().litter.len(), 1);
    story.go_to("2026-11-20T04:30:00Z");
    assert!(story.host.disk.folders[&first].receipt.is_some(), "nobody has said that the log has the end");
    let sync = story.sync(story.host.disk.head().next_seq);
    story.give(In::Sync(sync.clone()));
    story.go_to("2026-11-20T04:50:00Z");
    story.give(In::Sync(sync));
    assert_eq!(story.host.outbox_len(), 0);
    lose(&mut story);
    story.go_to("2026-11-20T06:30:00Z");
    assert!(!story.host.disk.folders.contains_key(&first));
    story.assert_sound();
}

#[test]
fn each_way_in_which_a_tool_fails_has_its_end() {
    let cases = [
        (ToolKind::Hang, Outcome::Failed, Reason::Stalled, 0),
        (ToolKind::Lies, Outcome::Failed, Reason::VerifyMissing, 0),
        (ToolKind::Partial, Outcome::Partial, Reason::VerifyIncomplete, 1),
        (ToolKind::Unread(3), Outcome::Partial, Reason::SourceUnreadable, 1),
        (ToolKind::Crashes, Outcome::Failed, Reason::Killed, 0),
        (ToolKind::Fails(Reason::Auth), Outcome::Failed, Reason::Auth, 0),
        (ToolKind::Fails(Reason::Network), Outcome::Failed, Reason::Network, 0),
        (ToolKind::FailsAtFirst { reason: Reason::Network, times: 2 }, Outcome::Ok, Reason::Completed, 1),
    ];
    for (kind, outcome, reason, snapshots) in cases {
        let mut story = Story::new("*:00", "");
        story.fault(tool(kind));
        story.go_to("2026-11-20T01:50:00Z");
        let ends: Vec<_> = story.ends().iter().map(|(_, outcome, reason)| (*outcome, *reason)).collect();
        assert_eq!(ends, [(outcome, reason)], "{kind:?}");
        assert_eq!(story.snapshots(), snapshots, "{kind:?}");
        let retried = story.facts().iter().filter(|fact| matches!(fact, AgentFact::RunRetried(_))).count();
        assert_eq!(
            retried,
            if matches!(kind, ToolKind::FailsAtFirst { .. } | ToolKind::Fails(Reason::Network)) { 2 } else { 0 }
        );
        story.assert_sound();
    }
}

#[test]
fn a_foreign_lock_is_waited_for_within_bounds_and_never_broken() {
    let mut story = Story::new("*:00", "");
    let repository = story.shared.add("/backup");
    story.shared.fault(&repository, RepositoryFault::ForeignLock { until: at("2026-11-20T01:30:00Z") });
    story.go_to("2026-11-20T01:50:00Z");
    assert_eq!(story.ends()[0].2, Reason::Lock);
    story.go_to("2026-11-20T02:50:00Z");
    assert_eq!(story.ends()[1].1, Outcome::Ok);
    story.assert_sound();
}

#[test]
fn a_check_finds_rot_within_one_round_of_its_parts() {
    let mut story = Story::new("*:00", "check = { every = \"30m\", data_parts = 3 }");
    story.go_to("2026-11-20T02:50:00Z");
    let repository = story.shared.ids().next().unwrap().clone();
    story.shared.fault(&repository, RepositoryFault::Rot { which: 0 });
    story.go_to("2026-11-20T07:50:00Z");
    assert!(
        story.ends().iter().any(|(_, outcome, reason)| (*outcome, *reason) == (Outcome::Failed, Reason::Integrity))
    );
    story.assert_sound();
}

#[test]
fn a_command_is_obeyed_once_and_an_unsigned_one_never() {
    let mut story = Story::new("*:00", "");
    let (round, run) = story.slot("2026-11-20T01:00:00Z");
    let slot = Some(at("2026-11-20T01:00:00Z"));
    let start = Action::Start { run, round, routine: "db".parse().unwrap(), slot, task: TaskKind::Backup };
    let unsigned = story.command(1, start.clone(), false);
    assert!(matches!(unsigned, Answer::Refused { reason: Refused::Signature, .. }));
    assert_eq!(story.command(1, start.clone(), true), Answer::Accepted);
    assert_eq!(story.command(1, start.clone(), true), Answer::Accepted);
    story.go_to("2026-11-20T00:50:00Z");
    assert_eq!(story.command(1, start, true), Answer::AlreadyDone);
    assert!(matches!(
        story.command(0, Action::Cancel { run }, true),
        Answer::Refused { reason: Refused::StaleEpoch, .. }
    ));
    story.go_to("2026-11-20T01:50:00Z");
    assert_eq!(story.snapshots(), 1);
    let trace = story.host.trace();
    assert_eq!(trace.obeyed.iter().filter(|obeyed| obeyed.started.is_some()).count(), 1);
    assert_eq!(trace.refused.as_ref().map(BTreeSet::len), Some(2));
}

#[test]
fn a_log_that_takes_nothing_delays_no_backup_and_gets_everything_later() {
    let mut story = Story::new("*:00", "");
    story.takes = false;
    story.go_to("2026-11-20T03:30:00Z");
    assert_eq!(story.snapshots(), 3);
    story.takes = true;
    story.go_to("2026-11-20T03:40:00Z");
    assert_eq!(story.ends().len(), 3);
    story.assert_sound();
}

#[test]
fn a_machine_that_was_off_catches_up_once() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T01:30:00Z");
    story.is_restarted = false;
    story.host.kill(story.now, Power::Machine);
    story.go_to("2026-11-20T05:20:00Z");
    story.is_restarted = true;
    story.go_to("2026-11-20T05:50:00Z");
    assert_eq!(story.snapshots(), 2);
    assert!(story.facts().iter().any(|fact| matches!(fact, AgentFact::SlotMissed(missed) if missed.count == 3)));
    story.assert_sound();
}

#[test]
fn a_process_that_is_asked_to_stop_lets_its_run_end() {
    let mut story = Story::new("*:00", "");
    story.is_restarted = false;
    story.go_to("2026-11-20T01:00:40Z");
    story.fault(HostFault::Drain);
    story.go_to("2026-11-20T01:05:00Z");
    assert!(!story.host.is_up());
    assert_eq!(story.deaths, [Place::Stopped]);
    story.is_restarted = true;
    story.go_to("2026-11-20T01:40:00Z");
    assert_eq!((story.snapshots(), story.ends().len()), (1, 1));
    story.assert_sound();
}

#[test]
fn a_copied_machine_has_the_same_name_and_speaks_with_the_same_voice() {
    let mut story = Story::new("*:00", "");
    story.go_to("2026-11-20T00:50:00Z");
    let mut copy = story.host.clone_machine(99);
    assert!(!copy.is_up() && copy.node() == story.host.node());
    let mut out = Vec::new();
    copy.boot(story.now, &mut story.shared, &mut out);
    assert!(copy.is_up());
    assert_eq!(copy.disk.head().incarnation, story.host.disk.head().incarnation);
    assert_eq!(copy.trace().set_back.len(), 1);
}

/// Enough for every pair of misfortunes to have met; more of them is the simulator's own business.
const SEEDS: u64 = 40;

/// One piece of bad luck, drawn; what lasts is undone by another draw or at the end.
fn strike(story: &mut Story, chance: &mut Chance) {
    let repository = story.shared.add("/backup");
    let is_on = chance.between(0, 1) == 1;
    let power = if is_on { Power::Machine } else { Power::Process };
    match chance.between(0, 13) {
        0 | 1 => {
            let boundaries = u32::try_from(chance.between(1, 60)).unwrap();
            story.fault(HostFault::KillAfter { boundaries, power });
        }
        2 => story.host.kill(story.now, power),
        3 => story.fault(HostFault::DiskFull(is_on)),
        4 => {
            story.fault(if is_on { HostFault::Rot } else { HostFault::SpoolLost });
            story.host.kill(story.now, power);
        }
        5 => {
            let seconds = chance.between(0, 14_400).cast_signed() - 7200;
            story.fault(HostFault::ClockStep(SignedDuration::from_secs(seconds)));
        }
        6 => story.fault(tool(ToolKind::Ok)),
        7 => story.fault(tool(ToolKind::FailsAtFirst { reason: Reason::Network, times: 3 })),
        8 => story.fault(tool(
            [ToolKind::Hang, ToolKind::Lies, ToolKind::Crashes][usize::try_from(chance.between(0, 2)).unwrap()],
        )),
        9 => story.shared.fault(&repository, RepositoryFault::Unreachable(is_on)),
        10 => story.shared.fault(&repository, RepositoryFault::Full(is_on)),
        11 => story.takes = is_on,
        12 => story.fault(HostFault::Drain),
        _ => {
            let transfer = seconds(chance.between(1, 5000));
            story.fault(HostFault::Tool(Behaviour { kind: ToolKind::Ok, transfer, outlives_agent: is_on }));
        }
    }
}

#[test]
fn whatever_happens_what_was_begun_ends_and_nothing_is_there_twice() {
    for seed in 0..SEEDS {
        let mut story = Story::with("*:00/20", "check = { every = \"2h\", data_parts = 2 }", seed);
        let mut chance = Chance::new(seed ^ 0xbad);
        while story.now < at("2026-11-20T18:00:00Z") {
            strike(&mut story, &mut chance);
            let until = after(story.now, seconds(chance.between(1, 2400)));
            story.go(until);
            if !story.host.is_up() {
                continue;
            }
            let life = story.host.disk.head().incarnation;
            let known = story.log.iter().filter(|fact| fact.incarnation == life).map(|fact| fact.seq + 1).max();
            let sync = story.sync(known.unwrap_or(0));
            story.give(In::Sync(sync));
        }
        story.shared.heal();
        story.takes = true;
        for fault in [HostFault::DiskFull(false), HostFault::ClockRight, tool(ToolKind::Ok)] {
            story.fault(fault);
        }
        story.go_to("2026-11-21T00:10:00Z");
        story.assert_sound();
        let facts = story.facts();
        let begun: BTreeSet<RunId> = facts
            .iter()
            .filter_map(|fact| if let AgentFact::RunStarted(start) = fact { Some(start.about.run) } else { None })
            .collect();
        let ended: BTreeSet<RunId> = story.ends().iter().map(|(run, ..)| *run).collect();
        assert!(begun.is_subset(&ended), "seed {seed}: begun and never ended: {:?}", begun.difference(&ended));
        assert!(story.host.is_at_rest(), "seed {seed}");
        let mut snapshots = BTreeSet::new();
        for snapshot in story.shared.trace().values().flat_map(|repository| &repository.snapshots) {
            assert!(snapshots.insert(snapshot.run), "seed {seed}: {:?} is there twice", snapshot.run);
        }
        let trace = story.host.trace();
        for receipt in &trace.receipts {
            assert!(ended.contains(&receipt.about.run), "seed {seed}: a receipt that nobody heard of");
        }
        let mut processes: Vec<_> = trace.processes.iter().map(|seen| (seen.started_at, seen.ended_at)).collect();
        processes.sort_unstable();
        for pair in processes.windows(2) {
            assert!(
                pair[0].1.is_some_and(|ended_at| ended_at <= pair[1].0),
                "seed {seed}: two tools at once: {pair:?}"
            );
        }
    }
}
