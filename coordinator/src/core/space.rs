//! The room of destinations: who sees it, one sample of it a day in the log, and the alert that one of them fills up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use landfall_proto::alert::{AlertKey, Severity};
use landfall_proto::fact::agent::PlanAnnouncement;
use landfall_proto::fact::coordinator::{CoordinatorFact, STORAGES_PER_FACT_MAX, SpaceSampled};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::overview::{Forecast, SpaceSample};
use landfall_proto::report::{Reason, Space};
use landfall_proto::time::{Duration, Timestamp, after, between};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::agenda::Matter;
use super::alert::NODES_MAX;
use super::decide::Look;
use super::forecast::forecast;
use super::mesh::Mesh;
use super::policy::{AlertKind, Policy};
use super::wish::{Wanted, Wishes, difference, fix_of};

/// Samples of one storage that are kept: eight weeks.
pub const SAMPLES_MAX: usize = 56;

/// Storages with a history. More are shown as they are, without a forecast.
pub const STORAGES_MAX: usize = 20_000;

/// Longest name of a storage that gets a history, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// What nobody has seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(56 * 86_400);

/// How often it is looked whether a day's sample is missing.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// How often while a destination has too little room.
const LOOK_WHILE_LOW: Duration = Duration::from_secs(60);

/// An alert about too little room ends with so many percent more than it began with.
const ROOM_AGAIN_PERCENT: u8 = 5;

/// How long the first beats of a leader are waited for.
pub(super) const GATHERED_WITHIN: Duration = Duration::from_secs(30);

/// What is known of one storage over days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceHistory {
    /// Oldest first, one a day at most.
    pub samples: VecDeque<SpaceSample>,
}

impl SpaceHistory {
    /// Over all samples.
    pub fn forecast(&self) -> Forecast {
        forecast(&self.samples.iter().copied().collect::<Vec<_>>())
    }
}

/// What a destination is called in the whole mesh: its storage's name, or a name that only this node has.
pub fn storage_name(node: &NodeId, plan: &PlanAnnouncement) -> String {
    plan.storage.clone().unwrap_or_else(|| format!("{node}/{}", plan.target))
}

/// What nodes that are heard see of their destinations. Of a storage that several see, the word of the latest counts.
pub fn seen(mesh: &Mesh, now: Timestamp) -> BTreeMap<String, Space> {
    sights(mesh, now).into_iter().map(|(name, sight)| (name, sight.space)).collect()
}

/// What the node that was heard last sees of a storage.
struct Sight {
    heard_at: Timestamp,
    space: Space,
    /// Since when it has too little room.
    low_since: Option<Timestamp>,
}

fn sights(mesh: &Mesh, now: Timestamp) -> BTreeMap<String, Sight> {
    let mut latest: BTreeMap<String, Sight> = BTreeMap::new();
    for node in mesh.nodes().values().filter(|node| mesh.is_online(&node.id, now)) {
        let Some(live) = mesh.live(&node.id) else { continue };
        for state in node.routines.values().filter(|state| state.present) {
            // A file system that does not tell its size says nothing.
            let Some(space) = live.vitals.targets.get(&state.plan.target).filter(|space| space.total_bytes > 0) else {
                continue;
            };
            let low_since = live.low_since.get(&state.plan.target).copied();
            let sight = Sight { heard_at: live.last_beat_at, space: *space, low_since };
            let name = storage_name(&node.id, &state.plan);
            if latest.get(&name).is_none_or(|known| known.heard_at < sight.heard_at) {
                latest.insert(name, sight);
            }
        }
    }
    latest
}

/// Notes the samples of the day that are missing, and raises and resolves the alerts about what fills up.
pub(super) fn look(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Look {
    let sights = sights(mesh, now);
    let users = users(mesh);
    let mut facts = missing(mesh, &sights, now);
    let mut wishes = Wishes::default();
    low(mesh, policy, &sights, &users, now, &mut wishes);
    // What nobody backs up to any more troubles nobody.
    for (name, history, users) in
        mesh.spaces().iter().filter_map(|(name, history)| Some((name, history, users.get(name)?)))
    {
        let key = key(AlertKind::Filling, name);
        let is_open = mesh.open_alert(&key).is_some();
        match judge(history.forecast(), policy, is_open) {
            Judgement::Well => {}
            Judgement::Fills { days, bytes_a_day } if !is_open => {
                wishes.want(filling(key, name, users, history, days, bytes_a_day, now));
            }
            // What cannot be told stays as it was told, and so does what goes on.
            Judgement::Unknown | Judgement::Fills { .. } => drop(wishes.unknown.insert(key)),
        }
    }
    facts.extend(difference(mesh, policy, now, &Matter::Spaces, wishes));
    let has_open_lows = mesh.open_lows().next().is_some();
    let is_of_interest = !sights.is_empty() || !mesh.spaces().is_empty() || has_open_lows;
    let lasting = sights.values().filter_map(|sight| Some(after(sight.low_since?, policy.destination_low_for)));
    // While one has too little room it is looked at more often, so that its end is told soon.
    let is_low = sights.values().any(|sight| sight.low_since.is_some()) || has_open_lows;
    let every = if is_low { LOOK_WHILE_LOW } else { LOOK_EVERY };
    let again_at = lasting.filter(|at| *at > now).chain([after(now, every)]).min();
    Look::decided(facts, again_at.filter(|_| is_of_interest))
}

/// One sample for each storage that has none of this day.
fn missing(mesh: &Mesh, sights: &BTreeMap<String, Sight>, now: Timestamp) -> Vec<CoordinatorFact> {
    let last = |name: &str| mesh.spaces().get(name).and_then(|history| history.samples.back());
    let is_missing = |name: &str| name.len() <= NAME_BYTES_MAX && last(name).is_none_or(|last| day(last.at) < day(now));
    let due: Vec<(&String, &Sight)> = sights.iter().filter(|(name, _)| is_missing(name)).collect();
    let fact = |chunk: &[(&String, &Sight)]| SpaceSampled {
        epoch: mesh.epoch(),
        sampled_at: now,
        storages: chunk.iter().map(|(name, sight)| ((*name).clone(), sight.space)).collect(),
    };
    due.chunks(STORAGES_PER_FACT_MAX).map(|chunk| fact(chunk).into()).collect()
}

/// Days of UTC: every coordinator counts the same ones.
fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(86_400)
}

enum Judgement {
    Unknown,
    Well,
    Fills { days: u64, bytes_a_day: u64 },
}

/// Once told it stays until there is half as much time again: a forecast at its limit does not flutter.
fn judge(forecast: Forecast, policy: &Policy, is_open: bool) -> Judgement {
    let within = policy.filling_within.as_ms() / 86_400_000;
    let limit = if is_open { within.saturating_mul(3) / 2 } else { within };
    match forecast {
        Forecast::Unknown => Judgement::Unknown,
        Forecast::Filling { days, bytes_a_day } if days < limit => Judgement::Fills { days, bytes_a_day },
        Forecast::Filling { .. } | Forecast::Steady => Judgement::Well,
    }
}

fn key(kind: AlertKind, name: &str) -> AlertKey {
    AlertKey(format!("{}/{name}", kind.as_str()))
}

/// Destinations that have had too little room for a while: one alert each, however many nodes see it.
fn low(
    mesh: &Mesh,
    policy: &Policy,
    sights: &BTreeMap<String, Sight>,
    users: &BTreeMap<String, Users>,
    now: Timestamp,
    wishes: &mut Wishes,
) {
    // What is out of sight stays as it was told, for as long as somebody backs up to it.
    wishes.unknown.extend(mesh.open_lows().filter(|(name, _)| users.contains_key(*name)).map(|(_, key)| key.clone()));
    for (name, sight) in sights {
        let key = key(AlertKind::DestinationLow, name);
        let percent = sight.space.free_percent();
        let is_open = wishes.unknown.contains(&key);
        let has_lasted = sight.low_since.is_some_and(|since| after(since, policy.destination_low_for) <= now);
        let is_low =
            has_lasted || (is_open && percent < policy.destination_low_percent.saturating_add(ROOM_AGAIN_PERCENT));
        if !is_low {
            wishes.unknown.remove(&key);
        } else if !is_open {
            let users = users.get(name);
            wishes.want(Wanted {
                kind: AlertKind::DestinationLow,
                severity: Severity::Warning,
                title: format!("the destination {name} has {percent} % free space"),
                routine: users.and_then(Users::only_routine),
                round: None,
                nodes: users.map(|users| users.nodes.clone()).unwrap_or_default(),
                reason: Some(Reason::NoSpace),
                last_good_at: None,
                fix: fix_of(AlertKind::DestinationLow).to_owned(),
                cause: Uuid::new_v5(&Uuid::nil(), format!("{key}/{now}").as_bytes()),
                key,
            });
        }
    }
}

fn filling(
    key: AlertKey,
    name: &str,
    users: &Users,
    history: &SpaceHistory,
    days: u64,
    bytes_a_day: u64,
    now: Timestamp,
) -> Wanted {
    let over = match (history.samples.front(), history.samples.back()) {
        (Some(first), Some(last)) => between(first.at, last.at).as_ms() / 86_400_000,
        (_, _) => 0,
    };
    let megabytes = bytes_a_day / 1_000_000;
    Wanted {
        kind: AlertKind::Filling,
        key,
        severity: Severity::Warning,
        title: format!(
            "{name} will be full in about {days} days: over the last {over} days it grew by {megabytes} MB a day"
        ),
        routine: users.only_routine(),
        round: None,
        nodes: users.nodes.clone(),
        reason: None,
        last_good_at: None,
        fix: fix_of(AlertKind::Filling).to_owned(),
        // It comes and goes, so each time is a cause of its own.
        cause: Uuid::new_v5(&Uuid::nil(), format!("{name}/{now}").as_bytes()),
    }
}

/// Who backs up to a storage, and by which routines.
#[derive(Default)]
struct Users {
    /// As many as an alert names.
    nodes: Vec<NodeId>,
    routines: BTreeSet<RoutineName>,
}

impl Users {
    /// Its people are called where the storage is one routine's alone.
    fn only_routine(&self) -> Option<RoutineName> {
        self.routines.first().filter(|_| self.routines.len() == 1).cloned()
    }
}

/// By the storage's name.
fn users(mesh: &Mesh) -> BTreeMap<String, Users> {
    let mut all: BTreeMap<String, Users> = BTreeMap::new();
    for node in mesh.nodes().values() {
        for state in node.routines.values().filter(|state| state.present) {
            let users = all.entry(storage_name(&node.id, &state.plan)).or_default();
            users.routines.insert(state.plan.routine.clone());
            if users.nodes.last() != Some(&node.id) && users.nodes.len() < NODES_MAX {
                users.nodes.push(node.id.clone());
            }
        }
    }
    all
}

impl Mesh {
    /// The room of storages over days, by name.
    pub const fn spaces(&self) -> &BTreeMap<String, SpaceHistory> {
        &self.spaces
    }

    /// The open alerts about destinations with too little room: the storage's name and the alert's key.
    fn open_lows(&self) -> impl Iterator<Item = (&str, &AlertKey)> {
        let keys = self.index.alerts_about.get(&Matter::Spaces).into_iter().flatten();
        keys.filter_map(|key| {
            let (kind, name) = key.0.split_once('/')?;
            (kind == AlertKind::DestinationLow.as_str()).then_some((name, key))
        })
    }

    /// Takes the day's samples. Of one day the first counts.
    pub(super) fn space_sampled(&mut self, body: &SpaceSampled) {
        for (name, space) in &body.storages {
            if !self.spaces.contains_key(name) && self.spaces.len() >= STORAGES_MAX {
                continue;
            }
            let history = self.spaces.entry(name.clone()).or_default();
            if history.samples.back().is_some_and(|last| day(last.at) >= day(body.sampled_at)) {
                continue;
            }
            let Space { free_bytes, total_bytes } = *space;
            history.samples.push_back(SpaceSample { at: body.sampled_at, free_bytes, total_bytes });
            if history.samples.len() > SAMPLES_MAX {
                history.samples.pop_front();
            }
            self.touched.spaces.insert(name.clone());
        }
        let is_old = |history: &SpaceHistory| {
            history.samples.back().is_none_or(|last| after(last.at, FORGOTTEN_AFTER) < body.sampled_at)
        };
        let old: Vec<String> =
            self.spaces.iter().filter(|(_, history)| is_old(history)).map(|(name, _)| name.clone()).collect();
        for name in old {
            self.spaces.remove(&name);
            self.touched.spaces.insert(name);
        }
        self.agenda.mark(Matter::Spaces);
    }
}
