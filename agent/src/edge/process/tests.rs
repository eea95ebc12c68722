//! Stories about tools that behave, hang, fork, flood and refuse to go.

use std::collections::BTreeSet;

use landfall_proto::id::RunId;

use super::*;

fn shell(script: &str) -> Tool {
    Tool {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: BTreeMap::from([(RUN_VARIABLE.to_owned(), "test".to_owned())]),
        input: Input::Nothing,
        limits: RunLimits::default(),
        line_bytes_max: LINE_BYTES_MAX,
    }
}

fn patient() -> Patience {
    let day = Duration::from_secs(86_400);
    Patience { deadline: Instant::now() + day, stall_after: day, activity_counts: false }
}

fn start(tool: Tool, patience: Patience) -> (Running, watch::Sender<bool>) {
    let (cancel, receiver) = watch::channel(false);
    (Running::start(tool, patience, receiver).unwrap(), cancel)
}

async fn to_end(running: &mut Running) -> (Vec<String>, Ended) {
    let mut lines = Vec::new();
    loop {
        match running.next().await {
            Heard::Line(line) => lines.push(line.text.to_string()),
            Heard::Ending(_) => {}
            Heard::Ended(ended) => return (lines, ended),
        }
    }
}

#[tokio::test]
async fn a_tool_gets_a_bare_environment_and_its_input() {
    let tool = Tool { input: Input::Text(Zeroizing::new(b"word\n".to_vec())), ..shell("cat; env; nice") };
    // Niceness adds up to 19 at most, and the tests themselves may have been started with some.
    let own: u8 =
        String::from_utf8(std::process::Command::new("nice").output().unwrap().stdout).unwrap().trim().parse().unwrap();
    let nice = own.saturating_add(10).min(19).to_string();
    let (mut running, _cancel) = start(tool, patient());
    let (lines, ended) = to_end(&mut running).await;
    assert_eq!(ended, Ended { cause: Cause::Exited, exit: Some(Exit::Code(0)), gone: true });
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in &names {
        assert!(["LC_ALL", "PATH", "HOME", "PWD", "_", "SHLVL", "OLDPWD", RUN_VARIABLE].contains(name), "{name}");
    }
    assert_eq!((lines[0].as_str(), lines.last().unwrap().as_str()), ("word", nice.as_str()));
}

#[tokio::test]
async fn held_input_stays_open_as_long_as_the_tool_runs() {
    let tool = Tool {
        input: Input::Held(Zeroizing::new(b"word\n".to_vec())),
        ..shell("read word; echo $word; timeout 0.3 cat; echo $?")
    };
    let (mut running, _cancel) = start(tool, patient());
    let (lines, _) = to_end(&mut running).await;
    assert_eq!(lines, ["word", "124"]);
}

#[tokio::test]
async fn a_cancel_takes_children_along() {
    let (mut running, cancel) = start(shell("sleep 1000 & sleep 1000 & echo ready; wait"), patient());
    assert!(matches!(running.next().await, Heard::Line(_)));
    let mark = running.mark();
    assert_eq!(group::members(mark.pid).len(), 3);
    cancel.send(true).unwrap();
    let (_, ended) = to_end(&mut running).await;
    assert_eq!((ended.cause, ended.exit, ended.gone), (Cause::Cancelled, Some(Exit::Signal(15)), true));
    assert!(group::members(mark.pid).is_empty());
}

#[tokio::test]
async fn a_tool_that_stands_still_is_ended_and_one_that_works_is_not() {
    let stall = Patience { stall_after: Duration::from_millis(600), activity_counts: true, ..patient() };
    let (mut running, _cancel) = start(shell("sleep 1000 & sleep 1000"), stall);
    let (_, ended) = to_end(&mut running).await;
    assert_eq!((ended.cause, ended.gone), (Cause::Stalled, true));
    let (mut running, _cancel) =
        start(shell("end=$(($(date +%s)+3)); while [ $(date +%s) -lt $end ]; do :; done"), stall);
    assert_eq!(to_end(&mut running).await.1.cause, Cause::Exited);
}

#[tokio::test]
async fn a_deadline_ends_a_tool_that_goes_on_printing() {
    let short = Patience { deadline: Instant::now() + Duration::from_millis(500), ..patient() };
    let (mut running, _cancel) = start(shell("while :; do echo x; done"), short);
    let (lines, ended) = to_end(&mut running).await;
    assert_eq!((ended.cause, ended.gone), (Cause::TimedOut, true));
    assert!(!lines.is_empty());
}

#[tokio::test]
async fn a_child_that_keeps_the_pipe_open_holds_nobody_up() {
    let begun = Instant::now();
    let (mut running, _cancel) =
        start(shell("(trap '' TERM; echo started; while :; do sleep 1; done) & sleep 0.2; exit 3"), patient());
    let group = running.mark().pid;
    let (lines, ended) = to_end(&mut running).await;
    assert_eq!((lines, ended.exit, ended.gone), (vec!["started".to_owned()], Some(Exit::Code(3)), true));
    assert!(begun.elapsed() < GRACE + Duration::from_secs(10));
    assert!(group::members(group).is_empty());
}

#[tokio::test]
async fn dropping_a_tool_kills_its_group() {
    let (mut running, _cancel) = start(shell("sleep 1000 & echo ready; wait"), patient());
    assert!(matches!(running.next().await, Heard::Line(_)));
    let group = running.mark().pid;
    drop(running);
    assert!(group::end(group, Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_an_earlier_life_left_is_ended_by_its_mark() {
    let (mut running, _cancel) = start(shell("sleep 1000 & echo ready; wait"), patient());
    assert!(matches!(running.next().await, Heard::Line(_)));
    let mark = running.mark();
    let text = serde_json::to_string(&mark).unwrap();
    let reader = tokio::spawn(async move { to_end(&mut running).await });
    assert_eq!(end_leftover(serde_json::from_str(&text).unwrap(), Duration::from_secs(5)).await, Leftover::Ended);
    assert_eq!(end_leftover(mark, Duration::ZERO).await, Leftover::Gone);
    assert_eq!(reader.await.unwrap().1.exit, Some(Exit::Signal(15)));
}

#[tokio::test]
async fn a_tool_cannot_take_more_memory_than_it_may() {
    let limits = RunLimits { memory_bytes: Some(64 << 20), ..RunLimits::default() };
    let (mut running, _cancel) = start(Tool { limits, ..shell("ulimit -v") }, patient());
    assert_eq!(to_end(&mut running).await.0, ["65536"]);
}

#[tokio::test]
async fn a_slow_listener_misses_no_line() {
    let (mut running, _cancel) = start(shell("seq 1 200"), patient());
    let mut heard = 0;
    loop {
        match running.next().await {
            Heard::Line(_) => heard += 1,
            Heard::Ending(_) => {}
            Heard::Ended(_) => break,
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert_eq!(heard, 200);
}

#[tokio::test]
async fn what_no_mark_names_is_found_by_the_run_that_it_works_for() {
    let run = |number| RunId(uuid::Uuid::from_u128(number));
    let (ours, other) = (run(0xabcdef01), run(0xabcdef02));
    let of = |run: RunId, cache: &str, script: &str| Tool {
        environment: BTreeMap::from([
            (RUN_VARIABLE.to_owned(), run.to_string()),
            (AGENT_VARIABLE.to_owned(), cache.to_owned()),
        ]),
        ..shell(script)
    };
    let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cache = agent_name(state.path()).unwrap();
    let script = "setsid sleep 1000 & sleep 1000 & echo ready; wait";
    let (mut running, _cancel) = start(of(ours, &cache, script), patient());
    let (mut other_run, _held) = start(of(other, &cache, script), patient());
    let (mut other_agent, _kept) = start(of(ours, &agent_name(elsewhere.path()).unwrap(), script), patient());
    for tool in [&mut running, &mut other_run, &mut other_agent] {
        assert!(matches!(tool.next().await, Heard::Line(_)));
    }
    let reader = tokio::spawn(async move { to_end(&mut running).await });
    let wanted = BTreeSet::from([ours, run(0xabcdef03)]);
    let found = end_strays(state.path(), &wanted, Duration::from_secs(5)).await;
    assert_eq!(found, BTreeMap::from([(ours, Leftover::Ended)]));
    assert!(end_strays(state.path(), &wanted, Duration::ZERO).await.is_empty(), "also what left the group is gone");
    assert_eq!(reader.await.unwrap().1.exit, Some(Exit::Signal(15)));
    for (cache, run, tool) in [(state.path(), other, other_run), (elsewhere.path(), ours, other_agent)] {
        assert!(!group::members(tool.mark().pid).is_empty(), "another run's tool and another agent's are left alone");
        end_strays(cache, &BTreeSet::from([run]), Duration::from_secs(5)).await;
        assert!(group::members(tool.mark().pid).is_empty());
    }
}
