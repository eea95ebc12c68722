//! When this node would rather not start anything: its own limit is full, or its rules say that it must rest.

use landfall_proto::report::Vitals;
use serde::{Deserialize, Serialize};

/// Conditions under which nothing is started except by a person on the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PauseRules {
    /// Rest while the machine runs on battery.
    pub on_battery: bool,
    /// Rest while the one-minute load average per processor is above this.
    pub load_max: Option<f64>,
    /// Rest while less memory is available, in bytes.
    pub memory_available_min_bytes: Option<u64>,
}

/// Why nothing is started at this moment, as a sentence; `None` where nothing stands against it.
pub fn pause_reason(rules: &PauseRules, vitals: &Vitals) -> Option<String> {
    if rules.on_battery && vitals.on_battery == Some(true) {
        return Some("the machine runs on battery".to_owned());
    }
    if let Some(max) = rules.load_max.filter(|max| vitals.load_per_cpu > *max) {
        return Some(format!("the load per processor is {:.1}, above {max:.1}", vitals.load_per_cpu));
    }
    let memory = rules.memory_available_min_bytes.filter(|min| vitals.memory_available_bytes < *min)?;
    Some(format!(
        "only {} MiB of memory are available; {} MiB are wanted",
        vitals.memory_available_bytes >> 20,
        memory >> 20
    ))
}

/// Whether one more run fits beside `live` others.
pub(super) fn has_room(live: usize, parallel: u32) -> bool {
    u32::try_from(live).unwrap_or(u32::MAX) < parallel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_rests_only_for_the_reasons_it_was_given() {
        let tired =
            Vitals { load_per_cpu: 9.0, on_battery: Some(true), memory_available_bytes: 1 << 20, ..Vitals::default() };
        assert_eq!(pause_reason(&PauseRules::default(), &tired), None);
        let battery = PauseRules { on_battery: true, ..PauseRules::default() };
        assert!(pause_reason(&battery, &tired).unwrap().contains("battery"));
        assert_eq!(pause_reason(&battery, &Vitals { on_battery: None, ..tired.clone() }), None);
        let load = PauseRules { load_max: Some(4.0), ..PauseRules::default() };
        assert!(pause_reason(&load, &tired).unwrap().contains("9.0"));
        let memory = PauseRules { memory_available_min_bytes: Some(64 << 20), ..PauseRules::default() };
        assert!(pause_reason(&memory, &tired).unwrap().contains("64 MiB"));
    }
}
