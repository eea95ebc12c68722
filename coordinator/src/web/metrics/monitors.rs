//! Figures of monitors: how each stands, when it was heard, and when it is missed.

use landfall_proto::metrics::MetricsView;
use landfall_proto::monitor::{MonitorState, MonitorView};

use super::families::{Family, Value, at, seconds, whole};

const MONITOR: &[&str] = &["monitor"];

pub(super) fn monitors(view: &MetricsView) -> Vec<Family<'_>> {
    let gauge = |name, help, value: fn(&MonitorView) -> Option<Value>| {
        Family::gauge(name, help, MONITOR)
            .each(view.monitors.iter().map(move |monitor| ([monitor.spec.name.as_str()], value(monitor))))
    };
    let states = view.monitors.iter().flat_map(|monitor| {
        MonitorState::ALL
            .into_iter()
            .map(|state| ([monitor.spec.name.as_str(), state.as_str()], whole((monitor.state == state).into())))
    });
    vec![
        Family::gauge("landfall_monitor_state", "How a monitor stands: 1 for its state.", &["monitor", "state"])
            .each(states),
        gauge("landfall_monitor_running", "Whether a monitor says that a run is under way.", |it| {
            whole(it.running.is_some().into())
        }),
        gauge("landfall_monitor_last_ping_timestamp_seconds", "When a monitor last told of an end.", |it| {
            it.last_ping_at.and_then(at)
        }),
        gauge("landfall_monitor_last_success_timestamp_seconds", "When a monitor last told of a good end.", |it| {
            it.last_good_at.and_then(at)
        }),
        gauge("landfall_monitor_overdue_timestamp_seconds", "When a monitor is missed if nothing comes.", |it| {
            it.overdue_at.and_then(at)
        }),
        gauge(
            "landfall_monitor_failures_since_success",
            "Failures that a monitor told of since its last good end.",
            |it| whole(it.failures_since_good.into()),
        ),
        gauge("landfall_monitor_last_duration_seconds", "How long the run took that ended last.", |it| {
            it.last_duration_ms.map(seconds)
        }),
    ]
}
