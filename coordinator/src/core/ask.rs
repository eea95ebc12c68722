//! What operators ask for: start, cancel, retry, retire, set a limit. Each request becomes decisions, and is answered when they stand in the log.

use std::collections::BTreeSet;

use landfall_proto::control::{Problem, ProblemCode, Reply, Request};
use landfall_proto::fact::coordinator::{CancelAsked, CoordinatorFact, LimitSet, NodeRetired, OpenedBy, RunLost};
use landfall_proto::id::{CommandId, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::report::{Reason, TaskKind};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::decide::{NewRound, expected_of, opened};
use super::mesh::Mesh;
use super::monitor_ask;
use super::policy::Policy;
use super::run::{Run, Stage};
use super::step::{Effect, Step, Ticket};

/// Requests that wait for decisions on their way.
pub(super) const ASKS_MAX: usize = 1000;

/// Of the name of whoever asks so much is kept.
const NAME_CHARS_MAX: usize = 100;

/// What a request leads to: decisions, and the reply once they stand; without decisions the reply is given at once.
pub(super) type Answered = (Vec<CoordinatorFact>, Reply);

/// Which request opens a round, and who made it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: Uuid,
    by: &'a str,
}

/// Takes in a request; who does not lead, or does not see the log, cannot act on it.
pub(super) fn admit(mesh: &mut Mesh, ticket: Ticket, request: Request, effects: &mut Vec<Effect>) {
    if !mesh.leads() || !mesh.sees_the_log() {
        effects.push(Effect::Reply(ticket, lost_the_lead(mesh)));
    } else if mesh.process.asks.len() >= ASKS_MAX {
        let why = format!("{ASKS_MAX} requests are waiting already");
        effects.push(Effect::Reply(ticket, unknowable("the request was not taken", &why, "Ask again in a moment.")));
    } else {
        mesh.process.asks.push_back((ticket, request));
    }
}

/// Turns waiting requests into decisions, until one leads to some.
pub(super) fn answer(mesh: &mut Mesh, policy: &Policy, now: Timestamp, step: &mut Step) {
    while let Some((ticket, request)) = mesh.process.asks.pop_front() {
        if !mesh.leads() || !mesh.sees_the_log() {
            step.effects.push(Effect::Reply(ticket, lost_the_lead(mesh)));
            continue;
        }
        let (facts, reply) = act(mesh, policy, now, request);
        if facts.is_empty() {
            step.effects.push(Effect::Reply(ticket, reply));
            continue;
        }
        let last = facts.len() - 1;
        let mut reply = Some((ticket, reply));
        for (index, fact) in facts.into_iter().enumerate() {
            let reply = if index == last { reply.take() } else { None };
            mesh.hand_out(fact, reply, &mut step.facts);
        }
        return;
    }
}

/// The reply of a coordinator that does not lead.
pub(super) fn lost_the_lead(mesh: &Mesh) -> Reply {
    let why = match mesh.leader() {
        Some(_) if mesh.leads() => "it leads, but the bus does not show it the log at the moment".to_owned(),
        Some(leader) => format!("{} leads since {}", leader.holder, leader.claimed_at),
        None => "nobody leads yet".to_owned(),
    };
    unknowable("this coordinator cannot act", &why, "Ask again; the leader will answer.")
}

fn act(mesh: &Mesh, policy: &Policy, now: Timestamp, request: Request) -> Answered {
    match request {
        Request::Start { routine, nodes, task, request, by } => {
            let asked = Asked { request, by: &by };
            start(mesh, policy, now, &routine, nodes, task, asked)
        }
        Request::Cancel { id, by } => cancel(mesh, id, &by),
        Request::Retry { id, request, by } => retry(mesh, policy, now, id, Asked { request, by: &by }),
        Request::Retire { node, by } => retire(mesh, node, by),
        Request::SetLimit { name, value, by } => set_limit(mesh, name, value, by),
        Request::SetMonitor { monitor, replaces, by } => monitor_ask::set(mesh, now, monitor, replaces, &by),
        Request::RemoveMonitor { name, by } => monitor_ask::remove(mesh, name, &by),
        Request::SetPingKey { label, key, creates, by } => monitor_ask::set_key(mesh, now, label, key, creates, &by),
        Request::Status
        | Request::Rounds { .. }
        | Request::Round { .. }
        | Request::Runs { .. }
        | Request::Run { .. }
        | Request::Nodes { .. }
        | Request::Node { .. }
        | Request::Routines
        | Request::Routine { .. }
        | Request::Alerts { .. }
        | Request::Alert { .. }
        | Request::Limits
        | Request::Board { .. }
        | Request::Queue { .. }
        | Request::Trends { .. }
        | Request::Storages { .. }
        | Request::Rehearse { .. }
        | Request::Metrics
        | Request::Logs { .. }
        | Request::TestSink { .. }
        | Request::Monitors { .. }
        | Request::Monitor { .. }
        | Request::Ping { .. }
        | Request::Snapshot { .. } => {
            (Vec::new(), problem("nothing was done", "this request only reads", "Ask the read side."))
        }
    }
}

fn start(
    mesh: &Mesh,
    policy: &Policy,
    now: Timestamp,
    name: &RoutineName,
    nodes: Vec<NodeId>,
    task: TaskKind,
    asked: Asked<'_>,
) -> Answered {
    let round = RoundId(asked.request);
    if mesh.rounds.contains_key(&round) {
        return (Vec::new(), Reply::Opened { round });
    }
    let chosen = match chosen(mesh, name, &nodes) {
        Ok(chosen) => chosen,
        Err(refusal) => return (Vec::new(), *refusal),
    };
    let expected = chosen.iter().filter_map(|node| expected_of(mesh, node, name, round, task)).collect();
    let (opened_by, by) = (OpenedBy::Operator, Some(named(asked.by)));
    let new = NewRound { round, routine: name.clone(), task, slot: None, expected, opened_by, by };
    (opened(mesh, policy, now, new), Reply::Opened { round })
}

/// The nodes on which a start would expect a run: those that are named, else all that have the routine. What cannot be started
/// is refused.
pub(super) fn chosen(mesh: &Mesh, name: &RoutineName, nodes: &[NodeId]) -> Result<BTreeSet<NodeId>, Box<Reply>> {
    let known: Vec<&RoutineName> =
        mesh.routines.values().filter(|routine| !routine.nodes.is_empty()).map(|routine| &routine.name).collect();
    let Some(routine) = mesh.routines.get(name).filter(|routine| !routine.nodes.is_empty()) else {
        let names: Vec<String> = known.into_iter().map(ToString::to_string).collect();
        let fix = if names.is_empty() {
            "Put a plan on a node first.".to_owned()
        } else {
            format!("Routines that exist: {}.", names.join(", "))
        };
        let what = format!("{name} was not started");
        return Err(Box::new(problem(&what, "no node has announced a plan of this name", &fix)));
    };
    for node in nodes {
        if let Some(why) = why_not(mesh, node, name) {
            let able: Vec<String> = routine.nodes.iter().take(20).map(ToString::to_string).collect();
            let fix = format!("Nodes with this plan: {}.", able.join(", "));
            return Err(Box::new(problem(&format!("{name} was not started on {node}"), &why, &fix)));
        }
    }
    Ok(if nodes.is_empty() { routine.nodes.clone() } else { nodes.iter().cloned().collect() })
}

fn why_not(mesh: &Mesh, id: &NodeId, routine: &RoutineName) -> Option<String> {
    match mesh.nodes.get(id) {
        None => Some(format!("no node {id} is known")),
        Some(node) if node.is_retired() => Some(format!("{id} was retired")),
        Some(node) if !node.routines.contains_key(routine) => Some(format!("{id} has not announced this plan")),
        Some(_) => None,
    }
}

/// A name as it goes into the log.
pub(super) fn named(by: &str) -> String {
    by.chars().take(NAME_CHARS_MAX).collect()
}

/// `id` is a run's or a round's.
fn cancel(mesh: &Mesh, id: Uuid, by: &str) -> Answered {
    let what = format!("{id} was not cancelled");
    let runs: Vec<&Run> = match (mesh.runs.get(&RunId(id)), mesh.rounds.get(&RoundId(id))) {
        (Some(run), _) => vec![run],
        (None, Some(round)) => round.runs.iter().filter_map(|run| mesh.runs.get(run)).collect(),
        (None, None) => return (Vec::new(), unknown(&what)),
    };
    if let ([run], true) = (runs.as_slice(), runs.iter().all(|run| run.is_ended())) {
        let how = run.outcome().map_or("ended", |outcome| outcome.as_str());
        return (Vec::new(), problem(&what, &format!("it has ended already: {how}"), "Nothing has to be done."));
    }
    let open: Vec<&Run> = runs.into_iter().filter(|run| !run.is_ended()).collect();
    if open.is_empty() {
        return (Vec::new(), problem(&what, "every run of the round has ended already", "Nothing has to be done."));
    }
    let fresh: Vec<&Run> = open.iter().filter(|run| run.cancel.is_none()).copied().collect();
    let message = match open.as_slice() {
        [run] => format!("the run on {} is being cancelled", run.node),
        open => format!("{} runs are being cancelled", open.len()),
    };
    if fresh.is_empty() {
        return (Vec::new(), Reply::Done { message });
    }
    let fact = |run: &Run| {
        let command = CommandId::of("cancel", run.id.0, "");
        CoordinatorFact::from(CancelAsked { epoch: mesh.epoch(), run: run.id, command, by: named(by) })
    };
    (fresh.into_iter().map(fact).collect(), Reply::Done { message })
}

/// `id` is a run's, or a round's: then every node that is not good is tried again.
fn retry(mesh: &Mesh, policy: &Policy, now: Timestamp, id: Uuid, asked: Asked<'_>) -> Answered {
    let round = RoundId(asked.request);
    if mesh.rounds.contains_key(&round) {
        return (Vec::new(), Reply::Opened { round });
    }
    let what = format!("{id} was not tried again");
    let runs: Vec<&Run> = match (mesh.runs.get(&RunId(id)), mesh.rounds.get(&RoundId(id))) {
        (Some(run), _) => vec![run],
        (None, Some(round)) => {
            round.runs.iter().filter_map(|run| mesh.runs.get(run)).filter(|run| run.expected).collect()
        }
        (None, None) => return (Vec::new(), unknown(&what)),
    };
    // What the verdict has called missing may go on; the new run waits until it has ended or is given up.
    let is_judged = |run: &Run| mesh.rounds.get(&run.round).is_some_and(|round| round.verdict.is_some());
    if runs.iter().any(|run| !run.is_ended() && !is_judged(run)) {
        let fix = "Wait for the end or the round's deadline, or cancel it first.";
        return (Vec::new(), problem(&what, "not every run of it has ended, and its round is not over", fix));
    }
    let bad: Vec<&Run> = runs.into_iter().filter(|run| !run.is_good()).collect();
    let Some(first) = bad.first() else {
        return (Vec::new(), problem(&what, "it is good", "Start the routine if you want another backup."));
    };
    let (routine, task, of) = (first.routine.clone(), first.task, first.id);
    if let Some(why) = bad.iter().find_map(|run| why_not(mesh, &run.node, &routine)) {
        return (Vec::new(), problem(&what, &why, "Start the routine on the nodes that have its plan."));
    }
    // A node that is heard and does not work on it has forgotten it, or its result is on its way and counts when it comes.
    let lost = bad.iter().filter(|run| is_let_go(mesh, now, run)).map(|run| run.id);
    let lost = lost.map(|run| RunLost { epoch: mesh.epoch(), run, reason: Reason::NoReport }.into());
    let mut facts: Vec<CoordinatorFact> = lost.collect();
    let nodes: BTreeSet<&NodeId> = bad.iter().map(|run| &run.node).collect();
    let expected = nodes.into_iter().filter_map(|node| expected_of(mesh, node, &routine, round, task)).collect();
    let (opened_by, by) = (OpenedBy::Retry { of }, Some(named(asked.by)));
    let new = NewRound { round, routine, task, slot: None, expected, opened_by, by };
    facts.extend(opened(mesh, policy, now, new));
    (facts, Reply::Opened { round })
}

/// Whether a run that its node had taken on is no longer among those that the node's beat names.
fn is_let_go(mesh: &Mesh, now: Timestamp, run: &Run) -> bool {
    let was_taken_on = match run.stage {
        Stage::Running => true,
        Stage::Sent => run.sent.as_ref().is_some_and(|sent| sent.accepted),
        Stage::Queued | Stage::Ended => false,
    };
    let live = mesh.live.get(&run.node).filter(|live| live.is_heard(now));
    was_taken_on && live.is_some_and(|live| !live.runs.contains_key(&run.id))
}

fn retire(mesh: &Mesh, node: NodeId, by: String) -> Answered {
    match mesh.nodes.get(&node) {
        None => {
            let what = format!("{node} was not retired");
            (Vec::new(), problem(&what, "no node of this name is known", "List the nodes to see their names."))
        }
        Some(known) if known.is_retired() => {
            (Vec::new(), Reply::Done { message: format!("{node} was retired before") })
        }
        Some(_) => {
            let message =
                format!("{node} is retired; later rounds do not expect it, and it is back when it announces plans");
            let fact = NodeRetired { epoch: mesh.epoch(), node, by: named(&by) };
            (vec![fact.into()], Reply::Done { message })
        }
    }
}

fn set_limit(mesh: &Mesh, name: LimitName, value: u32, by: String) -> (Vec<CoordinatorFact>, Reply) {
    let message = match value {
        0 => format!("limit {name} is 0: nothing that counts against it starts until it is raised"),
        value => format!("limit {name} is {value}"),
    };
    let fact = LimitSet { epoch: mesh.epoch(), name, value, by: named(&by) };
    (vec![fact.into()], Reply::Done { message })
}

fn unknown(what: &str) -> Reply {
    problem(
        what,
        "no run or round of this id is in memory",
        "List runs and rounds to see their ids; old ones cannot be acted on.",
    )
}

/// Nothing was judged: whether it can be done is for another moment, or another coordinator.
fn unknowable(what: &str, why: &str, fix: &str) -> Reply {
    let problem = Problem { what: what.to_owned(), why: why.to_owned(), fix: fix.to_owned(), code: None };
    Reply::Refused(problem.coded(ProblemCode::Unknown))
}

pub(super) fn problem(what: &str, why: &str, fix: &str) -> Reply {
    Reply::Refused(Problem { what: what.to_owned(), why: why.to_owned(), fix: fix.to_owned(), code: None })
}
