//! The history of a case in the terms of the laws, and what they say about it.

use std::collections::BTreeMap;
use std::path::Path;

use landfall::audit::{
    CoordinatorTrace, Entry, Heal, History, NodeTrace, ReceiptSeen, RepositoryTrace, SnapshotSeen, audit,
};
use landfall_proto::envelope::Position;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::{Incarnation, RepositoryId};
use landfall_proto::time::{Duration, Timestamp};

use super::mesh::{Mesh, NIGHTLY};
use super::rest::REST_WITHIN;
use super::stray::strays;
use super::witness::{Found, NODE_TAG, RUN_TAG, Snapshot};
use crate::live::plans::PASSWORD;
use crate::live::{Seen, bus, now, source};

/// Lines of evidence that are told for one violation.
const EVIDENCE_LINES: usize = 6;

/// Asks every law about the case.
pub fn judge_laws(mesh: &Mesh, found: &Found, healed_at: Timestamp) {
    let judged = audit(&history(mesh, found, healed_at));
    let diary = &mesh.weather.diary;
    diary.change(|counts| counts.laws += u32::try_from(judged.checked.len()).unwrap_or(u32::MAX));
    diary.say(&format!("laws: {}", judged.checked.join(", ")));
    for violation in judged.violations {
        let evidence: Vec<&str> = violation.evidence.iter().take(EVIDENCE_LINES).map(String::as_str).collect();
        diary.violation(format!("{}: {} [{}]", violation.law, violation.what, evidence.join("; ")));
    }
}

fn history(mesh: &Mesh, found: &Found, healed_at: Timestamp) -> History {
    let patience = Duration::from_ms(u64::try_from(REST_WITHIN.as_millis()).unwrap_or(u64::MAX));
    let names = found.receipts.keys();
    History {
        log: entries(found),
        nodes: names.map(|name| (bus::node(name), node(mesh, found, name))).collect(),
        repositories: repositories(found),
        coordinators: coordinators(mesh),
        secrets: secrets(mesh),
        heal: Some(Heal { at: healed_at, patience }),
        ended_at: Some(now()),
        policy: toml::from_str(mesh.cluster.policy()).expect("the coordinators read the same lines"),
        policy_since: None,
        // What the bus lost before anybody had read it is known to nobody.
        is_cut: found.lives > 0 || !found.lost.is_empty(),
    }
}

/// All entries in the order in which the bus took them, those that it lost included. Where it hands out a sequence again,
/// another era begins.
fn entries(found: &Found) -> Vec<Entry> {
    let lost = found.lost.iter().filter_map(|seen| entry(seen, false));
    let mut entries: Vec<Entry> = lost.chain(found.log.0.iter().filter_map(|seen| entry(seen, true))).collect();
    entries.sort_by_key(|entry| entry.at);
    let (mut era, mut before) = (0, 0);
    for entry in &mut entries {
        if entry.position.seq <= before {
            era += 1;
        }
        before = entry.position.seq;
        entry.position.era = era;
    }
    entries
}

fn entry(seen: &Seen, is_there: bool) -> Option<Entry> {
    let (topic, envelope) = seen.message.clone()?;
    let position = Position { era: 0, seq: seen.seq, hash: envelope.content_hash() };
    Some(Entry { position, at: seen.at, topic, envelope, is_there, was_held: None })
}

fn node(mesh: &Mesh, found: &Found, name: &str) -> NodeTrace {
    let receipts = found.receipts.get(name).into_iter().flatten();
    let seen = receipts.map(|(receipt, written_at)| ReceiptSeen {
        about: receipt.about.clone(),
        attempt: receipt.attempt,
        report: receipt.report.clone(),
        written_at: *written_at,
    });
    let root = mesh.cluster.place.path(&format!("nodes/{name}"));
    let beat = mesh.heard.said().beats.remove(&bus::node(name));
    let set_back = mesh.set_back.iter().filter(|(node, _)| node == name).map(|(_, at)| *at);
    NodeTrace {
        receipts: seen.collect(),
        texts: texts(mesh, name),
        incarnations: incarnations(found, name),
        litter: strays(&root, &mesh.cluster.processes()),
        is_up: Some(mesh.cluster.has_agent(name)),
        live_runs: beat.map(|beat| beat.live.into_iter().map(|live| live.run).collect()),
        set_back: set_back.collect(),
        ..NodeTrace::default()
    }
}

/// What the agent printed, and what its runs printed.
fn texts(mesh: &Mesh, name: &str) -> Vec<String> {
    let runs = std::fs::read_dir(mesh.cluster.state(name).join("runs")).into_iter().flatten().flatten();
    let files = runs.flat_map(|run| ["log", "receipt.json", "intent.json"].map(|file| run.path().join(file)));
    let files = files.chain([mesh.cluster.place.log_of(name)]);
    let bytes = files.filter_map(|path| std::fs::read(path).ok());
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

/// Lives of the node's journal in the order of their first fact, with the cause that the agent gave.
fn incarnations(found: &Found, name: &str) -> Vec<(Incarnation, String)> {
    let mut lives = Vec::new();
    for seen in found.lost.iter().chain(&found.log.0) {
        if let (Some((node, AgentFact::AgentStarted(started))), Some((_, envelope))) = (seen.agent(), &seen.message)
            && node.as_str() == name
            && lives.iter().all(|(known, _)| *known != envelope.incarnation)
        {
            lives.push((envelope.incarnation, format!("{:?}", started.cause)));
        }
    }
    lives
}

/// The repository that all nodes share, under the id that the runs' own evidence gives it.
fn repositories(found: &Found) -> BTreeMap<RepositoryId, RepositoryTrace> {
    let finished = found.log.runs_finished();
    let saved = finished.iter().filter(|(_, _, finished)| finished.about.routine.as_str() == NIGHTLY);
    let id = saved.filter_map(|(_, _, finished)| finished.report.evidence.as_ref()?.repository.clone()).next();
    let (Some(id), Some(snapshots)) = (id, &found.snapshots) else { return BTreeMap::new() };
    let trace = RepositoryTrace { snapshots: snapshots.iter().map(snapshot).collect(), ..RepositoryTrace::default() };
    BTreeMap::from([(id, trace)])
}

fn snapshot(seen: &Snapshot) -> SnapshotSeen {
    SnapshotSeen {
        id: seen.id.clone(),
        node: seen.tag(NODE_TAG).and_then(|name| name.parse().ok()),
        run: seen.tag(RUN_TAG).and_then(|run| run.parse().ok()),
        taken_at: seen.time,
        // Listed snapshots are whole: the format knows no others. No case damages the data behind them.
        is_whole: true,
        is_sound: true,
    }
}

/// Every coordinator process that was heard; one whose process does not live any more has no place in the log.
fn coordinators(mesh: &Mesh) -> Vec<CoordinatorTrace> {
    let said = mesh.heard.said();
    let mut newest: BTreeMap<_, Timestamp> = BTreeMap::new();
    for ((holder, _), (presence, _)) in &said.presences {
        let latest = newest.entry(holder.clone()).or_insert(presence.sent_at);
        *latest = (*latest).max(presence.sent_at);
    }
    let traces = said.presences.into_iter().map(|((holder, incarnation), (presence, digests))| {
        let lives = mesh.cluster.has_coordinator(holder.as_str()) && newest.get(&holder) == Some(&presence.sent_at);
        CoordinatorTrace {
            digests: digests.into_iter().map(|digest| (digest.position, digest.state)).collect(),
            cursor: lives.then_some(presence.position),
            leads: lives && presence.leads,
            ..CoordinatorTrace::new(holder, incarnation)
        }
    });
    traces.collect()
}

/// The password of the repository, every seed, and the first line of every certificate's key.
fn secrets(mesh: &Mesh) -> Vec<String> {
    let seeds = source::content(&mesh.cluster.place.path("seeds"));
    let seeds = seeds.into_values().map(|seed| String::from_utf8_lossy(&seed).trim().to_owned());
    let keys = source::content(&mesh.cluster.place.path("tls")).into_iter();
    let keys = keys.filter(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "key"));
    let keys = keys.filter_map(|(_, key)| String::from_utf8_lossy(&key).lines().nth(1).map(str::to_owned));
    seeds.chain(keys).chain([PASSWORD.to_owned()]).collect()
}
