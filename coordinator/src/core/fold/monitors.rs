//! Folding what is said of monitors, and what they say of themselves.

use landfall_proto::fact::coordinator::{MonitorRemoved, MonitorSet, PingKeySet, Pinged};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{MONITORS_MAX, PING_KEYS_MAX};

use crate::core::agenda::Matter;
use crate::core::mesh::Mesh;
use crate::core::monitor::{BODIES_KEPT_MAX, Monitor, PingKey, Taken};

impl Mesh {
    pub(super) fn monitor_set(&mut self, body: &MonitorSet) {
        let name = &body.monitor.name;
        let (spec, by) = (body.monitor.clone(), body.by.clone());
        let has_room = self.monitors.len() < MONITORS_MAX;
        match self.monitors.get_mut(name) {
            Some(known) => known.redefine(spec, body.set_at, by),
            None if has_room => {
                self.monitors.insert(name.clone(), Monitor::new(spec, body.set_at, by));
            }
            None => return,
        }
        self.monitor_changed(name.clone());
    }

    pub(super) fn monitor_removed(&mut self, body: &MonitorRemoved) {
        let Some(gone) = self.monitors.remove(&body.name) else { return };
        for taken in gone.with_bodies() {
            self.touched.bodies.insert(taken.ping.id, None);
        }
        self.monitor_changed(body.name.clone());
    }

    pub(super) fn ping_key_set(&mut self, body: &PingKeySet) {
        let label = &body.label;
        match &body.key {
            Some(key) if self.ping_keys.contains_key(label) || self.ping_keys.len() < PING_KEYS_MAX => {
                let (creates, set_at, set_by) = (body.creates, body.set_at, body.by.clone());
                self.ping_keys.insert(label.clone(), PingKey { key: key.clone(), creates, set_at, set_by });
            }
            Some(_) => return,
            None => drop(self.ping_keys.remove(label)),
        }
        self.touched.ping_keys.insert(label.clone());
    }

    /// A ping that repeats one that is known changes nothing.
    pub(super) fn pinged(&mut self, body: &Pinged) {
        let Some(monitor) = self.monitors.get_mut(&body.monitor).filter(|known| !known.knows(&body.ping, body.at))
        else {
            return;
        };
        let gone = monitor.take(&body.ping, body.at).filter(Taken::has_body);
        if !body.ping.body.is_empty() {
            self.touched.bodies.insert(body.ping.id, Some(body.ping.body.clone()));
        }
        for old in gone.iter().chain(monitor.with_bodies().nth(BODIES_KEPT_MAX)) {
            self.touched.bodies.insert(old.ping.id, None);
        }
        self.monitor_changed(body.monitor.clone());
    }

    fn monitor_changed(&mut self, name: RoutineName) {
        self.touched.monitors.insert(name);
        self.agenda.mark(Matter::Monitors);
    }
}
