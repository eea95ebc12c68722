//! The agent's program as a person uses it: a real repository in a temporary folder, no bus, with and without a daemon.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test waits for real processes and fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use landfall_proto::bus::freeze_process;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_landfall-agent");

/// One machine in a folder.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["plans.d", "targets.d", "state", "data/sub", "disk"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        let root = machine.root.path().display();
        machine.write(
            "agent.toml",
            &format!(
                "cluster = \"home\"\nnode = \"nas\"\nplans_dir = \"{root}/plans.d\"\ntargets_dir = \"{root}/targets.d\"\nstate_dir = \"{root}/state\"\ndrain = \"1s\"\n"
            ),
        );
        machine.write("secret", "a password\n");
        machine.write("data/one", "first");
        machine.write("data/sub/two", &"second".repeat(1000));
        machine.write(
            "targets.d/disk.toml",
            &format!("name = \"disk\"\ndriver = \"rustic\"\nlocation = \"{root}/disk/repo\"\ncreate = true\nsecret = {{ file = \"{root}/secret\" }}\nfree_percent_min = 0\n"),
        );
        machine.write(
            "plans.d/files.toml",
            &format!("name = \"files\"\nsources = [\"{root}/data\"]\ntarget = \"disk\"\n"),
        );
        machine
    }

    /// A second plan whose program sleeps until somebody stops it.
    fn with_sleeper(self) -> Self {
        let root = self.root.path().display();
        fs::create_dir_all(self.path("dumps")).unwrap();
        self.write(
            "targets.d/dumps.toml",
            &format!("name = \"dumps\"\ndriver = \"command\"\nlocation = \"{root}/dumps\"\nfree_percent_min = 0\n"),
        );
        self.write(
            "plans.d/sleeper.toml",
            &format!("name = \"sleeper\"\ndriver = \"command\"\ntarget = \"dumps\"\n[command]\nprogram = [\"/bin/sleep\", \"600\"]\n[command.evidence]\npath = \"{root}/dumps/*\"\n"),
        );
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("agent.toml")).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    }

    fn daemon(&self) -> Daemon<'_> {
        let child = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let daemon = Daemon { machine: self, child };
        wait_for("the daemon's door", || {
            std::os::unix::net::UnixStream::connect(self.path("state/agent.sock")).is_ok()
        });
        daemon
    }

    fn states(&self) -> Vec<String> {
        let listing = self.json(&["runs", "--json"]);
        listing["runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect()
    }
}

struct Daemon<'a> {
    machine: &'a Machine,
    child: Child,
}

impl Daemon<'_> {
    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn end(mut self, signal: &str) {
        self.signal(signal);
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Also of one that nobody has taken note of: its parent is gone, and not every machine has a process that does it instead.
fn has_ended(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn sleepers(root: &Path) -> usize {
    let marker = root.join("state").display().to_string();
    let mut count = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read_to_string(entry.path().join("cmdline")) else { continue };
        if line.contains("sleep\u{0}600") {
            // Other tests sleep too; ours is the one whose mark is in our state directory.
            let pid = entry.file_name().to_string_lossy().into_owned();
            let is_ours = walk(Path::new(&marker))
                .iter()
                .any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(&pid)));
            count += usize::from(is_ours);
        }
    }
    count
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let runs = fs::read_dir(folder.join("runs"))
        .map(|runs| runs.flatten().map(|run| run.path().join("process.json")).collect());
    runs.unwrap_or_default()
}

#[test]
fn a_plan_runs_without_daemon_and_without_bus_and_leaves_its_receipt() {
    let machine = Machine::new();
    let output = machine.run(&["run", "files"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("backup of files: ok"), "{}", text(&output));

    let listing = machine.json(&["runs", "--json"]);
    let run = &listing["runs"][0];
    assert_eq!(run["state"], "ok");
    assert_eq!(run["trigger"], "hand");
    assert_eq!(run["report"]["evidence"]["matches"], 1);
    assert!(run["report"]["evidence"]["files"].as_u64().unwrap() >= 2);
    let id = run["id"].as_str().unwrap();
    assert!(machine.path(&format!("state/runs/{id}/receipt.json")).exists());
    let shown = text(&machine.run(&["runs", &id[..8]]));
    assert!(shown.contains("phase: verifying") && shown.contains("snapshot"), "{shown}");

    let output = machine.run(&["run", "files", "--task", "check", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let last = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .last()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .unwrap();
    assert_eq!(last["ended"]["report"]["outcome"], "ok");
}

#[test]
fn a_check_follows_the_backup_when_the_plan_wants_one() {
    let machine = Machine::new();
    let plan = fs::read_to_string(machine.path("plans.d/files.toml")).unwrap();
    machine.write("plans.d/files.toml", &format!("{plan}[check]\nevery = \"7d\"\ndata_parts = 2\n"));
    let output = machine.run(&["run", "files"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let listing = machine.json(&["runs", "--json"]);
    let runs = listing["runs"].as_array().unwrap();
    let tasks: Vec<&str> = runs.iter().map(|run| run["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["check", "backup"]);
    assert_eq!(machine.run(&["run", "files"]).status.code(), Some(0));
    assert_eq!(machine.states().len(), 3, "the next check is due in a week");
}

#[test]
fn a_missing_source_fails_with_its_reason_and_a_way_out() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.path("data")).unwrap();
    let output = machine.run(&["run", "files"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let shown = text(&output);
    assert!(shown.contains("source_missing") && shown.contains("fix:"), "{shown}");
    assert_eq!(machine.states(), ["failed"]);
}

#[test]
fn a_plan_that_is_not_there_is_a_wrong_use() {
    let machine = Machine::new();
    machine.write("plans.d/broken.toml", "name = \n");
    let output = machine.run(&["run", "nothing"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("broken.toml"), "{}", text(&output));
    let output = machine.run(&["plans"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("files") && text(&output).contains("broken.toml:1"), "{}", text(&output));
}

#[test]
fn the_living_daemon_runs_what_a_person_asks_for_and_keeps_the_state_directory_to_itself() {
    let machine = Machine::new();
    let daemon = machine.daemon();
    let output = machine.run(&["run", "files"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let second = machine.run(&["serve"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(text(&second).contains("another agent"), "{}", text(&second));
    daemon.end("TERM");
    assert_eq!(machine.states(), ["ok"]);
}

#[test]
fn ctrl_c_cancels_the_run_with_its_tool() {
    let machine = Machine::new().with_sleeper();
    let mut child = machine.command(&["run", "sleeper"]).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the tool", || sleepers(machine.root.path()) == 1);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(machine.states(), ["cancelled"]);
    assert_eq!(sleepers(machine.root.path()), 0);
}

#[test]
fn a_run_that_its_agents_end_interrupts_is_taken_up_at_the_next_start() {
    for signal in ["TERM", "KILL"] {
        let machine = Machine::new().with_sleeper();
        let daemon = machine.daemon();
        let mut visitor =
            machine.command(&["run", "sleeper"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the tool", || sleepers(machine.root.path()) == 1);
        daemon.end(signal);
        visitor.wait().unwrap();
        if signal == "TERM" {
            assert_eq!(sleepers(machine.root.path()), 0, "no tool outlives an agent that ends in order");
        }
        let daemon = machine.daemon();
        wait_for("the second attempt", || {
            let listing = daemon.machine.json(&["runs", "--json"]);
            let runs = listing["runs"].as_array().unwrap();
            assert_eq!(runs.len(), 1, "it is one run for ever");
            runs[0]["attempt"] == 2 && sleepers(machine.root.path()) == 1
        });
        daemon.end("TERM");
    }
}

#[test]
fn a_slot_is_run_by_the_daemon_itself_where_there_is_no_bus() {
    let machine = Machine::new();
    let plan = fs::read_to_string(machine.path("plans.d/files.toml")).unwrap();
    machine.write("plans.d/files.toml", &format!("{plan}[schedule]\ncalendar = \"*:*:0/2\"\n"));
    let daemon = machine.daemon();
    wait_for("two runs", || machine.states().iter().filter(|state| *state == "ok").count() >= 2);
    let listing = machine.json(&["runs", "--json"]);
    let slots: Vec<&str> = listing["runs"].as_array().unwrap().iter().filter_map(|run| run["slot"].as_str()).collect();
    let unique: std::collections::BTreeSet<&&str> = slots.iter().collect();
    assert_eq!(slots.len(), unique.len());
    daemon.end("TERM");
}

#[test]
fn doctor_names_what_is_wrong_and_how_to_mend_it() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["run", "files"]).status.code(), Some(0));
    let verdict = machine.json(&["doctor", "--json"]);
    assert_eq!(verdict["ok"], true, "{verdict:#}");
    fs::remove_file(machine.path("secret")).unwrap();
    let output = machine.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("BAD  plan files: credentials") && text(&output).contains("fix:"),
        "{}",
        text(&output)
    );
}

#[test]
fn examples_are_good_files_and_help_has_examples() {
    let machine = Machine::new();
    for (arguments, check) in [
        (vec!["plan", "example"], vec!["plan", "check"]),
        (vec!["plan", "example", "--target"], vec!["plan", "check", "--target"]),
    ] {
        let output = machine.run(&arguments);
        fs::write(machine.path("example.toml"), output.stdout).unwrap();
        let path = machine.path("example.toml").display().to_string();
        let output = machine.run(&[check, vec![path.as_str()]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    machine.write("agent.toml", &String::from_utf8(machine.run(&["config", "example"]).stdout).unwrap());
    assert_eq!(machine.run(&["config", "check"]).status.code(), Some(0));
    for verb in ["serve", "run", "runs", "plans", "doctor", "completion"] {
        assert!(text(&machine.run(&[verb, "--help"])).contains("Examples:"), "{verb}");
    }
    assert!(text(&machine.run(&["completion", "bash"])).contains("landfall-agent"));
    machine.write("bad.toml", "name = \"x\"\nsources = [\"etc\"]\ntarget = \"disk\"\n");
    let output = machine.run(&["plan", "check", &machine.path("bad.toml").display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("bad.toml:2: sources[0]"), "{}", text(&output));
}

#[test]
fn the_lock_of_a_run_that_died_with_its_agent_goes_at_the_next_start_and_a_strangers_stays() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["run", "files"]).status.code(), Some(0));
    fs::File::create(machine.path("data/endless")).unwrap().set_len(1 << 40).unwrap();
    let locks = || {
        let entries = fs::read_dir(machine.path("disk/repo/locks")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let daemon = machine.daemon();
    let mut visitor = machine.command(&["run", "files"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the lock", || locks().len() == 1);
    let ours = locks().remove(0);
    let shown = text(&machine.run(&["doctor"]));
    assert!(shown.contains("plan files: locks: Ours, of a run under way"), "{shown}");
    let marks = walk(&machine.path("state")).into_iter().filter_map(|path| fs::read(path).ok());
    let pids: Vec<u64> =
        marks.filter_map(|mark| serde_json::from_slice::<Value>(&mark).ok()?["pid"].as_u64()).collect();
    // A worker that outlived its agent would take its lock with it, and an agent that outlived its worker would do so too. Nor can the
    // worker be the one that stands still: the system wakes it when its agent ends, as the last of its group with a parent.
    freeze_process(daemon.child.id()).unwrap();
    let worker = u32::try_from(pids[0]).unwrap();
    assert!(Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap().success());
    daemon.end("KILL");
    visitor.wait().unwrap();
    fs::remove_file(machine.path("data/endless")).unwrap();
    wait_for("the worker's end", || has_ended(worker));
    let stranger = "ab".repeat(32);
    fs::write(machine.path("disk/repo/locks").join(&stranger), "not ours").unwrap();
    assert_eq!(locks().len(), 2);
    let shown = text(&machine.run(&["doctor"]));
    assert!(shown.contains("Ours, left by a run that was killed"), "{shown}");
    assert!(shown.contains("BAD  plan files: locks") && shown.contains("--remove-all"), "{shown}");

    let daemon = machine.daemon();
    wait_for("the lock's end", || !locks().contains(&ours));
    // The run that is taken up again may hold a lock of its own meanwhile.
    assert!(locks().contains(&stranger));
    daemon.end("TERM");
}

/// What a shell gets for a line whose last word is being typed.
fn completed(machine: &Machine, shell: &str, line: &[&str]) -> Vec<String> {
    let mut command = Command::new(PROGRAM);
    command.arg("--").arg("landfall-agent").args(line).env("COMPLETE", shell).env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", line.len().to_string());
    let output = command.env("LANDFALL_AGENT_CONFIG", machine.path("agent.toml")).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn a_shell_is_offered_the_plans_and_the_runs_of_this_node() {
    let machine = Machine::new().with_sleeper();
    assert_eq!(completed(&machine, "bash", &["run", ""])[..2], ["files", "sleeper"]);
    assert_eq!(completed(&machine, "bash", &["run", "sl"]), ["sleeper"]);
    assert!(completed(&machine, "zsh", &["run", "f"])[0].starts_with("files:rustic to disk"));
    let bare = completed(&machine, "bash", &["runs", "0"]);
    assert!(bare.is_empty(), "nothing has run: {bare:?}");
    assert!(machine.run(&["run", "files"]).status.success());
    let run = machine.json(&["runs", "--json"])["runs"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(completed(&machine, "bash", &["runs", &run[..4]]), [run.as_str()]);
    let nowhere = machine.path("not-there.toml").display().to_string();
    assert!(completed(&machine, "bash", &["--config", &nowhere, "run", "f"]).is_empty());
}

#[test]
fn a_variable_that_is_set_by_chance_keeps_no_backup_from_running() {
    let machine = Machine::new();
    for chance in ["bash", "1"] {
        let output = machine.command(&["run", "files"]).env("COMPLETE", chance).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_eq!(machine.states(), ["ok", "ok"]);
}

/// Every file below a folder with its content; a living lock or a receipt would be one more.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The door of an agent is a file without content.
        if path.is_dir() {
            all.extend(content(&path))
        } else {
            all.push((path.clone(), fs::read(&path).unwrap_or_default()))
        }
    }
    all.sort();
    all
}

#[test]
fn a_dry_run_tells_what_a_run_would_do_and_meet_and_writes_nothing() {
    let machine = Machine::new();
    let plan = fs::read_to_string(machine.path("plans.d/files.toml")).unwrap();
    machine.write(
        "plans.d/files.toml",
        &format!("{plan}excludes = [\"*.tmp\"]\nlabels = {{ site = \"b\" }}\n[schedule]\ncalendar = \"*-*-* 02:00\"\n"),
    );
    machine.write("data/sub/scratch.tmp", "left out");
    let before = content(machine.root.path());
    let fresh = machine.json(&["run", "files", "--dry-run", "--json"]);
    assert_eq!((&fresh["would_start"], &fresh["repository"]), (&Value::Bool(true), &Value::Null), "{fresh:#}");
    let source = &fresh["sources"][0];
    assert_eq!((&source["files"], &source["bytes"], &source["excluded"]), (&2.into(), &6005.into(), &1.into()));
    assert_eq!(fresh["limits"], serde_json::json!(["cluster", "node", "repository", "label:site=b", "task:backup"]));
    assert_eq!(fresh["next_slots"].as_array().unwrap().len(), 3);
    assert_eq!(content(machine.root.path()), before, "expected that neither a repository nor a receipt was made");

    assert!(machine.run(&["run", "files"]).status.success());
    let before = content(machine.root.path());
    let output = machine.run(&["run", "files", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let shown = text(&output);
    for part in
        ["2 files in 2 folders, 5.9 KiB; 1 left out", "last good  2 files", "Nobody holds a lock", "It would start"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(content(machine.root.path()), before, "expected that nothing was written");
    assert_eq!(machine.states(), ["ok"]);
}

#[test]
fn a_dry_run_names_what_is_in_the_way_and_strikes_secrets_from_the_line() {
    let machine = Machine::new().with_sleeper();
    let root = machine.root.path().display();
    machine.write(
        "plans.d/sleeper.toml",
        &format!("name = \"sleeper\"\ndriver = \"command\"\ntarget = \"dumps\"\nsources = [\"{root}/gone\"]\n[command]\nprogram = [\"/bin/sleep\", \"--password=hunter2\"]\nenvironment = {{ PGPASSWORD = \"hunter3\" }}\n[command.evidence]\npath = \"{root}/dumps/*\"\n"),
    );
    let output = machine.run(&["run", "sleeper", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let shown = text(&output);
    assert!(shown.contains("/bin/sleep --password=***   with PGPASSWORD set"), "{shown}");
    assert!(shown.contains("BAD        source: The source") && shown.contains("fix:"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert_eq!(machine.run(&["run", "nothing", "--dry-run"]).status.code(), Some(2));
}
