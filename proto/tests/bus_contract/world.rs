//! A bus to check laws on, whichever it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream;
use landfall_proto::bus::{
    Bus, ConnectOptions, Disconnects, LogReader, LogSettings, MemoryBus, Seed, ServerConfig, ServerProcess, Told,
    WatchOptions, server_program,
};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{ClusterName, Incarnation, NodeId};
use landfall_proto::subject::{Role, Subject, Topic, stream_name};
use landfall_proto::time::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::proxy::Proxy;

/// How long anything may take that must happen in the end. Long, because two cores carry many tests; nothing waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How long three new servers may take to become a cluster, and how often three others are tried.
const FORMATION_MAX: Duration = Duration::from_secs(25);
const FORMATIONS_MAX: usize = 4;

/// Which real bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    FloorSingle,
    NewestSingle,
    FloorCluster,
    NewestCluster,
}

pub(crate) enum World {
    Twin(MemoryBus),
    Real(Box<Real>),
}

pub(crate) struct Real {
    pub(crate) lane: Lane,
    pub(crate) servers: Vec<ServerProcess>,
    folder: tempfile::TempDir,
    users: Vec<(Role, Seed)>,
    watch: Seed,
    administrator: Seed,
}

pub(crate) fn cluster() -> ClusterName {
    "home".parse().unwrap()
}

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) fn agent(name: &str) -> Role {
    Role::Agent(node(name))
}

pub(crate) fn at(topic: Topic) -> Subject {
    Subject::new(&cluster(), topic)
}

/// Where a node's facts go.
pub(crate) fn facts_of(name: &str) -> Subject {
    at(Topic::NodeFact(node(name)))
}

/// Facts of one writer, with sequences as given.
pub(crate) fn facts(writer: &str, seqs: std::ops::Range<u64>) -> Vec<Envelope> {
    seqs.map(|seq| sized_fact(writer, seq, 100)).collect()
}

pub(crate) fn sized_fact(writer: &str, seq: u64, bytes: usize) -> Envelope {
    let identity = Identity { writer: writer.to_owned(), incarnation: Incarnation(Uuid::from_u128(7)), seq };
    Envelope::fact(identity, "test", Timestamp::UNIX_EPOCH, vec![0x5a; bytes])
}

/// A message that is no fact.
pub(crate) fn message(text: &str) -> Envelope {
    let mut envelope = sized_fact("anybody", 0, 0);
    envelope.body = text.as_bytes().to_vec();
    envelope
}

impl Lane {
    const fn is_cluster(self) -> bool {
        matches!(self, Self::FloorCluster | Self::NewestCluster)
    }

    /// A bus that was not checked must not look as if it were.
    fn program(self) -> PathBuf {
        let found = match self {
            Self::FloorSingle | Self::FloorCluster => server_program("LANDFALL_NATS_SERVER", true),
            Self::NewestSingle | Self::NewestCluster => {
                server_program("LANDFALL_NATS_SERVER_NEW", false).map_err(|why| {
                    format!("{why}; or: export LANDFALL_NATS_SERVER_NEW=$(deploy/tools.sh nats-server-new)")
                })
            }
        };
        found.unwrap_or_else(|why| panic!("{why}"))
    }
}

impl World {
    pub(crate) fn twin() -> Self {
        Self::Twin(MemoryBus::new(&cluster()))
    }

    pub(crate) async fn on(lane: Lane) -> Self {
        for _ in 0..FORMATIONS_MAX {
            let real = Real::start(lane);
            if !lane.is_cluster() || real.has_formed().await {
                return Self::Real(Box::new(real));
            }
            println!("three new servers of {lane:?} found no place for three copies; three others are started");
        }
        panic!("no three servers of {lane:?} became a cluster");
    }

    pub(crate) fn has_several_servers(&self) -> bool {
        matches!(self, Self::Real(real) if real.lane.is_cluster())
    }

    pub(crate) fn real(&mut self) -> &mut Real {
        match self {
            Self::Real(real) => real,
            Self::Twin(_) => panic!("this law needs a server"),
        }
    }

    pub(crate) fn settings(&self) -> LogSettings {
        let replicas = match self {
            Self::Real(real) if real.lane.is_cluster() => 3,
            Self::Real(_) | Self::Twin(_) => 1,
        };
        LogSettings { replicas, ..LogSettings::default() }
    }

    pub(crate) async fn connect(&self, role: Role) -> Bus {
        let bus = match self {
            Self::Twin(bus) => bus.connect(role),
            Self::Real(real) => Bus::connect(real.options(role)).await.unwrap(),
        };
        assert!(bus.wait_up(PATIENCE).await, "{:?}", bus.health());
        bus
    }

    /// A coordinator's client, with the log made.
    pub(crate) async fn coordinator(&self) -> Bus {
        self.coordinator_with(&self.settings()).await
    }

    pub(crate) async fn coordinator_with(&self, settings: &LogSettings) -> Bus {
        let bus = self.connect(Role::Coordinator).await;
        make_log(&bus, settings).await;
        if let Self::Real(real) = self
            && real.lane.is_cluster()
        {
            real.copies_settled().await;
        }
        bus
    }

    /// A client behind a wire that can fail for it alone.
    pub(crate) async fn wired(&self, role: Role) -> (Bus, Wire) {
        match self {
            Self::Twin(memory) => (memory.connect(role.clone()), Wire::Twin(memory.clone(), role)),
            Self::Real(real) => {
                let proxy = Proxy::to(real.servers[0].port()).await;
                let mut options = real.options(role);
                options.urls = vec![proxy.url()];
                let bus = Bus::connect(options).await.unwrap();
                assert!(bus.wait_up(PATIENCE).await, "{:?}", bus.health());
                (bus, Wire::Real(proxy))
            }
        }
    }

    pub(crate) async fn disconnects(&self) -> Disconnects {
        match self {
            Self::Twin(bus) => bus.disconnects(),
            Self::Real(real) => {
                let (urls, seed) = (real.urls(), real.watch.clone());
                Bus::disconnects(WatchOptions { urls, cluster: cluster(), seed, tls: None }).await.unwrap()
            }
        }
    }

    /// The bus dies without a word.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Twin(bus) => bus.set_online(false),
            Self::Real(real) => real.servers.iter_mut().for_each(ServerProcess::kill),
        }
    }

    pub(crate) fn revive(&mut self) {
        match self {
            Self::Twin(bus) => bus.set_online(true),
            Self::Real(real) => real.start_all(),
        }
    }

    pub(crate) fn freeze(&self) {
        match self {
            Self::Twin(bus) => bus.set_paused(true),
            Self::Real(real) => real.servers.iter().for_each(|server| server.freeze().unwrap()),
        }
    }

    pub(crate) fn thaw(&self) {
        match self {
            Self::Twin(bus) => bus.set_paused(false),
            Self::Real(real) => real.servers.iter().for_each(|server| server.thaw().unwrap()),
        }
    }

    pub(crate) fn lose_disk(&mut self) {
        match self {
            Self::Twin(bus) => bus.wipe(),
            Self::Real(real) => {
                for server in 0..real.servers.len() {
                    std::fs::remove_dir_all(real.store(server)).unwrap();
                }
            }
        }
    }

    /// While it is down: what was written last is lost, as after a power cut. The twin loses `count` facts, the server a
    /// third of the file.
    pub(crate) fn tear_tail(&mut self, count: usize) {
        match self {
            Self::Twin(bus) => bus.tear_tail(count),
            Self::Real(real) => real.tear(0),
        }
    }

    /// Takes the log away and puts a new, empty one in its place, while everything runs.
    pub(crate) async fn replace_log(&self, coordinator: &Bus) {
        match self {
            Self::Twin(bus) => bus.wipe(),
            Self::Real(real) => {
                real.administrator().await.delete_stream(stream_name(&cluster())).await.unwrap();
            }
        }
        make_log(coordinator, &self.settings()).await;
    }

    /// A coordinator's client on a log that forgets ids soon.
    pub(crate) async fn forgetful_coordinator(&self) -> Bus {
        let coordinator = self.coordinator().await;
        if let Self::Real(real) = self {
            let jetstream = real.administrator().await;
            let mut config = jetstream.get_stream(stream_name(&cluster())).await.unwrap().cached_info().config.clone();
            config.duplicate_window = Duration::from_millis(100);
            jetstream.update_stream(config).await.unwrap();
        }
        coordinator
    }

    pub(crate) fn forget_duplicates(&self) {
        match self {
            Self::Twin(bus) => bus.forget_duplicates(),
            // Its window is a tenth of a second, and who asks asks again.
            Self::Real(_) => {}
        }
    }
}

/// The way between one client and the bus.
pub(crate) enum Wire {
    Twin(MemoryBus, Role),
    Real(Proxy),
}

impl Wire {
    /// The next confirmation does not arrive, though what it confirms happened.
    pub(crate) fn lose_confirmation(&self) {
        match self {
            Self::Twin(memory, _) => memory.lose_acks(1),
            Self::Real(proxy) => proxy.swallow(true),
        }
    }

    /// Breaks the connection, and nothing is lost on the next one.
    pub(crate) fn cut(&self) {
        match self {
            Self::Twin(..) => {}
            Self::Real(proxy) => {
                proxy.swallow(false);
                proxy.cut();
            }
        }
    }

    pub(crate) fn shut(&self, is_shut: bool) {
        match self {
            Self::Twin(memory, role) => memory.set_cut(role, is_shut),
            Self::Real(proxy) => proxy.shut(is_shut),
        }
    }
}

impl Real {
    fn start(lane: Lane) -> Self {
        let users: Vec<(Role, Seed)> = [agent("a"), agent("b"), Role::Coordinator, Role::Operator]
            .into_iter()
            .map(|role| (role, Seed::generate()))
            .collect();
        let (watch, administrator) = (Seed::generate(), Seed::generate());
        let folder = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            server_name: "contract".into(),
            cluster: cluster(),
            listen: "127.0.0.1:0".parse().unwrap(),
            monitor: None,
            store_dir: folder.path().join("store"),
            max_file_store_bytes: 256 << 20,
            users: users.iter().map(|(role, seed)| (role.clone(), seed.public_key())).collect(),
            watch: Some(watch.public_key()),
            tls: None,
        };
        let program = lane.program();
        let mut servers = if lane.is_cluster() {
            ServerProcess::cluster(&program, folder.path(), &config, 3).unwrap()
        } else {
            vec![ServerProcess::new(&program, folder.path(), &config).unwrap()]
        };
        let everything = format!("users: [\n      {{ nkey: {} }}", administrator.public_key());
        for server in &mut servers {
            server.config = server.config.replacen("users: [", &everything, 1);
        }
        let mut real = Self { lane, servers, folder, users, watch, administrator };
        real.start_all();
        real
    }

    /// Whether three copies find their place. 2.10.27 now and then denies it to three servers that started in the same moment
    /// under load (error 10005), for as long as was waited; that says nothing about the laws.
    async fn has_formed(&self) -> bool {
        let jetstream = self.administrator().await;
        let until = Instant::now() + FORMATION_MAX;
        while Instant::now() < until {
            let probe = jetstream::stream::Config {
                name: "PROBE".to_owned(),
                subjects: vec!["probe".to_owned()],
                num_replicas: 3,
                ..Default::default()
            };
            if jetstream.create_stream(probe).await.is_ok() {
                return jetstream.delete_stream("PROBE").await.is_ok();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(ServerProcess::url).collect()
    }

    pub(crate) fn options(&self, role: Role) -> ConnectOptions {
        let seed = self.users.iter().find(|(user, _)| *user == role).expect("the role has a user").1.clone();
        ConnectOptions::new(self.urls(), role, cluster(), seed)
    }

    pub(crate) fn start_all(&mut self) {
        self.servers.iter_mut().for_each(|server| server.spawn().unwrap());
        self.servers.iter_mut().for_each(|server| server.wait().unwrap());
    }

    /// The server's own management with every right, for what no client of the mesh may do.
    pub(crate) async fn administrator(&self) -> jetstream::Context {
        let client = async_nats::ConnectOptions::with_nkey(self.administrator.expose().to_owned())
            .connect(self.urls().iter().map(|url| url.parse().unwrap()).collect::<Vec<async_nats::ServerAddr>>())
            .await
            .unwrap();
        jetstream::new(client)
    }

    /// The index of the server that leads the log's copies.
    pub(crate) async fn log_leader(&self) -> usize {
        let jetstream = self.administrator().await;
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "the log has no leader");
            let stream = jetstream.get_stream(stream_name(&cluster())).await;
            let leader = stream.ok().and_then(|stream| stream.cached_info().cluster.as_ref()?.leader.clone());
            let port = leader.and_then(|name| name.rsplit('-').next()?.parse::<u16>().ok());
            if let Some(index) = self.servers.iter().position(|server| Some(server.port()) == port) {
                return index;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// As it was before the first law: no log.
    pub(crate) async fn clear(&self) {
        let jetstream = self.administrator().await;
        // Not every law makes one.
        let _ = jetstream.delete_stream(stream_name(&cluster())).await;
    }

    /// Until the three copies have a leader and follow it; before, the log may let a fact go without a word.
    pub(crate) async fn copies_settled(&self) {
        let jetstream = self.administrator().await;
        let until = Instant::now() + PATIENCE;
        loop {
            let stream = jetstream.get_stream(stream_name(&cluster())).await;
            let copies = stream.ok().and_then(|stream| stream.cached_info().cluster.clone());
            let settled = copies.is_some_and(|copies| {
                copies.leader.is_some()
                    && copies.replicas.iter().filter(|copy| copy.current && !copy.offline).count() == 2
            });
            if settled {
                return;
            }
            assert!(Instant::now() < until, "the copies of the log do not settle");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn consumers(&self) -> usize {
        let jetstream = self.administrator().await;
        let mut stream = jetstream.get_stream(stream_name(&cluster())).await.unwrap();
        stream.info().await.unwrap().state.consumer_count
    }

    /// Cuts a third off the newest file of a server's log.
    pub(crate) fn tear(&self, server: usize) {
        let block = newest_block(&self.store(server)).expect("the log has a file");
        let bytes = std::fs::metadata(&block).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&block).unwrap().set_len(bytes - bytes / 3).unwrap();
    }

    fn store(&self, server: usize) -> PathBuf {
        match self.servers.len() {
            1 => self.folder.path().join("store"),
            _ => self.folder.path().join(format!("server-{}", server + 1)).join("store"),
        }
    }
}

/// The last `.blk` file of the account's streams; the cluster's own bookkeeping lies beside them.
fn newest_block(store: &Path) -> Option<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "blk")
                && path.to_string_lossy().contains("/streams/")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found.pop()
}

/// A cluster has to choose its leaders first.
pub(crate) async fn make_log(bus: &Bus, settings: &LogSettings) {
    let until = Instant::now() + PATIENCE;
    loop {
        let made = bus.ensure_log(settings).await;
        if made.is_done() {
            return;
        }
        assert!(Instant::now() < until, "the log could not be made: {made:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes until every fact is done, in order, over whatever happens meanwhile.
pub(crate) async fn publish_all(bus: &Bus, subject: &Subject, facts: &[Envelope]) {
    let until = Instant::now() + PATIENCE;
    let mut next = 0;
    while next < facts.len() {
        assert!(Instant::now() < until, "publishing did not recover: {:?}", bus.health());
        bus.wait_up(Duration::from_secs(5)).await;
        let told = bus.publish_facts(subject, &facts[next..]).await;
        let done = told.iter().take_while(|told| told.is_done()).count();
        next += done;
        if done == 0 {
            // The log has no leader for a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How long facts that are confirmed may take to be read before they are said again.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// Says facts until each has been read, as agents do: several servers that change their leader confirm ids which they then
/// lose (2.10.27 called them duplicates of positions that were never filled), and forget so much of it a moment later. For each
/// its position, and the writer's own sequence in it.
pub(crate) async fn say_until_read(
    bus: &Bus,
    subject: &Subject,
    facts: &[Envelope],
    reader: &mut LogReader,
) -> Vec<(u64, u64)> {
    let until = Instant::now() + PATIENCE;
    let mut seen: Vec<(u64, u64)> = Vec::new();
    while seen.len() < facts.len() {
        assert!(Instant::now() < until, "only these came: {seen:?}");
        publish_all(bus, subject, facts).await;
        let again = Instant::now() + READ_WITHIN;
        while seen.len() < facts.len() && Instant::now() < again {
            if let Told::Done(batch) = reader.next_batch(64, Duration::from_millis(500)).await {
                seen.extend(batch.messages.iter().map(|message| (message.seq, message.fact().unwrap().1.seq)));
            }
        }
    }
    seen
}

/// How many facts the log holds.
pub(crate) async fn count(coordinator: &Bus) -> u64 {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = coordinator.log_info().await;
        if let Told::Done(info) = told {
            return info.state.messages;
        }
        assert!(Instant::now() < until, "the log says nothing of itself: {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads until `count` messages have come; their sequences.
pub(crate) async fn read(reader: &mut LogReader, count: usize) -> Vec<u64> {
    read_facts(reader, count).await.into_iter().map(|(seq, _)| seq).collect()
}

/// Reads until `count` messages have come: for each its position, and the writer's own sequence in it.
pub(crate) async fn read_facts(reader: &mut LogReader, count: usize) -> Vec<(u64, u64)> {
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < count {
        assert!(Instant::now() < deadline, "only {} of {count} came: {seen:?}", seen.len());
        match reader.next_batch(64, Duration::from_millis(500)).await {
            Told::Done(batch) => {
                seen.extend(batch.messages.iter().map(|message| (message.seq, message.fact().unwrap().1.seq)));
            }
            // A cluster without a leader for a moment.
            Told::Refused(refusal) => {
                assert!(refusal.is_temporary(), "{refusal}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Told::Unknown => {}
        }
    }
    seen
}
