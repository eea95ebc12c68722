//! Stories of starts: after a loss of the journal, beside a tool that lives on, among folders that are not in order.

use std::collections::BTreeMap;
use std::path::Path;

use landfall_proto::command::{Action, Answer, Command, Refused};
use landfall_proto::envelope::Epoch;
use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::{CommandId, RoundId};
use landfall_proto::plan::RunLimits;
use landfall_proto::report::{Exit, Outcome, Reason, RunReport, Statistics, TaskKind, Trigger, Unread};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::edge::process::{
    AGENT_VARIABLE, Heard, Input as ToolInput, LINE_BYTES_MAX, Patience, RUN_VARIABLE, Running, Tool, agent_name,
};
use crate::edge::receipt::Intent;
use crate::edge::shell::Wake;

const DAY: Duration = Duration::from_secs(86_400);

async fn boot(root: &Path) -> Shell {
    let shown = root.display();
    let text = format!(
        "cluster = \"home\"\nnode = \"nas\"\nplans_dir = \"{shown}/plans.d\"\ntargets_dir = \"{shown}/targets.d\"\nstate_dir = \"{shown}/state\"\n"
    );
    let config = Config::read("agent.toml", &text).unwrap();
    Shell::boot_on(None, config, Engine::new("/nowhere/landfall-agent".into()), &Mode::Daemon).await.unwrap()
}

fn about(number: u128) -> RunAbout {
    let round = RoundId(Uuid::from_u128(number));
    RunAbout {
        run: RunId::of(round, &"nas".parse().unwrap(), TaskKind::Backup),
        round,
        routine: "db".parse().unwrap(),
        slot: None,
        task: TaskKind::Backup,
        trigger: Trigger::Hand,
        plan_hash: "h".to_owned(),
        repository: None,
    }
}

fn ended(number: u128) -> Found {
    let at = clock::now();
    let report = RunReport {
        outcome: Outcome::Failed,
        reason: Reason::NoSpace,
        message: "The disk is full.".to_owned(),
        started_at: at,
        finished_at: at,
        attempts: 1,
        exit: None,
        statistics: Statistics::default(),
        evidence: None,
        unread: Unread::default(),
        findings: Vec::new(),
        tail: String::new(),
    };
    Found::Ended { about: about(number), attempt: 1, report: Box::new(report) }
}

fn intent(number: u128) -> Intent {
    Intent { about: about(number), attempt: 1, begun_at: clock::now(), plan: None }
}

async fn cancel_under(shell: &mut Shell, term: u64) -> Answer {
    let now = clock::now();
    let command = Command {
        id: CommandId(Uuid::from_u128(u128::from(term))),
        audience: "nas".parse().unwrap(),
        holder: "main".parse().unwrap(),
        epoch: Epoch { era: 0, term },
        issued_at: now,
        not_after: landfall_proto::time::after(now, landfall_proto::time::Duration::from_secs(30)),
        action: Action::Cancel { run: about(1).run },
    };
    let (answer, told) = oneshot::channel();
    shell.take(Wake::Command(Box::new(command), answer)).await;
    told.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_lost_or_rots_forgets_no_leader() {
    let root = tempfile::tempdir().unwrap();
    let spool = root.path().join("state/spool.v1");
    let mut shell = boot(root.path()).await;
    assert!(matches!(cancel_under(&mut shell, 5).await, Answer::Refused { reason: Refused::NoRun, .. }));
    drop(shell);
    for is_lost in [true, false] {
        if is_lost {
            fs::remove_dir_all(&spool).unwrap();
        } else {
            fs::write(spool.join("db"), vec![7; 20_000]).unwrap();
        }
        let mut shell = boot(root.path()).await;
        assert!(
            matches!(cancel_under(&mut shell, 4).await, Answer::Refused { reason: Refused::StaleEpoch, .. }),
            "lost: {is_lost}"
        );
        assert!(matches!(cancel_under(&mut shell, 5).await, Answer::Refused { reason: Refused::NoRun, .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_noted_nowhere_is_ended_before_its_run_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    Runs::new(state.join("runs")).unwrap().intend(&intent(1)).unwrap();
    let environment = BTreeMap::from([
        (RUN_VARIABLE.to_owned(), about(1).run.to_string()),
        (AGENT_VARIABLE.to_owned(), agent_name(&state.join("cache")).unwrap()),
    ]);
    let tool = Tool {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), "sleep 1000 & echo ready; wait".to_owned()],
        environment,
        input: ToolInput::Nothing,
        limits: RunLimits::default(),
        line_bytes_max: LINE_BYTES_MAX,
    };
    let patience = Patience { deadline: tokio::time::Instant::now() + DAY, stall_after: DAY, activity_counts: false };
    let (_held, cancel) = watch::channel(false);
    let mut tool = Running::start(tool, patience, cancel).unwrap();
    assert!(matches!(tool.next().await, Heard::Line(_)));
    let reader = tokio::spawn(async move {
        loop {
            if let Heard::Ended(ended) = tool.next().await {
                return ended;
            }
        }
    });
    let shell = boot(root.path()).await;
    let ended = reader.await.unwrap();
    assert_eq!((ended.exit, ended.gone), (Some(Exit::Signal(15)), true));
    assert!(shell.agent.memory().journal.has_ended(about(1).run), "there is no plan to take it up with");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_lives_long_writes_owed_receipts_and_lets_old_folders_go() {
    let root = tempfile::tempdir().unwrap();
    let mut shell = boot(root.path()).await;
    let runs = Arc::clone(&shell.runs);
    for number in [1, 2] {
        runs.intend(&intent(number)).unwrap();
    }
    // The end of the first is in the journal and waits for the log; the second is under way.
    shell.input(Input::Found(ended(1))).await;
    assert_eq!(runs.receipt(about(1).run), None);
    shell.inspections = Inspections::default();
    shell.take(Wake::Owed).await;
    assert!(shell.inspections.due_at().is_some_and(|at| at > shell.uptime()));
    shell.inspections.ended(shell.uptime());
    shell.inspect_when_due();
    // The first helper that ends is the look: the others live as long as the shell.
    shell.helpers.join_next().await.unwrap().unwrap();
    let receipt = runs.receipt(about(1).run).unwrap();
    assert_eq!((receipt.attempt, receipt.report.reason), (1, Reason::NoSpace));
    assert!(runs.intent(about(2).run).is_some(), "nobody knows yet how it ended");

    // The log has the end of the first, and its receipt is lost: nothing may take the run for interrupted.
    fs::remove_file(runs.directory(about(1).run).join("receipt.json")).unwrap();
    let life = shell.spool.next_seq();
    shell.spool.confirm(life, landfall_proto::time::Duration::from_secs(60)).unwrap();
    assert_eq!(shell.spool.confirm(life, landfall_proto::time::Duration::from_secs(3600)).unwrap(), life);
    shell.inspect_at_boot();
    assert!(!runs.directory(about(1).run).exists());
}
