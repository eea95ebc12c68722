//! The worker as the agent meets it: a process that takes one order and answers with JSON lines.
#![cfg(feature = "daemon")]

mod outside;
#[expect(dead_code, reason = "no story here is about what a server refuses")]
mod rest;
mod served;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use landfall_agent::worker::protocol::{EXIT_ORPHANED, MAX_NAMES};
use outside::outside;
use rest::RestServer;
use serde_json::{Value, json};
use served::Served;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_landfall-agent");
const PASSWORD: &str = "correct horse";
const TAG: &str = "landfall-run:018f0000-0000-7000-8000-000000000001";

/// What one worker said and how it ended.
struct Said {
    events: Vec<Value>,
    code: i32,
}

impl Said {
    fn last(&self) -> &Value {
        self.events.last().expect("a worker says something")
    }

    fn event(&self, name: &str) -> Option<&Value> {
        self.events.iter().find(|event| event["event"] == name)
    }

    #[track_caller]
    fn done(&self, name: &str) -> &Value {
        assert_eq!((self.last()["event"].as_str(), self.code), (Some(name), 0), "{:#?}", self.events);
        self.last()
    }

    #[track_caller]
    fn failed(&self, reason: &str) -> &Value {
        assert_eq!((self.last()["event"].as_str(), self.code), (Some("failed"), 1), "{:#?}", self.events);
        assert_eq!(self.last()["reason"], reason, "{:#?}", self.events);
        self.last()
    }
}

/// A repository and something to save.
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let stage = Self { folder };
        for (name, text) in [("data/a.txt", "alpha"), ("data/deep/b.txt", "beta"), ("data/skip.tmp", "gamma")] {
            stage.write(name, text);
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).expect("it exists").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("created");
        fs::write(path, text).expect("written");
    }

    fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    fn order(&self, task: Value) -> Value {
        json!({"repository": self.repository(), "secret": {"password": PASSWORD}, "task": task})
    }

    fn backup(&self, tag: &str) -> Value {
        self.order(json!({
            "op": "backup", "create_if_missing": true, "sources": [self.path("data")], "tags": ["plan:etc"],
            "host": "node-a", "label": "etc", "run_tag": tag, "time": "2026-11-20T03:00:00Z",
        }))
    }

    #[track_caller]
    fn restic(&self, arguments: &[&str]) -> Output {
        restic(self.repository(), arguments)
    }

    fn packs(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.repository().join("data")).expect("it exists");
        let files = folders.flat_map(|folder| fs::read_dir(folder.expect("readable").path()).expect("readable"));
        files.map(|file| file.expect("readable").path()).collect()
    }
}

fn restic_command(repository: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(outside("LANDFALL_RESTIC", "restic"));
    command.args(["--no-cache", "--repo"]).arg(repository).args(arguments).env("RESTIC_PASSWORD", PASSWORD);
    command
}

/// What restic says, once it has ended well.
#[track_caller]
fn restic(repository: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
    let said = restic_command(repository, arguments).output().expect("restic runs; deploy/tools.sh restic fetches it");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    said
}

fn start(program: &mut Command, order: &Value) -> Child {
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the worker starts");
    let input = child.stdin.as_mut().expect("it is piped");
    writeln!(input, "{order}").expect("the worker reads its order");
    child
}

fn finish(mut child: Child) -> Said {
    // The input stays open until the end, as the agent keeps it.
    let output = child.stdout.take().expect("it is piped");
    let lines = BufReader::new(output).lines().map(|line| line.expect("text"));
    let events = lines.map(|line| serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect();
    let code = child.wait().expect("it ends").code().expect("it is not killed");
    Said { events, code }
}

/// Whether a condition comes true within twenty seconds.
fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    (0..4_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        condition()
    })
}

fn work(order: &Value) -> Said {
    // The agent starts every child with an empty environment.
    finish(start(Command::new(BINARY).arg("worker").env_clear(), order))
}

#[test]
fn a_backup_lands_is_read_back_and_restores_with_restic() {
    let stage = Stage::new();
    fs::set_permissions(stage.path("data"), fs::Permissions::from_mode(0o710)).expect("changed");
    symlink("a.txt", stage.path("data/link")).expect("linked");
    let mut order = stage.backup(TAG);
    order["task"]["excludes"] = json!(["*.tmp"]);
    let said = work(&order);
    let done = said.done("done");

    assert_eq!(said.event("opened").expect("it was opened")["created"], true);
    assert_eq!(done["read_back"]["found"], 1, "{done:#}");
    assert_eq!(done["read_back"]["paths_covered"], true, "{done:#}");
    assert_eq!(done["read_back"]["root_tree_readable"], true, "{done:#}");
    assert_eq!(done["read_back"]["files_listed"], 3, "a.txt, deep and link: {done:#}");
    assert_eq!(done["snapshot"]["tags"], json!([TAG, "plan:etc"]));
    assert_eq!(done["snapshot"]["time"], "2026-11-20T03:00:00Z");
    assert_eq!(done["snapshot"]["host"], "node-a");
    assert_eq!(done["summary"]["files_new"], 3, "{done:#}");
    assert_eq!(done["unread"]["count"], 0);

    stage.restic(&["check", "--read-data"]);
    let listed = stage.restic(&["snapshots", "--json", "--tag", TAG]).stdout;
    let listed: Value = serde_json::from_slice(&listed).expect("JSON");
    assert_eq!(listed[0]["id"], done["snapshot"]["id"]);
    assert_eq!(listed[0]["paths"], json!([stage.path("data")]));

    let target = stage.path("restored");
    let target_text = target.to_str().expect("text");
    stage.restic(&["restore", "latest", "--target", target_text]);
    let restored = target.join(stage.path("data").strip_prefix("/").expect("absolute"));
    assert_eq!(fs::read_to_string(restored.join("deep/b.txt")).expect("restored"), "beta");
    assert_eq!(fs::read_link(restored.join("link")).expect("restored"), Path::new("a.txt"));
    assert!(!restored.join("skip.tmp").exists(), "it was excluded");
    let mode = fs::metadata(&restored).expect("restored").permissions().mode() & 0o777;
    assert_eq!(mode, 0o710, "the source's own directory keeps its mode");
}

#[test]
fn a_second_run_with_the_key_reads_nothing_again() {
    let stage = Stage::new();
    let first = work(&stage.backup(TAG));
    first.done("done");
    let key = first.event("opened").expect("it was opened")["master_key"].clone();

    let mut order = stage.backup("landfall-run:2");
    order["secret"] = json!({"master_key": key});
    let second = work(&order);
    let done = second.done("done");
    assert_eq!(done["summary"]["files_unmodified"], 3, "{done:#}");
    assert_eq!(done["summary"]["files_new"], 0);
    assert_eq!(done["read_back"]["paths_covered"], true, "the unchanged tree is found in the older index");
    assert_eq!(second.event("opened").expect("it was opened")["created"], false);
}

#[test]
fn a_run_that_landed_before_is_not_done_again() {
    let stage = Stage::new();
    let first = work(&stage.backup(TAG));
    stage.write("data/later.txt", "delta");
    let again = work(&stage.backup(TAG));
    assert_eq!(again.done("already_done")["snapshot"]["id"], first.last()["snapshot"]["id"]);
    assert_eq!(again.last()["read_back"]["found"], 1);
    let list = work(&stage.order(json!({"op": "list", "run_tags": [TAG]})));
    assert_eq!(list.done("snapshots")["snapshots"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_witness_sees_the_tags_it_asks_for_and_no_others() {
    let stage = Stage::new();
    for tag in ["landfall-run:1", "landfall-run:2", "landfall-run:3"] {
        work(&stage.backup(tag)).done("done");
    }
    let some = work(&stage.order(json!({"op": "list", "run_tags": ["landfall-run:2", "landfall-run:9"]})));
    let snapshots = some.done("snapshots")["snapshots"].as_array().expect("a list").clone();
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0]["tags"], json!(["landfall-run:2", "plan:etc"]));
    assert_eq!(snapshots[0]["files"], 3);
    let all = work(&stage.order(json!({"op": "list"})));
    assert_eq!(all.done("snapshots")["snapshots"].as_array().map(Vec::len), Some(3));
}

#[test]
fn each_cause_of_a_failed_opening_has_its_own_reason() {
    let stage = Stage::new();
    let list = json!({"op": "list"});
    work(&stage.order(list.clone())).failed("no_repository");
    work(&stage.backup(TAG)).done("done");

    let mut wrong = stage.order(list.clone());
    wrong["secret"]["password"] = json!("wrong");
    let failed = work(&wrong);
    assert!(!failed.failed("auth").to_string().contains("wrong\""), "no secret is repeated");

    let other = Stage::new();
    let foreign_key = work(&other.backup(TAG)).event("opened").expect("it was opened")["master_key"].clone();
    let mut stale = stage.order(list.clone());
    stale["secret"] = json!({"master_key": foreign_key});
    work(&stale).failed("auth");
    stale["secret"]["password"] = json!(PASSWORD);
    work(&stale).done("snapshots");
    for broken in ["", "no JSON", r#"{"mac":{"k":"AA==","r":"AA=="},"encrypt":"AA=="}"#] {
        stale["secret"] = json!({"master_key": broken});
        work(&stale).failed("no_credentials");
    }

    fs::write(stage.repository().join("config"), b"not a config, but long enough to be decrypted").expect("written");
    work(&stage.order(list.clone())).failed("integrity");
    fs::remove_file(stage.repository().join("config")).expect("removed");
    work(&stage.backup(TAG)).failed("integrity");

    let mut nowhere = stage.order(list);
    nowhere["secret"] = json!({});
    nowhere["repository"] = json!(other.repository());
    work(&nowhere).failed("no_credentials");
}

#[test]
fn a_server_that_does_not_answer_is_a_matter_of_the_network() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("it has one").port();
    let server = std::thread::spawn(move || {
        // One answer that refuses the password, for the head and the list alike, on as many connections as come.
        for connection in free.incoming().take(2) {
            let mut connection = connection.expect("it connects");
            let mut request = [0; 2048];
            let _ = connection.read(&mut request);
            let _ =
                connection.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let stage = Stage::new();
    let mut order = stage.backup(TAG);
    order["repository"] = json!(format!("rest:http://me:hidden-pass@127.0.0.1:{port}/repo/"));
    let refused = work(&order);
    assert!(!refused.failed("auth").to_string().contains("hidden-pass"));
    assert!(refused.event("opened").is_none(), "a refused password is no reason to create a repository");
    server.join().expect("the server ends");
}

#[test]
fn a_missing_source_fails_before_the_repository_is_touched() {
    let stage = Stage::new();
    let mut order = stage.backup(TAG);
    order["task"]["sources"] = json!([stage.path("data"), stage.path("gone")]);
    let failed = work(&order);
    assert!(failed.failed("source_missing")["message"].as_str().expect("text").contains("gone"));
    assert!(!stage.repository().exists(), "nothing was created");
}

#[test]
fn an_absolute_exclude_and_several_sources_mean_what_they_say() {
    let stage = Stage::new();
    stage.write("other/c.txt", "gamma");
    stage.write("single.txt", "one file");
    fs::create_dir(stage.path("empty")).expect("created");
    let mut order = stage.backup(TAG);
    let names = ["other", "empty", "single.txt", "data", "data/deep"];
    order["task"]["sources"] = json!(names.map(|name| stage.path(name)));
    order["task"]["excludes"] = json!([stage.path("data/deep")]);
    let said = work(&order);
    let done = said.done("done");
    assert_eq!(done["summary"]["total_files"], 4, "a.txt, skip.tmp, c.txt and single.txt: {done:#}");
    assert_eq!(done["read_back"]["paths_covered"], true, "an empty source is there too: {done:#}");
    stage.restic(&["check", "--read-data"]);
    order["task"]["excludes"] = json!(["!data"]);
    order["task"]["run_tag"] = json!("landfall-run:2");
    work(&order).failed("internal");
}

#[test]
fn unread_files_are_counted_and_named_for_a_user_without_rights() {
    let stage = Stage::new();
    for number in 0..3 {
        stage.write(&format!("data/secret-{number}"), "closed");
        fs::set_permissions(stage.path(&format!("data/secret-{number}")), fs::Permissions::from_mode(0o0))
            .expect("changed");
    }
    stage.write("data/closed/inside", "closed");
    fs::set_permissions(stage.path("data/closed"), fs::Permissions::from_mode(0o0)).expect("changed");
    let binary = stage.path("landfall-agent");
    fs::copy(BINARY, &binary).expect("copied");
    fs::create_dir(stage.repository()).expect("created");
    for open in [stage.path(""), stage.repository(), binary.clone()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).expect("changed");
    }
    let mut program = Command::new("setpriv");
    program.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary).arg("worker");
    let said = finish(start(&mut program, &stage.backup(TAG)));
    let done = said.done("done");
    assert_eq!(done["unread"]["count"], 4, "{done:#}");
    let names = done["unread"]["names"].to_string();
    for name in ["data/secret-0", "data/secret-1", "data/secret-2", "data/closed"] {
        assert!(names.contains(name), "{name} is missing in {names}");
    }
    assert!(done["unread"]["names"].as_array().expect("a list").len() <= MAX_NAMES);
    assert_eq!(done["summary"]["total_files"], 3, "what could be read was saved: {done:#}");
    fs::set_permissions(stage.path("data/closed"), fs::Permissions::from_mode(0o755)).expect("changed");
}

#[test]
fn flipped_bytes_are_found_by_the_data_check_and_by_one_part_of_it() {
    let stage = Stage::new();
    stage.write("data/noise", noise(1, 1_600_000));
    work(&stage.backup(TAG)).done("done");
    let check = |subset: &Value| work(&stage.order(json!({"op": "check", "data_subset": subset})));

    let whole = check(&json!("all"));
    assert_eq!(whole.done("done_check")["errors"], 0, "{:#}", whole.last());
    assert_eq!(whole.last()["packs_read"], stage.packs().len());

    let victim =
        stage.packs().into_iter().max_by_key(|pack| fs::metadata(pack).expect("it exists").len()).expect("packs");
    damage_file(&victim);

    let structure = check(&Value::Null);
    assert_eq!(structure.done("done_check")["errors"], 0, "the structure does not show it: {:#}", structure.last());
    assert_eq!(structure.last()["packs_read"], 0);
    let data = check(&json!("all"));
    assert!(data.done("done_check")["errors"].as_u64() > Some(0), "{:#}", data.last());
    let name = victim.file_name().expect("it has one").to_str().expect("text");
    assert!(data.last()["findings"].to_string().contains(&name[..8]), "the pack is named: {:#}", data.last());
    let errors =
        |part: u32| check(&json!(format!("{part}/3"))).done("done_check")["errors"].as_u64().expect("a number");
    assert_eq!((1..=3).filter(|part| errors(*part) > 0).count(), 1, "exactly one part holds the damaged pack");

    fs::remove_file(&victim).expect("removed");
    let missing = check(&Value::Null);
    assert!(missing.done("done_check")["errors"].as_u64() > Some(0), "a missing pack shows in the structure");
}

#[test]
fn a_damaged_snapshot_or_index_is_a_finding_and_an_old_one_stops_no_backup() {
    let stage = Stage::new();
    work(&stage.backup(TAG)).done("done");
    let damage = |kind: &str| {
        let file =
            fs::read_dir(stage.repository().join(kind)).expect("it exists").next().expect("one").expect("readable");
        let kept = fs::read(file.path()).expect("readable");
        fs::write(file.path(), vec![7; kept.len()]).expect("written");
        (file.path(), kept)
    };
    damage("snapshots");
    let check = stage.order(json!({"op": "check"}));
    assert_eq!(work(&check).done("done_check")["errors"], 1);
    assert_eq!(work(&stage.order(json!({"op": "list"}))).done("snapshots")["damaged"], 1);
    work(&stage.backup("landfall-run:2")).done("done");

    let (path, kept) = damage("index");
    assert!(work(&check).done("done_check")["errors"].as_u64() > Some(0));
    fs::write(path, kept).expect("written");
}

#[test]
fn a_list_that_cannot_be_made_whole_is_a_failure_and_not_an_empty_list() {
    let stage = Stage::new();
    work(&stage.backup(TAG)).done("done");
    fs::rename(stage.repository().join("snapshots"), stage.path("elsewhere")).expect("moved");
    work(&stage.order(json!({"op": "list"}))).failed("integrity");
    work(&stage.backup(TAG)).failed("integrity");
}

#[test]
fn a_creation_that_was_cut_off_leaves_nothing_that_locks_us_out() {
    let stage = Stage::new();
    work(&stage.backup(TAG)).done("done");
    let half = Stage::new();
    fs::create_dir_all(half.repository().join("keys")).expect("created");
    for key in fs::read_dir(stage.repository().join("keys")).expect("it exists").flatten() {
        fs::copy(key.path(), half.repository().join("keys").join(key.file_name())).expect("copied");
    }
    work(&half.backup(TAG)).done("done");
    assert_eq!(fs::read_dir(half.repository().join("keys")).expect("it exists").count(), 1);
    work(&half.order(json!({"op": "list"}))).done("snapshots");
}

#[test]
fn two_first_backups_at_once_make_one_repository() {
    let stage = Stage::new();
    at_once(&stage, &stage.repository().display().to_string());
}

#[test]
fn two_first_backups_at_once_make_one_repository_at_a_server_too_also_where_nothing_can_be_taken_back() {
    for options in [&[][..], &["--append-only"]] {
        let stage = Stage::new();
        let server = Served::start(&stage.path("served"), options);
        at_once(&stage, &server.location("repo"));
        assert_eq!(fs::read_dir(server.folder("repo").join("keys")).expect("it exists").count(), 1);
    }
}

#[test]
fn a_creation_that_was_cut_off_at_a_server_is_told_with_what_to_do() {
    for (left, told) in [("keys", "Remove the folder `keys`"), ("config", "remove the file `config`")] {
        let stage = Stage::new();
        let server = Served::start(&stage.path("served"), &["--append-only"]);
        let mut order = stage.backup(TAG);
        order["repository"] = json!(server.location("first"));
        work(&order).done("done");
        order["repository"] = json!(server.location("repo"));
        for folder in ["data", "index", "keys", "locks", "snapshots"] {
            fs::create_dir_all(server.folder("repo").join(folder)).expect("created");
        }
        let (from, to) = (server.folder("first").join(left), server.folder("repo").join(left));
        if left == "config" {
            fs::copy(from, to).expect("copied");
        } else {
            for key in fs::read_dir(from).expect("it exists").flatten() {
                fs::copy(key.path(), to.join(key.file_name())).expect("copied");
            }
        }
        let said = work(&order);
        assert!(said.failed("integrity").to_string().contains(told), "{:#?}", said.events);
        assert_eq!(fs::read_dir(server.folder("repo").join("snapshots")).expect("it exists").count(), 0);
    }
}

/// Three workers that find no repository at the same time.
fn at_once(stage: &Stage, location: &str) {
    let orders = ["landfall-run:1", "landfall-run:2", "landfall-run:3"].map(|tag| {
        let mut order = stage.backup(tag);
        order["repository"] = json!(location);
        order
    });
    let children = orders.each_ref().map(|order| start(Command::new(BINARY).arg("worker"), order));
    let said = children.map(finish);
    for one in &said {
        assert_eq!(one.done("done")["read_back"]["found"], 1);
    }
    let ids = said.each_ref().map(|one| one.event("opened").expect("it was opened")["repository_id"].clone());
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let created = said.iter().filter(|one| one.event("opened").expect("it was opened")["created"] == true).count();
    assert_eq!(created, 1);
}

#[test]
fn an_exclusive_lock_of_restic_stops_the_backup_until_it_is_gone() {
    let stage = Stage::new();
    work(&stage.backup(TAG)).done("done");
    // Restic holds an exclusive lock while it prunes; stopping it in the middle leaves the lock as a prune shows it.
    let locks = || fs::read_dir(stage.repository().join("locks")).map_or(0, |locks| locks.flatten().count());
    let pipe = stage.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    // `check` takes an exclusive lock; a pack that is a pipe keeps it waiting.
    let pack = stage.packs().remove(0);
    let kept = stage.path("kept-pack");
    fs::rename(&pack, &kept).expect("moved");
    fs::rename(&pipe, &pack).expect("moved");
    let mut restic = restic_command(stage.repository(), &["check", "--read-data"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("restic starts");
    assert!(comes_true(|| locks() > 0), "restic takes its lock");
    let said = work(&stage.backup("landfall-run:2"));
    restic.kill().expect("it is ours");
    restic.wait().expect("it ends");
    assert!(locks() > 0, "restic left its lock behind");
    said.failed("lock");
    fs::remove_file(&pack).expect("removed");
    fs::rename(&kept, &pack).expect("moved");
    for lock in fs::read_dir(stage.repository().join("locks")).expect("it exists").flatten() {
        fs::remove_file(lock.path()).expect("removed");
    }
    work(&stage.backup("landfall-run:2")).done("done");
}

#[test]
fn a_full_destination_is_told_apart_and_leaves_no_snapshot() {
    let stage = Stage::new();
    let disk = stage.path("disk");
    fs::create_dir(&disk).expect("created");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=50m", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system does not let the test mount a small disk");
        return;
    }
    // More than one pack, so that the disk is full in the middle of the backup and not only at its end.
    for number in 0..100 {
        stage.write(&format!("data/noise-{number}"), noise(number, 1_000_000));
    }
    let mut order = stage.backup(TAG);
    order["repository"] = json!(disk.join("repository"));
    let said = work(&order);
    let snapshots = fs::read_dir(disk.join("repository/snapshots")).map_or(0, |files| files.flatten().count());
    let unmounted = Command::new("umount").arg(&disk).status().expect("umount runs");
    assert!(unmounted.success());
    said.failed("no_space");
    assert_eq!(snapshots, 0);
}

#[test]
fn a_worker_whose_agent_is_gone_leaves_at_once() {
    let stage = Stage::new();
    stage.write("data/large", vec![0; 64 << 20]);
    let mut child = start(Command::new(BINARY).arg("worker"), &stage.backup(TAG));
    drop(child.stdin.take());
    assert!(comes_true(|| child.try_wait().expect("it is ours").is_some()));
    let code = child.wait().expect("it ended").code();
    assert_eq!(code, Some(i32::from(EXIT_ORPHANED)));
}

#[test]
fn a_killed_worker_leaves_a_whole_repository_and_the_next_one_completes_the_run() {
    let stage = Stage::new();
    work(&stage.backup("landfall-run:0")).done("done");
    for number in 0..12 {
        stage.write(&format!("data/noise-{number}"), noise(number, 8 << 20));
    }
    let mut child = start(Command::new(BINARY).arg("worker"), &stage.backup(TAG));
    let packs = stage.packs().len();
    assert!(comes_true(|| stage.packs().len() > packs), "it begins to write");
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    let list = stage.order(json!({"op": "list", "run_tags": [TAG]}));
    assert_eq!(work(&list).done("snapshots")["snapshots"], json!([]), "it was killed in the middle");
    let check = stage.order(json!({"op": "check", "data_subset": "all"}));
    assert_eq!(work(&check).done("done_check")["errors"], 0);
    work(&stage.backup(TAG)).done("done");
    assert_eq!(work(&check).done("done_check")["errors"], 0);
    assert_eq!(work(&list).done("snapshots")["snapshots"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_remote_repository_is_read_back_past_the_cache() {
    let stage = Stage::new();
    let server = RestServer::start();
    past_the_cache(&stage, &format!("rest:{}", server.url), || damage(&server, "/data/"));
}

#[test]
fn restics_own_server_keeps_what_the_engine_writes_and_restic_reads_it() {
    let stage = Stage::new();
    let server = Served::start(&stage.path("served"), &[]);
    let location = server.location("repo");
    past_the_cache(&stage, &location, || {
        restic(&location, &["check", "--read-data"]);
        let back = stage.path("back");
        restic(&location, &["restore", "latest", "--target", &back.display().to_string()]);
        let file = stage.path("data/deep/b.txt");
        let below = file.strip_prefix("/").expect("it is absolute");
        assert_eq!(fs::read_to_string(back.join(below)).expect("it came back"), "beta");
        for folder in fs::read_dir(server.folder("repo").join("data")).expect("it exists") {
            for pack in fs::read_dir(folder.expect("readable").path()).expect("readable") {
                damage_file(&pack.expect("readable").path());
            }
        }
    });
}

/// Two backups through a server, and a third after `damage` has been done to every pack of data.
fn past_the_cache(stage: &Stage, location: &str, damage: impl FnOnce()) {
    let remote = |task: &Value| {
        let mut order = task.clone();
        order["repository"] = json!(location);
        order["cache_dir"] = json!(stage.path("cache"));
        order
    };
    let list = remote(&stage.order(json!({"op": "list"})));
    work(&list).failed("no_repository");
    let first = work(&remote(&stage.backup(TAG)));
    assert_eq!(first.done("done")["read_back"]["paths_covered"], true);
    assert_eq!(first.event("opened").expect("it was opened")["created"], true);
    assert!(fs::read_dir(stage.path("cache")).expect("the cache is used").count() > 0);

    let second = work(&remote(&stage.backup("landfall-run:2")));
    assert_eq!(second.done("done")["summary"]["files_unmodified"], 3);
    assert_eq!(second.last()["read_back"]["paths_covered"], true);
    assert_eq!(work(&list).done("snapshots")["snapshots"].as_array().map(Vec::len), Some(2));
    let check = remote(&stage.order(json!({"op": "check", "data_subset": "all"})));
    assert_eq!(work(&check).done("done_check")["errors"], 0);

    damage();
    work(&remote(&stage.backup(TAG))).failed("integrity");
    assert!(work(&check).done("done_check")["errors"].as_u64() > Some(0));
}

/// Flips one byte in the middle of a file that may not be written.
fn damage_file(path: &Path) {
    let mut content = fs::read(path).expect("readable");
    flip_a_byte(&mut content);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    fs::write(path, content).expect("written");
}

/// Flips one byte in each file below a folder.
fn damage(server: &RestServer, folder: &str) {
    let mut files = server.files.lock().expect("no test panicked with it");
    for (_, content) in files.iter_mut().filter(|(name, _)| name.contains(folder)) {
        flip_a_byte(content);
    }
}

fn flip_a_byte(content: &mut [u8]) {
    let middle = content.len() / 2;
    content[middle] ^= 0xff;
}

/// Bytes that neither compress nor repeat.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252 ^ (seed << 32);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

#[test]
fn an_order_that_makes_no_sense_is_refused_without_repeating_it() {
    let said = work(&json!({"repository": "/r", "secret": {"password": "hush-hush"}, "task": {"op": "dance"}}));
    assert!(!said.failed("internal").to_string().contains("hush-hush"));
}

#[test]
fn progress_tells_the_totals_and_moves_only_forward() {
    let stage = Stage::new();
    for number in 0..40 {
        stage.write(&format!("data/block-{number}"), vec![u8::try_from(number).expect("small"); 4 << 20]);
    }
    let said = work(&stage.backup(TAG));
    said.done("done");
    let shown: Vec<&Value> =
        said.events.iter().filter(|event| event["event"] == "progress" && event["phase"] == "transferring").collect();
    assert!(!shown.is_empty(), "160 MiB take longer than one interval");
    let bytes: Vec<u64> = shown.iter().map(|event| event["bytes_done"].as_u64().expect("a number")).collect();
    assert!(bytes.is_sorted(), "{bytes:?}");
    assert!(shown.iter().any(|event| event["bytes_total"].as_u64() > Some(160 << 20)), "{:#}", shown[shown.len() - 1]);
    assert!(shown.iter().any(|event| event["files_total"] == 43), "{:#}", shown[shown.len() - 1]);
}
