//! Thousands of simulated agents on a few connections: each hears its own commands, answers them, and says what a run says.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subscriber};
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt};
use landfall_proto::bus::Seed;
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::command::{ANSWER_KIND, Action, Answer, Command, Refused, SignedCommand};
use landfall_proto::envelope::Envelope;
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::live::{BEAT_INTERVAL, BEAT_KIND, Beat};
use landfall_proto::report::Vitals;
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::time::Timestamp;
use landfall_proto::version::PROTOCOL;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::clock::now;
use super::load::Writer;
use crate::live::bus::{cluster, node};
use crate::live::process::signal;
use crate::live::{Cluster, fresh_id};

/// The bus allows 256 subscriptions a connection, and the library keeps one for its answers.
const AGENTS_A_CONNECTION: usize = 250;

/// How long the bus may take to know the crowd's key.
const PERMITTED_WITHIN: Duration = Duration::from_secs(10);

/// Agents of one connection whose greetings are under way at once.
const GREETINGS: usize = 64;

/// Rounds of a crowd's past that are published before the coordinator's decisions about them are waited for.
const NIGHTS_AT_ONCE: usize = 5;

/// A simulated agent's mail: commands come one by one, because a node has one permit.
const MAIL_MAX: usize = 16;

/// All of them. They end with this value.
pub(super) struct Crowd {
    agents: JoinSet<()>,
    begun: Instant,
    complain: mpsc::Sender<String>,
    complaints: mpsc::Receiver<String>,
}

/// What a crowd has behind it when it comes.
pub(super) struct Past {
    /// Rounds in which everybody had a run.
    pub(super) nights: usize,
    /// The slot of the first of them; the others lie a second apart.
    pub(super) first_slot: Timestamp,
    /// Whether each run was followed by a check.
    pub(super) has_checks: bool,
}

impl Past {
    /// One run of fifty failed, each night that of another node; the last night was good everywhere.
    const fn is_good(&self, night: usize, number: usize) -> bool {
        night + 1 == self.nights || !(night + number).is_multiple_of(50)
    }
}

/// The key of a crowd that the bus lets in.
struct Guests<'a> {
    mesh: &'a Cluster,
    seed: Seed,
}

impl<'a> Guests<'a> {
    fn permitted(mesh: &'a Cluster) -> anyhow::Result<Self> {
        let seed = Seed::generate();
        permit(mesh, &seed)?;
        Ok(Self { mesh, seed })
    }

    /// Agents of one connection, once the log has their greetings.
    async fn greet(
        &self,
        numbers: std::ops::Range<usize>,
        routine: &RoutineName,
        first_slot: Timestamp,
    ) -> anyhow::Result<Vec<(Agent, Subscriber)>> {
        let client = connect(self.mesh, &self.seed).await?;
        let new = |number| Agent::new(&client, node(&format!("sim-{number}")), routine, first_slot);
        futures::stream::iter(numbers.map(new).map(Agent::greet)).buffer_unordered(GREETINGS).try_collect().await
    }
}

/// One simulated agent. It believes every command: checking the signature would measure this process.
struct Agent {
    client: Client,
    node: NodeId,
    facts: String,
    beats: String,
    writer: Writer,
}

impl Crowd {
    /// So many agents that have greeted the log and send their beats. They take part in one routine.
    pub(super) async fn gather(mesh: &Cluster, count: usize, routine: &RoutineName) -> anyhow::Result<Self> {
        let mut crowd = Self::empty();
        let guests = Guests::permitted(mesh)?;
        for first in (0..count).step_by(AGENTS_A_CONNECTION) {
            let numbers = first..count.min(first + AGENTS_A_CONNECTION);
            for (agent, commands) in guests.greet(numbers, routine, now()).await? {
                crowd.join(agent, commands, count);
            }
        }
        Ok(crowd)
    }

    /// As [`Self::gather`], after everybody has told of so many runs of its own. `settled` is awaited after each part of
    /// them: what is decided about them comes to its end there.
    pub(super) async fn gather_with_past(
        mesh: &Cluster,
        count: usize,
        routine: &RoutineName,
        past: &Past,
        mut settled: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let guests = Guests::permitted(mesh)?;
        let mut all = Vec::with_capacity(count);
        for first in (0..count).step_by(AGENTS_A_CONNECTION) {
            all.extend(guests.greet(first..count.min(first + AGENTS_A_CONNECTION), routine, past.first_slot).await?);
        }
        settled().await?;
        for night in 0..past.nights {
            let told = all.iter_mut().enumerate().map(|(number, (agent, _))| {
                let facts = agent.writer.night(past.is_good(night, number), past.has_checks, now());
                (&*agent, facts)
            });
            let told: Vec<(&Agent, Vec<Envelope>)> = told.collect();
            let sent = told.iter().map(|(agent, facts)| agent.publish(facts));
            futures::stream::iter(sent).buffer_unordered(GREETINGS).try_collect::<()>().await?;
            if (night + 1) % NIGHTS_AT_ONCE == 0 || night + 1 == past.nights {
                settled().await?;
            }
        }
        let mut crowd = Self::empty();
        all.into_iter().for_each(|(agent, commands)| crowd.join(agent, commands, count));
        Ok(crowd)
    }

    fn empty() -> Self {
        let (complain, complaints) = mpsc::channel(MAIL_MAX);
        Self { agents: JoinSet::new(), begun: Instant::now(), complain, complaints }
    }

    fn join(&mut self, agent: Agent, commands: Subscriber, of: usize) {
        // Beats are spread over their interval, as those of machines that start by themselves are.
        let offset = BEAT_INTERVAL.as_std().mul_f64(self.agents.len() as f64 / of as f64);
        self.agents.spawn(agent.live(commands, self.begun + offset, self.complain.clone()));
    }

    /// What went wrong with one of them, if anything did.
    pub(super) fn complaint(&mut self) -> Option<String> {
        self.complaints.try_recv().ok()
    }
}

/// Gives the bus one more user, which may do what every agent may do, and no more.
fn permit(mesh: &Cluster, seed: &Seed) -> anyhow::Result<()> {
    let path = mesh.place.path("bus/nats.conf");
    let text = std::fs::read_to_string(&path).context("the bus has a configuration")?;
    let all = |topic: fn(NodeId) -> Topic| {
        let one = Subject::new(&cluster(), topic(node("sim"))).to_string();
        one.strip_suffix("sim").map(|front| format!("\"{front}*\"")).context("a node's subject ends with its name")
    };
    let user = format!(
        "users: [\n{{ nkey: {}, permissions: {{ publish: {{ allow: [ {}, {} ] }}, subscribe: {{ allow: [ {}, \"{}.>\" ] }}, \
         allow_responses: {{ max: 1, expires: \"5s\" }} }} }}\n",
        seed.public_key(),
        all(Topic::NodeFact)?,
        all(Topic::Beat)?,
        all(Topic::Command)?,
        inbox_prefix()
    );
    if !text.contains("users: [") {
        bail!("the bus's configuration has no list of users");
    }
    std::fs::write(&path, text.replacen("users: [", &user, 1)).context("the bus's configuration can be written")?;
    signal(mesh.bus.id().context("the bus runs")?, Signal::HUP);
    Ok(())
}

fn inbox_prefix() -> String {
    Role::Agent(node("sim")).inbox_prefix()
}

async fn connect(mesh: &Cluster, seed: &Seed) -> anyhow::Result<Client> {
    let deadline = Instant::now() + PERMITTED_WITHIN;
    loop {
        let options = ConnectOptions::with_nkey(seed.expose().to_owned())
            .custom_inbox_prefix(inbox_prefix())
            .subscription_capacity(MAIL_MAX);
        match options.connect(mesh.bus.url()).await {
            Ok(client) => return Ok(client),
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error).context("the crowd connects"),
        }
    }
}

impl Agent {
    fn new(client: &Client, node: NodeId, routine: &RoutineName, first_slot: Timestamp) -> Self {
        let subject = |topic| Subject::new(&cluster(), topic).to_string();
        Self {
            client: client.clone(),
            facts: subject(Topic::NodeFact(node.clone())),
            beats: subject(Topic::Beat(node.clone())),
            writer: Writer::new(node.clone(), routine.clone(), first_slot),
            node,
        }
    }

    async fn greet(mut self) -> anyhow::Result<(Self, Subscriber)> {
        let subject = Subject::new(&cluster(), Topic::Command(self.node.clone())).to_string();
        let commands = self.client.subscribe(subject).await.context("an agent listens")?;
        let facts = self.writer.greeting(now());
        self.publish(&facts).await?;
        Ok((self, commands))
    }

    /// Waits until the log has confirmed each of them.
    async fn publish(&self, facts: &[Envelope]) -> anyhow::Result<()> {
        let sent = facts.iter().map(|fact| {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, fact.id.to_string());
            self.client.request_with_headers(self.facts.clone(), headers, encode(fact).into())
        });
        for confirmed in try_join_all(sent).await.context("the log confirms a fact")? {
            let said: serde_json::Value = serde_json::from_slice(&confirmed.payload).context("a confirmation")?;
            if said.get("error").is_some() {
                bail!("the log refuses a fact: {said}");
            }
        }
        Ok(())
    }

    async fn live(mut self, mut commands: Subscriber, first_beat: Instant, complain: mpsc::Sender<String>) {
        let mut beats = interval_at(first_beat, BEAT_INTERVAL.as_std());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                command = commands.next() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                _ = beats.tick() => self.beat().await,
            };
            if let Err(error) = done {
                // One complaint is enough to end the benchmark.
                let _ = complain.try_send(format!("{}: {error:#}", self.node));
            }
        }
    }

    async fn beat(&self) -> anyhow::Result<()> {
        let vitals = Vitals { memory_total_bytes: 8 << 30, memory_available_bytes: 4 << 30, ..Vitals::default() };
        let beat = Beat {
            epoch: None,
            node: self.node.clone(),
            incarnation: self.writer.incarnation(),
            version: "bench".to_owned(),
            next_seq: self.writer.next_seq(),
            outbox: 0,
            vitals,
            live: Vec::new(),
            paused: None,
            sent_at: now(),
        };
        let envelope = self.envelope(BEAT_KIND, encode(&beat));
        self.client.publish(self.beats.clone(), encode(&envelope).into()).await.context("a beat leaves")
    }

    /// Answers within the time that a coordinator waits, and then runs: begun and ended at once.
    async fn obey(&mut self, message: Message) -> anyhow::Result<()> {
        let envelope: Envelope = decode(&message.payload, MESSAGE_BYTES_MAX).context("a message")?;
        let signed: SignedCommand = decode(&envelope.body, MESSAGE_BYTES_MAX).context("a command")?;
        let command: Command = decode(&signed.command, MESSAGE_BYTES_MAX).context("a command")?;
        let (answer, facts) = match command.action {
            Action::Start { run, round, slot, .. } => (Answer::Accepted, self.writer.asked(run, round, slot, now())),
            Action::Cancel { .. } | Action::Witness { .. } | Action::ReadLog { .. } => {
                let message = "A simulated agent only runs.".to_owned();
                (Answer::Refused { reason: Refused::NoRun, message }, Vec::new())
            }
        };
        let reply = message.reply.context("a command wants an answer")?;
        let envelope = self.envelope(ANSWER_KIND, encode(&answer));
        self.client.publish(reply, encode(&envelope).into()).await.context("an answer leaves")?;
        self.publish(&facts).await
    }

    fn envelope(&self, kind: &str, body: Vec<u8>) -> Envelope {
        Envelope {
            protocol: PROTOCOL,
            kind: kind.to_owned(),
            id: fresh_id(),
            writer: self.node.to_string(),
            incarnation: self.writer.incarnation(),
            seq: 0,
            sent_at: now(),
            body,
        }
    }
}
