//! Commands of the leader and wishes of a person on the node: each is checked, answered, and at most once obeyed.

use landfall_proto::command::{Action, Answer, Command, Refused};
use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::{RoundId, RoutineName, RunId};
use landfall_proto::report::{TaskKind, Trigger};
use landfall_proto::time::Timestamp;

use super::epoch::Fence;
use super::limits::has_room;
use super::memory::Change;
use super::start::{begin, was_missed};
use super::step::{Agent, Ask, Effect, Step, Ticket, WitnessTask};

/// Witness commands that are remembered, so that one that comes again is not carried out again. A leader repeats one within
/// seconds, and has a handful of them under way.
const LOOKED_MAX: usize = 256;

/// The answer where nothing can be written down, and so nothing begun: a refusal needs no record.
pub fn without_room(agent: &Agent, now: Timestamp, command: &Command) -> Answer {
    let no_room =
        || (Refused::NoSpace, "the disk of the agent's state is full; nothing is begun until there is room".to_owned());
    let (reason, message) = objection(agent, now, command).unwrap_or_else(no_room);
    Answer::Refused { reason, message }
}

/// Obeys or refuses a command whose signature fits.
pub(super) fn obey(agent: &mut Agent, now: Timestamp, ticket: Ticket, command: Command, out: &mut Step) {
    if let Some((reason, message)) = objection(agent, now, &command) {
        return refuse(ticket, reason, message, out);
    }
    let mut fence = agent.memory.fence.clone();
    if fence.raise(command.epoch, &command.holder) {
        agent.change(Change::Fence(fence), out);
    }
    match command.action {
        Action::Start { run, round, routine, slot, task } => {
            if run != RunId::of(round, &agent.rules.node, task) {
                return refuse(ticket, Refused::Malformed, "the run does not follow from its round".to_owned(), out);
            }
            let wish = Wish { round, routine, slot, task, trigger: Trigger::Dispatched };
            start(agent, now, ticket, wish, out);
        }
        Action::Cancel { run } => cancel(agent, ticket, run, out),
        Action::Witness { .. } if agent.looked.contains(&command.id) => {
            out.effects.push(Effect::Answer(ticket, Answer::Accepted));
        }
        Action::Witness { round, repository, runs } => {
            let Some(entry) = agent.catalog.witness_of(&repository, &agent.memory.repositories).cloned() else {
                return refuse(
                    ticket,
                    Refused::NoPlan,
                    format!("no target of this node is known to hold repository {repository}"),
                    out,
                );
            };
            agent.looked.push_back(command.id);
            if agent.looked.len() > LOOKED_MAX {
                agent.looked.pop_front();
            }
            out.effects.push(Effect::Answer(ticket, Answer::Accepted));
            out.effects.push(Effect::Witness(Box::new(WitnessTask {
                command: command.id,
                round,
                repository,
                runs,
                entry,
            })));
        }
        Action::ReadLog { run, offset } => out.effects.push(Effect::ReadLog { ticket, run, offset }),
    }
}

/// Does what a person on the node wants. Neither pause rules nor a leader's queue stand against it.
pub(super) fn serve(agent: &mut Agent, now: Timestamp, ticket: Ticket, ask: Ask, out: &mut Step) {
    match ask {
        Ask::Start { routine, task, round } => {
            let wish = Wish { round, routine, slot: None, task, trigger: Trigger::Hand };
            start(agent, now, ticket, wish, out);
        }
        Ask::Cancel { run } => cancel(agent, ticket, run, out),
    }
}

struct Wish {
    round: RoundId,
    routine: RoutineName,
    slot: Option<Timestamp>,
    task: TaskKind,
    trigger: Trigger,
}

fn objection(agent: &Agent, now: Timestamp, command: &Command) -> Option<(Refused, String)> {
    if command.audience != agent.rules.node {
        return Some((Refused::WrongAudience, format!("the command is for {}", command.audience)));
    }
    if now > command.not_after {
        return Some((
            Refused::Expired,
            format!("the command was good until {}; this node's clock says {now}", command.not_after),
        ));
    }
    if !agent.memory.fence.admits(command.epoch, &command.holder) {
        let Fence { epoch, holder } = &agent.memory.fence;
        let holder = holder.as_ref().map_or("nobody", |holder| holder.as_str());
        return Some((Refused::StaleEpoch, format!("term {} of {holder} has been seen", epoch.term)));
    }
    None
}

fn start(agent: &mut Agent, now: Timestamp, ticket: Ticket, wish: Wish, out: &mut Step) {
    let run = RunId::of(wish.round, &agent.rules.node, wish.task);
    if agent.memory.journal.has_ended(run) {
        return out.effects.push(Effect::Answer(ticket, Answer::AlreadyDone));
    }
    if agent.memory.journal.knows(run) {
        return out.effects.push(Effect::Answer(ticket, Answer::Accepted));
    }
    let Some(entry) = agent.catalog.plans.get(&wish.routine).cloned() else {
        let message = no_plan(agent, &wish.routine);
        return refuse(ticket, Refused::NoPlan, message, out);
    };
    let busy = too_busy(agent, &wish);
    let about = RunAbout {
        run,
        round: wish.round,
        routine: wish.routine,
        slot: wish.slot,
        task: wish.task,
        trigger: wish.trigger,
        plan_hash: entry.plan.hash(),
        repository: entry.repository(&agent.memory.repositories).cloned(),
    };
    if was_missed(agent, now, &about, out) {
        return out.effects.push(Effect::Answer(ticket, Answer::AlreadyDone));
    }
    if let Some(message) = busy {
        return refuse(ticket, Refused::Busy, message, out);
    }
    begin(agent, now, about, entry, 1, now, out);
    out.effects.push(Effect::Answer(ticket, Answer::Accepted));
}

fn too_busy(agent: &Agent, wish: &Wish) -> Option<String> {
    if agent.is_draining {
        return Some("the agent is about to stop".to_owned());
    }
    if wish.trigger != Trigger::Hand
        && let Some(pause) = &agent.pause
    {
        return Some(pause.clone());
    }
    if !has_room(agent.live.len(), agent.rules.parallel) {
        let names: Vec<String> =
            agent.live.values().map(|live| format!("{} of {}", live.about.task, live.about.routine)).collect();
        return Some(format!("under way: {}", names.join(", ")));
    }
    let same = agent.live.values().any(|live| live.about.routine == wish.routine && live.about.task == wish.task);
    same.then(|| format!("the {} of {} is still under way", wish.task, wish.routine))
}

fn no_plan(agent: &Agent, routine: &RoutineName) -> String {
    let broken: Vec<&str> = agent.catalog.broken.iter().map(|broken| broken.file.as_str()).collect();
    if broken.is_empty() {
        format!("this node has no plan {routine}")
    } else {
        format!("this node has no plan {routine} that can be read; broken: {}", broken.join(", "))
    }
}

fn cancel(agent: &mut Agent, ticket: Ticket, run: RunId, out: &mut Step) {
    if let Some(live) = agent.live.get_mut(&run) {
        live.is_stopping = true;
        out.effects.push(Effect::Stop(run));
        out.effects.push(Effect::Answer(ticket, Answer::Accepted));
    } else if agent.memory.journal.has_ended(run) {
        out.effects.push(Effect::Answer(ticket, Answer::AlreadyDone));
    } else {
        refuse(ticket, Refused::NoRun, format!("this node has no run {run}"), out);
    }
}

fn refuse(ticket: Ticket, reason: Refused, message: String, out: &mut Step) {
    out.effects.push(Effect::Answer(ticket, Answer::Refused { reason, message }));
}
