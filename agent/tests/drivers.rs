//! What every driver must do, told with real programs, a real worker and real directories.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has done its work")]

mod driving;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use driving::{Bed, CANARY, living, report_text};
use landfall_agent::runner::RunEvent;
use landfall_proto::plan::{DriverName, Secret};
use landfall_proto::report::{Exit, Outcome, Phase, ProofLevel, Reason, RunReport, TaskKind};
use tokio::time::Instant;

const BOTH: [DriverName; 2] = [DriverName::Rustic, DriverName::Command];

fn ended(report: &RunReport) -> (Outcome, Reason) {
    (report.outcome, report.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_run_lands_and_its_repetition_is_already_done() {
    for driver in BOTH {
        let bed = Bed::new(driver);
        let run = bed.request();
        let (report, events) = bed.run(run.clone()).await;
        assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{driver:?}: {report:#?}");
        let evidence = report.evidence.clone().expect("a good run has evidence");
        assert_eq!((evidence.level, evidence.matches, evidence.covers_sources), (ProofLevel::Landed, 1, true));
        assert!(evidence.bytes > 0 && evidence.files > 0 && evidence.repository.is_some());
        assert_eq!(report.exit, Some(Exit::Code(0)));
        let phases: Vec<Phase> = events
            .iter()
            .filter_map(|event| if let RunEvent::Phase(phase) = event { Some(*phase) } else { None })
            .collect();
        assert_eq!(phases.first(), Some(&Phase::Preflight), "{phases:?}");
        assert_eq!(phases.last(), Some(&Phase::Verifying), "{phases:?}");
        assert!(events.iter().any(|event| matches!(event, RunEvent::Process(Some(_)))));
        assert!(
            events
                .iter()
                .rev()
                .find_map(|event| if let RunEvent::Process(mark) = event { Some(mark.is_none()) } else { None })
                .unwrap()
        );

        let (again, _) = bed.run(run.clone()).await;
        assert_eq!(ended(&again), (Outcome::Ok, Reason::AlreadyDone), "{driver:?}: {again:#?}");
        assert_eq!(
            again.evidence.map(|evidence| evidence.snapshot),
            Some(evidence.snapshot),
            "nothing was made a second time"
        );
        let mut recovered = run;
        recovered.attempt = 2;
        assert_eq!(ended(&bed.run(recovered).await.0), (Outcome::Ok, Reason::Recovered), "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_confirms_what_landed_and_misses_what_did_not() {
    for driver in BOTH {
        let bed = Bed::new(driver);
        let run = bed.request();
        let (report, events) = bed.run(run.clone()).await;
        let repository = report.evidence.unwrap().repository.unwrap();
        assert!(events.contains(&RunEvent::Repository(repository.clone())));
        let never = bed.request().about.run;
        let other = Bed::engine();
        let seen =
            landfall_agent::runner::witness(&other, &bed.target, &repository, &[run.about.run, never]).await.unwrap();
        assert_eq!((seen.seen, seen.absent), (vec![run.about.run], vec![never]), "{driver:?}");
        let stranger = "0123".parse().unwrap();
        let failure = landfall_agent::runner::witness(&other, &bed.target, &stranger, &[never]).await.unwrap_err();
        assert_eq!(failure.reason, Reason::NoRepository, "another repository says nothing about this one");
        let probe = landfall_agent::runner::probe(&other, &bed.plan, &bed.target).await;
        assert_eq!(probe.repository, Some(repository), "{:#?}", probe.checks);
        assert!(probe.checks.iter().all(|check| check.ok), "{:#?}", probe.checks);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_source_is_named_and_nothing_starts() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        bed.plan.sources.push("/nowhere/at-all".to_owned());
        let (report, events) = bed.run(bed.request()).await;
        assert_eq!(ended(&report), (Outcome::Failed, Reason::SourceMissing), "{driver:?}");
        assert!(report.message.contains("/nowhere/at-all"), "{}", report.message);
        assert_eq!(report.attempts, 1);
        assert!(!events.iter().any(|event| matches!(event, RunEvent::Process(Some(_)))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_gone_or_no_directory_or_full_is_told_apart() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        bed.target.create = false;
        fs::remove_dir_all(&bed.target.location).unwrap();
        assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Failed, Reason::NoRepository), "{driver:?}");
        fs::write(&bed.target.location, "not a directory").unwrap();
        let (report, _) = bed.run(bed.request()).await;
        assert_eq!(ended(&report), (Outcome::Failed, Reason::NoRepository), "{driver:?}");
        assert!(report.message.contains("not a directory"), "{}", report.message);
        fs::remove_file(&bed.target.location).unwrap();
        fs::create_dir(&bed.target.location).unwrap();
        bed.target.create = true;
        bed.target.free_percent_min = 101;
        let (report, _) = bed.run(bed.request()).await;
        assert_eq!((ended(&report), report.attempts), ((Outcome::Failed, Reason::NoSpace), 1), "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_not_mounted_is_not_mistaken_for_an_empty_one() {
    for driver in BOTH {
        let bed = Bed::new(driver);
        let mut run = bed.request();
        run.about.repository = Some("an-earlier-repository".parse().unwrap());
        let (report, _) = bed.run(run).await;
        assert_eq!(ended(&report), (Outcome::Failed, Reason::NoRepository), "{driver:?}: {report:#?}");
        assert_eq!(fs::read_dir(&bed.target.location).unwrap().count(), 0, "nothing was written into the empty place");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_without_write_permission_is_read_only() {
    if rustix_is_root() {
        // The superuser may write everywhere; the same test runs again as nobody.
        rerun_as_nobody("a_destination_without_write_permission_is_read_only");
        return;
    }
    for driver in BOTH {
        let bed = Bed::new(driver);
        fs::set_permissions(&bed.target.location, fs::Permissions::from_mode(0o555)).unwrap();
        let (report, _) = bed.run(bed.request()).await;
        fs::set_permissions(&bed.target.location, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ended(&report), (Outcome::Failed, Reason::ReadOnly), "{driver:?}: {report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_with_its_group_gone() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        bed.make_it_long();
        let (report, events) = bed
            .run_and(bed.request(), |_, cancel| {
                cancel.send(true).unwrap();
            })
            .await;
        assert_eq!(ended(&report), (Outcome::Cancelled, Reason::CancelledByOperator), "{driver:?}: {report:#?}");
        assert!(events.contains(&RunEvent::Phase(Phase::Cancelling)), "{driver:?}");
        assert_eq!(living(&events), 0, "{driver:?}");
        // What was cancelled is no backup, and the next run is not hindered by it.
        bed.make_it_short();
        assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok, "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_killed_from_outside_is_a_failure_that_is_not_tried_again() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        bed.make_it_long();
        let (report, events) = bed
            .run_and(bed.request(), |mark, _| {
                Command::new("kill").args(["-9", &mark.pid.to_string()]).status().unwrap();
            })
            .await;
        assert_eq!(
            (ended(&report), report.attempts),
            ((Outcome::Failed, Reason::Killed), 1),
            "{driver:?}: {report:#?}"
        );
        assert_eq!(report.exit, Some(Exit::Signal(9)));
        assert_eq!(living(&events), 0, "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stands_still_is_ended_with_its_children() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        bed.make_it_hang();
        bed.plan.deadlines.stall_after = landfall_proto::time::Duration::from_ms(2500);
        let begun = Instant::now();
        let (report, events) = bed.run(bed.request()).await;
        assert_eq!(ended(&report), (Outcome::Failed, Reason::Stalled), "{driver:?}: {report:#?}");
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(living(&events), 0, "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_beyond_its_time_is_ended() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        bed.make_it_hang();
        bed.plan.limits.timeout = Some(landfall_proto::time::Duration::from_ms(1500));
        let (report, events) = bed.run(bed.request()).await;
        assert_eq!(ended(&report), (Outcome::Failed, Reason::TimedOut), "{driver:?}: {report:#?}");
        assert_eq!(living(&events), 0, "{driver:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_has_one_run_at_a_time() {
    let mut bed = Bed::new(DriverName::Command);
    bed.make_it_long();
    let mut other = bed.clone();
    other.plan.name = "other".parse().unwrap();
    other.plan.retries.attempts = 1;
    let (same, different) = (bed.request(), other.request());
    let (first, seconds) = bed.run_beside(bed.request(), vec![same, different]).await;
    assert_eq!(first.outcome, Outcome::Cancelled);
    assert_eq!(
        ended(&seconds[0]),
        (Outcome::Skipped, Reason::Overlap),
        "the previous run of the same plan is still under way"
    );
    assert_eq!(ended(&seconds[1]), (Outcome::Failed, Reason::Busy));
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_reasons_are_tried_again_and_no_others() {
    let mut bed = Bed::new(DriverName::Command);
    let counter = bed.directory.path().join("count");
    bed.script(&format!(
        "echo x >> {0}; [ $(wc -l < {0}) -ge 3 ] || exit 75; echo data > $LANDFALL_TARGET/a.dump",
        counter.display()
    ));
    bed.plan.command.as_mut().unwrap().exit.insert("75".to_owned(), landfall_proto::plan::ExitMeaning::Retry);
    let (report, events) = bed.run(bed.request()).await;
    assert_eq!((ended(&report), report.attempts), ((Outcome::Ok, Reason::Completed), 3), "{report:#?}");
    let retried = events
        .iter()
        .filter(|event| matches!(event, RunEvent::Retried(retried) if retried.reason == Reason::Busy))
        .count();
    assert_eq!(retried, 2);

    bed.script("exit 42");
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!((ended(&report), report.attempts), ((Outcome::Failed, Reason::UnknownExit), 1));
    assert_eq!(report.exit, Some(Exit::Code(42)));
    bed.plan.command.as_mut().unwrap().exit.insert("42".to_owned(), landfall_proto::plan::ExitMeaning::Skipped);
    assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Skipped, Reason::ExitSkipped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_tried_again_before_the_run_fails() {
    let mut bed = Bed::new(DriverName::Rustic);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    bed.target.location = format!("rest:http://user:{CANARY}@127.0.0.1:{port}/");
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!((ended(&report), report.attempts), ((Outcome::Failed, Reason::Network), 3), "{report:#?}");
    assert!(!report_text(&report).contains(CANARY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_runs_full_fails_the_run_at_once_and_the_next_one_lands() {
    let bed = Bed::new(DriverName::Rustic);
    let Some(_disk) = SmallDisk::mount(&bed.target.location) else {
        // Without the right to mount, the same reason is reached by a plan that wants more than there is.
        let mut bed = bed;
        bed.target.free_percent_min = 101;
        assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Failed, Reason::NoSpace));
        return;
    };
    let large = Path::new(&bed.plan.sources[0]).join("large");
    assert!(
        Command::new("sh")
            .arg("-c")
            .arg(format!("head -c 40M /dev/urandom > {}", large.display()))
            .status()
            .unwrap()
            .success()
    );
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!((ended(&report), report.attempts), ((Outcome::Failed, Reason::NoSpace), 1), "{report:#?}");
    fs::remove_file(large).unwrap();
    // Packs that no snapshot names still fill the disk; whoever has to make room removes them.
    assert!(
        Command::new("sh")
            .arg("-c")
            .arg(format!("rm -rf {}/data/*/*", bed.target.location))
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_found_out() {
    let mut bed = Bed::new(DriverName::Command);
    bed.script("echo 'backup completed successfully'");
    assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Failed, Reason::VerifyMissing), "it left nothing");

    let stale = Path::new(&bed.target.location).join("old.dump");
    fs::write(&stale, "data of yesterday").unwrap();
    assert!(Command::new("touch").args(["-d", "yesterday"]).arg(&stale).status().unwrap().success());
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!(ended(&report), (Outcome::Failed, Reason::VerifyMissing), "what it left is from yesterday");
    assert!(report.message.contains("old.dump"), "{}", report.message);

    bed.script(": > $LANDFALL_TARGET/a.dump");
    assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Failed, Reason::Empty));
    bed.script("ln -sf /etc/passwd $LANDFALL_TARGET/z.dump");
    assert_eq!(
        ended(&bed.run(bed.request()).await.0),
        (Outcome::Failed, Reason::VerifyMissing),
        "a link is no artifact"
    );
    bed.script("exit 9");
    bed.plan.command.as_mut().unwrap().exit.insert("9".to_owned(), landfall_proto::plan::ExitMeaning::AlreadyDone);
    fs::remove_file(Path::new(&bed.target.location).join("a.dump")).unwrap();
    assert_eq!(
        ended(&bed.run(bed.request()).await.0),
        (Outcome::Failed, Reason::VerifyMissing),
        "already done, but nothing is there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evidence_program_is_believed_only_as_far_as_it_can_be_checked() {
    let mut bed = Bed::new(DriverName::Command);
    let print = |size: &str| {
        vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            format!(
                "printf '{{\"artifact\":\"%s\",\"bytes\":{size},\"files\":7,\"taken_at\":\"%s\"}}' $LANDFALL_TARGET/a.dump $(date -u +%Y-%m-%dT%H:%M:%SZ)"
            ),
        ]
    };
    bed.script("sleep 1; echo data > $LANDFALL_TARGET/a.dump");
    let evidence = &mut bed.plan.command.as_mut().unwrap().evidence;
    (evidence.path, evidence.program) = (None, print("5"));
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
    assert_eq!(report.evidence.map(|evidence| (evidence.files, evidence.bytes)), Some((7, 5)));
    bed.plan.command.as_mut().unwrap().evidence.program = print("6");
    assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Failed, Reason::VerifyMissing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_bounded() {
    let mut bed = Bed::new(DriverName::Command);
    bed.script("yes 'a line of a flood that does not want to end, \\377' | head -c 30000000; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo data > $LANDFALL_TARGET/a.dump; echo the very end");
    let request = bed.request();
    let (report, _) = bed.run(request.clone()).await;
    assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
    assert!(report.tail.len() <= 8192 && report.tail.contains("the very end"));
    let kept = fs::metadata(request.directory.join("output")).unwrap().len();
    assert!(kept > 1 << 20 && kept <= 10 << 20, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_appear_nowhere() {
    for driver in BOTH {
        let mut bed = Bed::new(driver);
        if driver == DriverName::Command {
            let secret = bed.directory.path().join("secret");
            bed.target.secret = Some(Secret::File(secret.display().to_string()));
            bed.script("read word; echo \"the word is $word\"; echo \"$word\" >&2; env; tr '\\0' ' ' < /proc/$$/cmdline; echo $word > $LANDFALL_TARGET/a.dump");
        }
        let request = bed.request();
        let (report, events) = bed.run(request.clone()).await;
        assert_eq!(report.outcome, Outcome::Ok, "{driver:?}: {report:#?}");
        let output = fs::read_to_string(request.directory.join("output")).unwrap();
        assert!(!output.is_empty());
        for text in [report_text(&report), output, format!("{events:?}")] {
            assert!(!text.contains(CANARY), "{driver:?}: {text}");
            assert!(!text.contains("master_key"), "{driver:?}: {text}");
        }
        if driver == DriverName::Command {
            assert!(report.tail.contains("the word is ***"), "{}", report.tail);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_tried_again() {
    let bed = Bed::new(DriverName::Rustic);
    assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok);
    fs::write(bed.directory.path().join("secret"), "another\n").unwrap();
    let mut stranger = bed.clone();
    stranger.engine = std::sync::Arc::new(Bed::engine());
    let (report, _) = stranger.run(stranger.request()).await;
    assert_eq!((ended(&report), report.attempts), ((Outcome::Failed, Reason::Auth), 1), "{report:#?}");
    fs::remove_file(bed.directory.path().join("secret")).unwrap();
    assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Failed, Reason::NoCredentials));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_repository_is_opened_with_the_password_although_its_old_key_is_known() {
    let bed = Bed::new(DriverName::Rustic);
    let first = bed.run(bed.request()).await.0.evidence.unwrap().repository;
    fs::remove_dir_all(&bed.target.location).unwrap();
    fs::create_dir(&bed.target.location).unwrap();
    let mut other = bed.clone();
    other.engine = std::sync::Arc::new(Bed::engine());
    other.run(bed.request()).await;
    let mut run = bed.request();
    run.about.repository = first.clone();
    let (report, _) = bed.run(run).await;
    assert_eq!(report.outcome, Outcome::Ok, "{report:#?}");
    assert_ne!(report.evidence.unwrap().repository, first);
    assert!(report.findings.iter().any(|finding| finding.contains("another repository")), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_is_no_backup() {
    let bed = Bed::new(DriverName::Rustic);
    fs::remove_dir_all(&bed.plan.sources[0]).unwrap();
    fs::create_dir(&bed.plan.sources[0]).unwrap();
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!(ended(&report), (Outcome::Failed, Reason::Empty), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_what_it_is_told_to_and_finds_damage() {
    let bed = Bed::new(DriverName::Rustic);
    assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok);
    let (report, _) = bed.run(bed.request_for(TaskKind::Check, None)).await;
    assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
    assert_eq!(report.evidence.map(|evidence| evidence.level), Some(ProofLevel::Structure));
    let (report, _) = bed.run(bed.request_for(TaskKind::Check, Some((1, 1)))).await;
    assert_eq!(report.evidence.map(|evidence| evidence.level), Some(ProofLevel::Data));
    assert!(report.statistics.packs_read.unwrap() > 0);
    bed.flip_a_byte_in_a_pack();
    let (report, _) = bed.run(bed.request_for(TaskKind::Check, Some((1, 1)))).await;
    assert_eq!(ended(&report), (Outcome::Failed, Reason::Integrity), "{report:#?}");

    let mut bed = Bed::new(DriverName::Command);
    assert_eq!(
        ended(&bed.run(bed.request_for(TaskKind::Check, None)).await.0),
        (Outcome::Skipped, Reason::ExitSkipped)
    );
    for (program, outcome) in [("true", Outcome::Ok), ("false", Outcome::Failed)] {
        bed.plan.command.as_mut().unwrap().check_program = vec![format!("/bin/{program}")];
        assert_eq!(bed.run(bed.request_for(TaskKind::Check, None)).await.0.outcome, outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_make_a_backup_partial() {
    if rustix_is_root() {
        rerun_as_nobody("files_that_cannot_be_read_make_a_backup_partial");
        return;
    }
    let bed = Bed::new(DriverName::Rustic);
    let hidden = Path::new(&bed.plan.sources[0]).join("hidden");
    fs::write(&hidden, "x").unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!(ended(&report), (Outcome::Partial, Reason::SourceUnreadable), "{report:#?}");
    assert!(report.unread.names[0].contains("hidden"), "{:?}", report.unread);
}

/// A file system of 24 MiB in memory, gone when dropped.
struct SmallDisk<'a>(&'a str);

impl<'a> SmallDisk<'a> {
    fn mount(place: &'a str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs", place]).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("-l").arg(self.0).status().unwrap().success());
    }
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs one test of this file again without the superuser's rights, from a copy of the programs that everybody may read.
fn rerun_as_nobody(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (tests, agent) = (directory.path().join("tests"), directory.path().join("agent"));
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(driving::AGENT, &agent).unwrap();
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&tests)
        .args(["--exact", test])
        .env("LANDFALL_TEST_AGENT", &agent)
        .env("TMPDIR", directory.path())
        .current_dir(directory.path())
        .status()
        .unwrap();
    assert!(status.success());
}
