//! What a planted bug makes of a leader's decisions on their way out, and of the log on its way in.

use landfall::core::{Fact, Logged, Mesh};
use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::{AlertDelivered, AlertRaised, CoordinatorFact, RoundConcluded};
use landfall_proto::id::{Holder, RunId};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{Standing, VerdictKind};
use uuid::Uuid;

use super::{Mutant, Mutants};

/// What leaves instead of one decision. Something always leaves: a core waits for what it has decided.
pub fn instead_of(mutants: Mutants, mesh: &Mesh, fact: CoordinatorFact, now: Timestamp) -> Vec<CoordinatorFact> {
    match (mutants.planted(), fact) {
        (Some(Mutant::VerdictTwice), CoordinatorFact::RoundConcluded(body)) => {
            vec![body.clone().into(), body.into()]
        }
        (Some(Mutant::NeverClose), CoordinatorFact::RoundConcluded(body)) => {
            vec![nothing(mesh, Uuid::new_v5(&body.round.0, b"never"), now)]
        }
        (Some(Mutant::VerdictByArrival), CoordinatorFact::RoundConcluded(body)) => vec![by_arrival(mesh, body).into()],
        (Some(Mutant::ConvergeWithMissing), CoordinatorFact::RoundConcluded(body)) => {
            vec![without_missing(body).into()]
        }
        (Some(Mutant::RaiseForNothing), CoordinatorFact::RoundConcluded(body)) => {
            let alert = about_nothing(mesh, &body, now);
            [Some(CoordinatorFact::from(body)), alert].into_iter().flatten().collect()
        }
        (Some(Mutant::RaiseTwice), CoordinatorFact::AlertRaised(body)) => {
            let id = Uuid::new_v5(&body.alert.id, b"twice");
            let twice = AlertRaised { alert: Alert { id, ..body.alert.clone() }, ..body.clone() };
            vec![body.into(), twice.into()]
        }
        (Some(Mutant::SwallowAlert), CoordinatorFact::AlertRaised(body)) if body.alert.key.0.starts_with("failed/") => {
            vec![nothing(mesh, body.alert.id, now)]
        }
        (_, fact) => vec![fact],
    }
}

/// What a coordinator reads instead of one message.
pub fn instead_of_reading(mutants: Mutants, own: &Holder, mut logged: Logged) -> Logged {
    let is_first = own.as_str() == "alpha";
    match (mutants.planted(), &mut logged.fact) {
        (Some(Mutant::SkipOneFact), Some(Fact::Agent(_, AgentFact::RunFinished(_)))) if is_first => logged.fact = None,
        (Some(Mutant::IgnoreOthersClaim), Some(Fact::Coordinator(holder, CoordinatorFact::LeaderClaimed(_))))
            if holder != own =>
        {
            logged.fact = None;
        }
        (Some(Mutant::BlindToBadCheck), Some(Fact::Agent(_, AgentFact::RunFinished(body))))
            if body.about.task == TaskKind::Check && body.report.outcome == Outcome::Failed =>
        {
            body.report.outcome = Outcome::Ok;
        }
        (_, _) => {}
    }
    logged
}

/// A fact that changes nothing for anybody who reads it.
fn nothing(mesh: &Mesh, id: Uuid, at: Timestamp) -> CoordinatorFact {
    let (epoch, sink) = (mesh.epoch(), "nowhere".to_owned());
    let id = Uuid::new_v5(&id, b"nothing");
    AlertDelivered { epoch, id, sink, resolved: false, attempts: 0, error: None, at, reminder: 0, answer: None }.into()
}

/// Whoever reported last is taken for bad.
fn by_arrival(mesh: &Mesh, mut body: RoundConcluded) -> RoundConcluded {
    let ended_at = |run: RunId| mesh.runs().get(&run).and_then(|run| run.end.as_ref()).map(|end| end.at);
    let good = body.verdict.nodes.iter_mut().filter(|node| node.standing == Standing::Good);
    if let Some(last) = good.max_by_key(|node| ended_at(node.run)) {
        last.standing = Standing::Bad;
        body.verdict.kind = VerdictKind::Diverged;
    }
    body
}

fn without_missing(mut body: RoundConcluded) -> RoundConcluded {
    if body.verdict.kind == VerdictKind::Overdue {
        body.verdict.nodes.retain(|node| node.standing != Standing::Missing);
        body.verdict.kind = VerdictKind::Converged;
    }
    body
}

fn about_nothing(mesh: &Mesh, body: &RoundConcluded, now: Timestamp) -> Option<CoordinatorFact> {
    let good = body.verdict.nodes.iter().find(|node| node.standing == Standing::Good)?;
    let routine = mesh.rounds().get(&body.round)?.routine.clone();
    let key = AlertKey(format!("failed/{routine}/{}", good.node));
    if mesh.open_alert(&key).is_some() {
        return None;
    }
    let alert = Alert {
        id: Uuid::new_v5(&body.round.0, key.0.as_bytes()),
        key,
        severity: Severity::Critical,
        title: "a run failed that did not".to_owned(),
        routine: Some(routine),
        round: Some(body.round),
        nodes: vec![good.node.clone()],
        reason: None,
        last_good_at: None,
        fix: String::new(),
        runbook: None,
        stakes: None,
    };
    Some(AlertRaised { epoch: mesh.epoch(), alert, raised_at: now }.into())
}
