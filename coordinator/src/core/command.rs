//! Commands: sent when their decision stands in the log, sent again until they have done their work, harmless when doubled.

use landfall_proto::command::{Action, Answer, Command, Refused};
use landfall_proto::fact::coordinator::{Answered, COMMAND_LIFE, CoordinatorFact};
use landfall_proto::id::{CommandId, NodeId, RoundId, RunId};
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp, after};

use super::agenda::Matter;
use super::alert;
use super::mesh::Mesh;
use super::policy::Policy;
use super::run::Stage;
use super::step::{Effect, Fact};
use super::tell;
use super::together;

/// A command that may have to be sent again is looked at after this.
const RESEND_AFTER: Duration = Duration::from_secs(5);

/// After a request that nobody answered, the wait is shorter: the command itself may be lost.
const RESEND_UNANSWERED: Duration = Duration::from_secs(1);

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Start(RunId),
    Cancel(RunId),
    Witness(RoundId),
}

/// An own fact came back from the log: its effects follow. `counts` is false where another coordinator had taken over.
pub(super) fn landed(
    mesh: &mut Mesh,
    policy: &Policy,
    now: Timestamp,
    fact: Option<&Fact>,
    counts: bool,
    effects: &mut Vec<Effect>,
) {
    if let Some(flight) = mesh.process.flights.pop_front() {
        mesh.process.flights_blocking -= usize::from(flight.blocking);
        if let Some((ticket, reply)) = flight.reply {
            let reply = if counts { reply } else { super::ask::lost_the_lead(mesh) };
            effects.push(Effect::Reply(ticket, reply));
        }
    }
    let Some(Fact::Coordinator(_, fact)) = fact.filter(|_| counts) else { return };
    match fact {
        CoordinatorFact::LeaderClaimed(_) => effects.extend(alert::undelivered(mesh, policy).map(Effect::Notify)),
        CoordinatorFact::Dispatched(body) => begin(mesh, now, body.command, Purpose::Start(body.run), effects),
        CoordinatorFact::CancelAsked(body) => cancel(mesh, now, body.run, body.command, effects),
        CoordinatorFact::WitnessAsked(body) => begin(mesh, now, body.command, Purpose::Witness(body.round), effects),
        CoordinatorFact::AlertRaised(body) => {
            effects.extend(alert::notice(mesh, policy, body.alert.id).map(Effect::Notify))
        }
        CoordinatorFact::AlertResolved(body) => {
            effects.extend(alert::notice(mesh, policy, body.id).map(Effect::Notify));
            let ended = mesh.alerts.get(&body.id).map(|ended| together::uncovered(mesh, policy, ended));
            effects.extend(ended.into_iter().flatten().map(Effect::Notify));
        }
        CoordinatorFact::RoundConcluded(body) if body.part + 1 >= body.parts => {
            effects.extend(tell::success(mesh, policy, body.round).map(Effect::Notify))
        }
        CoordinatorFact::RoundOpened(_)
        | CoordinatorFact::Answered(_)
        | CoordinatorFact::RunLost(_)
        | CoordinatorFact::RoundConcluded(_)
        | CoordinatorFact::AlertDelivered(_)
        | CoordinatorFact::LimitSet(_)
        | CoordinatorFact::NodeRetired(_)
        | CoordinatorFact::MonitorSet(_)
        | CoordinatorFact::MonitorRemoved(_)
        | CoordinatorFact::PingKeySet(_)
        | CoordinatorFact::Pinged(_)
        | CoordinatorFact::SpaceSampled(_) => {}
    }
}

/// Sends what is due again, as long as it is wanted.
pub(super) fn again(mesh: &mut Mesh, now: Timestamp, effects: &mut Vec<Effect>) {
    for id in mesh.agenda.take_commands() {
        if let Some(purpose) = mesh.process.commands.get(&id).copied() {
            begin(mesh, now, id, purpose, effects);
        }
    }
}

/// Commands that wait for this node to be heard.
pub(super) fn for_node(mesh: &Mesh, node: &NodeId) -> Vec<CommandId> {
    let is_for = |id: &CommandId, purpose: &Purpose| match purpose {
        Purpose::Start(run) | Purpose::Cancel(run) => mesh.runs.get(run).is_some_and(|run| run.node == *node),
        Purpose::Witness(round) => mesh
            .rounds
            .get(round)
            .is_some_and(|round| round.asks.iter().any(|ask| ask.asked.command == *id && ask.asked.witness == *node)),
    };
    mesh.process.commands.iter().filter(|(id, purpose)| is_for(id, purpose)).map(|(id, _)| *id).collect()
}

/// Takes in an answer. No answer says nothing about the command: it is sent again while it is wanted.
pub(super) fn answered(
    mesh: &mut Mesh,
    now: Timestamp,
    id: CommandId,
    answer: Option<Answer>,
    facts: &mut Vec<CoordinatorFact>,
) {
    let Some(purpose) = mesh.process.commands.get(&id).copied() else { return };
    let Some(answer) = answer else {
        mesh.agenda.wake(Matter::Command(id), Some(after(now, RESEND_UNANSWERED)));
        return;
    };
    if matches!(answer, Answer::Refused { reason: Refused::StaleEpoch, .. }) {
        // The node has obeyed another leader of this epoch or of a later one, which the log has lost or this process has not
        // read. The command is not refused for what it asks: it is repeated under a higher epoch.
        mesh.process.is_outranked |= mesh.leads() && mesh.process.sent_under.get(&id) == Some(&mesh.epoch());
        mesh.agenda.wake(Matter::Command(id), Some(after(now, RESEND_UNANSWERED)));
        return;
    }
    mesh.process.outranked = 0;
    match purpose {
        // A cancel is repeated until the run's end stands in the log, whatever its answer.
        Purpose::Cancel(_) => {}
        Purpose::Start(run) => {
            forget(mesh, id);
            start_answered(mesh, id, run, answer, facts);
        }
        Purpose::Witness(round) => {
            forget(mesh, id);
            if matches!(answer, Answer::Refused { .. }) {
                // Nobody waits for it once the verdict has fallen.
                if mesh.rounds.get(&round).is_some_and(|round| round.verdict.is_none()) {
                    mesh.process.refused_witnesses.insert(id);
                }
                mesh.agenda.mark(Matter::Round(round));
            }
        }
    }
}

fn start_answered(mesh: &mut Mesh, id: CommandId, run: RunId, answer: Answer, facts: &mut Vec<CoordinatorFact>) {
    let is_current = mesh
        .runs
        .get(&run)
        .is_some_and(|run| run.stage == Stage::Sent && run.sent.as_ref().is_some_and(|sent| sent.command == id));
    if !is_current || !mesh.leads() {
        return;
    }
    let (refused, message) = match answer {
        Answer::Accepted | Answer::AlreadyDone | Answer::Log { .. } => (None, String::new()),
        Answer::Refused { reason: Refused::NoSpace, message } => (Some(Reason::NoSpace), message),
        Answer::Refused { reason, message } if reason.is_temporary() => (Some(Reason::Busy), message),
        Answer::Refused { reason, message } => (Some(reason.reason()), message),
    };
    let message = message.chars().take(1000).collect();
    let fact = Answered { epoch: mesh.epoch(), run, command: id, refused, message };
    mesh.note(fact.into(), facts);
}

fn begin(mesh: &mut Mesh, now: Timestamp, id: CommandId, purpose: Purpose, effects: &mut Vec<Effect>) {
    let Some((node, not_after, action)) = wanted(mesh, now, id, purpose) else {
        forget(mesh, id);
        return;
    };
    mesh.process.commands.insert(id, purpose);
    mesh.agenda.wake(Matter::Command(id), Some(after(now, RESEND_AFTER)));
    if mesh.is_online(&node, now) {
        mesh.process.sent_under.insert(id, mesh.epoch());
        effects.push(command(mesh, now, id, node, not_after, action));
    }
}

/// A cancel for a queued run goes to its node once, so that the node's own schedule does not start it either.
fn cancel(mesh: &mut Mesh, now: Timestamp, run: RunId, id: CommandId, effects: &mut Vec<Effect>) {
    let Some(known) = mesh.runs.get(&run) else { return };
    if known.is_ended() {
        let node = known.node.clone();
        let not_after = after(now, COMMAND_LIFE);
        if mesh.is_online(&node, now) {
            effects.push(command(mesh, now, id, node, not_after, Action::Cancel { run }));
        }
        return;
    }
    begin(mesh, now, id, Purpose::Cancel(run), effects);
}

/// What the command says, as long as it has something to do.
fn wanted(mesh: &Mesh, now: Timestamp, id: CommandId, purpose: Purpose) -> Option<(NodeId, Timestamp, Action)> {
    match purpose {
        Purpose::Start(run) => {
            let run = mesh.runs.get(&run).filter(|run| run.stage == Stage::Sent && run.cancel.is_none())?;
            let sent = run.sent.as_ref().filter(|sent| sent.command == id && !sent.accepted && now < sent.not_after)?;
            let (round, routine, slot, task) = (run.round, run.routine.clone(), run.slot, run.task);
            Some((run.node.clone(), sent.not_after, Action::Start { run: run.id, round, routine, slot, task }))
        }
        Purpose::Cancel(run) => {
            let run = mesh.runs.get(&run).filter(|run| !run.is_ended() && run.cancel.is_some())?;
            Some((run.node.clone(), after(now, COMMAND_LIFE), Action::Cancel { run: run.id }))
        }
        Purpose::Witness(round) => {
            let ask =
                mesh.rounds.get(&round)?.asks.iter().find(|ask| ask.asked.command == id && ask.answer.is_none())?;
            let asked = &ask.asked;
            let action = Action::Witness { round, repository: asked.repository.clone(), runs: asked.runs.clone() };
            (now < asked.not_after).then(|| (asked.witness.clone(), asked.not_after, action))
        }
    }
}

fn command(mesh: &Mesh, now: Timestamp, id: CommandId, node: NodeId, not_after: Timestamp, action: Action) -> Effect {
    let command = Command {
        id,
        audience: node.clone(),
        holder: mesh.me.holder.clone(),
        epoch: mesh.epoch(),
        issued_at: now,
        not_after,
        action,
    };
    Effect::Command(node, command)
}

fn forget(mesh: &mut Mesh, id: CommandId) {
    mesh.process.commands.remove(&id);
    mesh.process.sent_under.remove(&id);
    mesh.agenda.wake(Matter::Command(id), None);
}
