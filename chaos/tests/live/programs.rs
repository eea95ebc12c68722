//! Programs that lie, hang, shout, end strangely, have nothing to do, or will not go.

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::process::is_alive;
use landfall_chaos::live::wait::{seconds, until_true};
use landfall_chaos::live::{Cluster, Gate, Node, Place, Setup, fresh_id, plans, tool};
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::plan::{ExitMeaning, Plan};
use landfall_proto::report::{Exit, Outcome, Reason, RunReport, TaskKind};
use landfall_proto::time::Duration;
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::RunState;

use crate::{saver, small_tree, table};

/// The most that a run's log may take, whatever its program prints.
const LOG_BYTES_MAX: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_prints_success_and_leaves_nothing_has_failed() {
    let cluster = with_script("liar", "echo 'backup complete: 1 archive, 0 errors'", |_| ()).await;
    let report = report(&cluster).await;
    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Failed, Reason::VerifyMissing),
        "expected verify_missing: {report:#?}"
    );
    assert_eq!(report.exit, Some(Exit::Code(0)), "expected that the program ended with 0");
    assert!(report.tail.contains("backup complete"), "expected the program's words in the report: {report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_is_ended_with_its_children() {
    let body = "sh -c 'echo $$ >> OUT/pids; exec sleep 300' &\necho $$ >> OUT/pids\nsleep 300";
    let cluster = with_script("hangs", body, |plan| plan.deadlines.stall_after = Duration::from_secs(1)).await;
    let report = report(&cluster).await;
    assert_eq!((report.outcome, report.reason), (Outcome::Failed, Reason::Stalled), "expected stalled: {report:#?}");
    let text = std::fs::read_to_string(cluster.place.path("out/pids")).unwrap_or_default();
    let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(pids.len(), 2, "expected two processes in {text:?}");
    let alive: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(alive.is_empty(), "expected that no process is left: {alive:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_floods_its_output_neither_fills_the_disk_nor_the_bus() {
    let body = "yes 'a line that says nothing at all, again and again' | head -c 30000000\nprintf '\\377\\376 not text\\n'\necho saved > OUT/artifact";
    let cluster = with_script("floods", body, |_| ()).await;
    let report = report(&cluster).await;
    assert_eq!(report.outcome, Outcome::Ok, "expected that the run is good: {report:#?}");
    assert!(report.tail.len() <= 8 * 1024, "expected a short end of the output, not {} bytes", report.tail.len());
    let log = landfall_chaos::live::source::largest(&cluster.state("a").join("runs"));
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes < LOG_BYTES_MAX, "expected a bounded log, and {} has {bytes} bytes", log.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_code_that_no_table_names_is_a_failure_even_with_an_artifact() {
    let cluster = with_script("strange", "echo saved > OUT/artifact\nexit 77", |_| ()).await;
    let report = report(&cluster).await;
    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Failed, Reason::UnknownExit),
        "expected unknown_exit: {report:#?}"
    );
    assert_eq!(report.exit, Some(Exit::Code(77)), "expected the raw code");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_killed_by_a_signal_is_a_failure() {
    let cluster = with_script("killed", "echo saved > OUT/artifact\nkill -9 $$", |_| ()).await;
    let report = report(&cluster).await;
    assert_eq!((report.outcome, report.reason), (Outcome::Failed, Reason::Killed), "expected killed: {report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_has_nothing_to_do_is_skipped_and_wakes_nobody() {
    let set = |plan: &mut Plan| {
        plan.command.as_mut().unwrap().exit.insert("4".to_owned(), ExitMeaning::Skipped);
    };
    let cluster = with_script("skips", "exit 4", set).await;
    let report = report(&cluster).await;
    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Skipped, Reason::ExitSkipped),
        "expected skipped: {report:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_there_already_is_success_and_not_made_again() {
    let place = Place::new("already");
    let tree = small_tree(&place, "tree");
    let node = saver("a", &place, &tree);
    let repository = place.path("repository");
    let cluster = Setup::new(place).node(node).start().await;
    let first = cluster.operator.start("nightly").await;
    cluster.operator.verdict(first, seconds(25)).await;

    // The agent's own timer may have beaten the command: here it is plain restic that leaves the run's snapshot.
    let request = fresh_id();
    let run = run_of(RoundId(request), "a", TaskKind::Backup);
    let tags = format!("landfall-run:{run},landfall-node:a,landfall-routine:nightly");
    tool::restic(&repository, &["backup", "--quiet", "--tag", &tags, &tree.display().to_string()]).await.good();
    let round = cluster.operator.start_as("nightly", &[], TaskKind::Backup, request).await;
    let report = cluster.operator.finished(run, seconds(25)).await.report;

    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Ok, Reason::AlreadyDone),
        "expected already_done: {report:#?}"
    );
    let detail = cluster.operator.verdict(round, seconds(25)).await;
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let listed = tool::restic(&repository, &["snapshots", "--json"]).await.good().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "expected the two snapshots and no third: {listed}");
    assert!(cluster.operator.log().alerts().is_empty(), "expected no alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_has_ended_only_when_its_process_is_gone() {
    let body = "trap 'sleep 2; exit 1' TERM\necho $$ > OUT/pid\nwhile :; do sleep 0.05; done";
    let cluster = with_script("stubborn", body, |_| ()).await;
    let round = cluster.operator.start("task").await;
    let run = run_of(round, "a", TaskKind::Backup);
    let file = cluster.place.path("out/pid");
    let read = || std::fs::read_to_string(&file).ok()?.trim().parse::<u32>().ok();
    until_true("the program runs", seconds(20), || read().is_some()).await;
    let pid = read().unwrap();

    let asked = cluster.operator.ask(&Request::Cancel { id: run.0, by: "story".to_owned() }).await;
    assert!(matches!(asked, Some(Reply::Done { .. })), "expected that the cancel stands in the log: {asked:?}");
    let mut states = Vec::new();
    while is_alive(pid) {
        let state = cluster.operator.run(round, "a").await.state;
        // Only what was seen while the process was certainly there counts.
        if is_alive(pid) {
            states.push(state);
        }
    }
    let report = cluster.operator.finished(run, seconds(20)).await.report;

    assert_eq!(
        (report.outcome, report.reason),
        (Outcome::Cancelled, Reason::CancelledByOperator),
        "expected cancelled: {report:#?}"
    );
    assert!(
        states.contains(&RunState::Cancelling),
        "expected the state cancelling while the process lived: {states:?}"
    );
    assert!(!states.contains(&RunState::Cancelled), "expected no end before the process was gone: {states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_tried_again_in_a_round_of_its_own() {
    let cluster = with_script("once", "[ -e OUT/mended ] || exit 9\necho saved > OUT/artifact", |_| ()).await;
    let (round, run) = begun(&cluster).await;
    cluster.operator.verdict(round, seconds(25)).await;
    let before = cluster.operator.finished(run, seconds(5)).await;
    assert_eq!(before.report.outcome, Outcome::Failed, "expected a failure first: {before:#?}");
    std::fs::write(cluster.place.path("out/mended"), "").unwrap();

    let again =
        cluster.operator.opened(&Request::Retry { id: run.0, by: "story".to_owned(), request: fresh_id() }).await;
    let detail = cluster.operator.verdict(again, seconds(25)).await;

    assert_ne!(again, round, "expected a round of its own");
    assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    let log = cluster.operator.log();
    assert_eq!(log.reports(run), [&before], "expected that the old run stays as it was");
    cluster
        .operator
        .seen("the alert about the failure is resolved", seconds(5), |log| {
            (!log.alerts_resolved().is_empty()).then_some(())
        })
        .await;
    assert!(cluster.operator.open_alerts().await.is_empty(), "expected no open alert");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_program_is_tried_again_within_its_run() {
    let set = |plan: &mut Plan| {
        plan.retries.attempts = 3;
        plan.command.as_mut().unwrap().exit.insert("5".to_owned(), ExitMeaning::Retry);
    };
    let cluster = with_script(
        "busy",
        "echo x >> OUT/tries\n[ $(wc -l < OUT/tries) -ge 3 ] || exit 5\necho saved > OUT/artifact",
        set,
    )
    .await;
    let report = report(&cluster).await;
    assert_eq!(
        (report.outcome, report.attempts),
        (Outcome::Ok, 3),
        "expected success at the third attempt: {report:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_run_can_be_read_while_it_runs_and_afterwards() {
    let place = Place::new("logs");
    let gate = Gate::new(&place, "talks");
    let mut plan = gate.plan("task");
    let program = place.script(
        "talks",
        &format!("echo first words\n. '{}'\necho last words", plan.command.as_ref().unwrap().program[0]),
    );
    plan.command.as_mut().unwrap().program = vec![program.display().to_string()];
    let node = Node::new("a").plan(plan).target(gate.target());
    let cluster = Setup::new(place).node(node).start().await;
    let (_, run) = begun(&cluster).await;
    gate.begun(1).await;

    let during = cluster.tool(&["logs", &run.to_string()]).await.good().out;
    gate.open();
    cluster.operator.finished(run, seconds(20)).await;
    let after = cluster.tool(&["logs", &run.to_string()]).await.good().out;

    assert!(
        during.contains("first words") && !during.contains("last words"),
        "expected the first words only: {during:?}"
    );
    assert!(after.contains("first words") && after.contains("last words"), "expected all words: {after:?}");
}

/// A mesh of one node `a` with one plan `task` that runs a script; `OUT` in it is the folder for what it leaves.
async fn with_script(story: &str, body: &str, change: impl FnOnce(&mut Plan)) -> Cluster {
    let place = Place::new(story);
    let out = place.folder("out");
    let script = place.script(story, &body.replace("OUT", &out.display().to_string()));
    let mut plan = plans::command("task", &script, &out.join("artifact*"));
    change(&mut plan);
    Setup::new(place).node(Node::new("a").plan(plan).target(plans::folder(&out))).start().await
}

async fn begun(cluster: &Cluster) -> (RoundId, RunId) {
    let round = cluster.operator.start("task").await;
    (round, run_of(round, "a", TaskKind::Backup))
}

async fn report(cluster: &Cluster) -> RunReport {
    let (_, run) = begun(cluster).await;
    cluster.operator.finished(run, seconds(25)).await.report
}
