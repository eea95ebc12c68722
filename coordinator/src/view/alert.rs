//! One alert as people see it, with what became of its notices.

use landfall_proto::view::AlertView;

use crate::core::record::AlertRecord;
use crate::core::{Mesh, together};

pub fn alert(mesh: &Mesh, record: &AlertRecord) -> AlertView {
    AlertView {
        alert: record.alert.clone(),
        open: record.resolved.is_none(),
        raised_at: record.raised_at,
        resolved_at: record.resolved.as_ref().map(|resolved| resolved.at),
        deliveries: record.deliveries.clone(),
        covered_by: together::covered_by(mesh, record).map(|cover| cover.alert.key.clone()),
    }
}
