//! Process groups as the system shows them: who is in one, whether it moves, and how it is ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use landfall_proto::id::RunId;
use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// A process group that works for a run: its leader's number, and when that leader started, in the system's ticks since
/// boot. Numbers are used again, so the number alone names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    pub pid: u32,
    pub start_ticks: u64,
}

/// What became of a process group that outlived its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// It was not there any more.
    Gone,
    /// It was there and was ended.
    Ended,
    /// It cannot be ended: a process hangs in the system's core, or belongs to another user.
    Remains,
}

/// In the environment of every tool; shows that a process is ours where its leader is gone.
pub(crate) const RUN_VARIABLE: &str = "LANDFALL_RUN";

/// In the environment of every tool of a run; tells two agents of one machine apart that have the same name.
pub(crate) const AGENT_VARIABLE: &str = "LANDFALL_AGENT";

/// How long a killed process may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(25);

/// Looks for strays: one that is asked to end may first start another.
const SWEEPS_MAX: u32 = 5;

/// One process out of `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: u32,
    group: u32,
    state: char,
    pub(super) start_ticks: u64,
    /// Time on a processor, in ticks, with that of its ended children.
    pub(super) cpu_ticks: u64,
}

impl ProcessMark {
    /// The mark of a living process.
    pub(super) fn of(pid: u32) -> Self {
        Self { pid, start_ticks: member(pid).map_or(0, |member| member.start_ticks) }
    }
}

/// Ends what an earlier life of the agent left running under `mark`: asks it to end, waits `grace`, kills it. Does nothing
/// to a process that merely got the same number.
pub async fn end_leftover(mark: ProcessMark, grace: Duration) -> Leftover {
    let ours = members(mark.pid).iter().any(|member| {
        let same_leader =
            member.pid == mark.pid && member.start_ticks == mark.start_ticks && is_ours(member.pid) != Some(false);
        // A group's number is not given away while it has members, so a child of ours keeps it from meaning another.
        let child =
            member.pid != mark.pid && member.start_ticks >= mark.start_ticks && is_ours(member.pid) == Some(true);
        same_leader || child
    });
    if !ours {
        return Leftover::Gone;
    }
    if end(mark.pid, grace).await { Leftover::Ended } else { Leftover::Remains }
}

/// How an agent is called in its tools' environment: by where its cache lies.
pub(crate) fn agent_name(cache: &Path) -> Option<String> {
    std::path::absolute(cache).ok()?.into_os_string().into_string().ok()
}

/// Ends every process that says that it works for one of these runs of the agent with this cache, whatever group it has come to be in: asks it to
/// end, waits `grace`, kills it. This process and its own group are left out. A process whose environment cannot be read, or
/// that has emptied it, is found by its mark only.
pub async fn end_strays(cache: &Path, runs: &BTreeSet<RunId>, grace: Duration) -> BTreeMap<RunId, Leftover> {
    let mut found = BTreeMap::new();
    let Some(agent) = agent_name(cache) else { return found };
    for _ in 0..SWEEPS_MAX {
        let strays = strays(&agent, runs);
        if strays.is_empty() {
            break;
        }
        for (group, run) in strays {
            let leftover = if end(group, grace).await { Leftover::Ended } else { Leftover::Remains };
            found.insert(run, leftover);
        }
        if found.values().any(|leftover| *leftover == Leftover::Remains) {
            break;
        }
    }
    found
}

/// The groups in which somebody works for one of these runs.
fn strays(agent: &str, runs: &BTreeSet<RunId>) -> BTreeMap<u32, RunId> {
    let own = u32::try_from(getpgrp().as_raw_nonzero().get()).unwrap_or_default();
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let run = run_of(pid, agent)?;
        let member = member(pid).filter(|member| is_living(member) && member.group != own)?;
        runs.contains(&run).then_some((member.group, run))
    })
    .collect()
}

/// The run that a process says it works for, where this agent started it.
fn run_of(pid: u32, agent: &str) -> Option<RunId> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |wanted: &str| {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
            (name == wanted).then_some(value)
        })
    };
    value(RUN_VARIABLE).filter(|_| value(AGENT_VARIABLE) == Some(agent))?.parse().ok()
}

pub(super) const fn is_living(member: &Member) -> bool {
    !matches!(member.state, 'Z' | 'X' | 'x')
}

/// Asks every living member to end, waits `grace`, kills the rest. Returns whether the group is gone.
pub(super) async fn end(group: u32, grace: Duration) -> bool {
    if members(group).is_empty() {
        return true;
    }
    if !grace.is_zero() {
        signal(group, Signal::TERM);
        if gone_within(group, grace).await {
            return true;
        }
    }
    // Asked again right before: a group without members may have lost its number to a stranger.
    if !members(group).is_empty() {
        signal(group, Signal::KILL);
    }
    gone_within(group, KILL_PATIENCE).await
}

/// Sends a signal to all members. One that cannot be signalled is seen by whoever waits for it to go.
pub(super) fn signal(group: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

/// The living members of a group. What has ended and was not yet taken note of does not count.
pub(super) fn members(group: u32) -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(member).filter(|member| member.group == group && is_living(member)).collect()
}

/// What a group has done so far, in one number that grows while it works: processor time, and bytes read and written.
pub(super) fn activity(group: u32) -> (u64, u64) {
    members(group)
        .iter()
        .fold((0, 0), |(ticks, bytes), member| (ticks + member.cpu_ticks, bytes + io_bytes(member.pid)))
}

async fn gone_within(group: u32, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        if members(group).is_empty() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(POLL).await;
    }
}

pub(super) fn member(pid: u32) -> Option<Member> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in parentheses, and it may contain anything, parentheses too.
fn parse(pid: u32, stat: &str) -> Option<Member> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let cpu_ticks = [11, 12, 13, 14].into_iter().filter_map(number).sum();
    Some(Member {
        pid,
        group: u32::try_from(number(2)?).ok()?,
        state: fields.first()?.chars().next()?,
        start_ticks: number(19)?,
        cpu_ticks,
    })
}

fn io_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let value = |line: &str| line.strip_prefix("rchar: ").or_else(|| line.strip_prefix("wchar: "))?.parse::<u64>().ok();
    text.lines().filter_map(value).sum()
}

/// Whether a process was started by an agent; `None` where the system does not let us look.
fn is_ours(pid: u32) -> Option<bool> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    Some(environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(RUN_VARIABLE.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let fields: Vec<String> = (5..=52).map(|field| field.to_string()).collect();
        let found = parse(7, &format!("7 (a) b) S 1 {}", fields.join(" "))).unwrap();
        assert_eq!((found.group, found.state, found.start_ticks, found.cpu_ticks), (5, 'S', 22, 14 + 15 + 16 + 17));
    }

    #[tokio::test]
    async fn a_stranger_with_the_same_number_is_left_alone() {
        let own = ProcessMark::of(std::process::id());
        let other = ProcessMark { start_ticks: own.start_ticks + 1, ..own };
        assert_eq!(end_leftover(other, Duration::ZERO).await, Leftover::Gone);
        assert_eq!(end_leftover(own, Duration::ZERO).await, Leftover::Gone, "it was not started by an agent");
    }
}
