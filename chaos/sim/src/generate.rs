//! A seed becomes a world and a list of bad luck.

use landfall_proto::time::{Duration, Timestamp};

use crate::coordinator::{Boundary, Power};
use crate::dice::{Dice, Stream};
use crate::fault::{
    AgentBoundary, AgentPlace, BusFault, CoordinatorFault, Fault, IllWill, LineFault, NodeFault, Planned, Poison,
    RepositoryTrouble, SpoolTrouble, ToolTrouble,
};
use crate::options::{Options, Plan};

/// What the command line fixes, whatever the seed says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    pub nodes: Option<u32>,
    pub coordinators: Option<u32>,
    /// Fair weather: no faults at all.
    pub is_fair: bool,
}

/// Most faults of one run.
const FAULTS_MAX: u64 = 12;

/// One seed of so many is a long one.
const LONG_ONE_OF: u64 = 32;

/// One seed of so many lives through a change of the clocks.
const CLOCK_CHANGE_ONE_OF: u64 = 12;

/// Nothing that lasts is shorter.
const LASTS_MIN_MS: u64 = 200;

/// How the facts of one run are drawn from its seed.
pub fn plan(seed: u64, wishes: Wishes) -> Plan {
    let mut dice = Dice::new(seed, Stream::Plan);
    let options = options(seed, wishes, &mut dice);
    let count = if wishes.is_fair { 0 } else { dice.below(FAULTS_MAX + 1) };
    let mut faults: Vec<Planned> = (0..count).flat_map(|_| planned(&options, &mut dice)).collect();
    faults.sort_by_key(|planned| planned.at);
    Plan { options, faults }
}

/// The world of one round of a very large mesh.
pub fn large(nodes: u32) -> Options {
    let (zone, first_slot) =
        ("UTC".to_owned(), "2026-11-20T02:00:00Z".parse().expect("the instant is written down here"));
    Options {
        seed: 0,
        nodes,
        coordinators: 1,
        repositories: 1,
        start: crate::bus::shifted(first_slot, -60_000),
        busy: Duration::from_secs(3600),
        patience: Duration::from_secs(3600),
        calendar: "*-*-* 02:00:00".to_owned(),
        slot_every: Duration::from_secs(86_400),
        zone,
        start_within: Duration::from_secs(1800),
        finish_within: Duration::from_secs(3000),
        tool_takes: Duration::from_secs(60),
        catch_up: true,
        checks: false,
        delay_us: (100, 1000),
        loss_percent: 0,
        // Everybody at once: the dearest round there is.
        cluster_limit: Some(nodes),
    }
}

fn options(seed: u64, wishes: Wishes, dice: &mut Dice) -> Options {
    let nodes = wishes.nodes.unwrap_or(u32::try_from(dice.between(3, 5)).unwrap_or(3));
    let coordinators = wishes.coordinators.unwrap_or(u32::try_from(dice.between(1, 3)).unwrap_or(1));
    let is_long = dice.below(LONG_ONE_OF) == 0;
    let every = if is_long { 15 } else { dice.between(4, 8) };
    let slots = if is_long { 4 } else { dice.between(2, 4) };
    let (zone, first_slot, longer_ms) = night(dice);
    let slot_every = Duration::from_secs(every * 60);
    let finish_within = Duration::from_secs(60 * dice.between(3, every.min(7)));
    let lead_ms = dice.between(60_000, 150_000);
    Options {
        seed,
        nodes,
        coordinators,
        repositories: u32::try_from(dice.between(1, 2)).unwrap_or(1),
        start: crate::bus::shifted(first_slot, -lead_ms.cast_signed()),
        busy: Duration::from_ms(lead_ms + every * 60_000 * slots + longer_ms),
        patience: Duration::from_secs(40 * 60),
        calendar: format!("*-*-* 02:00..{}/{every}:00", every * (slots - 1)),
        slot_every,
        zone,
        start_within: Duration::from_secs(dice.between(30, 90)),
        finish_within,
        tool_takes: Duration::from_secs(dice.between(2, 60)),
        catch_up: dice.chance(80),
        checks: dice.chance(40),
        delay_us: (dice.between(100, 500), dice.between(600, 20_000)),
        loss_percent: u32::try_from(dice.below(3)).unwrap_or(0),
        cluster_limit: dice.chance(30).then_some(2),
    }
}

/// A zone, the instant of the first slot in one of its nights, and how much longer the night is watched: now and then the
/// clocks change in it.
fn night(dice: &mut Dice) -> (String, Timestamp, u64) {
    let at = |text: &str| text.parse::<Timestamp>().expect("the instant is written down here");
    if dice.below(CLOCK_CHANGE_ONE_OF) != 0 {
        return ("UTC".to_owned(), at("2026-11-20T02:00:00Z"), 0);
    }
    let zone = "Europe/Berlin".to_owned();
    if dice.chance(50) {
        // Two o'clock comes twice: the second pass begins an hour after the first and must start nothing.
        (zone, at("2026-10-25T00:00:00Z"), 65 * 60_000)
    } else {
        // Two o'clock does not come at all: every slot of that hour is due at three.
        (zone, at("2027-03-28T01:00:00Z"), 0)
    }
}

fn planned(options: &Options, dice: &mut Dice) -> Vec<Planned> {
    let at = Duration::from_ms(dice.between(0, options.busy.as_ms()));
    let first = Planned { at, fault: fault(options, dice) };
    let second = if let Fault::Node(NodeFault::Tool { node, trouble: ToolTrouble::Outlives, .. }) = first.fault {
        // A tool shows that it lives on only where its agent dies while it works.
        let boundary = AgentBoundary::At(AgentPlace::WhileToolRuns);
        let killed = NodeFault::AgentKilled { node, boundary, power: Power::Process, away: lasts(options, dice) };
        Some(Planned { at, fault: Fault::Node(killed) })
    } else {
        None
    };
    [Some(first), second].into_iter().flatten().collect()
}

/// Short ones are as frequent as long ones: each power of two has the same chance.
fn lasts(options: &Options, dice: &mut Dice) -> Duration {
    let most = options.busy.as_ms() / 3;
    let doublings = u64::from((most / LASTS_MIN_MS).max(2).ilog2());
    let low = LASTS_MIN_MS << dice.below(doublings);
    Duration::from_ms(dice.between(low, low * 2))
}

fn step_ms(dice: &mut Dice) -> i64 {
    let size = *dice.pick(&[900, 20_000, 61_000, 3_600_000, 86_400_000]).unwrap_or(&900);
    let size = dice.between(size / 2, size).cast_signed();
    if dice.chance(50) { size } else { -size }
}

fn power(dice: &mut Dice) -> Power {
    if dice.chance(50) { Power::Process } else { Power::Machine }
}

fn fault(options: &Options, dice: &mut Dice) -> Fault {
    match dice.below(100) {
        0..40 => Fault::Node(node_fault(options, dice)),
        40..58 => Fault::Coordinator(coordinator_fault(options, dice)),
        58..74 => Fault::Bus(bus_fault(options, dice)),
        74..90 => line_fault(options, dice),
        _ => Fault::Will(ill_will(dice)),
    }
}

fn node_fault(options: &Options, dice: &mut Dice) -> NodeFault {
    let node = u32::try_from(dice.below(u64::from(options.nodes))).unwrap_or(0);
    let lasts = lasts(options, dice);
    match dice.below(21) {
        0..7 => {
            let boundary = match dice.below(8) {
                0 | 1 => AgentBoundary::Anywhere,
                2 | 3 => AgentBoundary::Effect { boundaries: u32::try_from(dice.between(1, 60)).unwrap_or(1) },
                _ => AgentBoundary::At(*dice.pick(&AgentPlace::ALL).unwrap_or(&AgentPlace::AfterIntent)),
            };
            NodeFault::AgentKilled { node, boundary, power: power(dice), away: lasts }
        }
        7 => NodeFault::AgentDiskFull { node, lasts },
        8 => {
            use SpoolTrouble::{Everything, Gone, Rotten};
            NodeFault::AgentSpoolLost { node, trouble: *dice.pick(&[Rotten, Gone, Everything]).unwrap_or(&Gone) }
        }
        9 => NodeFault::NodeRolledBack { node, after: lasts },
        10 => NodeFault::NodeDuplicated { node, lasts },
        11 => NodeFault::NodeClock { node, step_ms: step_ms(dice), lasts },
        12 => NodeFault::PlanChanged { node },
        13 => NodeFault::AgentStopped { node, away: lasts },
        14 => NodeFault::NodeTired { node, lasts },
        15 => {
            let lasts = Duration::from_ms(dice.between(options.slot_every.as_ms(), options.busy.as_ms()));
            NodeFault::OutboxFull { node, keeps: u32::try_from(dice.between(0, 8)).unwrap_or(0), lasts }
        }
        16..19 => {
            use ToolTrouble::{Crashes, Fails, FailsOnce, Hangs, Lies, Outlives, Partial, Slow, Unread};
            let all = [Hangs, Fails, FailsOnce, Lies, Partial, Unread, Crashes, Slow, Outlives];
            // Long enough for a run to begin in it.
            let lasts = Duration::from_ms(dice.between(options.slot_every.as_ms(), options.busy.as_ms()));
            NodeFault::Tool { node, trouble: *dice.pick(&all).unwrap_or(&Fails), lasts }
        }
        _ => {
            use RepositoryTrouble::{Full, Locked, Robbed, Rotten, Unreachable};
            let trouble = *dice.pick(&[Locked, Full, Rotten, Unreachable, Robbed]).unwrap_or(&Full);
            NodeFault::Repository { repository: node, trouble, lasts }
        }
    }
}

fn coordinator_fault(options: &Options, dice: &mut Dice) -> CoordinatorFault {
    let coordinator = u32::try_from(dice.below(u64::from(options.coordinators))).unwrap_or(0);
    let away = lasts(options, dice);
    match dice.below(15) {
        0 | 1 => CoordinatorFault::CoordinatorKilled { coordinator, boundary: None, power: power(dice), away },
        2..7 => {
            use Boundary::{Acted, Committed, Decided, Durable, HalfActed, Published};
            let boundary = dice.pick(&[Decided, Published, Committed, HalfActed, Acted, Durable]).copied();
            CoordinatorFault::CoordinatorKilled { coordinator, boundary, power: power(dice), away }
        }
        7 => CoordinatorFault::CoordinatorsGone { away },
        8 => CoordinatorFault::LeaderKilled { power: power(dice), away },
        9 => CoordinatorFault::CoordinatorLedgerLost { coordinator, away },
        10 => CoordinatorFault::CoordinatorPaused { coordinator, lasts: away },
        11 => CoordinatorFault::LeaderPaused { lasts: away },
        12 => CoordinatorFault::CoordinatorDiskFull { coordinator, lasts: away },
        13 => CoordinatorFault::CoordinatorClock { coordinator, step_ms: step_ms(dice), lasts: away },
        _ => CoordinatorFault::SinksFail { lasts: away },
    }
}

fn bus_fault(options: &Options, dice: &mut Dice) -> BusFault {
    let lasts = lasts(options, dice);
    match dice.below(12) {
        0 => BusFault::BusKilled { away: lasts },
        1 | 2 => BusFault::BusTorn { messages: u32::try_from(dice.between(1, 25)).unwrap_or(1), away: lasts },
        3 => BusFault::BusWiped { away: lasts },
        4 => BusFault::LogRecreated,
        // Longer than the others need to choose a leader it lasts in no cluster of servers.
        5 => BusFault::LogUnsure { lasts: Duration::from_ms(dice.between(500, 4500)) },
        6 => BusFault::BusSoftFull { lasts },
        7 => BusFault::BusHardFull { lasts },
        8 => BusFault::BusPaused { lasts },
        9 => BusFault::BusClock { step_ms: step_ms(dice), lasts },
        10 => BusFault::AcksEmpty { count: u32::try_from(dice.between(1, 8)).unwrap_or(1) },
        _ => BusFault::IdsForgotten,
    }
}

fn line_fault(options: &Options, dice: &mut Dice) -> Fault {
    let client = u32::try_from(dice.below(u64::from(options.nodes + options.coordinators))).unwrap_or(0);
    let lasts = lasts(options, dice);
    let count = u32::try_from(dice.between(1, 5)).unwrap_or(1);
    let percent = u32::try_from(dice.between(10, 90)).unwrap_or(10);
    Fault::Line(match dice.below(12) {
        0 => LineFault::AcksLost { client, count },
        1 => LineFault::AcksLate { client, count },
        2 => return Fault::Will(IllWill::Duplicated { count }),
        3 => LineFault::Reordered { client, lasts },
        4 => LineFault::WordsLost { client, percent, lasts },
        5 => LineFault::Doubled { client, percent, lasts },
        6 => LineFault::Slow { client, delay: Duration::from_ms(dice.between(50, 4000)), lasts },
        7 | 8 => LineFault::Cut { client, to_bus: true, from_bus: true, lasts },
        9 => LineFault::Cut { client, to_bus: true, from_bus: false, lasts },
        10 => LineFault::Cut { client, to_bus: false, from_bus: true, lasts },
        _ => {
            return Fault::Will(IllWill::RequestsLate {
                node: client,
                count,
                by: Duration::from_ms(dice.between(3000, 60_000)),
            });
        }
    })
}

fn ill_will(dice: &mut Dice) -> IllWill {
    let node = u32::try_from(dice.below(64)).unwrap_or(0);
    match dice.below(8) {
        0 | 1 => IllWill::RequestReplayed { node },
        2 => IllWill::RequestUnsigned { node },
        3 | 4 => {
            use Poison::{BrokenBody, Forged, Garbage, LeftOver, UnknownKind};
            let poison = *dice.pick(&[BrokenBody, Forged, Garbage, LeftOver, UnknownKind]).unwrap_or(&Garbage);
            IllWill::Poisoned { poison, node }
        }
        5 | 6 => IllWill::OperatorStarts { node },
        _ => IllWill::OperatorCancels,
    }
}
