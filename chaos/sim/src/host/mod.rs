//! One machine with an agent: the real core, and models of its disk, its tools and its clock.

mod dice;
mod disk;
mod oracle;
mod planted;
mod process;
mod record;
mod repository;
mod terms;
mod tool;

use std::sync::Arc;

use jiff::SignedDuration;
use landfall::audit::{Deleted, NodeTrace};
use landfall_agent::core::{Agent, Catalog, Input};
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::report::Vitals;
use landfall_proto::time::Timestamp;

use dice::Chance;
use disk::{Disk, Folder, Trouble};
use oracle::Oracle;
use planted::Planted;
use process::Process;
use record::Record;
use tool::Orphan;

pub use landfall_agent::core::Told3;
pub use repository::{Repositories, RepositoryFault};
pub use terms::{Behaviour, HostFault, HostSpec, In, Out, Place, Power, ToolKind};

/// One machine. Up while its process lives.
#[derive(Debug, Clone)]
pub struct Host {
    spec: HostSpec,
    chance: Chance,
    /// By how much the machine's clock is ahead of the true one.
    clock_offset: SignedDuration,
    disk: Disk,
    copy: Option<Box<Disk>>,
    process: Option<Box<Process>>,
    orphans: Vec<Orphan>,
    /// What the files say; the process notices later.
    catalog: Arc<Catalog>,
    behaviour: Behaviour,
    /// How often tools have failed that fail only so many times.
    failures: u32,
    is_tired: bool,
    doom: Option<Doom>,
    /// When a start that failed is tried again.
    boot_at: Option<Timestamp>,
    /// The true time of the last call.
    latest: Timestamp,
    oracle: Oracle,
    record: Record,
    planted: Planted,
}

/// A death that is waiting.
#[derive(Debug, Clone, Copy)]
struct Doom {
    when: DoomWhen,
    power: Power,
}

#[derive(Debug, Clone, Copy)]
enum DoomWhen {
    After(u32),
    At(Place),
    /// It has come; nothing more is done.
    Now(Place),
}

impl Host {
    /// A machine with an empty disk, down.
    pub fn new(spec: HostSpec, seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            clock_offset: SignedDuration::ZERO,
            disk: Disk::default(),
            copy: None,
            process: None,
            orphans: Vec::new(),
            catalog: Arc::clone(&spec.catalog),
            behaviour: Behaviour::default(),
            failures: 0,
            is_tired: false,
            doom: None,
            boot_at: None,
            latest: Timestamp::UNIX_EPOCH,
            oracle: Oracle::default(),
            record: Record::new(spec.is_traced),
            planted: Planted::default(),
            spec,
        }
    }

    pub const fn node(&self) -> &NodeId {
        &self.spec.node
    }

    /// The process starts from what the disk holds. Nothing where it lives already. The link to the bus is down until
    /// [`In::Link`] says otherwise. Where it cannot start it tries again by itself.
    pub fn boot(&mut self, now: Timestamp, shared: &mut Repositories, out: &mut Vec<Out>) {
        self.latest = now;
        if self.process.is_some() {
            return;
        }
        self.start_process(now, out);
        self.advance(now, shared, out);
        self.die_if_doomed(now, out);
    }

    /// The process dies, or the machine with it.
    pub fn kill(&mut self, now: Timestamp, power: Power) {
        self.latest = now;
        self.boot_at = None;
        self.doom = None;
        self.lose_process(now, power, true);
    }

    /// Takes one input in. A machine that is down goes on only with tools that outlived their agent.
    pub fn take(&mut self, now: Timestamp, shared: &mut Repositories, input: In, out: &mut Vec<Out>) {
        self.latest = now;
        match input {
            In::Command { question, from: _, command, is_signed } => {
                self.hear_command(now, question, command, is_signed, out);
            }
            In::Beacon(beacon) => self.hear_beacon(now, beacon),
            In::Sync(sync) => self.hear_sync(sync),
            In::Ack { identity, told } => self.hear_ack(now, &identity, told),
            In::Link(is_up) => self.hear_link(now, is_up),
            In::Woke => {}
        }
        self.advance(now, shared, out);
        self.die_if_doomed(now, out);
    }

    /// When to come back with [`In::Woke`] at the latest, by the true clock. Changes with every call.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.earliest()
    }

    /// Something happens to the machine, now.
    pub fn fault(&mut self, now: Timestamp, fault: HostFault) {
        self.latest = now;
        match fault {
            HostFault::DiskFull(is_full) => {
                self.disk.is_full = is_full;
                self.oracle.excuse();
            }
            HostFault::OutboxKeeps(facts) => self.disk.outbox_keeps = facts,
            HostFault::Rot => self.disk.break_journal(Trouble::Rotten),
            HostFault::SpoolLost => self.disk.break_journal(Trouble::Lost),
            HostFault::StateLost => {
                self.kill(now, Power::Process);
                self.disk = Disk::default();
                self.record.set_back(now);
            }
            HostFault::Copy => self.copy = Some(Box::new(self.disk.copy())),
            HostFault::RollBack => {
                self.kill(now, Power::Machine);
                if let Some(copy) = &self.copy {
                    self.disk = copy.copy();
                    self.record.set_back(now);
                }
            }
            HostFault::ClockStep(step) => self.set_clock(now, self.clock_offset + step),
            HostFault::ClockRight => self.set_clock(now, SignedDuration::ZERO),
            HostFault::KillAfter { boundaries, power } => {
                self.doom = Some(Doom { when: DoomWhen::After(boundaries.max(1)), power });
            }
            HostFault::KillAt { place, power } => self.doom = Some(Doom { when: DoomWhen::At(place), power }),
            HostFault::Tool(behaviour) => {
                self.behaviour = behaviour;
                self.failures = 0;
            }
            HostFault::Plans(catalog) => {
                self.catalog = catalog;
                self.oracle.excuse();
                if let Some(process) = &mut self.process {
                    process.files_changed(now);
                }
            }
            HostFault::Drain => {
                self.oracle.excuse();
                if let Some(process) = &mut self.process {
                    process.drain(now);
                }
            }
            HostFault::Tired(is_tired) => {
                self.is_tired = is_tired;
                self.oracle.excuse();
                if let Some(process) = &mut self.process {
                    let vitals = Vitals { on_battery: Some(is_tired), ..Vitals::default() };
                    process.enqueue(Input::Felt(vitals));
                }
            }
        }
    }

    /// A second machine with the same identity and a copy of the disk, down.
    pub fn clone_machine(&self, seed: u64) -> Self {
        let mut copy =
            Self { disk: self.disk.copy(), catalog: Arc::clone(&self.catalog), ..Self::new(self.spec.clone(), seed) };
        copy.record.set_back(self.latest);
        copy.planted = self.planted.clone();
        copy
    }

    pub const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Whether any tool works on this machine at this moment.
    pub fn has_tool(&self) -> bool {
        let is_working = |process: &Process| process.tools.values().any(|tool| tool.process.is_some());
        !self.orphans.is_empty() || self.process.as_deref().is_some_and(is_working)
    }

    /// Facts that wait for the log or for its watermark.
    pub fn outbox_len(&self) -> u64 {
        self.disk.outbox_len()
    }

    /// Whether nothing is under way and everything it has to say is in the log.
    pub fn is_at_rest(&self) -> bool {
        self.orphans.is_empty() && self.process.as_ref().is_some_and(|process| process.is_at_rest())
    }

    /// The real core, where it lives.
    pub fn agent(&self) -> Option<&Agent> {
        self.process.as_ref().map(|process| &process.agent)
    }

    /// What the laws look at, brought up to date.
    pub fn trace(&mut self) -> &NodeTrace {
        let litter = self.litter();
        let agent = self.process.as_ref().map(|process| &process.agent);
        self.record.look(&self.disk, agent, litter);
        &self.record.trace
    }

    /// Facts that were deleted since the last call; whether they were safe elsewhere is not known here.
    pub fn deleted(&mut self) -> &mut [Deleted] {
        self.record.unjudged()
    }

    /// What the machine's own clock says.
    fn clock(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.clock_offset).unwrap_or(now)
    }

    fn set_clock(&mut self, now: Timestamp, offset: SignedDuration) {
        if offset == self.clock_offset {
            return;
        }
        self.clock_offset = offset;
        let clock = self.clock(now);
        self.oracle.begin(&self.catalog, clock);
        if let Some(process) = &mut self.process {
            process.clock_was_set(now);
        }
    }

    /// A place where the process may die. True where it has: then nothing more is done.
    fn boundary(&mut self, place: Place) -> bool {
        let Some(doom) = &mut self.doom else { return false };
        match &mut doom.when {
            DoomWhen::Now(_) => return true,
            DoomWhen::After(left) => {
                *left -= 1;
                if *left > 0 {
                    return false;
                }
            }
            DoomWhen::At(wanted) if *wanted != place => return false,
            DoomWhen::At(_) => {}
        }
        doom.when = DoomWhen::Now(place);
        true
    }

    const fn is_doomed(&self) -> bool {
        matches!(self.doom, Some(Doom { when: DoomWhen::Now(_), .. }))
    }

    fn die_if_doomed(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        if let Some(Doom { when: DoomWhen::Now(place), power }) = self.doom {
            self.kill(now, power);
            self.record.note(out, || format!("died at {place:?}, {power:?}"));
            out.push(Out::Died { place, power });
        }
    }

    /// `is_sudden` is false where the process ended by itself: then it ended its tools too.
    fn lose_process(&mut self, now: Timestamp, power: Power, is_sudden: bool) {
        self.oracle.excuse();
        if let Some(process) = self.process.take() {
            for tool in process.tools.values() {
                match tool.orphan(now).filter(|_| is_sudden && power == Power::Process) {
                    Some(orphan) => self.orphans.push(orphan),
                    None => {
                        if let Some(number) = tool.process {
                            self.record.ended(now, number);
                        }
                    }
                }
            }
        }
        match power {
            Power::Process => {}
            Power::Machine => {
                for orphan in std::mem::take(&mut self.orphans) {
                    self.record.ended(now, orphan.process);
                }
                self.disk.lose_power();
            }
        }
        if is_sudden {
            self.record.crashed();
        }
    }

    /// What is left of runs that nobody works on.
    fn litter(&self) -> Vec<String> {
        let is_live =
            |run: &RunId| self.agent().is_some_and(|agent| agent.live().contains_key(run) || !agent.is_idle());
        let is_left = |run: &RunId, folder: &Folder| folder.receipt.is_none() && !is_live(run);
        let folders = self.disk.folders.iter().filter(|(run, folder)| is_left(run, folder));
        let mut litter: Vec<String> =
            folders.map(|(run, _)| format!("the run {run} has a folder and no receipt")).collect();
        litter.extend(self.orphans.iter().map(|orphan| format!("process {} outlived its agent", orphan.process)));
        litter
    }
}

#[cfg(test)]
mod tests;
