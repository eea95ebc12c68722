//! Thousands of simulated agents on a few connections: each hears its own commands, answers them, and says what a run says.

use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subscriber};
use futures::StreamExt;
use futures::future::try_join_all;
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

/// A simulated agent's mail: commands come one by one, because a node has one permit.
const MAIL_MAX: usize = 16;

/// All of them. They end with this value.
pub(super) struct Crowd {
    _agents: JoinSet<()>,
    complaints: mpsc::Receiver<String>,
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
        let seed = Seed::generate();
        permit(mesh, &seed)?;
        let (complain, complaints) = mpsc::channel(MAIL_MAX);
        let mut agents = JoinSet::new();
        let begun = Instant::now();
        let first_slot = now();
        for first in (0..count).step_by(AGENTS_A_CONNECTION) {
            let client = connect(mesh, &seed).await?;
            let numbers = first..count.min(first + AGENTS_A_CONNECTION);
            let new = |number| Agent::new(&client, node(&format!("sim-{number}")), routine, first_slot);
            let mut greeted = futures::stream::iter(numbers.map(new).map(Agent::greet)).buffer_unordered(GREETINGS);
            while let Some(greeted) = greeted.next().await {
                let (agent, commands) = greeted?;
                // Beats are spread over their interval, as those of machines that start by themselves are.
                let offset = BEAT_INTERVAL.as_std().mul_f64(agents.len() as f64 / count as f64);
                agents.spawn(agent.live(commands, begun + offset, complain.clone()));
            }
        }
        Ok(Self { _agents: agents, complaints })
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
