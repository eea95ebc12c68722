//! Laws of the core, tried with random histories.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::codec::encode;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::Incarnation;
use landfall_proto::limit::LimitName;
use landfall_proto::report::{Outcome, Reason, Space};
use landfall_proto::time::Duration;
use landfall_proto::verdict::{Standing, VerdictKind};
use proptest::prelude::*;
use uuid::Uuid;

use super::world::{Does, GOOD, World, node};
use crate::core::Mesh;
use crate::core::record::Records;
use crate::core::step::{Fact, Input, Logged, step};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Something that happens to the world.
#[derive(Debug, Clone)]
enum Event {
    Pass(u8),
    Does(usize, Does),
    CutOff(usize),
    BringBack(usize),
    EndOne(usize, Outcome),
    Start(u8),
    CancelOne(usize),
    Limit(u8),
    Restart,
    Again(u8),
    Retire(usize),
    Announce(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let which = 0..NAMES.len();
    let does = prop_oneof![
        3 => Just(GOOD),
        3 => Just(Does::Hold),
        1 => Just(Does::End(Outcome::Failed, Reason::Network)),
        1 => Just(Does::End(Outcome::Partial, Reason::SourceUnreadable)),
        1 => Just(Does::Deaf),
        1 => Just(Does::Mute),
        1 => Just(Does::Refuse(landfall_proto::command::Refused::Busy)),
        1 => Just(Does::Refuse(landfall_proto::command::Refused::NoPlan)),
    ];
    let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::Failed), Just(Outcome::Skipped)];
    prop_oneof![
        6 => (1..60_u8).prop_map(Event::Pass),
        4 => (which.clone(), does).prop_map(|(index, does)| Event::Does(index, does)),
        2 => which.clone().prop_map(Event::CutOff),
        2 => which.clone().prop_map(Event::BringBack),
        4 => (which.clone(), outcome).prop_map(|(index, outcome)| Event::EndOne(index, outcome)),
        2 => (0..6_u8).prop_map(Event::Start),
        1 => which.clone().prop_map(Event::CancelOne),
        1 => (0..4_u8).prop_map(Event::Limit),
        1 => Just(Event::Restart),
        2 => any::<u8>().prop_map(Event::Again),
        1 => which.clone().prop_map(Event::Retire),
        1 => which.prop_map(Event::Announce),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let by = || "ann".to_owned();
    match event {
        Event::Pass(minutes) => {
            // Sixty steps at most, however much time passes.
            for _ in 0..*minutes {
                world.wait(Duration::from_secs(300));
                world.beats();
                world.wait(Duration::from_secs(5));
                world.beats();
            }
        }
        Event::Does(index, does) => world.agents.get_mut(&node(NAMES[*index])).unwrap().does = *does,
        Event::CutOff(index) => world.cut_off(NAMES[*index]),
        Event::BringBack(index) => world.bring_back(NAMES[*index]),
        Event::EndOne(index, outcome) => {
            let run = world.agents[&node(NAMES[*index])].live.keys().next().copied();
            if let Some(run) = run {
                let reason = if *outcome == Outcome::Ok { Reason::Completed } else { Reason::Network };
                world.ends(NAMES[*index], run, *outcome, reason);
            }
        }
        Event::Start(request) => drop(world.start(&[], 100 + u128::from(*request))),
        Event::CancelOne(index) => {
            let run = world.mesh().runs().values().find(|run| run.node == node(NAMES[*index]) && !run.is_ended());
            if let Some(id) = run.map(|run| run.id.0) {
                world.ask(landfall_proto::control::Request::Cancel { id, by: by() });
            }
        }
        Event::Limit(value) => world.limit(LimitName::Cluster, u32::from(*value)),
        Event::Restart => world.restart(0),
        Event::Again(which) => {
            let index = usize::from(*which) % world.log.len();
            let logged = world.log[index].1.clone();
            world.append(logged);
        }
        Event::Retire(index) => {
            world.ask(landfall_proto::control::Request::Retire { node: node(NAMES[*index]), by: by() });
        }
        Event::Announce(index) => world.announce(NAMES[*index]),
    }
    world.settle();
}

fn history(events: &[Event]) -> World {
    let mut world = World::new(&NAMES);
    for agent in world.agents.values_mut() {
        agent.targets.insert("nas".parse().unwrap(), Space { free_bytes: 50, total_bytes: 100 });
    }
    for event in events {
        happen(&mut world, event);
    }
    world
}

/// Everything a ledger would hold after reading these messages.
fn replayed(world: &World, log: &[Logged]) -> Records {
    let mut mesh = Mesh::new("test".parse().unwrap(), "reader".parse().unwrap(), Incarnation(Uuid::from_u128(1)));
    let mut records = Records::default();
    for (index, logged) in log.iter().enumerate() {
        let mut position = world.log[0].0;
        position.seq = index as u64 + 1;
        step(&mut mesh, &world.policy, world.now, Input::Logged(position, logged.clone()));
        records.apply(mesh.take_changes().unwrap_or_default());
    }
    records
}

fn bytes(records: &Records) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::from([("meta".to_owned(), encode(&records.meta))]);
    all.extend(records.writers.iter().map(|(key, value)| (format!("writer {key:?}"), encode(value))));
    all.extend(records.nodes.iter().map(|(key, value)| (format!("node {key}"), encode(value))));
    all.extend(records.routines.iter().map(|(key, value)| (format!("routine {key}"), encode(value))));
    all.extend(records.limits.iter().map(|(key, value)| (format!("limit {key}"), encode(value))));
    all.extend(records.alerts.iter().map(|(key, value)| (format!("alert {key}"), encode(value))));
    all.extend(records.rounds.iter().map(|(key, value)| (format!("round {key}"), encode(value))));
    all.extend(records.spaces.iter().map(|(key, value)| (format!("space {key}"), encode(value))));
    all.extend(records.runs.iter().map(|(key, value)| (format!("run {key}"), encode(value))));
    all
}

fn log(world: &World) -> Vec<Logged> {
    world.log.iter().map(|(_, logged)| logged.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// That nothing is left to decide is checked by the world each time it settles.
    #[test]
    fn replaying_the_log_gives_the_live_mesh(events in prop::collection::vec(event(), 1..24)) {
        let world = history(&events);
        prop_assert_eq!(bytes(&replayed(&world, &log(&world))), bytes(&world.coordinators[0].records));
    }

    /// However one came to a position: by leading, by reading, by reading twice, or by beginning again in between.
    #[test]
    fn equal_positions_have_equal_digests(events in prop::collection::vec(event(), 1..24), cut in any::<prop::sample::Index>()) {
        let world = history(&events);
        let live = &world.coordinators[0].mesh;
        let me = live.me().clone();
        let log = log(&world);
        let cut = cut.index(log.len());
        let mut reader = Mesh::new(me.cluster.clone(), "reader".parse().unwrap(), Incarnation(Uuid::from_u128(1)));
        let mut records = Records::default();
        for (index, logged) in log.iter().enumerate() {
            let mut position = world.log[index].0;
            step(&mut reader, &world.policy, world.now, Input::Logged(position, logged.clone()));
            records.apply(reader.take_changes().unwrap_or_default());
            if index == cut {
                let before = reader.digest();
                reader = Mesh::restore(me.cluster.clone(), me.holder.clone(), Incarnation(Uuid::from_u128(2)), records.clone());
                prop_assert_eq!(reader.digest(), before, "after a restart at {}", index);
                // What it has read already comes again.
                for repeated in &log[..=index] {
                    position.seq = index as u64 + 1;
                    step(&mut reader, &world.policy, world.now, Input::Logged(position, repeated.clone()));
                }
                prop_assert_eq!(reader.digest(), before, "after repeats at {}", index);
                records.apply(reader.take_changes().unwrap_or_default());
            }
        }
        prop_assert_eq!(reader.cursor(), live.cursor());
        prop_assert_eq!(reader.digest(), live.digest());
        let restored = Mesh::restore(me.cluster, me.holder, me.incarnation, world.coordinators[0].records.clone());
        prop_assert_eq!(restored.digest(), live.digest());
    }

    #[test]
    fn restoring_from_the_records_gives_the_same_indexes(events in prop::collection::vec(event(), 1..24)) {
        let world = history(&events);
        let live = &world.coordinators[0].mesh;
        let me = live.me().clone();
        let mesh = Mesh::restore(me.cluster, me.holder, me.incarnation, world.coordinators[0].records.clone());
        prop_assert_eq!(mesh.rounds(), live.rounds());
        prop_assert_eq!(mesh.routines(), live.routines());
        let queue = |mesh: &Mesh| mesh.queue(world.now).map(|run| run.id).collect::<Vec<_>>();
        prop_assert_eq!(queue(&mesh), queue(live));
        prop_assert_eq!(mesh.active_count(), live.active_count());
        prop_assert_eq!(
            crate::core::permits::limits(&mesh, &world.policy),
            crate::core::permits::limits(live, &world.policy)
        );
    }

    #[test]
    fn folding_every_fact_twice_changes_nothing(events in prop::collection::vec(event(), 1..16)) {
        let world = history(&events);
        let once = replayed(&world, &log(&world));
        let doubled: Vec<Logged> = log(&world).into_iter().flat_map(|logged| [logged.clone(), logged]).collect();
        let mut twice = replayed(&world, &doubled);
        twice.meta.cursor = once.meta.cursor;
        prop_assert_eq!(bytes(&twice), bytes(&once));
    }

    /// Between two decisions the facts of nodes may come in any order that keeps each node's own.
    #[test]
    fn facts_of_different_nodes_commute(events in prop::collection::vec(event(), 1..16), seed in any::<u64>()) {
        let world = history(&events);
        let mut shuffled: Vec<Logged> = Vec::new();
        let mut span: Vec<Logged> = Vec::new();
        let mut state = seed | 1;
        for logged in log(&world) {
            if matches!(logged.fact, Some(Fact::Agent(..))) {
                span.push(logged);
                continue;
            }
            shuffled.extend(merged(std::mem::take(&mut span), &mut state));
            shuffled.push(logged);
        }
        shuffled.extend(merged(span, &mut state));
        prop_assert_eq!(bytes(&replayed(&world, &shuffled)), bytes(&replayed(&world, &log(&world))));
    }

    #[test]
    fn what_is_promised_of_rounds_limits_and_alerts_holds(events in prop::collection::vec(event(), 1..24)) {
        let world = history(&events);
        let mut open = BTreeSet::new();
        let mut judged = BTreeMap::new();
        for fact in world.decided() {
            if let CoordinatorFact::AlertRaised(body) = &fact {
                prop_assert!(open.insert(body.alert.key.clone()), "{} twice", body.alert.key);
            }
            if let CoordinatorFact::AlertResolved(body) = &fact {
                prop_assert!(open.remove(&body.key), "{} was not open", body.key);
            }
            if let CoordinatorFact::RoundConcluded(body) = &fact {
                *judged.entry(body.round).or_insert(0) += 1;
            }
        }
        prop_assert!(judged.values().all(|count| *count == 1), "one verdict for each round");
        for round in world.mesh().rounds().values() {
            let Some(verdict) = &round.verdict else { continue };
            let all_good = verdict.nodes.iter().all(|node| node.standing == Standing::Good);
            prop_assert_eq!(verdict.kind == VerdictKind::Converged, all_good && !verdict.nodes.is_empty());
        }
        // Nobody runs by himself in these histories, so what runs was dispatched: never more than the largest limit set.
        prop_assert!(world.most_active <= 4);
    }

    #[test]
    fn what_is_dispatched_at_once_fits_into_the_limit(events in prop::collection::vec(event(), 1..16), limit in 0..4_u32) {
        let mut world = World::new(&NAMES);
        world.limit(LimitName::Cluster, limit);
        world.most_active = 0;
        for event in events.iter().filter(|event| !matches!(event, Event::Limit(_))) {
            happen(&mut world, event);
        }
        prop_assert!(world.most_active <= limit, "{} of {limit}", world.most_active);
    }
}

/// A random interleaving that keeps the order of each writer.
fn merged(span: Vec<Logged>, state: &mut u64) -> Vec<Logged> {
    let mut queues: BTreeMap<String, std::collections::VecDeque<Logged>> = BTreeMap::new();
    for logged in span {
        queues.entry(logged.envelope.writer.clone()).or_default().push_back(logged);
    }
    let mut merged = Vec::new();
    while !queues.is_empty() {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let names: Vec<String> = queues.keys().cloned().collect();
        let name = &names[usize::try_from(*state >> 33).unwrap() % names.len()];
        let queue = queues.get_mut(name).unwrap();
        merged.extend(queue.pop_front());
        if queue.is_empty() {
            queues.remove(name);
        }
    }
    merged
}
