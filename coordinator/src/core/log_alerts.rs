//! Alerts about what everything stands on: a log that lost something, and coordinators that do not agree about what it says.

use std::collections::BTreeMap;

use landfall_proto::alert::{AlertKey, Severity};
use landfall_proto::id::Holder;
use landfall_proto::time::{Duration, Timestamp, after};
use uuid::Uuid;

use super::agenda::Matter;
use super::decide::Look;
use super::digest::{Compared, PRESENCE_FRESH};
use super::era::EraBegun;
use super::mesh::Mesh;
use super::node::NODE_SILENCE;
use super::policy::{AlertKind, Policy};
use super::wish::{Wanted, Wishes, difference, fix_of};

/// While an alert waits for somebody to catch up, it is looked at so often.
const AGAIN: Duration = Duration::from_secs(10);

/// Raises and resolves the alerts about the log and the coordinators.
pub(super) fn look(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Look {
    let mut wishes = Wishes::default();
    let lost = history_lost(mesh, now, &mut wishes);
    let differs = differing(mesh, now, &mut wishes);
    let again_at = (lost || differs).then(|| after(now, AGAIN));
    Look::decided(difference(mesh, policy, now, &Matter::Mesh, wishes), again_at)
}

/// What the bus lost, until every node has caught up. True where that is to be looked at again.
fn history_lost(mesh: &Mesh, now: Timestamp, wishes: &mut Wishes) -> bool {
    let Some(begun) = &mesh.meta().era else { return false };
    let key = AlertKey(format!("{}/{}", AlertKind::HistoryLost.as_str(), begun.era));
    let cause = Uuid::new_v5(&Uuid::nil(), format!("{key}/{}", begun.log.created).as_bytes());
    let is_open = mesh.index.open_alerts.contains_key(&key);
    // Told once, and settled once: a node that falls behind later has other reasons.
    let was_told = mesh.alerts().values().any(|record| record.alert.key == key);
    if (was_told && !is_open) || (is_open && has_caught_up(mesh, now)) {
        return false;
    }
    let is_whole = begun.log.known_to <= begun.log.folded_to;
    wishes.want(Wanted {
        kind: AlertKind::HistoryLost,
        key,
        severity: if is_whole { Severity::Warning } else { Severity::Critical },
        title: what_was_lost(begun),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: fix_of(AlertKind::HistoryLost).to_owned(),
        cause,
    });
    true
}

fn what_was_lost(begun: &EraBegun) -> String {
    let log = &begun.log;
    let from = match log.lost_from {
        Some(from) => format!("its log from {from} on"),
        None => "the end of its log, or all of it".to_owned(),
    };
    let read = match (log.folded_to, log.folded_at) {
        (0, _) => "nothing of it had been read".to_owned(),
        (to, Some(at)) => format!("{} had read it up to {to}, written at {at}", begun.by),
        (to, None) => format!("{} had read it up to {to}", begun.by),
    };
    let rest = if log.known_to > log.folded_to {
        format!("{} to {} are lost unless their nodes send them again", log.folded_to + 1, log.known_to)
    } else {
        "so nothing that was known is lost".to_owned()
    };
    format!("the bus has lost {from}, noticed at {}; {read}; {rest}", log.noticed_at)
}

/// Whether every node that is expected anywhere is heard and has sent what it had written when it was last heard.
fn has_caught_up(mesh: &Mesh, now: Timestamp) -> bool {
    // Whoever has just begun to lead has not heard everybody yet.
    let has_heard = mesh.process.leading_since.is_some_and(|since| after(since, NODE_SILENCE) <= now);
    has_heard
        && mesh.nodes().values().filter(|node| !node.is_retired() && !node.routines.is_empty()).all(|node| {
            mesh.live(&node.id).is_some_and(|live| {
                let writer = mesh.writers.get(&(node.id.as_str().to_owned(), live.incarnation));
                live.next_seq_before.is_some_and(|seq| writer.is_some_and(|writer| writer.next_seq >= seq))
            })
        })
}

/// Coordinators whose state is another one than the leader's. True where one is to be looked at again.
fn differing(mesh: &Mesh, now: Timestamp, wishes: &mut Wishes) -> bool {
    let prefix = AlertKind::CoordinatorDiffers.as_str();
    let mut agreeing: BTreeMap<&Holder, bool> = BTreeMap::new();
    let mut is_wanted = false;
    for peer in mesh.peers(now) {
        let Some(compared) = peer.compared else { continue };
        let holder = &peer.presence.holder;
        let agrees = agreeing.entry(holder).or_insert(true);
        *agrees &= compared.agrees();
        if !compared.agrees() {
            is_wanted = true;
            wishes.want(disagreement(mesh, holder, &compared, AlertKey(format!("{prefix}/{holder}"))));
        }
    }
    // Who does not show a digest that can be compared may differ still, unless nothing at all has been heard of it for long.
    let open = mesh.index.alerts_about.get(&Matter::Mesh).into_iter().flatten();
    for key in open.filter(|key| key.0.split('/').next() == Some(prefix)) {
        let holder = key.0.rsplit('/').next().unwrap_or_default();
        let is_known = agreeing.keys().any(|known| known.as_str() == holder);
        let is_recent = mesh.open_alert(key).is_some_and(|record| {
            let since = mesh.process.leading_since.map_or(record.raised_at, |since| since.max(record.raised_at));
            now < after(since, GONE_AFTER)
        });
        if !is_known && is_recent {
            is_wanted = true;
            wishes.unknown.insert(key.clone());
        }
    }
    is_wanted
}

/// A coordinator that differed and has shown nothing for so long is gone, or has begun again from nothing.
const GONE_AFTER: Duration = Duration::from_ms(60 * PRESENCE_FRESH.as_ms());

fn disagreement(mesh: &Mesh, holder: &Holder, compared: &Compared, key: AlertKey) -> Wanted {
    let position = compared.own.position;
    let cause = Uuid::new_v5(&Uuid::nil(), format!("{key}/{}/{}", position.era, position.seq).as_bytes());
    Wanted {
        kind: AlertKind::CoordinatorDiffers,
        key,
        severity: Severity::Critical,
        title: format!(
            "the coordinators {} and {holder} made different states of the same log up to {} of era {}; {} leads, so its state counts",
            mesh.me.holder, position.seq, position.era, mesh.me.holder
        ),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: fix_of(AlertKind::CoordinatorDiffers).to_owned(),
        cause,
    }
}
