//! The attempts of one run: again only for reasons that may pass, never beyond the plan's number, never past its time.

use landfall_proto::fact::agent::RunRetried;
use landfall_proto::plan::Retries;
use landfall_proto::report::{Evidence, Outcome, Phase, Reason, RunReport, Statistics, TaskKind, Unread};
use landfall_proto::time::{Duration, Timestamp};
use tokio::time::Instant;

use super::alone::{Alone, Refused};
use super::verify::{Judgement, Said, judge, judge_check};
use super::{RunRequest, locks, look, preflight};
use crate::driver::{self, Bench, Failure, Stop};
use crate::edge::clock;
use crate::edge::process::cancelled;

/// Bounds of a report, which must fit into one fact.
const MESSAGE_BYTES_MAX: usize = 1000;
const FINDINGS_MAX: usize = 50;
const FINDING_BYTES_MAX: usize = 300;
const NAMES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 200;

/// The result of the last attempt, and what belongs to it.
struct Settled {
    judgement: Judgement,
    evidence: Option<Evidence>,
    statistics: Statistics,
    unread: Unread,
}

/// Tries until the run has ended one way or another, and reports.
pub(super) async fn to_end(request: &RunRequest, mut bench: Bench<'_>) -> RunReport {
    let started_at = clock::now();
    let first = request.attempt.max(1);
    let last = first.saturating_add(request.plan.retries.attempts.max(1) - 1);
    let mut attempt = first;
    let settled = loop {
        let failure = match once(request, &mut bench, attempt > first).await {
            Ok(settled) => break settled,
            Err(Stop::Cancelled) => {
                break ended(
                    Outcome::Cancelled,
                    Failure::new(Reason::CancelledByOperator, Reason::CancelledByOperator.cause()),
                );
            }
            Err(Stop::Skipped(why)) => break ended(Outcome::Skipped, why),
            Err(Stop::Failed(failure)) => failure,
        };
        let delay = delay(&request.plan.retries, attempt - first + 1);
        if !failure.reason.is_transient() || attempt >= last || Instant::now() + delay.as_std() >= bench.deadline {
            break ended(Outcome::Failed, failure);
        }
        let message = short(&bench.reporter.redactor.redact(&failure.message), MESSAGE_BYTES_MAX);
        bench
            .reporter
            .retried(RunRetried { run: request.about.run, attempt, reason: failure.reason, message, delay })
            .await;
        bench.reporter.enter(Phase::Waiting).await;
        // A cancel is noticed at the beginning of the next attempt.
        let _ = tokio::time::timeout(delay.as_std(), cancelled(&mut bench.cancel)).await;
        attempt += 1;
    };
    report(bench, settled, started_at, attempt)
}

/// One attempt: look, work, judge.
async fn once(request: &RunRequest, bench: &mut Bench<'_>, is_retry: bool) -> Result<Settled, Stop> {
    let begun = Instant::now();
    let about = &request.about;
    bench.exit = None;
    if *bench.cancel.borrow() {
        return Err(Stop::Cancelled);
    }
    bench.reporter.enter(Phase::Preflight).await;
    let mut cancel = bench.cancel.clone();
    let checks = tokio::select! {
        checks = look(bench, &request.plan, about.task, Some(&request.directory), about.repository.is_some()) => checks,
        () = cancelled(&mut cancel) => return Err(Stop::Cancelled),
    };
    let doubts: Vec<String> = checks
        .iter()
        .filter(|check| check.ok && !check.fix.is_empty())
        .map(|check| format!("{} {}", check.what, check.fix))
        .collect();
    if let Some(failure) = preflight::failure(&checks) {
        return Err(failure.into());
    }
    let _alone = alone(request)?;
    locks::before(request, bench).await;
    let settled = work(request, bench, is_retry, begun).await;
    locks::after(request, bench).await;
    let mut settled = settled?;
    settled.judgement.findings.extend(doubts);
    Ok(settled)
}

/// The work itself, and the judgement on it.
async fn work(request: &RunRequest, bench: &mut Bench<'_>, is_retry: bool, begun: Instant) -> Result<Settled, Stop> {
    Ok(match request.about.task {
        TaskKind::Backup => {
            let claim = driver::backup(bench, request).await?;
            bench.reporter.enter(Phase::Verifying).await;
            let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mut judgement = judge(&claim, &request.plan.guards, &request.history, duration_ms);
            driver::record(bench, request, &claim, &mut judgement).await;
            if claim.said == Said::AlreadyDone && judgement.reason == Reason::AlreadyDone {
                judgement.reason = found_done(request.attempt, is_retry);
            }
            Settled { judgement, evidence: claim.evidence, statistics: claim.statistics, unread: claim.unread }
        }
        TaskKind::Check => {
            let checked = driver::check(bench, request).await?;
            bench.reporter.enter(Phase::Verifying).await;
            let judgement = judge_check(&checked);
            Settled { judgement, evidence: checked.evidence, statistics: checked.statistics, unread: Unread::default() }
        }
    })
}

/// What it means that the destination already held the run: its own earlier attempt, or an earlier life of the agent.
fn found_done(attempt: u32, is_retry: bool) -> Reason {
    match (is_retry, attempt > 1) {
        (true, _) => Reason::Completed,
        (false, true) => Reason::Recovered,
        (false, false) => Reason::AlreadyDone,
    }
}

fn alone(request: &RunRequest) -> Result<Alone, Stop> {
    Alone::claim(&request.cache, &request.target.location, &request.about).map_err(|refused| match refused {
        Refused::Held { routine, run } if routine == request.about.routine.as_str() => {
            Stop::Skipped(Failure::new(Reason::Overlap, format!("The run {run} of this plan is still under way.")))
        }
        Refused::Held { routine, run } => {
            Failure::new(Reason::Busy, format!("The run {run} of `{routine}` is under way on the same target.")).into()
        }
        Refused::Io(error) => Failure::new(
            Reason::Permission,
            format!("The agent's cache `{}` cannot be used: {error}.", request.cache.display()),
        )
        .into(),
    })
}

/// The wait behind the n-th failed attempt, from 1: it doubles each time up to the plan's maximum.
fn delay(retries: &Retries, failed: u32) -> Duration {
    let factor = 1_u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_ms(retries.delay.as_ms().saturating_mul(factor)).min(retries.delay_max)
}

fn ended(outcome: Outcome, why: Failure) -> Settled {
    let judgement = Judgement { outcome, reason: why.reason, message: why.message, findings: Vec::new() };
    Settled { judgement, evidence: None, statistics: Statistics::default(), unread: Unread::default() }
}

fn report(mut bench: Bench<'_>, settled: Settled, started_at: Timestamp, attempts: u32) -> RunReport {
    let Settled { judgement, evidence, statistics, mut unread } = settled;
    let reporter = &mut bench.reporter;
    let redact = |text: &str, bytes_max: usize| short(&reporter.redactor.redact(text), bytes_max);
    let message = redact(&judgement.message, MESSAGE_BYTES_MAX);
    let findings: Vec<String> =
        judgement.findings.iter().take(FINDINGS_MAX).map(|finding| redact(finding, FINDING_BYTES_MAX)).collect();
    unread.names = unread.names.iter().take(NAMES_MAX).map(|name| redact(name, NAME_BYTES_MAX)).collect();
    reporter.output.close();
    RunReport {
        outcome: judgement.outcome,
        reason: judgement.reason,
        message,
        started_at,
        finished_at: clock::now().max(started_at),
        attempts,
        exit: bench.exit,
        statistics,
        evidence,
        unread,
        findings,
        tail: reporter.output.tail(),
    }
}

fn short(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_maximum() {
        let retries = Retries { attempts: 20, delay: Duration::from_secs(10), delay_max: Duration::from_secs(60) };
        let waits: Vec<String> =
            [1, 2, 3, 4, 70].into_iter().map(|failed| delay(&retries, failed).to_string()).collect();
        assert_eq!(waits, ["10s", "20s", "40s", "1m", "1m"]);
    }

    #[test]
    fn what_is_found_done_is_told_apart() {
        assert_eq!(found_done(1, false), Reason::AlreadyDone);
        assert_eq!(found_done(2, false), Reason::Recovered);
        assert_eq!(found_done(1, true), Reason::Completed);
    }
}
