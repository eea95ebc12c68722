//! "I am here", every five seconds, from a task of its own: a slow disk does not make a node look dead.

use landfall_proto::envelope::Epoch;
use landfall_proto::id::{Incarnation, RunId};
use landfall_proto::live::{BEAT_INTERVAL, BEAT_KIND, Beat, LiveRun};
use landfall_proto::report::{Progress, Vitals};
use landfall_proto::subject::Topic;
use landfall_proto::time::{Timestamp, between};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::bus::Port;
use super::clock;
use super::shell::{Inputs, Shell, Wake};
use super::vitals::{Gauge, Places};
use crate::core::Input;

/// What the loop last knew of its runs and its spool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) incarnation: Incarnation,
    pub(super) next_seq: u64,
    pub(super) outbox: u64,
    pub(super) live: Vec<LiveSince>,
    pub(super) paused: Option<String>,
    pub(super) epoch: Epoch,
    /// Whose space is looked at.
    pub(super) places: Places,
}

/// A run that is alive, and when it last moved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LiveSince {
    pub(super) run: RunId,
    pub(super) moved_at: Timestamp,
    pub(super) progress: Option<Progress>,
}

impl Shell {
    /// Shows the beat what there is to say.
    pub(super) fn stand(&mut self) {
        let live: Vec<LiveSince> = self
            .agent
            .live()
            .iter()
            .map(|(run, live)| LiveSince { run: *run, moved_at: live.moved_at, progress: live.progress.clone() })
            .collect();
        self.cancels.retain(|run, _| self.agent.live().contains_key(run));
        let standing = Standing {
            incarnation: self.spool.incarnation(),
            next_seq: self.spool.next_seq(),
            outbox: self.spool.outbox_len(),
            live,
            paused: self.agent.paused().map(str::to_owned),
            epoch: self.agent.epoch(),
            places: Places::clone(&self.places),
        };
        self.standing.send_replace(standing);
    }
}

/// Beats for ever, and at once where a leader is new. Where the node has rules for resting, the core hears of each look at the machine too.
pub(super) async fn beat(port: Option<Port>, standing: watch::Receiver<Standing>, pauses: Option<Inputs>) {
    let mut gauge = Gauge::default();
    let mut ticks = interval(BEAT_INTERVAL.as_std());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match &port {
            Some(port) => tokio::select! {
                _ = ticks.tick() => {}
                () = port.greet.notified() => {}
            },
            None => drop(ticks.tick().await),
        }
        let places = Places::clone(&standing.borrow().places);
        let vitals = gauge.sample(&places);
        if let Some(inputs) = &pauses {
            inputs.offer(Wake::Input(Input::Felt(vitals.clone())));
        }
        let Some(port) = &port else { continue };
        let beat = compose(port, &standing.borrow(), vitals, clock::now());
        port.tell(Topic::Beat(port.node.clone()), BEAT_KIND, &beat);
    }
}

fn compose(port: &Port, standing: &Standing, vitals: Vitals, now: Timestamp) -> Beat {
    let live = standing.live.iter().map(|live| LiveRun {
        run: live.run,
        idle_ms: between(live.moved_at, now).as_ms(),
        progress: live.progress.clone(),
    });
    Beat {
        node: port.node.clone(),
        incarnation: standing.incarnation,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        next_seq: standing.next_seq,
        outbox: standing.outbox,
        vitals,
        live: live.collect(),
        paused: standing.paused.clone(),
        sent_at: now,
        epoch: Some(standing.epoch),
    }
}
