//! What stands before anything happens: machines with their plans, the repositories they share, and the coordinators' policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use landfall::core::policy::Policy;
use landfall_agent::core::{Catalog, CatalogEntry};
use landfall_proto::fact::agent::{PlanAnnouncement, PlansAnnounced};
use landfall_proto::id::{ClusterName, Holder, NodeId, RoutineName, TargetName};
use landfall_proto::limit::LimitName;
use landfall_proto::live::BEAT_INTERVAL;
use landfall_proto::plan::{CheckAfter, Deadlines, DriverName, Plan, Schedule, Target};
use landfall_proto::time::Duration;

use crate::bus::Link;
use crate::dice::{Dice, Stream};
use crate::host::{Host, HostSpec, Repositories};
use crate::mutant::Mutants;
use crate::node::Node;
use crate::options::Options;

/// The routine that every node has a plan of.
const ROUTINE: &str = "nightly";

/// A witness must not take longer than rounds that are minutes long.
const WITNESS_WITHIN: Duration = Duration::from_secs(60);

/// Holders' names, in the order of their seats.
const HOLDERS: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];

pub(crate) fn holder(index: u32) -> Holder {
    let name = usize::try_from(index).ok().and_then(|index| HOLDERS.get(index)).copied();
    name.map_or_else(|| format!("coordinator-{index}"), str::to_owned).parse().expect("the name is one")
}

pub(crate) fn node_id(index: u32) -> NodeId {
    format!("node-{}", index + 1).parse().expect("the name is one")
}

pub(crate) fn routine() -> RoutineName {
    ROUTINE.parse().expect("the name is one")
}

/// Every machine, down, and the repositories.
pub(crate) fn nodes(options: &Options, cluster: &ClusterName, _mutants: Mutants) -> (Vec<Node>, Repositories) {
    let mut repositories = Repositories::default();
    for index in 0..options.repositories.max(1) {
        repositories.add(&location(index));
    }
    let mut dice = Dice::new(options.seed, Stream::World);
    let catalogs: Vec<Arc<Catalog>> =
        (0..options.repositories.max(1)).map(|index| Arc::new(catalog(options, index, 0))).collect();
    let nodes = (0..options.nodes).map(|index| {
        let share = usize::try_from(index % options.repositories.max(1)).unwrap_or(0);
        let spec = HostSpec {
            node: node_id(index),
            cluster: cluster.clone(),
            catalog: Arc::clone(&catalogs[share]),
            labels: BTreeMap::new(),
            parallel: 2,
            leader_patience: options.start_within,
            coordinator_silence: Duration::from_secs(600),
            beat_every: BEAT_INTERVAL,
            is_traced: true,
        };
        Node::new(Host::new(spec, dice.number()), Link::new(options.delay_us), false)
    });
    (nodes.collect(), repositories)
}

fn location(repository: u32) -> String {
    format!("/srv/repository-{}", repository + 1)
}

/// The one plan of a node that uses this repository. Another definition differs in what it leaves out.
///
/// # Panics
///
/// Where the options hold a calendar or a zone that do not exist.
pub(crate) fn catalog(options: &Options, repository: u32, definition: u32) -> Catalog {
    let target: TargetName = "store".parse().expect("the name is one");
    let schedule = Schedule {
        calendar: options.calendar.parse().expect("the options' calendar is one"),
        zone: options.zone.clone(),
        catch_up: options.catch_up,
    };
    let plan = Plan {
        name: routine(),
        sources: vec!["/data".to_owned()],
        excludes: vec![format!("*.tmp{definition}")],
        one_file_system: false,
        driver: DriverName::Rustic,
        target: target.clone(),
        schedule: Some(schedule),
        deadlines: Deadlines {
            start_within: options.start_within,
            finish_within: options.finish_within,
            stall_after: Duration::from_ms(options.finish_within.as_ms() / 3),
        },
        retries: landfall_proto::plan::Retries::default(),
        guards: landfall_proto::plan::Guards::default(),
        labels: BTreeMap::new(),
        limits: landfall_proto::plan::RunLimits::default(),
        check: options.checks.then_some(CheckAfter { every: Duration::from_secs(60), data_parts: Some(4) }),
        command: None,
        priority: 0,
        rpo: None,
        card: None,
        builds_on: None,
    };
    let target = Target {
        name: target,
        driver: DriverName::Rustic,
        location: location(repository),
        create: true,
        secret: None,
        free_percent_min: 5,
        storage: Some("shelf".to_owned()),
    };
    let zone = TimeZone::get(&options.zone).expect("the options' zone exists");
    Catalog { plans: BTreeMap::from([(routine(), CatalogEntry { plan, target, zone })]), broken: Vec::new() }
}

pub(crate) fn policy(options: &Options) -> Policy {
    let mut policy = Policy {
        witness_within: WITNESS_WITHIN,
        sinks: vec!["journal".to_owned(), "pager".to_owned()],
        ..Policy::default()
    };
    if let Some(limit) = options.cluster_limit {
        policy.limits.insert(LimitName::Cluster, limit);
    }
    policy
}

/// What every node of a large round announces.
pub(crate) fn announcement(options: &Options) -> PlansAnnounced {
    let entry = catalog(options, 0, 0).plans.remove(&routine()).expect("the catalog holds the routine");
    let plan = PlanAnnouncement {
        routine: routine(),
        hash: entry.plan.hash(),
        driver: entry.plan.driver.as_str().to_owned(),
        target: entry.plan.target.clone(),
        repository: None,
        can_witness: false,
        lock: entry.plan.lock(),
        calendar: entry.plan.schedule.as_ref().map(|schedule| schedule.calendar.to_string()),
        zone: options.zone.clone(),
        start_within: options.start_within,
        finish_within: options.finish_within,
        stall_after: entry.plan.deadlines.stall_after,
        rpo: None,
        labels: BTreeMap::new(),
        guards: entry.plan.guards,
        storage: None,
        priority: 0,
        card: None,
        builds_on: None,
    };
    PlansAnnounced { plans: vec![plan], broken: Vec::new() }
}
