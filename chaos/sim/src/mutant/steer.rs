//! Bad luck in which a rare bug shows: some promises are tried only in weather that few seeds have.

use landfall_proto::calendar::Calendar;
use landfall_proto::time::{Duration, Timestamp, between};

use super::Mutant;
use crate::coordinator;
use crate::fault::{
    AgentBoundary, AgentPlace, CoordinatorFault, Fault, IllWill, NodeFault, Planned, RepositoryTrouble, ToolTrouble,
};
use crate::options::{Options, Plan};

/// Slots at which the bad luck is repeated.
const SLOTS: usize = 6;

/// Longer than any run's bad weather.
const FOR_ALL_TIME: Duration = Duration::from_secs(86_400);

/// The seed's own plan, or for a bug that it would hardly meet the same world with other bad luck.
pub fn steered(mutant: Mutant, mut plan: Plan) -> Plan {
    let faults = match mutant {
        Mutant::OkWithoutSnapshot => tools(&plan.options, ToolTrouble::Lies),
        Mutant::TwoAtOnce => orphans(&plan.options),
        Mutant::ObeyOlderEpoch => {
            plan.options.coordinators = plan.options.coordinators.max(2);
            late_commands(&plan.options)
        }
        Mutant::ObeyUnsigned => forged_commands(&plan.options),
        Mutant::BlindToBadCheck | Mutant::SwallowAlert => {
            plan.options.checks = true;
            rot(&plan.options)
        }
        Mutant::DeafToSchedule => {
            vec![at(Duration::from_secs(30), CoordinatorFault::CoordinatorsGone { away: plan.options.busy })]
        }
        Mutant::TimeoutIsRefusal => {
            let mut faults = late_commands(&plan.options);
            faults.retain(|planned| matches!(planned.fault, Fault::Will(_)));
            faults
        }
        Mutant::DeleteOnConfirmation
        | Mutant::NoBarrier
        | Mutant::RenumberResent
        | Mutant::PublishBeforeWrite
        | Mutant::StartTwice
        | Mutant::IgnoreOthersClaim
        | Mutant::SkipOneFact
        | Mutant::RestoreLosesRecord
        | Mutant::VerdictByArrival
        | Mutant::VerdictTwice
        | Mutant::ConvergeWithMissing
        | Mutant::NeverClose
        | Mutant::LeaveProcess
        | Mutant::PruneUnasked
        | Mutant::PrintSecret
        | Mutant::UncutOutput
        | Mutant::ExceedLimit
        | Mutant::RaiseTwice
        | Mutant::RaiseForNothing
        | Mutant::NoticeUnderOtherId
        | Mutant::SkipNotice => return plan,
    };
    plan.faults = faults;
    plan.faults.sort_by_key(|planned| planned.at);
    plan
}

fn at(at: Duration, fault: impl Into<Fault>) -> Planned {
    Planned { at, fault: fault.into() }
}

/// The first slots of the one plan, as the time since the beginning.
fn slots(options: &Options) -> Vec<Duration> {
    let zone = jiff::tz::TimeZone::get(&options.zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let Ok(calendar) = options.calendar.parse::<Calendar>() else { return Vec::new() };
    let next = |slot: &Timestamp| calendar.next_after(*slot, &zone);
    std::iter::successors(next(&options.start), next).take(SLOTS).map(|slot| between(options.start, slot)).collect()
}

fn later(from: Duration, by: Duration) -> Duration {
    Duration::from_ms(from.as_ms() + by.as_ms())
}

fn tools(options: &Options, trouble: ToolTrouble) -> Vec<Planned> {
    let tool = |node| at(Duration::from_ms(1), NodeFault::Tool { node, trouble, lasts: FOR_ALL_TIME });
    (0..options.nodes).map(tool).collect()
}

/// Tools that outlive their agents, and agents that die while they work.
fn orphans(options: &Options) -> Vec<Planned> {
    let mut faults = tools(options, ToolTrouble::Outlives);
    for slot in slots(options) {
        for node in 0..options.nodes {
            let boundary = AgentBoundary::At(AgentPlace::WhileToolRuns);
            let (power, away) = (coordinator::Power::Process, Duration::from_ms(500));
            faults.push(at(slot, NodeFault::AgentKilled { node, boundary, power, away }));
        }
    }
    faults
}

/// A leader dies right after it has commanded; what it had sent comes when another one leads.
fn late_commands(options: &Options) -> Vec<Planned> {
    let mut faults = Vec::new();
    for slot in slots(options) {
        for node in 0..options.nodes {
            let by = Duration::from_secs(20);
            faults.push(at(slot, IllWill::RequestsLate { node, count: 1, by }));
        }
        let (power, away) = (coordinator::Power::Process, Duration::from_secs(60));
        faults.push(at(later(slot, Duration::from_secs(1)), CoordinatorFault::LeaderKilled { power, away }));
    }
    faults
}

fn forged_commands(options: &Options) -> Vec<Planned> {
    let forged = slots(options).into_iter().flat_map(|slot| {
        let soon = later(slot, Duration::from_secs(10));
        (0..options.nodes).map(move |node| at(soon, IllWill::RequestUnsigned { node }))
    });
    forged.collect()
}

/// Everything that was saved by then rots, slot by slot.
fn rot(options: &Options) -> Vec<Planned> {
    let mut faults = Vec::new();
    for slot in slots(options) {
        for repository in 0..options.nodes * 2 {
            let soon = later(slot, Duration::from_secs(30));
            let (trouble, lasts) = (RepositoryTrouble::Rotten, FOR_ALL_TIME);
            faults.push(at(soon, NodeFault::Repository { repository, trouble, lasts }));
        }
    }
    faults
}

impl From<NodeFault> for Fault {
    fn from(fault: NodeFault) -> Self {
        Self::Node(fault)
    }
}

impl From<CoordinatorFault> for Fault {
    fn from(fault: CoordinatorFault) -> Self {
        Self::Coordinator(fault)
    }
}

impl From<IllWill> for Fault {
    fn from(fault: IllWill) -> Self {
        Self::Will(fault)
    }
}
