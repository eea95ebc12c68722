//! One story, drawn from a number, told to the bus at hand and to a fresh twin: word for word the same answers.

use std::time::Duration;

use landfall_proto::bus::{Bus, BusRefusal, LogReader, Published, Told};
use landfall_proto::subject::{Role, Topic};

use super::world::{
    PATIENCE, World, agent, at, cluster, count, facts, facts_of, message, node, publish_all, read, sized_fact,
};

/// Steps of one story.
const STEPS: usize = 80;

const STORIES: [u64; 3] = [1, 20_261_121, 0xdead_beef];

/// Everybody who takes part.
struct Cast {
    coordinator: Bus,
    operator: Bus,
    a: Bus,
    b: Bus,
    reader: LogReader,
    /// The next sequence of each writer, and how far the reader has read.
    next: [u64; 3],
    read: u64,
    lines: Vec<String>,
}

pub(crate) async fn the_same_story_has_the_same_answers(world: &mut World) {
    // Three servers take long to be ready again after the story's accident.
    let stories = if world.settings().replicas == 1 { &STORIES[..] } else { &STORIES[..1] };
    for seed in stories.iter().copied() {
        let here = tell(world, seed).await;
        let there = tell(&mut World::twin(), seed).await;
        assert_eq!(here.len(), there.len());
        for (step, (here, there)) in here.iter().zip(&there).enumerate() {
            assert_eq!(here, there, "at step {step} of story {seed}");
        }
        match world {
            World::Twin(_) => *world = World::twin(),
            World::Real(real) => real.clear().await,
        }
    }
}

async fn tell(world: &mut World, seed: u64) -> Vec<String> {
    let mut cast = Cast {
        coordinator: world.coordinator().await,
        operator: world.connect(Role::Operator).await,
        a: world.connect(agent("a")).await,
        b: world.connect(agent("b")).await,
        reader: world.connect(Role::Operator).await.read_log(0),
        next: [0; 3],
        read: 0,
        lines: Vec::new(),
    };
    let mut inbox = cast.a.serve(&at(Topic::Command(node("a"))).to_string(), &Role::Coordinator).await.done().unwrap();
    let serving = tokio::spawn(async move {
        while let Some(incoming) = inbox.next().await {
            let question = incoming.envelope().unwrap();
            let _ = incoming.reply(&question).await;
        }
    });
    cast.until_heard().await;
    let mut dice = Dice(seed);
    for step in 0..STEPS {
        if step == STEPS / 2 {
            world.kill();
            world.revive();
            cast.settle().await;
        }
        let line = cast.step(&mut dice).await;
        cast.lines.push(line);
    }
    serving.abort();
    cast.lines
}

/// Numbers that follow from the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

impl Cast {
    /// Until everybody is connected again and the log has its leader.
    async fn settle(&mut self) {
        for bus in [&self.coordinator, &self.operator, &self.a, &self.b] {
            assert!(bus.wait_up(PATIENCE).await);
        }
        count(&self.coordinator).await;
        count(&self.operator).await;
        for (bus, name, writer) in [(&self.a, "a", 0), (&self.b, "b", 1)] {
            publish_all(bus, &facts_of(name), &facts(name, 0..self.next[writer])).await;
        }
        let holder = at(Topic::CoordinatorFact("main".parse().unwrap()));
        publish_all(&self.coordinator, &holder, &facts("main", 0..self.next[2])).await;
        self.until_heard().await;
    }

    async fn until_heard(&self) {
        let command = at(Topic::Command(node("a")));
        let until = tokio::time::Instant::now() + PATIENCE;
        while !self.coordinator.request(&command, &message("q"), Duration::from_secs(5)).await.is_done() {
            assert!(tokio::time::Instant::now() < until, "the node does not hear");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn step(&mut self, dice: &mut Dice) -> String {
        match dice.below(10) {
            0..=2 => {
                let writer = usize::try_from(dice.below(3)).unwrap();
                let from = self.next[writer].saturating_sub(dice.below(4));
                let to = self.next[writer] + dice.below(6);
                self.next[writer] = to;
                let holder = at(Topic::CoordinatorFact("main".parse().unwrap()));
                let (bus, subject, name) = match writer {
                    0 => (&self.a, facts_of("a"), "a"),
                    1 => (&self.b, facts_of("b"), "b"),
                    _ => (&self.coordinator, holder, "main"),
                };
                let told = bus.publish_facts(&subject, &facts(name, from..to)).await;
                format!("{name} publishes {from}..{to}: {}", told.iter().map(published).collect::<Vec<_>>().join(" "))
            }
            3 => {
                let told = self.a.publish_facts(&facts_of("b"), &facts("b", 0..1)).await;
                format!("a publishes as b: {}", published(&told[0]))
            }
            4 => {
                let told = self.b.publish_facts(&facts_of("b"), &[sized_fact("b", 900, 66_000)]).await;
                format!("b publishes too much: {}", published(&told[0]))
            }
            5 => {
                let told = self.coordinator.request(&at(Topic::Command(node("b"))), &message("q"), PATIENCE).await;
                format!("nobody is asked: {}", told.map(|_| ()).word())
            }
            6 => {
                let told = self.coordinator.request(&at(Topic::Command(node("a"))), &message("echo"), PATIENCE).await;
                format!("a is asked: {}", told.map(|answer| assert_eq!(answer.body, b"echo")).word())
            }
            7 => {
                let info = self.operator.log_info().await;
                let words = info.map(|info| (info.state.messages, info.state.first_seq, info.state.last_seq));
                format!("the log: {}", words.word())
            }
            8 => {
                let info = self.b.log_info().await;
                let told = self.b.request(&at(Topic::Control("status".to_owned())), &message("q"), PATIENCE).await;
                format!("b looks: {} and asks: {}", info.map(|_| ()).word(), told.map(|_| ()).word())
            }
            _ => {
                let there = count(&self.coordinator).await;
                let wanted = usize::try_from((there - self.read).min(1 + dice.below(7))).unwrap();
                let seen = if wanted == 0 { Vec::new() } else { read_exactly(&mut self.reader, wanted).await };
                self.read += seen.len() as u64;
                format!("{} is read: {seen:?}", cluster())
            }
        }
    }
}

async fn read_exactly(reader: &mut LogReader, wanted: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < wanted {
        let left = wanted - seen.len();
        match reader.next_batch(left, Duration::from_millis(500)).await {
            Told::Done(batch) => seen.extend(batch.messages.iter().map(|message| message.seq)),
            Told::Unknown => {}
            Told::Refused(refusal) => {
                assert!(refusal.is_temporary(), "{refusal}");
                seen.extend(read(reader, 1).await);
            }
        }
    }
    seen
}

trait Word {
    fn word(&self) -> String;
}

impl<T: std::fmt::Debug> Word for Told<T> {
    fn word(&self) -> String {
        match self {
            Self::Done(value) => format!("done {value:?}"),
            Self::Unknown => "unknown".to_owned(),
            Self::Refused(refusal) => name(refusal).to_owned(),
        }
    }
}

fn published(told: &Told<Published>) -> String {
    told.clone().map(|published| (published.seq, published.duplicate)).word()
}

/// The kind of a refusal; its text is the server's own.
const fn name(refusal: &BusRefusal) -> &'static str {
    match refusal {
        BusRefusal::NotPermitted { .. } => "not permitted",
        BusRefusal::NobodyListens { .. } => "nobody listens",
        BusRefusal::NoLog { .. } => "no log",
        BusRefusal::NoJetStream { .. } => "no JetStream",
        BusRefusal::LogFull { .. } => "log full",
        BusRefusal::TooLong { .. } => "too long",
        BusRefusal::ReplySubject { .. } => "reply subject",
        BusRefusal::LogRewound { .. } => "log rewound",
        BusRefusal::LogReplaced => "log replaced",
        BusRefusal::ServerTooOld { .. } => "server too old",
        BusRefusal::LogDiffers { .. } => "log differs",
        BusRefusal::Other { .. } => "other",
    }
}
