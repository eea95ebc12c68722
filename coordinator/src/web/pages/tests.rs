//! Pages rendered from values: what hostile names cannot do, and what works without a script.

use std::collections::BTreeMap;

use landfall_proto::envelope::Epoch;
use landfall_proto::time::Timestamp;
use landfall_proto::view::StatusView;

/// A mesh that is well: led, seen, with three nodes; begun two hours ago.
pub(super) fn status(now: Timestamp) -> StatusView {
    StatusView {
        cluster: "home".to_owned(),
        version: "1".to_owned(),
        leader: Some("main".parse().unwrap()),
        epoch: Epoch::default(),
        log_seq: 10,
        lag: Some(0),
        bus_version: None,
        nodes: 3,
        nodes_online: 3,
        nodes_silent: Vec::new(),
        rounds_open: 0,
        runs_queued: 0,
        runs_running: 0,
        alerts_open: 0,
        routines: Vec::new(),
        refused: BTreeMap::new(),
        unknown_kinds: BTreeMap::new(),
        started_at: Timestamp::from_second(now.as_second() - 7200).unwrap(),
        leader_since: None,
        standbys: Vec::new(),
        last_pass_at: Some(now),
        watchdog: None,
        log_copies: None,
    }
}
