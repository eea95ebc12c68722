//! Folding what coordinators decide about leadership and alerts.

use landfall_proto::envelope::{Envelope, Epoch};
use landfall_proto::fact::coordinator::{AlertDelivered, AlertRaised, AlertResolved, CoordinatorFact, LeaderClaimed};
use landfall_proto::id::Holder;
use landfall_proto::time::Timestamp;

use crate::core::agenda::Matter;
use crate::core::alert::matter_of;
use crate::core::mesh::Mesh;
use crate::core::quarantine::quarantined_by;
use crate::core::record::{AlertRecord, Leader, Resolved};

/// Resolved alerts that are kept in memory.
pub(in crate::core) const RESOLVED_MAX: usize = 1000;

impl Mesh {
    /// The first claim of the next term wins, and the first one of a later era.
    pub(super) fn leader_claimed(
        &mut self,
        holder: &Holder,
        claim: &LeaderClaimed,
        envelope: &Envelope,
        now: Timestamp,
    ) -> bool {
        let Epoch { era, term } = self.meta.epoch;
        let is_next_term = claim.epoch == Epoch { era, term: term + 1 };
        let begins_era = claim.epoch.era > era && claim.epoch.term == 1 && claim.log.is_some();
        if !(is_next_term || begins_era) || *holder != claim.holder {
            return false;
        }
        let (incarnation, epoch) = (envelope.incarnation, claim.epoch);
        self.meta.epoch = epoch;
        self.meta.leader = Some(Leader { holder: holder.clone(), incarnation, epoch, claimed_at: envelope.sent_at });
        self.touched.meta = true;
        if begins_era {
            self.era_begun(claim);
        }
        self.process.leading_since = None;
        self.process.leader_ended_at = None;
        self.process.outranked += u32::from(std::mem::take(&mut self.process.is_outranked));
        if self.leads() {
            self.process.leading_since = Some(now);
            self.mark_everything();
        } else {
            self.process.other_led_at = Some(now);
        }
        true
    }

    /// Whether this writer leads in the epoch that its decision names.
    pub(super) fn decides(&self, holder: &Holder, fact: &CoordinatorFact, envelope: &Envelope) -> bool {
        self.meta.leader.as_ref().is_some_and(|leader| {
            leader.holder == *holder
                && leader.incarnation == envelope.incarnation
                && Some(leader.epoch) == epoch_of(fact)
        })
    }

    pub(super) fn alert_raised(&mut self, body: &AlertRaised) {
        let id = body.alert.id;
        if self.index.open_alerts.contains_key(&body.alert.key) || self.alerts.contains_key(&id) {
            return;
        }
        let record = AlertRecord {
            alert: body.alert.clone(),
            raised_at: body.raised_at,
            resolved: None,
            deliveries: Vec::new(),
        };
        self.index_alert(&record);
        self.alerts.insert(id, record);
        self.touched.alerts.insert(id);
    }

    pub(super) fn alert_resolved(&mut self, body: &AlertResolved) {
        let Some(record) = self.alerts.get_mut(&body.id).filter(|record| record.resolved.is_none()) else { return };
        record.resolved = Some(Resolved { at: body.resolved_at, why: body.why.clone() });
        let matter = matter_of(&record.alert);
        if let Some(node) = quarantined_by(&record.alert) {
            self.index.quarantined.remove(node);
            self.agenda.mark(Matter::Queue);
        }
        self.index.open_alerts.remove(&record.alert.key);
        if let Some(keys) = self.index.alerts_about.get_mut(&matter) {
            keys.remove(&record.alert.key);
            if keys.is_empty() {
                self.index.alerts_about.remove(&matter);
            }
        }
        self.index.resolved_alerts.insert((body.resolved_at, body.id));
        self.touched.alerts.insert(body.id);
        self.agenda.mark(matter);
        while self.index.resolved_alerts.len() > RESOLVED_MAX
            && let Some((_, oldest)) = self.index.resolved_alerts.pop_first()
        {
            if let Some(record) = self.alerts.remove(&oldest)
                && self.touched.alerts.remove(&oldest)
            {
                self.touched.forgotten.alerts.insert(oldest, record);
            }
            self.touched.forgotten.forgotten_alerts.insert(oldest);
        }
    }

    pub(super) fn alert_delivered(&mut self, body: &AlertDelivered) {
        let Some(record) = self.alerts.get_mut(&body.id) else { return };
        let known = record.deliveries.iter_mut().find(|done| done.sink == body.sink && done.resolved == body.resolved);
        match known {
            Some(done) if done.reminder >= body.reminder => return,
            // Of the reminders the last one counts; the log has them all.
            Some(done) => *done = body.clone(),
            None => record.deliveries.push(body.clone()),
        }
        self.touched.alerts.insert(body.id);
        self.agenda.mark(Matter::Reminder(body.id));
    }

    pub(super) fn index_alert(&mut self, record: &AlertRecord) {
        let key = record.alert.key.clone();
        if let Some(resolved) = &record.resolved {
            self.index.resolved_alerts.insert((resolved.at, record.alert.id));
            return;
        }
        self.index.alerts_about.entry(matter_of(&record.alert)).or_default().insert(key.clone());
        if let Some(node) = quarantined_by(&record.alert) {
            self.index.quarantined.insert(node.clone());
        }
        self.index.open_alerts.insert(key, record.alert.id);
    }
}

/// The epoch under which something was decided; a claim is what makes an epoch.
const fn epoch_of(fact: &CoordinatorFact) -> Option<Epoch> {
    match fact {
        CoordinatorFact::LeaderClaimed(_) => None,
        CoordinatorFact::RoundOpened(body) => Some(body.epoch),
        CoordinatorFact::Dispatched(body) => Some(body.epoch),
        CoordinatorFact::Answered(body) => Some(body.epoch),
        CoordinatorFact::CancelAsked(body) => Some(body.epoch),
        CoordinatorFact::RunLost(body) => Some(body.epoch),
        CoordinatorFact::WitnessAsked(body) => Some(body.epoch),
        CoordinatorFact::RoundConcluded(body) => Some(body.epoch),
        CoordinatorFact::AlertRaised(body) => Some(body.epoch),
        CoordinatorFact::AlertResolved(body) => Some(body.epoch),
        CoordinatorFact::AlertDelivered(body) => Some(body.epoch),
        CoordinatorFact::LimitSet(body) => Some(body.epoch),
        CoordinatorFact::NodeRetired(body) => Some(body.epoch),
        CoordinatorFact::MonitorSet(body) => Some(body.epoch),
        CoordinatorFact::MonitorRemoved(body) => Some(body.epoch),
        CoordinatorFact::PingKeySet(body) => Some(body.epoch),
        CoordinatorFact::Pinged(body) => Some(body.epoch),
        CoordinatorFact::SpaceSampled(body) => Some(body.epoch),
    }
}
