//! Pings on their way in: each finds its monitor, becomes a fact, and is answered once that stands in the log.

use landfall_proto::control::{Problem, ProblemCode, Reply};
use landfall_proto::fact::coordinator::{CoordinatorFact, MonitorSet, Pinged};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{
    BODY_KEPT_BYTES_MAX, KeyHash, MONITORS_MAX, MonitorSpec, Ping, PingAnswer, PingTo, Slug, WORD_BYTES_MAX,
};
use landfall_proto::time::Timestamp;

use super::ask::lost_the_lead;
use super::mesh::{Flight, Mesh};
use super::monitor::Monitor;
use super::step::{Effect, Step, Ticket};

/// Pings that may be on their way through the log at once. They decide nothing, so that decisions need not wait for them.
const UNDER_WAY_MAX: usize = 256;

/// Who a monitor is said to be made by that a ping made.
const MADE_BY: &str = "its first ping";

/// Takes a ping in. Only the leader does, so that the log says in which order they came.
pub(super) fn admit(mesh: &mut Mesh, now: Timestamp, ticket: Ticket, to: &PingTo, ping: Ping, step: &mut Step) {
    if !mesh.leads() || !mesh.sees_the_log() {
        step.effects.push(Effect::Reply(ticket, lost_the_lead(mesh)));
        return;
    }
    if mesh.answers_under_way() >= UNDER_WAY_MAX {
        let problem = Problem {
            what: "the ping was not taken".to_owned(),
            why: format!("{UNDER_WAY_MAX} pings wait for the log already"),
            fix: "send it again in a moment".to_owned(),
            code: Some(ProblemCode::Unknown),
        };
        step.effects.push(Effect::Reply(ticket, Reply::Refused(problem)));
        return;
    }
    match find(mesh, to) {
        Found::One(name) => {
            let name = name.clone();
            if mesh.monitors.get(&name).is_some_and(|monitor| monitor.knows(&ping, now)) {
                step.effects.push(Effect::Reply(ticket, Reply::Pinged(PingAnswer::Taken)));
            } else {
                note(mesh, now, ticket, name, ping, PingAnswer::Taken, &mut step.facts);
            }
        }
        Found::Creatable(name, slug) => {
            let monitor = MonitorSpec::created(name.clone(), slug);
            let fact = MonitorSet { epoch: mesh.epoch(), monitor, set_at: now, by: MADE_BY.to_owned() };
            mesh.note(fact.into(), &mut step.facts);
            note(mesh, now, ticket, name, ping, PingAnswer::Created, &mut step.facts);
        }
        Found::None(answer) => step.effects.push(Effect::Reply(ticket, Reply::Pinged(answer))),
    }
}

enum Found<'a> {
    One(&'a RoutineName),
    Creatable(RoutineName, Slug),
    None(PingAnswer),
}

fn find<'a>(mesh: &'a Mesh, to: &PingTo) -> Found<'a> {
    match to {
        PingTo::Key { key } => {
            let mut with_key = mesh.monitors.values().filter(|monitor| monitor.spec.key.as_ref() == Some(key));
            with_key.next().map_or(Found::None(PingAnswer::NotFound), |monitor| Found::One(&monitor.spec.name))
        }
        PingTo::Slug { key, slug, create } => by_slug(mesh, key, slug, *create),
    }
}

fn by_slug<'a>(mesh: &'a Mesh, key: &KeyHash, slug: &Slug, create: bool) -> Found<'a> {
    let Some(known) = mesh.ping_keys.values().find(|known| known.key == *key) else {
        return Found::None(PingAnswer::NotFound);
    };
    let with_slug: Vec<&Monitor> = mesh.monitors.values().filter(|monitor| monitor.spec.slug == *slug).collect();
    match (with_slug.as_slice(), slug.as_str().parse::<RoutineName>()) {
        ([one], _) => Found::One(&one.spec.name),
        ([_, ..], _) => Found::None(PingAnswer::Ambiguous),
        ([], Ok(name)) if create && known.creates => {
            if mesh.monitors.len() >= MONITORS_MAX {
                Found::None(PingAnswer::Full)
            } else if mesh.monitors.contains_key(&name) || mesh.routines.contains_key(&name) {
                // The name is taken by something that this slug does not reach.
                Found::None(PingAnswer::Ambiguous)
            } else {
                Found::Creatable(name, slug.clone())
            }
        }
        ([], _) => Found::None(PingAnswer::NotFound),
    }
}

impl Mesh {
    /// Pings that are on their way through the log.
    fn answers_under_way(&self) -> usize {
        self.process.flights.iter().filter(|flight| !flight.blocking && flight.reply.is_some()).count()
    }

    /// Hands out a fact that only notes what happened, and the answer for whoever waits until it stands.
    fn note_and_reply(&mut self, fact: CoordinatorFact, reply: (Ticket, Reply), facts: &mut Vec<CoordinatorFact>) {
        self.process.flights.push_back(Flight { blocking: false, reply: Some(reply) });
        facts.push(fact);
    }
}

fn note(
    mesh: &mut Mesh,
    at: Timestamp,
    ticket: Ticket,
    monitor: RoutineName,
    ping: Ping,
    answer: PingAnswer,
    facts: &mut Vec<CoordinatorFact>,
) {
    let fact = Pinged { epoch: mesh.epoch(), monitor, at, ping: bounded(ping) };
    mesh.note_and_reply(fact.into(), (ticket, Reply::Pinged(answer)), facts);
}

/// The door bounds what it takes in; what comes from elsewhere is bounded here.
fn bounded(ping: Ping) -> Ping {
    let cut = |mut text: String, max: usize| {
        text.truncate(text.floor_char_boundary(max));
        text
    };
    let mut said = ping.said;
    said.error = said.error.map(|error| cut(error, WORD_BYTES_MAX));
    let from = ping.body.ceil_char_boundary(ping.body.len().saturating_sub(BODY_KEPT_BYTES_MAX));
    Ping {
        from: cut(ping.from, WORD_BYTES_MAX),
        method: cut(ping.method, WORD_BYTES_MAX),
        agent: cut(ping.agent, WORD_BYTES_MAX),
        body: ping.body[from..].to_owned(),
        said,
        ..ping
    }
}
