//! Runs that were sent, and runs that outlive their round: silence alone never fails them.

use landfall_proto::fact::coordinator::{Answered, CoordinatorFact, RunLost};
use landfall_proto::id::RunId;
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp, after};

use super::Look;
use super::rounds::reason_at_deadline;
use crate::core::mesh::Mesh;
use crate::core::run::{Run, Sent, Stage};

/// A run that outlives its round, and a command whose time is over, are looked at again after this.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn look(mesh: &Mesh, now: Timestamp, id: RunId) -> Look {
    let Some(run) = mesh.runs.get(&id).filter(|run| run.is_active()) else { return Look::default() };
    let round = mesh.rounds.get(&run.round);
    let deadline = round.map(|round| round.deadline);
    let is_over = deadline.is_some_and(|deadline| deadline <= now);
    let is_judged = !run.expected || round.is_some_and(|round| round.verdict.is_some());
    if is_over && is_judged {
        return outlived(mesh, now, run);
    }
    match (&run.sent, run.stage) {
        (Some(sent), Stage::Sent) if !sent.accepted => unanswered(mesh, now, run, sent),
        (_, _) => Look::wait(deadline.filter(|deadline| *deadline > now)),
    }
}

/// The round is over. The run goes on as long as its node shows it alive; a late result will be attached.
fn outlived(mesh: &Mesh, now: Timestamp, run: &Run) -> Look {
    let vanished = has_vanished(mesh, run);
    let unsent =
        run.stage == Stage::Sent && run.sent.as_ref().is_none_or(|sent| !sent.accepted && sent.not_after <= now);
    let reason = match reason_at_deadline(mesh, now, run) {
        Some(reason) => Some(reason),
        None if unsent && vanished => Some(Reason::TurnNeverCame),
        None if run.stage == Stage::Running && vanished => Some(Reason::NoReport),
        None => None,
    };
    let lost = |reason| CoordinatorFact::from(RunLost { epoch: mesh.epoch(), run: run.id, reason });
    Look::decided(reason.map(lost).into_iter().collect(), Some(after(now, PATIENCE)))
}

/// Whether the node's last beat lacks the run though all that its journal held by then had been read, and nothing has been read
/// since: nothing about the run is on its way. What was read is kept for minutes longer, so a busy node's outbox is never empty.
fn has_vanished(mesh: &Mesh, run: &Run) -> bool {
    mesh.live.get(&run.node).is_some_and(|live| {
        let writer = mesh.writers.get(&(run.node.as_str().to_owned(), live.incarnation));
        let is_latest = writer.is_some_and(|writer| writer.next_seq == live.next_seq);
        live.has_told_all() && is_latest && !live.runs.contains_key(&run.id)
    })
}

/// The command can no longer be obeyed, and nobody said that it was: the run queues again, and holds no permit meanwhile.
/// Should the node have taken it on all the same, its facts say so, and starting it twice is starting it once.
fn unanswered(mesh: &Mesh, now: Timestamp, run: &Run, sent: &Sent) -> Look {
    if now <= sent.not_after {
        return Look::wait(Some(after(sent.not_after, Duration::from_ms(1))));
    }
    if mesh.live.get(&run.node).is_some_and(|live| live.is_heard(now) && live.runs.contains_key(&run.id)) {
        return Look::wait(Some(after(now, PATIENCE)));
    }
    let message = "no answer while the command could be obeyed".to_owned();
    let refused = Some(Reason::NodeSilent);
    let fact = Answered { epoch: mesh.epoch(), run: run.id, command: sent.command, refused, message };
    Look::decided(vec![fact.into()], None)
}
