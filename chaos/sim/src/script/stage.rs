//! The world of one story while it happens, and the lines that are kept of it.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use landfall_proto::codec::decode_fact;
use landfall_proto::envelope::Epoch;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after, between};
use uuid::Uuid;

use super::facts;
use super::names::Names;
use super::scene::Scene;
use crate::bus::Taken;
use crate::hits::{EXPECTED, Hits};
use crate::mutant::Mutants;
use crate::node::{Behaviour, HostFault, ToolKind};
use crate::run;
use crate::trace::offset;
use crate::world::World;

/// Nothing in a story is waited for longer.
const WAIT_MAX: Duration = Duration::from_secs(2 * 3600);

/// Evidence of one broken promise that is told at most.
const EVIDENCE_MAX: usize = 5;

/// What a line says better already, or what is no news: `took effect` is not said of it.
const HITS_NOT_TOLD: [&str; 9] = [
    "agent-killed",
    "coordinator-killed",
    "leader-killed",
    "bus-killed",
    "words-lost",
    "duplicate-in-log",
    "operator-started",
    "tool-unread",
    "result-after-deadline",
];

/// A world with its recorder.
#[derive(Debug)]
pub(super) struct Stage {
    /// Gone once the laws were looked at.
    world: Option<Box<World>>,
    start: Timestamp,
    lines: Vec<String>,
    pub(super) names: Names,
    /// Lines of the world's own trace, and messages of the log, that were looked at.
    traced: usize,
    taken: usize,
    hits: Hits,
    known: BTreeSet<Uuid>,
    /// Facts in a row that had stood in the log before, and when the first of them came.
    again: Option<(u32, Timestamp)>,
    highest: Epoch,
    verdicts: u32,
}

impl Stage {
    /// Makes the world and starts everything in it, each tool at the plan's pace.
    pub(super) fn new(scene: &Scene) -> Self {
        let options = scene.options.clone();
        let (start, takes) = (options.start, options.tool_takes);
        let names = Names::new(&options.zone);
        let mut world = World::new(options, Vec::new(), Mutants::NONE, true);
        world.start();
        for node in &mut world.nodes {
            let behaviour = Behaviour { kind: ToolKind::Ok, transfer: takes, outlives_agent: false };
            node.host.fault(start, HostFault::Tool(behaviour));
        }
        Self {
            world: Some(Box::new(world)),
            start,
            lines: Vec::new(),
            names,
            traced: 0,
            taken: 0,
            hits: Hits::default(),
            known: BTreeSet::new(),
            again: None,
            highest: Epoch { era: 0, term: 0 },
            verdicts: 0,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.world.is_none()
    }

    /// # Errors
    ///
    /// Where the laws were looked at already.
    pub(super) fn world(&mut self) -> anyhow::Result<&mut World> {
        self.world.as_deref_mut().context("the story is over")
    }

    /// Everything that was told since the last time.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.look();
        self.tell_again();
        std::mem::take(&mut self.lines)
    }

    /// Verbs that let time pass, and the last one; false where it is none.
    pub(super) fn pass(&mut self, words: &[&str]) -> anyhow::Result<bool> {
        let now = self.world()?.now();
        match words {
            ["run", time @ ..] => {
                let time: Duration = time.join(" ").parse()?;
                self.run_until(after(now, time))?;
            }
            ["until", "verdict"] => self.run_to_verdict(now)?,
            ["until", "rest"] => self.run_to_rest(now)?,
            ["until", time] => {
                let until = next(now, time)?;
                self.run_until(until)?;
            }
            ["laws"] => self.judge()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn run_until(&mut self, until: Timestamp) -> anyhow::Result<()> {
        while self.world()?.step(until) {
            self.look();
        }
        Ok(())
    }

    fn run_to_verdict(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let (verdicts, until) = (self.verdicts, after(now, WAIT_MAX));
        while self.verdicts == verdicts {
            ensure!(self.world()?.step(until), "no verdict came within {WAIT_MAX}");
            self.look();
        }
        Ok(())
    }

    fn run_to_rest(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut until = now;
        loop {
            until = after(until, Duration::from_secs(10));
            self.run_until(until)?;
            let unrest = self.world()?.unrest();
            if unrest.is_empty() {
                return Ok(());
            }
            ensure!(until < after(now, WAIT_MAX), "nothing came to rest: {}", unrest.join("; "));
        }
    }

    /// Every fault ends, everything comes to rest, and every law looks at the whole story.
    fn judge(&mut self) -> anyhow::Result<()> {
        self.look();
        self.world()?.heal();
        let rested_after = self.rest_after_heal()?;
        let world = *self.world.take().context("the story is over")?;
        let now = world.now();
        if let Some(rest) = rested_after {
            // Rest is looked for in steps; to the second it would only make the story fragile.
            self.tell(now, &format!("everything is at rest within {} minutes", rest.as_ms().div_ceil(60_000)));
        }
        let violations = run::judge(world, rested_after).violations;
        if violations.is_empty() {
            self.tell_bare("all promises kept");
        }
        for violation in &violations {
            self.tell_bare(&format!("BROKEN {}: {}", violation.law, violation.what));
            violation.evidence.iter().take(EVIDENCE_MAX).for_each(|line| self.tell_bare(&format!("    {line}")));
        }
        Ok(())
    }

    /// As in every other run: rest has to last, and has to come within the run's patience.
    fn rest_after_heal(&mut self) -> anyhow::Result<Option<Duration>> {
        let healed_at = self.world()?.now();
        let until = after(healed_at, self.world()?.options.patience);
        while self.world()?.now() < until {
            let now = self.world()?.now();
            self.run_until(after(now, run::LOOK_EVERY))?;
            if self.world()?.unrest().is_empty() {
                let now = self.world()?.now();
                self.run_until(after(now, run::REST))?;
                if self.world()?.unrest().is_empty() {
                    return Ok(Some(between(healed_at, self.world()?.now())));
                }
            }
        }
        Ok(None)
    }

    fn tell_bare(&mut self, line: &str) {
        let line = self.names.tell(line);
        self.lines.push(line);
    }

    /// One line, under its time to the second: less would not survive a change of the dice, more nobody needs.
    pub(super) fn tell(&mut self, now: Timestamp, line: &str) {
        self.tell_again();
        let time = offset(self.start, now);
        let seconds = time.split('.').next().unwrap_or_default();
        let line = format!("{seconds}  {}", self.names.tell(line));
        self.lines.push(line);
    }

    fn tell_again(&mut self) {
        if let Some((count, at)) = self.again.take() {
            self.tell(at, &format!("{count} facts come into the log once more"));
        }
    }

    /// Tells what is new in the world since the last look. Most steps leave nothing, and cost next to nothing here.
    pub(super) fn look(&mut self) {
        let Some(world) = &self.world else { return };
        let (now, is_healed) = (world.now(), world.healed_at.is_some());
        let notes = &world.trace.lines()[self.traced..];
        let taken = &world.bus.ever()[self.taken..];
        if notes.is_empty() && taken.is_empty() && world.hits == self.hits {
            return;
        }
        let notes: Vec<String> = notes.iter().map(|line| named(world, line)).collect();
        let (taken, hits) = (taken.to_vec(), world.hits.clone());
        self.traced += notes.len();
        self.taken += taken.len();
        for note in notes {
            if let Some((_, line)) = note.split_once("  ").filter(|(_, line)| is_news(line)) {
                self.noted(now, line, is_healed);
            }
        }
        self.took_effect(now, hits);
        for taken in taken {
            self.take(now, &taken);
        }
    }

    /// One line of the world's own trace.
    fn noted(&mut self, now: Timestamp, line: &str, is_healed: bool) {
        // When everything is mended, lines are too that were never broken.
        if is_healed && line.ends_with("is no longer cut off") {
            return;
        }
        if line.starts_with("command ") {
            return self.tell(now, "a command is not answered");
        }
        // What a local alarm holds is told by the fact itself.
        let told = line.split_once(" {").filter(|_| line.contains(" cries out: "));
        self.tell(now, told.map_or(line, |(told, _)| told));
    }

    /// Each kind of bad luck when it takes effect for the first time.
    fn took_effect(&mut self, now: Timestamp, hits: Hits) {
        for (name, meaning) in EXPECTED {
            let is_first = hits.count(name) > 0 && self.hits.count(name) == 0;
            if is_first && !HITS_NOT_TOLD.contains(name) {
                self.tell(now, &format!("took effect: {meaning}"));
            }
        }
        self.hits = hits;
    }

    /// One message that the log took.
    fn take(&mut self, now: Timestamp, taken: &Taken) {
        let (writer, node) = match &taken.stored.topic {
            Topic::NodeFact(node) => (node.as_str(), Some(node)),
            Topic::CoordinatorFact(holder) => (holder.as_str(), None),
            Topic::Command(_)
            | Topic::Sync(_)
            | Topic::Beacon
            | Topic::Beat(_)
            | Topic::Live(..)
            | Topic::Out(..)
            | Topic::Control(_) => return,
        };
        let envelope = match decode_fact(&taken.stored.payload, writer) {
            Ok(envelope) => envelope,
            Err(refusal) => {
                return self.tell(now, &format!("the log takes a message in the name of {writer}: {refusal}"));
            }
        };
        if !self.known.insert(envelope.id) {
            let (count, at) = self.again.unwrap_or((0, now));
            self.again = Some((count + 1, at));
            return;
        }
        let line = match node {
            Some(node) => match AgentFact::decode(&envelope.kind, &envelope.body) {
                Ok(Some(fact)) => facts::of_node(&mut self.names, node, &fact),
                Ok(None) => Some(format!("the log takes a fact of the unknown kind {} from {node}", envelope.kind)),
                Err(refusal) => Some(format!("the log takes a broken {} from {node}: {refusal}", envelope.kind)),
            },
            None => match CoordinatorFact::decode(&envelope.kind, &envelope.body) {
                Ok(Some(fact)) => self.decided(&envelope, &fact),
                Ok(None) | Err(_) => None,
            },
        };
        if let Some(line) = line {
            self.tell(now, &line);
        }
    }

    fn decided(&mut self, envelope: &landfall_proto::envelope::Envelope, fact: &CoordinatorFact) -> Option<String> {
        let line = facts::of_coordinator(&mut self.names, envelope, self.highest, fact);
        if let CoordinatorFact::LeaderClaimed(claim) = fact {
            self.highest = self.highest.max(claim.epoch);
        }
        let is_old = facts::epoch(fact).is_some_and(|epoch| epoch < self.highest);
        if matches!(fact, CoordinatorFact::RoundConcluded(_)) && !is_old {
            self.verdicts += 1;
        }
        line.map(|line| if is_old { format!("{line} (under an old epoch)") } else { line })
    }
}

/// A line of the world with the names of those whom it knows by number.
fn named(world: &World, line: &str) -> String {
    let nodes = world.nodes.iter().enumerate().map(|(index, node)| (format!("Node({index})"), node.id.as_str()));
    let seats = world.seats.iter().map(|seat| seat.coordinator.holder.as_str());
    let seats = seats.enumerate().map(|(index, holder)| (format!("Seat({index})"), holder));
    nodes.chain(seats).fold(line.to_owned(), |line, (number, name)| line.replace(&number, name))
}

/// What the log shows too, and better, is told from there; what was asked for stands in the story.
fn is_news(line: &str) -> bool {
    let mut words = line.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // A machine's own word for a fact is its kind.
    let is_fact = first.ends_with(':') && AgentFact::KINDS.contains(&second);
    let is_said = matches!(second, "says" | "decides" | "commands");
    // Whoever asked stands in the story, and what came of it in the log, unless it was refused.
    let is_asked = first == "request" && !line.contains("Refused");
    // An answer to a command is news where it never came.
    let is_answer = first == "command" && !line.ends_with("None");
    !(is_fact || is_said || is_asked || is_answer || line.starts_with("bad luck:"))
}

/// The next instant at which clocks in UTC show this time.
fn next(now: Timestamp, time: &str) -> anyhow::Result<Timestamp> {
    let time: jiff::civil::Time =
        time.parse().with_context(|| format!("{time:?} is no time of day; write until 02:05, verdict or rest"))?;
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let at = |date: jiff::civil::Date| date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC);
    let at_today = at(today)?.timestamp();
    Ok(if at_today > now { at_today } else { at(today.tomorrow()?)?.timestamp() })
}
