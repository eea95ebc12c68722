//! A plan, a target and an engine to drive them with, in directories that go away afterwards.
#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use landfall_agent::edge::clock;
use landfall_agent::edge::process::ProcessMark;
use landfall_agent::runner::{Engine, RunEvent, RunRequest, run};
use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::RunId;
use landfall_proto::plan::{DriverName, Plan, Target, read_plan, read_target};
use landfall_proto::report::{RunReport, TaskKind, Trigger};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// The secret that must never be seen.
pub(crate) const CANARY: &str = "canary-8f14e45fceea";

/// The program whose `worker` is the embedded engine.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_landfall-agent");

static NUMBER: AtomicU32 = AtomicU32::new(0);

#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) directory: Arc<TempDir>,
    pub(crate) plan: Plan,
    pub(crate) target: Target,
    pub(crate) engine: Arc<Engine>,
    silent: Option<Arc<TcpListener>>,
}

impl Bed {
    pub(crate) fn new(driver: DriverName) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["source", "target", "runs", "cache"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("source/one"), "the first file").unwrap();
        fs::write(at("source/two"), "the second file").unwrap();
        fs::write(at("secret"), format!("{CANARY}\nanything else\n")).unwrap();
        let plan = format!(
            "name = \"nightly\"\ntarget = \"disk\"\nsources = [{:?}]\ndriver = \"{}\"\n[retries]\ndelay = \"50ms\"\n",
            at("source"),
            driver.as_str()
        );
        let command = format!(
            "[command]\nprogram = [\"/bin/sh\", \"-c\", \"true\"]\n[command.evidence]\npath = {:?}\n",
            at("target/*.dump")
        );
        let plan = plan + if driver == DriverName::Command { &command } else { "" };
        let target = format!(
            "name = \"disk\"\ndriver = \"{}\"\nlocation = {:?}\ncreate = true\nfree_percent_min = 0\nsecret = {{ file = {:?} }}\n",
            driver.as_str(),
            at("target"),
            at("secret")
        );
        let mut bed = Self {
            plan: read_plan("nightly.toml", &plan).unwrap(),
            target: read_target("disk.toml", &target).unwrap(),
            engine: Arc::new(Self::engine()),
            directory: Arc::new(directory),
            silent: None,
        };
        if driver == DriverName::Command {
            bed.target.secret = None;
            bed.make_it_short();
        }
        bed
    }

    pub(crate) fn engine() -> Engine {
        Engine::new(std::env::var_os("LANDFALL_TEST_AGENT").map_or_else(|| PathBuf::from(AGENT), PathBuf::from))
    }

    /// What the plan's program does, as a line of shell.
    pub(crate) fn script(&mut self, line: &str) {
        self.plan.command.as_mut().unwrap().program = vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
    }

    /// A backup that takes far longer than any test.
    pub(crate) fn make_it_long(&mut self) {
        match self.plan.driver {
            DriverName::Rustic => self.make_it_hang(),
            DriverName::Command => self.script("sleep 1000 & sleep 1000 & while :; do echo working; sleep 0.1; done"),
        }
    }

    /// A backup that stands still without using anything.
    pub(crate) fn make_it_hang(&mut self) {
        match self.plan.driver {
            DriverName::Rustic => {
                // A server that takes connections and never answers.
                let silent = TcpListener::bind("127.0.0.1:0").unwrap();
                self.target.location = format!("rest:http://{}/", silent.local_addr().unwrap());
                self.silent = Some(Arc::new(silent));
            }
            DriverName::Command => self.script("sleep 1000 & sleep 1000"),
        }
    }

    pub(crate) fn make_it_short(&mut self) {
        match self.plan.driver {
            DriverName::Rustic => {
                self.silent = None;
                self.target.location = self.directory.path().join("target").display().to_string();
            }
            DriverName::Command => {
                self.script("cat /dev/null; echo 'the whole data' > $LANDFALL_TARGET/$LANDFALL_RUN.dump")
            }
        }
    }

    pub(crate) fn request(&self) -> RunRequest {
        self.request_for(TaskKind::Backup, None)
    }

    pub(crate) fn request_for(&self, task: TaskKind, data_part: Option<(u32, u32)>) -> RunRequest {
        let node = "node-a".parse().unwrap();
        let round = clock::draw_round();
        let about = RunAbout {
            run: RunId::of(round, &node, task),
            round,
            routine: self.plan.name.clone(),
            slot: None,
            task,
            trigger: Trigger::Hand,
            plan_hash: self.plan.hash(),
            repository: None,
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        RunRequest {
            about,
            plan: self.plan.clone(),
            target: self.target.clone(),
            node,
            attempt: 1,
            directory: self.directory.path().join(format!("runs/{number}")),
            cache: self.directory.path().join("cache"),
            history: Vec::new(),
            data_part,
        }
    }

    pub(crate) async fn run(&self, request: RunRequest) -> (RunReport, Vec<RunEvent>) {
        self.run_and(request, |_, _| {}).await
    }

    /// Runs, and does something a moment after the tool's process is there.
    pub(crate) async fn run_and(
        &self,
        request: RunRequest,
        then: impl Fn(ProcessMark, &watch::Sender<bool>) + Send + 'static,
    ) -> (RunReport, Vec<RunEvent>) {
        let (events, mut heard) = mpsc::channel(64);
        let (cancel, cancelled) = watch::channel(false);
        let listener = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(event) = heard.recv().await {
                let started = if let RunEvent::Process(mark) = &event { *mark } else { None };
                all.push(event);
                if let Some(mark) = started {
                    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
                    then(mark, &cancel);
                }
            }
            (all, cancel)
        });
        let report = run(request, &self.engine, events, cancelled).await;
        (report, listener.await.unwrap().0)
    }

    /// Runs one request, others while it is under way, and then cancels the first.
    pub(crate) async fn run_beside(&self, first: RunRequest, others: Vec<RunRequest>) -> (RunReport, Vec<RunReport>) {
        let (events, mut heard) = mpsc::channel(64);
        let (cancel, cancelled) = watch::channel(false);
        let engine = self.engine.clone();
        let running = tokio::spawn(async move { run(first, &engine, events, cancelled).await });
        while !matches!(heard.recv().await, Some(RunEvent::Process(Some(_))) | None) {}
        let drain = tokio::spawn(async move { while heard.recv().await.is_some() {} });
        let mut reports = Vec::new();
        for other in others {
            reports.push(self.run(other).await.0);
        }
        cancel.send(true).unwrap();
        let report = running.await.unwrap();
        drain.await.unwrap();
        (report, reports)
    }

    pub(crate) fn flip_a_byte_in_a_pack(&self) {
        let packs = walk(&Path::new(&self.target.location).join("data"));
        let largest = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        let mut bytes = fs::read(largest).unwrap();
        bytes[10] ^= 1;
        let mut permissions = fs::metadata(largest).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        fs::set_permissions(largest, permissions).unwrap();
        fs::write(largest, bytes).unwrap();
    }
}

/// How many living processes are left of the groups that a run had.
pub(crate) fn living(events: &[RunEvent]) -> usize {
    let groups: Vec<u32> = events
        .iter()
        .filter_map(|event| if let RunEvent::Process(Some(mark)) = event { Some(mark.pid) } else { None })
        .collect();
    assert!(!groups.is_empty(), "the run had no process");
    let stats =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
            fields[0] != "Z" && groups.contains(&fields[2].parse().unwrap())
        })
        .count()
}

pub(crate) fn report_text(report: &RunReport) -> String {
    format!("{report:?}")
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
