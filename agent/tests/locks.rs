//! Restic and the engine on one repository: each heeds the other's locks, and only what is proven to be ours goes.
#![cfg(feature = "daemon")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test waits for real processes and fails by panicking"
)]

#[allow(dead_code, reason = "other tests use what these do not")]
mod driving;
mod outside;
mod rest;
mod served;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key};
use driving::{AGENT, Bed, CANARY};
use landfall_agent::runner::{RunEvent, RunRequest, run};
use landfall_proto::plan::DriverName;
use landfall_proto::report::{Outcome, Reason, RunReport, TaskKind};
use landfall_proto::time::Timestamp;
use outside::outside;
use rest::RestServer;
use rustic_core::repofile::MasterKey;
use serde_json::{Value, json};
use served::Served;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};

const OPEN_NONBLOCKING: i32 = 0o4000;

/// A worker process, as an agent starts it.
struct Worker(Child);

impl Worker {
    fn backup(bed: &Bed, records: &Path) -> Self {
        let task = json!({
            "op": "backup", "create_if_missing": true, "sources": bed.plan.sources, "host": "node-a", "label": "etc",
            "run_tag": "landfall-run:1", "time": "2026-11-20T03:00:00Z",
        });
        Self::order(bed, task, records)
    }

    fn order(bed: &Bed, task: Value, records: &Path) -> Self {
        let order = json!({
            "repository": bed.target.location, "secret": {"password": CANARY}, "lock_records": records, "task": task,
        });
        let mut command = Command::new(AGENT);
        command.arg("worker").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{order}").unwrap();
        Self(child)
    }

    /// All that it says until it ends by itself.
    fn events(&mut self) -> Vec<Value> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let events = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        self.0.wait().unwrap();
        events
    }

    /// Its last word.
    fn last(&mut self) -> Value {
        self.events().pop().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every restic of another age that this machine has for the tests.
fn restics() -> Vec<PathBuf> {
    let new = outside("LANDFALL_RESTIC", "restic");
    let old = std::env::var_os("LANDFALL_RESTIC_OLD").map(PathBuf::from);
    [Some(new), old].into_iter().flatten().collect()
}

fn restic_command(program: &Path, bed: &Bed, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--no-cache", "--repo", &bed.target.location]).args(arguments).env("RESTIC_PASSWORD", CANARY);
    command
}

fn restic(program: &Path, bed: &Bed, arguments: &[&str]) -> Output {
    restic_command(program, bed, arguments).output().expect("restic runs; deploy/tools.sh restic fetches it")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn locks(bed: &Bed) -> Vec<String> {
    // A server writes beside them what is not whole yet.
    let is_whole = |name: &String| name.bytes().all(|byte| byte.is_ascii_hexdigit());
    names(&folder(bed).join("locks")).into_iter().filter(is_whole).collect()
}

/// Where the files of the bed's repository lie.
fn folder(bed: &Bed) -> PathBuf {
    if bed.target.location.starts_with("rest:") { at(bed, "served/repo") } else { PathBuf::from(&bed.target.location) }
}

/// A bed for each way to a repository: a folder, and restic's own server over one.
fn everywhere() -> [(Bed, Option<Served>); 2] {
    let mut remote = Bed::new(DriverName::Rustic);
    let server = Served::start(&at(&remote, "served"), &[]);
    remote.target.location = server.location("repo");
    [(Bed::new(DriverName::Rustic), None), (remote, Some(server))]
}

fn records(directory: &Path) -> usize {
    names(directory).iter().filter(|name| name.starts_with("lock-")).count()
}

/// A source that takes until [`end_source`] to read.
fn make_source_endless(bed: &Bed) {
    File::create(bed.directory.path().join("source/endless")).unwrap().set_len(1 << 40).unwrap();
}

fn end_source(bed: &Bed) {
    File::options().write(true).open(bed.directory.path().join("source/endless")).unwrap().set_len(1000).unwrap();
}

fn at(bed: &Bed, name: &str) -> PathBuf {
    bed.directory.path().join(name)
}

/// A number that no process has any more.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// Leaves a lock as restic would have left it `minutes` ago, and returns its name.
fn leave_lock(bed: &Bed, host: &str, pid: u32, minutes: i64, exclusive: bool) -> String {
    let mut look = Worker::order(bed, json!({"op": "list"}), &at(bed, "runs/look"));
    let events = look.events();
    let opened = events.iter().find(|event| event["event"] == "opened").unwrap();
    let master: MasterKey = serde_json::from_str(opened["master_key"].as_str().unwrap()).unwrap();
    let mut key = Key::default();
    key[..32].copy_from_slice(&master.encrypt);
    key[32..48].copy_from_slice(&master.mac.k);
    key[48..].copy_from_slice(&master.mac.r);
    let time = Timestamp::from_second(Timestamp::now().as_second() - minutes * 60).unwrap();
    let lock = json!({"time": time, "exclusive": exclusive, "hostname": host, "username": "me", "pid": pid});
    // The second version of the format packs its files.
    let packed = zstd::bulk::compress(lock.to_string().as_bytes(), 3).unwrap();
    let nonce = [u8::try_from(locks(bed).len()).unwrap(); 16];
    let sealed =
        Aes256CtrPoly1305Aes::new(&key).encrypt(&nonce.into(), [&[2], &packed[..]].concat().as_slice()).unwrap();
    let bytes = [&nonce[..], &sealed].concat();
    let id: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::create_dir_all(Path::new(&bed.target.location).join("locks")).unwrap();
    fs::write(Path::new(&bed.target.location).join("locks").join(&id), bytes).unwrap();
    id
}

fn ended(report: &RunReport) -> (Outcome, Reason) {
    (report.outcome, report.reason)
}

#[test]
fn restic_sees_the_lock_of_a_run_and_does_not_prune_beside_it() {
    for (program, (bed, _server)) in
        restics().into_iter().flat_map(|program| everywhere().map(|bed| (program.clone(), bed)))
    {
        make_source_endless(&bed);
        let mut worker = Worker::backup(&bed, &at(&bed, "runs/0"));
        wait_for("the lock", || !locks(&bed).is_empty());
        let [id] = &locks(&bed)[..] else { panic!("one lock: {:?}", locks(&bed)) };
        assert_eq!(names(&at(&bed, "runs/0")), [format!("lock-{id}.json")]);
        assert_eq!(String::from_utf8_lossy(&restic(&program, &bed, &["list", "locks"]).stdout).trim(), id);
        let lock: Value = serde_json::from_slice(&restic(&program, &bed, &["cat", "lock", id]).stdout).unwrap();
        assert_eq!((&lock["exclusive"], &lock["pid"]), (&json!(false), &json!(worker.0.id())), "{lock:#}");
        assert_eq!((&lock["hostname"], &lock["username"]), (&json!(hostname()), &json!("landfall-agent")));

        let pruned = restic(&program, &bed, &["prune"]);
        assert!(!pruned.status.success() && text(&pruned).contains("landfall-agent"), "{}", text(&pruned));
        // Restic asks with a signal whether the owner lives.
        assert!(restic(&program, &bed, &["unlock"]).status.success());
        assert_eq!(locks(&bed), std::slice::from_ref(id), "a living run's lock stays");

        end_source(&bed);
        assert_eq!(worker.last()["event"], "done");
        assert_eq!((locks(&bed).len(), records(&at(&bed, "runs/0"))), (0, 0));
        for arguments in [&["prune"][..], &["check", "--read-data"]] {
            let done = restic(&program, &bed, arguments);
            assert!(done.status.success(), "{arguments:?}: {}", text(&done));
        }
    }
}

/// A restic that checks and does not come to an end, with the repository for itself.
struct Checking {
    restic: Child,
    pack: PathBuf,
    kept: PathBuf,
    pipe: PathBuf,
}

impl Checking {
    fn start(program: &Path, bed: &Bed) -> Self {
        let folders = fs::read_dir(folder(bed).join("data")).unwrap().flatten();
        let pack = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap()).next().unwrap().unwrap().path();
        let (kept, pipe) = (at(bed, "kept"), at(bed, "pipe"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::rename(&pack, &kept).unwrap();
        fs::rename(&pipe, &pack).unwrap();
        let mut command = restic_command(program, bed, &["check", "--read-data"]);
        let restic = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("restic's lock", || !locks(bed).is_empty());
        Self { restic, pack, kept, pipe }
    }

    /// Puts the pack back and lets restic come to its end.
    fn let_go(mut self) {
        fs::rename(&self.pack, &self.pipe).unwrap();
        fs::rename(&self.kept, &self.pack).unwrap();
        wait_for("restic's end", || {
            // Whoever waits at the pipe for a writer finds one that has nothing to say.
            let _ = File::options().write(true).custom_flags(OPEN_NONBLOCKING).open(&self.pipe);
            self.restic.try_wait().unwrap().is_some()
        });
        fs::remove_file(self.pipe).unwrap();
    }
}

/// Runs, and lets go of restic when the first attempt has failed.
async fn run_beside(bed: &Bed, request: RunRequest, checking: Checking) -> (RunReport, Vec<String>) {
    let (events, mut heard) = mpsc::channel(64);
    let (_cancel, cancelled) = watch::channel(false);
    let listener = tokio::spawn(async move {
        let (mut checking, mut reasons) = (Some(checking), Vec::new());
        while let Some(event) = heard.recv().await {
            if let RunEvent::Retried(retried) = event {
                assert_eq!(retried.reason, Reason::Lock);
                reasons.push(retried.message);
                if let Some(checking) = checking.take() {
                    tokio::task::block_in_place(|| checking.let_go());
                }
            }
        }
        reasons
    });
    let report = run(request, &bed.engine, events, cancelled).await;
    (report, listener.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_while_restic_has_the_repository_for_itself_and_then_succeeds() {
    let programs = ["2", "1"].into_iter().zip(restics());
    for ((version, program), (mut bed, _server)) in programs.zip(everywhere()) {
        bed.plan.retries.attempts = 1000;
        let made = restic(&program, &bed, &["init", "--repository-version", version]);
        assert!(made.status.success(), "{}", text(&made));
        assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok);
        for task in [TaskKind::Backup, TaskKind::Check] {
            let checking = Checking::start(&program, &bed);
            let pid = checking.restic.id();
            let (report, waited) = run_beside(&bed, bed.request_for(task, Some((1, 1))), checking).await;
            assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
            assert!(report.attempts > 1);
            let said = format!("an exclusive lock of process {pid} of `");
            assert!(waited[0].contains(&said) && waited[0].contains(&hostname()), "{waited:#?}");
            assert_eq!(locks(&bed).len(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_or_cancelled_leaves_no_lock_while_its_agent_lives() {
    for is_cancelled in [false, true] {
        let bed = Bed::new(DriverName::Rustic);
        make_source_endless(&bed);
        let request = bed.request();
        let (directory, location) = (request.directory.clone(), bed.target.location.clone());
        let (report, _) = bed
            .run_and(request, move |mark, cancel| {
                tokio::task::block_in_place(|| {
                    wait_for("the lock", || !names(&Path::new(&location).join("locks")).is_empty())
                });
                if is_cancelled {
                    cancel.send(true).unwrap();
                } else {
                    assert!(Command::new("kill").args(["-9", &mark.pid.to_string()]).status().unwrap().success());
                }
            })
            .await;
        let expected = if is_cancelled {
            (Outcome::Cancelled, Reason::CancelledByOperator)
        } else {
            (Outcome::Failed, Reason::Killed)
        };
        assert_eq!(ended(&report), expected, "{report:#?}");
        assert_eq!((locks(&bed).len(), records(&directory)), (0, 0), "{}", report.tail);
        assert!(report.tail.contains("removed the locks"), "{}", report.tail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_left_goes_before_the_next_run_and_nothing_else_does() {
    let bed = Bed::new(DriverName::Rustic);
    assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok);
    make_source_endless(&bed);
    let (dead, living) = (at(&bed, "runs/dead"), at(&bed, "runs/living"));
    let mut killed = Worker::backup(&bed, &dead);
    wait_for("the first lock", || locks(&bed).len() == 1);
    let ours = locks(&bed).remove(0);
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    let mut at_work = Worker::backup(&bed, &living);
    wait_for("the second lock", || locks(&bed).len() == 2);
    let foreign = leave_lock(&bed, "elsewhere", 1, 1, false);
    let before = locks(&bed);
    assert_eq!((before.len(), records(&dead), records(&living)), (3, 1, 1));

    let mut later = bed.clone();
    later.plan.sources = vec![at(&bed, "source/one").display().to_string()];
    later.engine = Arc::new(Bed::engine());
    let (report, _) = later.run(later.request()).await;
    assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
    let expected: Vec<String> = before.into_iter().filter(|id| *id != ours).collect();
    assert_eq!((locks(&bed), records(&dead), records(&living)), (expected, 0, 1), "{}", report.tail);
    end_source(&bed);
    assert_eq!(at_work.last()["event"], "done");
    assert_eq!(locks(&bed), [foreign]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_others_left_stays_and_stops_a_run_only_where_its_owner_may_live() {
    let mut bed = Bed::new(DriverName::Rustic);
    bed.plan.retries.attempts = 2;
    assert_eq!(bed.run(bed.request()).await.0.outcome, Outcome::Ok);
    let here = hostname();
    for (host, pid, minutes, exclusive, goes_on, told) in [
        ("elsewhere", 1, 1, false, true, false),
        ("elsewhere", 1, 300, false, true, true),
        (&*here, dead_pid(), 11, true, true, true),
        (&*here, std::process::id(), 0, true, false, true),
        ("elsewhere", 1, 1, true, false, true),
        ("elsewhere", 1, 300, true, false, true),
    ] {
        let id = leave_lock(&bed, host, pid, minutes, exclusive);
        let (report, _) = bed.run(bed.request()).await;
        let case = format!("{host} {pid} {minutes} {exclusive}: {report:#?}");
        assert_eq!(ended(&report) == (Outcome::Ok, Reason::Completed), goes_on, "{case}");
        assert!(goes_on || (report.reason == Reason::Lock && report.attempts == 2), "{case}");
        let all = format!("{} {}", report.message, report.findings.join(" "));
        assert_eq!(all.contains(&format!("process {pid} of `me` on `{host}`")), told, "{case}");
        assert_eq!(all.contains("`restic unlock`"), told && minutes > 10, "{case}");
        assert_eq!(locks(&bed), std::slice::from_ref(&id), "{case}");
        fs::remove_file(Path::new(&bed.target.location).join("locks").join(id)).unwrap();
    }
    let unreadable = Path::new(&bed.target.location).join("locks").join("ab".repeat(32));
    fs::write(&unreadable, "torn").unwrap();
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!(report.reason, Reason::Lock);
    assert!(report.message.contains("--remove-all") && unreadable.exists(), "{}", report.message);
}

#[test]
fn a_run_whose_lock_somebody_removed_writes_no_snapshot() {
    for (bed, _server) in everywhere() {
        make_source_endless(&bed);
        let mut worker = Worker::backup(&bed, &at(&bed, "runs/0"));
        wait_for("the lock", || !locks(&bed).is_empty());
        let removed = restic(&restics()[0], &bed, &["unlock", "--remove-all"]);
        assert!(removed.status.success() && locks(&bed).is_empty(), "{}", text(&removed));
        end_source(&bed);
        let last = worker.last();
        assert_eq!((&last["event"], &last["reason"]), (&json!("failed"), &json!("lock")), "{last:#}");
        assert_eq!(names(&folder(&bed).join("snapshots")).len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_that_only_takes_keeps_snapshots_and_lets_locks_go() {
    let mut bed = Bed::new(DriverName::Rustic);
    let server = Served::start(&at(&bed, "served"), &["--append-only"]);
    bed.target.location = server.location("repo");
    for _ in 0..2 {
        let request = bed.request();
        let (report, _) = bed.run(request.clone()).await;
        assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
        assert_eq!((locks(&bed).len(), records(&request.directory)), (0, 0), "{}", report.tail);
    }
    let forgotten = restic(&restics()[0], &bed, &["forget", "--keep-last", "1", "--group-by", ""]);
    assert!(!forgotten.status.success(), "{}", text(&forgotten));
    assert_eq!(names(&server.folder("repo").join("snapshots")).len(), 2);
    let checked = bed.run(bed.request_for(TaskKind::Check, Some((1, 1)))).await.0;
    assert_eq!(ended(&checked), (Outcome::Ok, Reason::Completed), "{checked:#?}");
}

#[test]
fn a_worker_without_its_agent_takes_its_lock_with_it() {
    let bed = Bed::new(DriverName::Rustic);
    make_source_endless(&bed);
    let mut worker = Worker::backup(&bed, &at(&bed, "runs/0"));
    wait_for("the lock", || !locks(&bed).is_empty());
    drop(worker.0.stdin.take());
    worker.0.wait().unwrap();
    assert_eq!((locks(&bed).len(), records(&at(&bed, "runs/0"))), (0, 0));
    assert_eq!(names(&Path::new(&bed.target.location).join("snapshots")).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_locks_like_a_folder_and_may_refuse_them() {
    let server = RestServer::start();
    let mut bed = Bed::new(DriverName::Rustic);
    bed.target.location = format!("rest:{}", server.url);
    let left = || server.files.lock().unwrap().keys().filter(|path| path.contains("/locks/")).count();
    let refuse = |rules: &[(&'static str, &'static str)]| *server.refused.lock().unwrap() = rules.to_vec();
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!((ended(&report), left()), ((Outcome::Ok, Reason::Completed), 0), "{report:#?}");

    // A server that only takes: the lock stays, on record, until it may go.
    refuse(&[("DELETE", "/repo/locks/")]);
    let request = bed.request();
    let (report, _) = bed.run(request.clone()).await;
    assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
    assert_eq!((left(), records(&request.directory)), (1, 1));
    assert!(report.tail.contains("The run's lock is still in the repository."), "{}", report.tail);
    refuse(&[]);
    assert_eq!(ended(&bed.run(bed.request()).await.0), (Outcome::Ok, Reason::Completed));
    assert_eq!((left(), records(&request.directory)), (0, 0));

    // One that takes no locks: what deletes cannot be kept away, so nothing is written; a look is no risk.
    refuse(&[("POST", "/repo/locks/")]);
    let (report, _) = bed.run(bed.request()).await;
    assert_eq!((ended(&report), report.attempts), ((Outcome::Failed, Reason::Permission), 1), "{report:#?}");
    let (report, _) = bed.run(bed.request_for(TaskKind::Check, None)).await;
    assert_eq!(ended(&report), (Outcome::Ok, Reason::Completed), "{report:#?}");
    assert!(report.findings.iter().any(|finding| finding.contains("No lock could be left")), "{report:#?}");
}
