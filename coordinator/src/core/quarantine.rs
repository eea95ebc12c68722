//! Nodes whose word cannot be trusted for now: two machines speak in their name, or their journal was set back.

use landfall_proto::alert::{Alert, AlertKey};
use landfall_proto::id::NodeId;

use super::mesh::Mesh;
use super::policy::AlertKind;

impl Mesh {
    /// Why nothing is sent to a node and nothing it reports counts as good; `None` where all is well. It follows from the log
    /// alone, so that every coordinator says the same: a conflict that the log itself shows, and an open alert about one that
    /// only beats showed.
    pub fn quarantine(&self, id: &NodeId) -> Option<&str> {
        if self.index.quarantined.contains(id) {
            let key = AlertKey(format!("{}/{id}", AlertKind::Conflict.as_str()));
            return Some(self.open_alert(&key).map_or("it is in conflict with itself", |record| &record.alert.title));
        }
        let conflict = self.nodes.get(id)?.conflict;
        conflict.map(|_| "another content came under the identity of an earlier fact")
    }
}

/// The node that an alert puts into quarantine.
pub(super) fn quarantined_by(alert: &Alert) -> Option<&NodeId> {
    let is_conflict = alert.key.0.split('/').next() == Some(AlertKind::Conflict.as_str());
    alert.nodes.first().filter(|_| is_conflict)
}
