//! The agent on a bus: commands in, facts out, and nothing lost when the bus or the agent goes away between.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test waits for real work and fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use landfall_agent::config::{BusConfig, Config};
use landfall_agent::edge::boot::Mode;
use landfall_agent::edge::shell::Shell;
use landfall_agent::runner::Engine;
use landfall_proto::bus::{
    Bus, ConnectOptions, Inbox, LogSettings, MemoryBus, Seed, ServerConfig, ServerProcess, Signer, Told, server_program,
};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::command::{Action, Answer, COMMAND_KIND, Command, Refused};
use landfall_proto::envelope::{Envelope, Epoch};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::{ClusterName, CommandId, Incarnation, NodeId, RoundId, RunId};
use landfall_proto::live::{Beat, SYNC_KIND, Sync};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::subject::{Filter, Role, Subject, Topic};
use landfall_proto::time::{Timestamp, after};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_landfall-agent");

fn cluster() -> ClusterName {
    "home".parse().unwrap()
}

fn node() -> NodeId {
    "nas".parse().unwrap()
}

/// A bus with one coordinator's client, and a folder with one agent's files.
struct World {
    root: tempfile::TempDir,
    /// Absent where the bus is a real one.
    memory: Option<MemoryBus>,
    coordinator: Bus,
    signer: Signer,
    config: Config,
    commands: u128,
}

/// A bus with these users, running.
fn server(root: &Path, users: &[(Role, &Seed)]) -> ServerProcess {
    let folder = root.join("bus");
    let config = ServerConfig {
        server_name: "agent-test".into(),
        cluster: cluster(),
        listen: "127.0.0.1:0".parse().unwrap(),
        monitor: None,
        store_dir: folder.join("store"),
        max_file_store_bytes: 64 << 20,
        users: users.iter().map(|(role, seed)| (role.clone(), seed.public_key())).collect(),
        watch: None,
        tls: None,
    };
    let program = server_program("LANDFALL_NATS_SERVER", true).unwrap();
    let mut server = ServerProcess::new(&program, &folder, &config).unwrap();
    server.start().unwrap();
    server
}

/// A living agent.
struct Living {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Living {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }

    /// The process is gone between two moments: nothing is drained and nobody is told.
    async fn kill(self) {
        self.ended.abort();
        let _ = self.ended.await;
    }
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let memory = MemoryBus::new(&cluster());
        let coordinator = memory.connect(Role::Coordinator);
        assert!(coordinator.ensure_log(&LogSettings::default()).await.is_done());
        let signer = Signer::from_seed(&Seed::generate());
        let config = files(root.path(), signer.public_key());
        Self { root, memory: Some(memory), coordinator, signer, config, commands: 0 }
    }

    /// The same on a real server, with real keys.
    async fn real() -> (Self, ServerProcess) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (own, lead) = (Seed::generate(), Seed::generate());
        let root = tempfile::tempdir().unwrap();
        let server = server(root.path(), &[(Role::Agent(node()), &own), (Role::Coordinator, &lead)]);
        let signer = Signer::from_seed(&Seed::generate());
        let mut config = files(root.path(), signer.public_key());
        let seed_file = root.path().join("seed");
        fs::write(&seed_file, own.expose()).unwrap();
        config.bus = Some(BusConfig { urls: vec![server.url()], seed_file, tls: None });
        let options = ConnectOptions::new(vec![server.url()], Role::Coordinator, cluster(), lead);
        let coordinator = Bus::connect(options).await.unwrap();
        assert!(coordinator.wait_up(Duration::from_secs(10)).await);
        assert!(coordinator.ensure_log(&LogSettings::default()).await.is_done());
        (Self { root, memory: None, coordinator, signer, config, commands: 0 }, server)
    }

    fn memory(&self) -> &MemoryBus {
        self.memory.as_ref().expect("only the twin in memory can be made to fail so")
    }

    async fn agent(&self) -> Living {
        let (config, engine) = (self.config.clone(), Engine::new(PROGRAM.into()));
        let shell = match &self.memory {
            Some(memory) => {
                Shell::boot_on(Some(memory.connect(Role::Agent(node()))), config, engine, &Mode::Daemon).await
            }
            None => Shell::boot(config, engine, &Mode::Daemon).await,
        };
        let shell = shell.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            shell.run(stopped).await.unwrap();
        });
        Living { stop, ended }
    }

    async fn tell(&mut self, term: u64, action: Action) -> Answer {
        let command = self.command(term, action);
        let signed = self.signer.sign(&command);
        self.send(encode(&signed)).await
    }

    fn command(&mut self, term: u64, action: Action) -> Command {
        self.commands += 1;
        let now = Timestamp::now();
        Command {
            id: CommandId(Uuid::from_u128(self.commands)),
            audience: node(),
            holder: "main".parse().unwrap(),
            epoch: Epoch { era: 0, term },
            issued_at: now,
            not_after: after(now, landfall_proto::time::Duration::from_secs(30)),
            action,
        }
    }

    async fn send(&self, body: Vec<u8>) -> Answer {
        let subject = Subject::new(&cluster(), Topic::Command(node()));
        for _ in 0..50 {
            let told =
                self.coordinator.request(&subject, &message(COMMAND_KIND, body.clone()), Duration::from_secs(2)).await;
            if let Told::Done(answer) = told {
                return decode(&answer.body, MESSAGE_BYTES_MAX).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the agent does not answer");
    }

    fn sync(&self, sync: &Sync) {
        let subject = Subject::new(&cluster(), Topic::Sync(node()));
        assert!(self.coordinator.tell(&subject, &message(SYNC_KIND, encode(sync))));
    }

    /// Everything in the log, as the fold would read it; nothing where the bus does not answer at the moment.
    async fn log(&self) -> Vec<(Envelope, AgentFact)> {
        let mut reader = self.coordinator.read_log(0);
        let Some(batch) = reader.next_batch(1000, Duration::from_millis(100)).await.done() else { return Vec::new() };
        let facts = batch.messages.iter().map(|message| {
            let (_, envelope) = message.fact().unwrap();
            let fact = AgentFact::decode(&envelope.kind, &envelope.body).unwrap().unwrap();
            (envelope, fact)
        });
        facts.collect()
    }

    async fn log_with(
        &self,
        what: &str,
        is_there: impl Fn(&[(Envelope, AgentFact)]) -> bool,
    ) -> Vec<(Envelope, AgentFact)> {
        for _ in 0..300 {
            let log = self.log().await;
            if is_there(&log) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what} did not come: {:#?}", self.log().await.iter().map(|(_, fact)| fact.kind()).collect::<Vec<_>>());
    }
}

fn files(root: &Path, key: &str) -> Config {
    for folder in ["plans.d", "targets.d", "data", "disk"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let shown = root.display();
    fs::write(root.join("secret"), "a password\n").unwrap();
    fs::write(root.join("data/one"), "first").unwrap();
    let target = format!(
        "name = \"disk\"\ndriver = \"rustic\"\nlocation = \"{shown}/disk/repo\"\ncreate = true\nfree_percent_min = 0\nsecret = {{ file = \"{shown}/secret\" }}\n"
    );
    fs::write(root.join("targets.d/disk.toml"), target).unwrap();
    let plan = format!("name = \"files\"\nsources = [\"{shown}/data\"]\ntarget = \"disk\"\n");
    fs::write(root.join("plans.d/files.toml"), plan).unwrap();
    let text = format!(
        "cluster = \"home\"\nnode = \"nas\"\nplans_dir = \"{shown}/plans.d\"\ntargets_dir = \"{shown}/targets.d\"\nstate_dir = \"{shown}/state\"\ncoordinator_keys = [\"{key}\"]\n"
    );
    Config::read("agent.toml", &text).unwrap()
}

fn message(kind: &str, body: Vec<u8>) -> Envelope {
    let (incarnation, id) = (Incarnation(Uuid::nil()), Uuid::nil());
    let (kind, writer) = (kind.to_owned(), "main".to_owned());
    Envelope { protocol: 1, kind, id, writer, incarnation, seq: 0, sent_at: Timestamp::now(), body }
}

fn start(number: u128) -> (RunId, Action) {
    let round = RoundId(Uuid::from_u128(number));
    let run = RunId::of(round, &node(), TaskKind::Backup);
    (run, Action::Start { run, round, routine: "files".parse().unwrap(), slot: None, task: TaskKind::Backup })
}

fn has_finished(run: RunId) -> impl Fn(&[(Envelope, AgentFact)]) -> bool {
    move |log| log.iter().any(|(_, fact)| matches!(fact, AgentFact::RunFinished(end) if end.about.run == run))
}

fn assert_contiguous(log: &[(Envelope, AgentFact)]) {
    let seqs: Vec<u64> = log.iter().map(|(envelope, _)| envelope.seq).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
}

async fn next_beat(inbox: &mut Inbox) -> Beat {
    let incoming = tokio::time::timeout(Duration::from_secs(10), inbox.next()).await.unwrap().unwrap();
    decode(&incoming.envelope().unwrap().body, MESSAGE_BYTES_MAX).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_command_is_obeyed_once_and_its_story_is_in_the_log() {
    let mut world = World::new().await;
    let agent = world.agent().await;
    let (run, action) = start(1);
    assert_eq!(world.tell(1, action.clone()).await, Answer::Accepted);
    assert_eq!(world.tell(1, action.clone()).await, Answer::Accepted);
    let log = world.log_with("the end", has_finished(run)).await;
    assert_contiguous(&log);
    assert_eq!(log[0].1.kind(), "agent_started");
    assert_eq!(log.iter().filter(|(_, fact)| fact.kind() == "run_started").count(), 1);
    let Some(AgentFact::RunFinished(end)) = log.iter().map(|(_, fact)| fact).find(|fact| fact.kind() == "run_finished")
    else {
        panic!("the run has ended")
    };
    assert_eq!(end.report.outcome, Outcome::Ok, "{}", end.report.message);
    assert!(end.about.repository.is_some(), "the destination has said who it is");
    assert_eq!(world.tell(1, action).await, Answer::AlreadyDone);
    let Answer::Log { text, ended, .. } = world.tell(1, Action::ReadLog { run, offset: 0 }).await else {
        panic!("the run has a log")
    };
    assert!(ended && text.contains("phase: verifying"), "{text}");
    assert_eq!(world.tell(1, Action::Cancel { run }).await, Answer::AlreadyDone);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_stranger_or_of_an_old_leader_is_refused() {
    let mut world = World::new().await;
    let agent = world.agent().await;
    let (run, action) = start(1);
    let stranger = Signer::from_seed(&Seed::generate());
    let forged = stranger.sign(&world.command(9, action));
    let answer = world.send(encode(&forged)).await;
    assert!(matches!(answer, Answer::Refused { reason: Refused::Signature, .. }), "{answer:?}");
    let answer = world.send(b"noise".to_vec()).await;
    assert!(matches!(answer, Answer::Refused { reason: Refused::Malformed, .. }), "{answer:?}");
    let cancel = Action::Cancel { run };
    let answer = world.tell(5, cancel.clone()).await;
    assert!(matches!(answer, Answer::Refused { reason: Refused::NoRun, .. }), "{answer:?}");
    agent.kill().await;
    let agent = world.agent().await;
    let answer = world.tell(4, cancel).await;
    assert!(
        matches!(answer, Answer::Refused { reason: Refused::StaleEpoch, .. }),
        "a restart forgets no epoch: {answer:?}"
    );
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_bus_is_away_is_told_later_without_a_hole() {
    let mut world = World::new().await;
    let agent = world.agent().await;
    let (run, action) = start(1);
    assert_eq!(world.tell(1, action).await, Answer::Accepted);
    world.memory().set_online(false);
    let receipt = world.root.path().join(format!("state/runs/{run}/receipt.json"));
    for _ in 0..300 {
        if receipt.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(receipt.exists(), "a backup needs no bus");
    agent.stop().await;
    let agent = world.agent().await;
    world.memory().set_online(true);
    let log = world.log_with("the end", has_finished(run)).await;
    assert_contiguous(&log);
    assert_eq!(log.iter().filter(|(_, fact)| fact.kind() == "run_finished").count(), 1);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_say_what_is_known_and_a_lost_log_is_filled_again() {
    let world = World::new().await;
    let Told::Done(mut beats) = world.coordinator.listen(&Filter::Beats.of(&cluster())).await else {
        panic!("beats can be heard")
    };
    let agent = world.agent().await;
    world.log_with("the plans", |log| log.iter().any(|(_, fact)| fact.kind() == "plans_announced")).await;
    let beat = loop {
        let beat = next_beat(&mut beats).await;
        if beat.next_seq >= 2 {
            break beat;
        }
    };
    assert_eq!(beat.node, node());
    assert!(beat.vitals.memory_total_bytes > 0 && beat.outbox == beat.next_seq);
    world.memory().wipe();
    assert!(world.coordinator.ensure_log(&LogSettings::default()).await.is_done());
    let sync = Sync {
        epoch: Epoch::default(),
        incarnation: beat.incarnation,
        durable_below: 0,
        last_halves: Vec::new(),
        resend_from: Some(0),
        queued: Vec::new(),
        announce: false,
    };
    // Synchronisation may be lost, so it is repeated as a coordinator does.
    let is_full = |log: &[(Envelope, AgentFact)]| {
        world.sync(&sync);
        log.len() as u64 >= beat.next_seq
    };
    let log = world.log_with("the facts", is_full).await;
    assert_contiguous(&log);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_set_back_begins_a_new_life() {
    let world = World::new().await;
    let agent = world.agent().await;
    let plans = |log: &[(Envelope, AgentFact)]| log.iter().any(|(_, fact)| fact.kind() == "plans_announced");
    let log = world.log_with("the plans", plans).await;
    let first = log[0].0.incarnation;
    let sync = Sync {
        epoch: Epoch::default(),
        incarnation: first,
        durable_below: 1000,
        last_halves: Vec::new(),
        resend_from: None,
        queued: Vec::new(),
        announce: false,
    };
    let is_other = |log: &[(Envelope, AgentFact)]| {
        world.sync(&sync);
        log.iter().filter(|(envelope, _)| envelope.incarnation != first).count() >= 3
    };
    let log = world.log_with("another life", is_other).await;
    let again: Vec<_> = log.into_iter().filter(|(envelope, _)| envelope.incarnation != first).collect();
    assert_contiguous(&again);
    assert!(plans(&again));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_spool_is_rebuilt_from_receipts_under_another_life() {
    let mut world = World::new().await;
    let agent = world.agent().await;
    let (run, action) = start(1);
    assert_eq!(world.tell(1, action.clone()).await, Answer::Accepted);
    let log = world.log_with("the end", has_finished(run)).await;
    let first = log[0].0.incarnation;
    agent.stop().await;
    fs::remove_dir_all(world.root.path().join("state/spool.v1")).unwrap();
    let agent = world.agent().await;
    let is_told = |log: &[(Envelope, AgentFact)]| {
        let mut others = log.iter().filter(|(envelope, _)| envelope.incarnation != first);
        others.any(|(_, fact)| matches!(fact, AgentFact::RunFinished(end) if end.about.run == run))
    };
    let log = world.log_with("the receipt's end", is_told).await;
    let again: Vec<_> = log.into_iter().filter(|(envelope, _)| envelope.incarnation != first).collect();
    assert_contiguous(&again);
    assert!(
        matches!(&again[0].1, AgentFact::AgentStarted(began) if began.cause == landfall_proto::fact::agent::StartCause::Rebuilt)
    );
    assert_eq!(world.tell(1, action).await, Answer::AlreadyDone, "the run is not run twice");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_may_be_killed_and_nothing_is_lost() {
    let (mut world, mut server) = World::real().await;
    let agent = world.agent().await;
    let (first, action) = start(1);
    assert_eq!(world.tell(1, action).await, Answer::Accepted);
    world.log_with("the first end", has_finished(first)).await;
    server.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.start().unwrap();
    let (second, action) = start(2);
    assert_eq!(world.tell(1, action).await, Answer::Accepted);
    let log = world.log_with("the second end", has_finished(second)).await;
    assert_contiguous(&log);
    assert!(has_finished(first)(&log));
    agent.stop().await;
}
