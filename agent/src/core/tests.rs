//! The agent's stories and laws, told to the core alone.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use landfall_proto::command::{Action, Answer, Command, Refused};
use landfall_proto::envelope::{Epoch, Position};
use landfall_proto::fact::agent::{AgentFact, RunAbout};
use landfall_proto::id::{CommandId, Incarnation, RepositoryId, RoundId, RunId};
use landfall_proto::live::{Beacon, Sync};
use landfall_proto::plan::{read_plan, read_target};
use landfall_proto::report::{Evidence, Outcome, Progress, ProofLevel, Reason, RunReport, TaskKind, Trigger, Vitals};
use landfall_proto::time::{Duration, Timestamp, after};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const TARGET: &str = "name = \"disk\"\ndriver = \"rustic\"\nlocation = \"/backup\"\nsecret = { file = \"/s\" }\n";

fn plan_text(name: &str, calendar: &str, rest: &str) -> String {
    format!(
        "name = \"{name}\"\nsources = [\"/etc\"]\ntarget = \"disk\"\n{rest}\n[schedule]\ncalendar = \"{calendar}\"\n"
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One agent, its clock, and everything it ever said.
struct World {
    agent: Agent,
    now: Timestamp,
    facts: Vec<AgentFact>,
    effects: Vec<Effect>,
    changes: Vec<Change>,
    wake_at: Option<Timestamp>,
    tickets: u64,
}

impl World {
    fn new(now: &str, has_bus: bool, plans: &[String]) -> Self {
        let rules = Rules {
            cluster: "home".parse().unwrap(),
            node: "a".parse().unwrap(),
            parallel: 1,
            pause: PauseRules::default(),
            has_bus,
            keeps_schedule: true,
            leader_patience: Duration::from_secs(60),
            coordinator_silence: Duration::from_secs(900),
        };
        let now = at(now);
        let agent = Agent::new(rules, Memory::default(), now);
        let mut world =
            Self { agent, now, facts: Vec::new(), effects: Vec::new(), changes: Vec::new(), wake_at: None, tickets: 0 };
        world.plan(plans);
        world
    }

    fn plan(&mut self, plans: &[String]) {
        let target = read_target("disk.toml", TARGET).unwrap();
        let entry = |text: &String| {
            let plan = read_plan("plan.toml", text).unwrap();
            (plan.name.clone(), CatalogEntry { plan, target: target.clone(), zone: TimeZone::UTC })
        };
        let catalog = Catalog { plans: plans.iter().map(entry).collect(), broken: Vec::new() };
        self.input(Input::Planned(catalog));
    }

    /// The process ends and begins again with what was written down.
    fn restart(&mut self, plans: &[String]) {
        let mut memory = Memory::default();
        for change in &self.changes {
            memory.apply(change.clone());
        }
        let begun: Vec<(RunAbout, u32, Timestamp)> = memory
            .journal
            .iter()
            .filter(|(_, record)| record.ended.is_none())
            .map(|(_, record)| (record.about.clone(), record.attempt, record.begun_at))
            .collect();
        self.agent = Agent::new(self.agent.rules.clone(), memory, self.now);
        self.wake_at = None;
        for (about, attempt, begun_at) in begun {
            self.input(Input::Found(Found::Interrupted { about, attempt, begun_at }));
        }
        self.plan(plans);
    }

    fn input(&mut self, input: Input) -> Step {
        let step = step(&mut self.agent, self.now, input);
        self.facts.extend(step.facts.iter().cloned());
        self.effects.extend(step.effects.iter().cloned());
        self.changes.extend(step.changes.iter().cloned());
        self.wake_at = step.wake_at;
        step
    }

    fn go_to(&mut self, until: &str) {
        self.go(at(until));
    }

    /// Wakes the agent whenever it asked to be woken, and at the end.
    fn go(&mut self, until: Timestamp) {
        for _ in 0..100_000 {
            match self.wake_at.filter(|wake_at| *wake_at <= until) {
                Some(wake_at) => self.now = self.now.max(wake_at),
                None => break,
            }
            self.input(Input::Woke);
        }
        self.now = until;
        self.input(Input::Woke);
    }

    fn beacon(&mut self) {
        let beacon = Beacon {
            holder: "main".parse().unwrap(),
            epoch: Epoch::default(),
            position: Position::START,
            sent_at: self.now,
        };
        self.input(Input::Heard(beacon));
    }

    fn sync(&mut self, queued: Vec<RunId>) {
        let sync = Sync {
            epoch: Epoch::default(),
            incarnation: Incarnation(Uuid::nil()),
            durable_below: 0,
            last_halves: Vec::new(),
            resend_from: None,
            queued,
            announce: false,
        };
        self.input(Input::Synced(sync));
    }

    fn command(&mut self, term: u64, holder: &str, action: Action) -> Answer {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let command = Command {
            id: CommandId(Uuid::from_u128(u128::from(self.tickets))),
            audience: "a".parse().unwrap(),
            holder: holder.parse().unwrap(),
            epoch: Epoch { era: 0, term },
            issued_at: self.now,
            not_after: after(self.now, Duration::from_secs(30)),
            action,
        };
        self.told(ticket, command)
    }

    fn told(&mut self, ticket: Ticket, command: Command) -> Answer {
        let step = self.input(Input::Told(ticket, Box::new(command)));
        let mut answers = step.effects.into_iter().filter_map(|effect| {
            if let Effect::Answer(to, answer) = effect { (to == ticket).then_some(answer) } else { None }
        });
        let answer = answers.next().expect("every command is answered");
        assert_eq!(answers.next(), None);
        answer
    }

    fn start_of(&self, routine: &str, slot: &str) -> Action {
        let routine = routine.parse().unwrap();
        let slot = at(slot);
        let round = RoundId::of_slot(&self.agent.rules.cluster, &routine, slot);
        let run = RunId::of(round, &self.agent.rules.node, TaskKind::Backup);
        Action::Start { run, round, routine, slot: Some(slot), task: TaskKind::Backup }
    }

    fn end(&mut self, run: RunId, outcome: Outcome, reason: Reason) {
        let report = report(outcome, reason, self.now);
        self.input(Input::Reported { run, report: Report::Ended(Box::new(report)) });
    }

    fn end_all(&mut self) {
        let live: Vec<RunId> = self.agent.live().keys().copied().collect();
        for run in live {
            self.end(run, Outcome::Ok, Reason::Completed);
        }
    }

    fn starts(&self) -> Vec<&Start> {
        self.effects
            .iter()
            .filter_map(|effect| if let Effect::Start(start) = effect { Some(&**start) } else { None })
            .collect()
    }

    fn finished(&self) -> Vec<(Outcome, Reason)> {
        let ends =
            self.facts.iter().filter_map(|fact| if let AgentFact::RunFinished(end) = fact { Some(end) } else { None });
        ends.map(|end| (end.report.outcome, end.report.reason)).collect()
    }

    fn missed(&self) -> Vec<(String, String, u64)> {
        let missed = self
            .facts
            .iter()
            .filter_map(|fact| if let AgentFact::SlotMissed(missed) = fact { Some(missed) } else { None });
        missed.map(|missed| (missed.first.to_string(), missed.last.to_string(), missed.count)).collect()
    }
}

fn report(outcome: Outcome, reason: Reason, now: Timestamp) -> RunReport {
    let evidence = outcome.is_good().then(|| Evidence {
        repository: None,
        snapshot: "s".to_owned(),
        taken_at: now,
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 10,
        bytes: 1000,
        read_at: now,
    });
    RunReport {
        outcome,
        reason,
        message: String::new(),
        started_at: now,
        finished_at: now,
        attempts: 1,
        exit: None,
        statistics: Default::default(),
        evidence,
        unread: Default::default(),
        findings: Vec::new(),
        tail: String::new(),
    }
}

#[test]
fn without_a_bus_the_slot_is_run_on_time() {
    let mut world = World::new("2026-11-20T01:00:00Z", false, &[plan_text("db", "02:00", "")]);
    world.go_to("2026-11-20T01:59:59Z");
    assert!(world.starts().is_empty());
    world.go_to("2026-11-20T02:00:00Z");
    let starts = world.starts();
    assert_eq!(starts.len(), 1);
    assert_eq!(starts[0].about.trigger, Trigger::Autonomous);
    assert_eq!(starts[0].about.slot, Some(at("2026-11-20T02:00:00Z")));
    world.end_all();
    world.go_to("2026-11-20T23:00:00Z");
    assert_eq!(world.starts().len(), 1);
}

#[test]
fn with_a_fresh_leader_the_agent_waits_for_its_turn_and_without_one_it_does_not() {
    let plans = [plan_text("db", "02:00", "")];
    let mut world = World::new("2026-11-20T01:59:50Z", true, &plans);
    world.beacon();
    world.go_to("2026-11-20T02:00:30Z");
    assert!(world.starts().is_empty(), "the leader gives the turn");
    world.go_to("2026-11-20T02:00:50Z");
    assert_eq!(world.starts().len(), 1, "the beacon is a minute old");

    let mut world = World::new("2026-11-20T01:59:50Z", true, &plans);
    world.beacon();
    for half_minute in 0..120 {
        world.go(after(at("2026-11-20T02:00:00Z"), Duration::from_secs(half_minute * 30)));
        world.beacon();
    }
    assert!(world.starts().is_empty());
    world.go_to("2026-11-20T03:00:00Z");
    assert_eq!(world.starts().len(), 1, "no turn came within start_within");
}

#[test]
fn a_run_in_the_leaders_queue_is_left_to_the_leader_while_it_lives() {
    let mut world = World::new("2026-11-20T01:59:50Z", true, &[plan_text("db", "02:00", "")]);
    let Action::Start { run, .. } = world.start_of("db", "2026-11-20T02:00:00Z") else { unreachable!() };
    world.beacon();
    world.sync(vec![run]);
    for half_minute in 0..180 {
        world.go(after(at("2026-11-20T02:00:00Z"), Duration::from_secs(half_minute * 30)));
        world.beacon();
    }
    assert!(world.starts().is_empty());
    world.go(after(world.now, Duration::from_secs(60)));
    assert_eq!(world.starts().len(), 1, "the leader fell silent");
}

/// Lets time pass with a leader that is heard but gives no turn.
fn led(world: &mut World, until: &str) {
    while world.now < at(until) {
        world.go(after(world.now, Duration::from_secs(30)));
        world.beacon();
    }
}

#[test]
fn a_slot_that_no_leader_gave_a_turn_ends_as_missed_when_the_next_one_comes() {
    let plans = [plan_text("db", "*:00", "") + "[deadlines]\nstart_within = \"3h\"\n"];
    let mut world = World::new("2026-11-20T01:59:50Z", true, &plans);
    world.beacon();
    world.sync(Vec::new());
    led(&mut world, "2026-11-20T02:59:00Z");
    assert!(world.starts().is_empty() && world.finished().is_empty(), "it waits for its turn");
    led(&mut world, "2026-11-20T03:00:30Z");
    assert_eq!(world.finished(), [(Outcome::Skipped, Reason::Missed)]);
    let late = world.start_of("db", "2026-11-20T02:00:00Z");
    assert_eq!(world.command(1, "main", late), Answer::AlreadyDone, "a turn that comes too late finds it ended");
    assert!(world.starts().is_empty() && world.missed().is_empty());
    let turn = world.start_of("db", "2026-11-20T03:00:00Z");
    assert_eq!(world.command(1, "main", turn), Answer::Accepted);
    assert_eq!(world.starts().len(), 1);
}

#[test]
fn a_slot_in_the_queue_of_a_living_leader_is_the_leaders_to_end() {
    let plans = [plan_text("db", "*:00", "") + "[deadlines]\nstart_within = \"3h\"\n"];
    let mut world = World::new("2026-11-20T01:59:50Z", true, &plans);
    let turn = world.start_of("db", "2026-11-20T02:00:00Z");
    let Action::Start { run, .. } = turn else { unreachable!() };
    world.beacon();
    world.sync(vec![run]);
    led(&mut world, "2026-11-20T03:10:00Z");
    assert!(world.finished().is_empty() && world.missed().is_empty());
    assert_eq!(world.command(0, "main", turn), Answer::Accepted);
    // The machine sleeps, and the leader's queue of long ago says nothing any more.
    let next = world.start_of("db", "2026-11-20T04:00:00Z");
    let Action::Start { run, .. } = next else { unreachable!() };
    world.end_all();
    led(&mut world, "2026-11-20T04:01:00Z");
    world.sync(vec![run]);
    world.now = at("2026-11-20T07:10:00Z");
    world.input(Input::Woke);
    assert_eq!(world.finished().last(), Some(&(Outcome::Skipped, Reason::Missed)));
    assert_eq!(world.missed(), [("2026-11-20T05:00:00Z".to_owned(), "2026-11-20T06:00:00Z".to_owned(), 2)]);
    assert_eq!(world.starts().len(), 2, "one run for all of them");
}

#[test]
fn a_turn_that_crosses_the_word_that_its_slot_was_missed_starts_nothing() {
    let plans = [plan_text("db", "*:00", "")];
    let mut world = World::new("2026-11-20T00:30:00Z", true, &plans);
    world.now = at("2026-11-20T03:20:00Z");
    world.input(Input::Woke);
    assert_eq!((world.missed().len(), world.starts().len()), (1, 1));
    world.end_all();
    let crossed = world.start_of("db", "2026-11-20T02:00:00Z");
    assert_eq!(world.command(1, "main", crossed.clone()), Answer::AlreadyDone);
    assert_eq!(world.command(1, "main", crossed), Answer::AlreadyDone);
    assert_eq!(world.starts().len(), 1);
    assert_eq!(world.finished().iter().filter(|end| **end == (Outcome::Skipped, Reason::Missed)).count(), 1);
}

#[test]
fn a_slot_that_a_fast_clock_told_as_missed_is_run_when_the_leader_gives_its_turn() {
    let plans = [plan_text("db", "*:00", "")];
    let mut world = World::new("2026-11-20T01:10:00Z", true, &plans);
    led(&mut world, "2026-11-20T01:20:00Z");
    // The clock jumps four hours ahead, and back again.
    world.now = at("2026-11-20T05:20:00Z");
    world.input(Input::Woke);
    assert!(!world.missed().is_empty(), "what the clock says has passed is told as missed");
    world.end_all();
    world.now = at("2026-11-20T02:00:05Z");
    let start = world.start_of("db", "2026-11-20T02:00:00Z");
    let begun = world.starts().len();
    assert_eq!(world.command(1, "alpha", start), Answer::Accepted);
    assert_eq!(world.starts().len(), begun + 1);
}

#[test]
fn a_repeated_question_about_a_repository_is_looked_into_once() {
    let mut world = World::new("2026-11-20T01:10:00Z", true, &[plan_text("db", "02:00", "")]);
    let repository = "abcd".parse().unwrap();
    let location = world.agent.catalog.plans.values().next().unwrap().target.location.clone();
    let target = world.agent.catalog.plans.values().next().unwrap().target.name.clone();
    let known = crate::core::RepositoryMemory { location, id: repository };
    let repository = known.id.clone();
    world.input(Input::Probed { target, repository: known });
    let round = RoundId(Uuid::from_u128(7));
    let command = |id| Command {
        id: CommandId(Uuid::from_u128(id)),
        audience: "a".parse().unwrap(),
        holder: "alpha".parse().unwrap(),
        epoch: Epoch { era: 0, term: 1 },
        issued_at: at("2026-11-20T01:10:00Z"),
        not_after: at("2026-11-20T01:20:00Z"),
        action: Action::Witness { round, repository: repository.clone(), runs: Vec::new() },
    };
    let mut looks = |id| {
        let step = world.input(Input::Told(Ticket(99), Box::new(command(id))));
        assert!(step.effects.contains(&Effect::Answer(Ticket(99), Answer::Accepted)), "{:?}", step.effects);
        step.effects.iter().filter(|effect| matches!(effect, Effect::Witness(_))).count()
    };
    assert_eq!((looks(1), looks(1), looks(2), looks(1)), (1, 0, 1, 0));
}

#[test]
fn without_room_to_write_a_command_is_refused_and_nothing_is_begun() {
    let world = World::new("2026-11-20T01:59:50Z", true, &[plan_text("db", "02:00", "")]);
    let command = |not_after: &str| Command {
        id: CommandId(Uuid::from_u128(1)),
        audience: "a".parse().unwrap(),
        holder: "alpha".parse().unwrap(),
        epoch: Epoch { era: 0, term: 1 },
        issued_at: world.now,
        not_after: at(not_after),
        action: world.start_of("db", "2026-11-20T02:00:00Z"),
    };
    let refused = |not_after| match super::without_room(&world.agent, world.now, &command(not_after)) {
        Answer::Refused { reason, .. } => reason,
        other @ (Answer::Accepted | Answer::AlreadyDone | Answer::Log { .. }) => panic!("{other:?}"),
    };
    assert_eq!(refused("2026-11-20T02:00:20Z"), Refused::NoSpace);
    assert!(Refused::NoSpace.is_temporary(), "there may be room again while the round goes on");
    assert_eq!(refused("2026-11-20T01:00:00Z"), Refused::Expired, "what is not for it is refused for that");
}

#[test]
fn the_leaders_command_and_the_own_slot_are_one_run() {
    let mut world = World::new("2026-11-20T01:59:50Z", true, &[plan_text("db", "02:00", "")]);
    world.beacon();
    world.go_to("2026-11-20T02:00:01Z");
    let start = world.start_of("db", "2026-11-20T02:00:00Z");
    assert_eq!(world.command(1, "main", start.clone()), Answer::Accepted);
    assert_eq!(world.command(1, "main", start.clone()), Answer::Accepted, "a repeat is harmless");
    world.end_all();
    assert_eq!(world.command(1, "main", start), Answer::AlreadyDone);
    world.go_to("2026-11-20T04:00:00Z");
    assert_eq!(world.starts().len(), 1);
    assert_eq!(world.starts()[0].about.trigger, Trigger::Dispatched);
}

#[test]
fn a_node_that_was_off_catches_up_once_and_says_what_it_missed() {
    let plans = [plan_text("db", "*:00", "")];
    let mut world = World::new("2026-11-20T00:30:00Z", false, &plans);
    world.go_to("2026-11-20T01:00:00Z");
    world.end_all();
    world.now = at("2026-11-20T05:20:00Z");
    world.restart(&plans);
    assert_eq!(world.starts().len(), 2);
    assert_eq!(world.starts()[1].about.slot, Some(at("2026-11-20T05:00:00Z")));
    assert_eq!(world.missed(), [("2026-11-20T02:00:00Z".to_owned(), "2026-11-20T04:00:00Z".to_owned(), 3)]);
}

#[test]
fn a_plan_that_does_not_catch_up_says_that_it_missed() {
    let plans = [plan_text("db", "02:00", "").replace("[schedule]", "[schedule]\ncatch_up = false")];
    let mut world = World::new("2026-11-20T00:30:00Z", false, &plans);
    world.now = at("2026-11-20T05:20:00Z");
    world.restart(&plans);
    assert!(world.starts().is_empty());
    assert_eq!(world.missed().len(), 1);
}

#[test]
fn a_run_longer_than_its_interval_makes_the_next_slot_skipped() {
    let mut world = World::new("2026-11-20T00:30:00Z", false, &[plan_text("db", "*:00", "")]);
    world.go_to("2026-11-20T02:10:00Z");
    assert_eq!(world.starts().len(), 1);
    assert_eq!(world.finished(), [(Outcome::Skipped, Reason::Overlap)]);
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::Record { .. })));
}

#[test]
fn two_plans_of_one_moment_run_one_after_the_other_the_more_important_first() {
    let plans = [plan_text("a", "02:00", ""), plan_text("b", "02:00", "priority = 5")];
    let mut world = World::new("2026-11-20T01:30:00Z", false, &plans);
    world.go_to("2026-11-20T02:05:00Z");
    assert_eq!(world.starts().len(), 1);
    assert_eq!(world.starts()[0].about.routine.as_str(), "b");
    world.end_all();
    assert_eq!(world.starts().len(), 2);
}

#[test]
fn a_stale_leader_is_refused_and_cannot_come_back_under_anothers_epoch() {
    let plans = [plan_text("db", "02:00", "")];
    let mut world = World::new("2026-11-20T01:30:00Z", true, &plans);
    let start = world.start_of("db", "2026-11-20T02:00:00Z");
    assert_eq!(world.command(5, "main", start.clone()), Answer::Accepted);
    world.restart(&plans);
    for (term, holder) in [(4, "main"), (5, "other")] {
        let answer = world.command(term, holder, start.clone());
        assert!(matches!(answer, Answer::Refused { reason: Refused::StaleEpoch, .. }), "{answer:?}");
    }
}

#[test]
fn a_command_for_another_late_or_invented_is_refused() {
    let mut world = World::new("2026-11-20T01:30:00Z", true, &[plan_text("db", "02:00", "")]);
    let good = Command {
        id: CommandId(Uuid::nil()),
        audience: "a".parse().unwrap(),
        holder: "main".parse().unwrap(),
        epoch: Epoch::default(),
        issued_at: world.now,
        not_after: world.now,
        action: world.start_of("db", "2026-11-20T02:00:00Z"),
    };
    let wrong = [
        (Refused::WrongAudience, Command { audience: "b".parse().unwrap(), ..good.clone() }),
        (Refused::Expired, Command { not_after: after(Timestamp::UNIX_EPOCH, Duration::from_secs(1)), ..good.clone() }),
        (Refused::NoPlan, Command { action: world.start_of("other", "2026-11-20T02:00:00Z"), ..good.clone() }),
        (Refused::NoRun, Command { action: Action::Cancel { run: RunId(Uuid::nil()) }, ..good.clone() }),
    ];
    for (expected, command) in wrong {
        let answer = world.told(Ticket(99), command);
        assert!(matches!(&answer, Answer::Refused { reason, .. } if *reason == expected), "{answer:?}");
    }
    let Action::Start { round, routine, slot, task, .. } = good.action.clone() else { unreachable!() };
    let invented = Command { action: Action::Start { run: RunId(Uuid::nil()), round, routine, slot, task }, ..good };
    let answer = world.told(Ticket(99), invented);
    assert!(matches!(answer, Answer::Refused { reason: Refused::Malformed, .. }), "{answer:?}");
    assert!(world.starts().is_empty());
}

#[test]
fn a_resting_or_full_node_refuses_for_now_but_a_person_may_start() {
    let mut world =
        World::new("2026-11-20T01:30:00Z", true, &[plan_text("db", "02:00", ""), plan_text("www", "03:00", "")]);
    world.agent.rules.pause.on_battery = true;
    world.input(Input::Felt(Vitals { on_battery: Some(true), ..Vitals::default() }));
    let start = world.start_of("db", "2026-11-20T02:00:00Z");
    let answer = world.command(1, "main", start.clone());
    assert!(matches!(answer, Answer::Refused { reason: Refused::Busy, .. }), "{answer:?}");
    let round = RoundId(Uuid::from_u128(7));
    world.input(Input::Asked(Ticket(1), Ask::Start { routine: "db".parse().unwrap(), task: TaskKind::Backup, round }));
    assert_eq!(world.starts()[0].about.trigger, Trigger::Hand);
    world.input(Input::Felt(Vitals::default()));
    let start = world.start_of("www", "2026-11-20T02:00:00Z");
    let answer = world.command(1, "main", start);
    assert!(
        matches!(answer, Answer::Refused { reason: Refused::Busy, .. }),
        "the node's own limit is full: {answer:?}"
    );
}

#[test]
fn an_interrupted_run_is_taken_up_again_and_given_up_when_its_time_is_over() {
    let plans = [plan_text("db", "02:00", "")];
    let mut world = World::new("2026-11-20T01:30:00Z", false, &plans);
    world.go_to("2026-11-20T02:00:00Z");
    world.now = at("2026-11-20T02:30:00Z");
    world.restart(&plans);
    assert_eq!(world.starts().iter().map(|start| start.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.starts()[0].about, world.starts()[1].about);
    world.now = at("2026-11-20T10:30:00Z");
    world.restart(&plans);
    assert_eq!(world.starts().len(), 2);
    assert_eq!(world.finished(), [(Outcome::Failed, Reason::Interrupted)]);
}

#[test]
fn a_receipt_that_the_journal_does_not_know_is_told_once() {
    let plans = [plan_text("db", "02:00", "")];
    let mut world = World::new("2026-11-20T01:30:00Z", false, &plans);
    world.go_to("2026-11-20T02:00:00Z");
    let about = world.starts()[0].about.clone();
    let found = Input::Found(Found::Ended {
        about: about.clone(),
        attempt: 1,
        report: Box::new(report(Outcome::Failed, Reason::NoSpace, world.now)),
    });
    // The spool is lost, so the memory is empty; the receipt is all there is.
    world.agent = Agent::new(world.agent.rules.clone(), Memory::default(), world.now);
    world.input(found.clone());
    world.input(found);
    world.plan(&plans);
    assert_eq!(world.finished(), [(Outcome::Failed, Reason::NoSpace)]);
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Alarm(_))), "old news wake nobody");
    world.go_to("2026-11-20T23:00:00Z");
    assert_eq!(world.starts().len(), 1, "the slot is known from its receipt");
}

#[test]
fn a_check_follows_a_good_backup_when_it_is_due_and_reads_another_part_each_time() {
    let plans = [plan_text("db", "02:00", "") + "[check]\nevery = \"2d\"\ndata_parts = 3\n"];
    let mut world = World::new("2026-11-20T01:30:00Z", false, &plans);
    for day in 20..27 {
        world.go_to(&format!("2026-11-{day}T02:10:00Z"));
        world.end_all();
        world.now = after(world.now, Duration::from_secs(60));
        world.end_all();
    }
    let checks: Vec<&Start> = world.starts().into_iter().filter(|start| start.about.task == TaskKind::Check).collect();
    let parts: Vec<_> = checks.iter().map(|start| start.data_part).collect();
    assert_eq!(parts, [Some((1, 3)), Some((2, 3)), Some((3, 3))]);
    let backups: BTreeSet<RoundId> = world
        .starts()
        .iter()
        .filter(|start| start.about.task == TaskKind::Backup)
        .map(|start| start.about.round)
        .collect();
    assert_eq!(backups.len(), 7);
    assert!(checks.iter().all(|check| backups.contains(&check.about.round)));
}

#[test]
fn history_is_made_of_good_backups_only() {
    let mut world = World::new("2026-11-20T01:30:00Z", false, &[plan_text("db", "02:00", "")]);
    for (day, outcome) in [(20, Outcome::Ok), (21, Outcome::Failed), (22, Outcome::Ok)] {
        world.go_to(&format!("2026-11-{day}T02:10:00Z"));
        let run = *world.agent.live().keys().next().unwrap();
        world.end(run, outcome, Reason::Completed);
    }
    world.go_to("2026-11-23T02:10:00Z");
    assert_eq!(world.starts()[3].history.len(), 2);
    let alarms = world.effects.iter().filter(|effect| matches!(effect, Effect::Alarm(Alarm::RunFailed { .. })));
    assert_eq!(alarms.count(), 1);
}

#[test]
fn a_clock_that_is_set_back_makes_no_slot_run_twice_and_loses_none_to_come() {
    let mut world = World::new("2026-11-20T01:30:00Z", false, &[plan_text("db", "*:00", "")]);
    for hour in 2..6 {
        world.go_to(&format!("2026-11-20T0{hour}:00:00Z"));
        world.end_all();
    }
    assert_eq!(world.starts().len(), 4);
    world.now = at("2026-11-20T03:30:00Z");
    world.input(Input::Woke);
    for hour in 4..9 {
        world.go_to(&format!("2026-11-20T0{hour}:00:00Z"));
        world.end_all();
    }
    let slots: Vec<Timestamp> = world.starts().iter().filter_map(|start| start.about.slot).collect();
    assert_eq!(slots.len(), 7, "{slots:?}");
    assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), 7);
}

#[test]
fn a_clock_that_is_wrong_for_a_minute_makes_no_slot_missed_that_had_run() {
    let mut world = World::new("2026-11-20T01:30:00Z", false, &[plan_text("db", "*:00/20", "")]);
    for slot in ["01:40", "02:00", "02:40"] {
        world.now = at(&format!("2026-11-20T{slot}:00Z"));
        world.input(Input::Woke);
        world.end_all();
    }
    assert_eq!(world.missed().len(), 1, "02:20");
    world.now = at("2026-11-20T01:30:00Z");
    world.input(Input::Woke);
    world.now = at("2026-11-20T03:25:00Z");
    world.input(Input::Woke);
    let told: Vec<_> = world
        .missed()
        .into_iter()
        .skip(1)
        .map(|(first, last, count)| (first[11..16].to_owned(), last[11..16].to_owned(), count))
        .collect();
    let span = |first: &str, last: &str, count| (first.to_owned(), last.to_owned(), count);
    assert_eq!(told, [span("03:00", "03:00", 1)], "01:40, 02:00 and 02:40 had run, 02:20 had been told");
    assert_eq!(world.starts().last().unwrap().about.slot, Some(at("2026-11-20T03:20:00Z")));
}

#[test]
fn progress_becomes_a_fact_at_each_tenth_only() {
    let mut world = World::new("2026-11-20T01:30:00Z", false, &[plan_text("db", "02:00", "")]);
    world.go_to("2026-11-20T02:00:00Z");
    let run = *world.agent.live().keys().next().unwrap();
    for percent in 0..=100 {
        let progress = Progress {
            run,
            phase: landfall_proto::report::Phase::Transferring,
            action: String::new(),
            percent: Some(percent),
            files_done: 0,
            files_total: None,
            bytes_done: 0,
            bytes_total: None,
            rate_bytes: 0,
            eta_ms: None,
            at: world.now,
        };
        world.input(Input::Reported { run, report: Report::Progress(progress) });
    }
    assert_eq!(world.facts.iter().filter(|fact| matches!(fact, AgentFact::RunMilestone(_))).count(), 10);
}

#[test]
fn plans_are_announced_when_they_differ_or_when_the_leader_asks() {
    let plans = [plan_text("db", "02:00", "")];
    let mut world = World::new("2026-11-20T01:30:00Z", true, &plans);
    let announced =
        |world: &World| world.facts.iter().filter(|fact| matches!(fact, AgentFact::PlansAnnounced(_))).count();
    world.plan(&plans);
    assert_eq!(announced(&world), 1);
    let repository: RepositoryId = "r1".parse().unwrap();
    let memory = RepositoryMemory { location: "/backup".to_owned(), id: repository.clone() };
    world.input(Input::Probed { target: "disk".parse().unwrap(), repository: memory });
    assert_eq!(announced(&world), 2);
    let asks = |world: &World| {
        let (epoch, incarnation) = (Epoch::default(), Incarnation(Uuid::nil()));
        let sync = Sync {
            epoch,
            incarnation,
            durable_below: 0,
            last_halves: Vec::new(),
            resend_from: None,
            queued: Vec::new(),
            announce: true,
        };
        (world.now, Input::Synced(sync))
    };
    for _ in 0..40 {
        let (now, input) = asks(&world);
        world.input(input);
        world.go(after(now, Duration::from_secs(2)));
    }
    assert_eq!(announced(&world), 4, "asking every two seconds is answered every half minute");
    let Some(AgentFact::PlansAnnounced(last)) = world.facts.last() else { panic!("an announcement is expected") };
    assert!(last.plans[0].can_witness);
    assert_eq!(last.plans[0].repository, Some(repository.clone()));
    let witness = Action::Witness { round: RoundId(Uuid::nil()), repository, runs: Vec::new() };
    assert_eq!(world.command(1, "main", witness), Answer::Accepted);
}

#[test]
fn a_silent_coordinator_is_cried_out_once() {
    let mut world = World::new("2026-11-20T01:30:00Z", true, &[]);
    world.beacon();
    world.go_to("2026-11-20T05:30:00Z");
    let cries = |world: &World| {
        world.effects.iter().filter(|effect| matches!(effect, Effect::Alarm(Alarm::NoLeader { .. }))).count()
    };
    assert_eq!(cries(&world), 1);
    world.beacon();
    world.go_to("2026-11-20T09:30:00Z");
    assert_eq!(cries(&world), 2);
}

#[test]
fn a_clock_that_is_set_back_silences_neither_the_alarm_nor_the_announcement() {
    let mut world = World::new("2026-11-20T01:30:00Z", true, &[plan_text("db", "02:00", "")]);
    world.beacon();
    world.now = at("2025-11-20T01:30:00Z");
    world.input(Input::Woke);
    world.go_to("2025-11-20T01:50:00Z");
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::Alarm(Alarm::NoLeader { .. }))));
    let announced =
        |world: &World| world.facts.iter().filter(|fact| matches!(fact, AgentFact::PlansAnnounced(_))).count();
    let before = announced(&world);
    let sync = Sync {
        epoch: Epoch::default(),
        incarnation: Incarnation(Uuid::nil()),
        durable_below: 0,
        last_halves: Vec::new(),
        resend_from: None,
        queued: Vec::new(),
        announce: true,
    };
    world.input(Input::Synced(sync));
    assert_eq!(announced(&world), before + 1);
}

#[derive(Debug, Clone)]
enum Happening {
    Pass(u32),
    Beacon,
    Sync(bool),
    Command(u64),
    End,
    Restart,
    ClockBack(u32),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1u32..5000).prop_map(Happening::Pass),
        3 => Just(Happening::Beacon),
        1 => any::<bool>().prop_map(Happening::Sync),
        2 => (0u64..4).prop_map(Happening::Command),
        3 => Just(Happening::End),
        1 => Just(Happening::Restart),
        1 => (1u32..7200).prop_map(Happening::ClockBack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order, one run never starts twice within one life of the agent, never two at once
    /// beyond the limit, and every end is told exactly once.
    #[test]
    fn no_run_ever_starts_twice(happenings in proptest::collection::vec(happening(), 1..80)) {
        let plans = [plan_text("db", "*:00", ""), plan_text("www", "*:00/30", "")];
        let mut world = World::new("2026-11-20T00:10:00Z", true, &plans);
        for happening in happenings {
            match happening {
                Happening::Pass(seconds) => world.go(after(world.now, Duration::from_secs(u64::from(seconds)))),
                Happening::Beacon => world.beacon(),
                Happening::Sync(lists) => {
                    let Action::Start { run, .. } = world.start_of("db", "2026-11-20T02:00:00Z") else { unreachable!() };
                    world.sync(if lists { vec![run] } else { Vec::new() });
                }
                Happening::Command(hour) => {
                    let slot = after(at("2026-11-20T00:00:00Z"), Duration::from_secs(hour * 3600));
                    let start = world.start_of("db", &slot.to_string());
                    world.command(1, "main", start);
                }
                Happening::End => world.end_all(),
                Happening::Restart => world.restart(&plans),
                Happening::ClockBack(seconds) => {
                    world.now = world.now.checked_sub(jiff::SignedDuration::from_secs(i64::from(seconds))).unwrap();
                    world.input(Input::Woke);
                }
            }
            prop_assert!(world.agent.live().len() <= 1);
        }
        let attempts: Vec<(RunId, u32)> = world.starts().iter().map(|start| (start.about.run, start.attempt)).collect();
        prop_assert_eq!(attempts.iter().collect::<BTreeSet<_>>().len(), attempts.len());
        let ends: Vec<RunId> = world.facts.iter().filter_map(|fact| if let AgentFact::RunFinished(end) = fact { Some(end.about.run) } else { None }).collect();
        prop_assert_eq!(ends.iter().collect::<BTreeSet<_>>().len(), ends.len());
    }

    #[test]
    fn what_was_written_down_is_what_is_remembered(happenings in proptest::collection::vec(1u32..5000, 1..30)) {
        let plans = [plan_text("db", "*:00", "")];
        let mut world = World::new("2026-11-20T00:10:00Z", false, &plans);
        for seconds in happenings {
            world.go(after(world.now, Duration::from_secs(u64::from(seconds))));
            world.end_all();
        }
        let mut memory = Memory::default();
        for change in &world.changes {
            memory.apply(change.clone());
        }
        prop_assert_eq!(&memory, world.agent.memory());
    }
}
