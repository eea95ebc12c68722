//! Monitors as they are shown: their definition without its secret, and what they said.

use std::collections::BTreeMap;

use landfall_proto::calendar::Calendar;
use landfall_proto::control::Paging;
use landfall_proto::monitor::{
    Expects, MonitorDetail, MonitorSpec, MonitorState, MonitorView, MonitorsView, Ping, PingKeyView, PingView,
};
use uuid::Uuid;

use super::{PAGE_BYTES_MAX, Pager, Scene, rows_wanted};
use crate::core::monitor::Monitor;

/// A part of the monitors, the worst first; a place in the list is a number.
pub fn monitors(scene: Scene<'_>, paging: &Paging) -> MonitorsView {
    let mut all: Vec<(MonitorState, &Monitor)> =
        scene.mesh.monitors().values().map(|one| (one.state(scene.now), one)).collect();
    all.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let from: usize = paging.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
    // The rest of the message is for the ping keys.
    let mut pager = Pager::within(rows_wanted(paging), PAGE_BYTES_MAX / 2);
    let taken = all.iter().skip(from).take_while(|(_, one)| pager.push(monitor(scene, one))).count();
    let until = from.saturating_add(taken);
    let ping_keys = scene.mesh.ping_keys().iter().map(|(label, key)| PingKeyView {
        label: label.clone(),
        creates: key.creates,
        set_at: key.set_at,
        set_by: key.set_by.clone(),
    });
    MonitorsView {
        monitors: pager.into_rows(),
        next: (until < all.len()).then(|| until.to_string()),
        counts: counts(scene),
        ping_keys: ping_keys.collect(),
    }
}

/// How many stand how; a state that none is in is left out.
pub(super) fn counts(scene: Scene<'_>) -> BTreeMap<MonitorState, u32> {
    let mut counts = BTreeMap::new();
    for one in scene.mesh.monitors().values() {
        *counts.entry(one.state(scene.now)).or_default() += 1;
    }
    counts
}

pub(super) fn monitor(scene: Scene<'_>, monitor: &Monitor) -> MonitorView {
    let explained = match &monitor.spec.expects {
        Expects::Every { .. } => None,
        Expects::Slots { calendar, .. } => calendar.parse::<Calendar>().ok().map(|calendar| calendar.explain()),
    };
    MonitorView {
        spec: MonitorSpec { key: None, ..monitor.spec.clone() },
        has_key: monitor.spec.key.is_some(),
        state: monitor.state(scene.now),
        explained,
        running: monitor.running,
        last_ping_at: monitor.last_ping_at,
        last_good_at: monitor.last_good_at,
        expected_at: monitor.expected_at,
        overdue_at: monitor.overdue_at(),
        failure: monitor.failure.clone(),
        failures_since_good: monitor.failures_since_good,
        last_duration_ms: monitor.last_duration_ms,
        pings: monitor.count,
        set_at: monitor.set_at,
        set_by: monitor.set_by.clone(),
    }
}

/// One monitor with its latest pings; as many bodies as fit into an answer.
pub fn detail(scene: Scene<'_>, one: &Monitor, mut bodies: BTreeMap<Uuid, Option<String>>) -> MonitorDetail {
    let mut left = PAGE_BYTES_MAX / 2;
    let pings = one.recent.iter().rev().map(|taken| {
        let body = bodies.remove(&taken.ping.id).flatten().unwrap_or_default();
        let fits = body.len() <= left;
        left = left.saturating_sub(body.len());
        let body = if fits { body } else { String::new() };
        PingView { at: taken.at, ping: Ping { body, ..taken.ping.clone() }, duration_ms: taken.duration_ms }
    });
    MonitorDetail { pings: pings.collect(), monitor: monitor(scene, one) }
}
