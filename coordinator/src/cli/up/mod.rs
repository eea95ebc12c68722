//! `landfall up`: one machine with everything, under one supervisor: bus, coordinator and agents as processes of their own.

mod advice;
mod child;
mod files;
mod lock;
mod mark;
mod memory;
mod place;
mod plan;
mod private;
mod programs;
mod ready;
mod signals;
mod supervisor;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::{ClusterName, RoundId, RoutineName};
use landfall_proto::report::TaskKind;

use super::acts::who;
use super::ask::Mesh;
use super::failure::{BAD, Failure, INTERRUPTED, USAGE};
use super::follow;
use super::screen::Screen;
use crate::edge::clock;
use child::News;
use lock::Lock;
use memory::Memory;
use place::Place;
use programs::Programs;
use signals::Signals;
use supervisor::Supervisor;

/// The routine that every node of `up` has.
const ROUTINE: &str = "nightly";

#[derive(Debug, Default, Args)]
#[command(
    after_help = "Examples:\n  landfall up                       back up this folder with three nodes, then stay up\n  landfall up --once ~/documents    one round; exit 0 only if its verdict is converged\n  landfall up --nodes 5             go on with the same state, and two more nodes"
)]
pub(super) struct Up {
    /// Folder for everything: keys, log, repository, the processes' own logs
    #[arg(long, value_name = "DIR", default_value = ".landfall")]
    state: PathBuf,
    /// How many nodes [default: 3 at first, then as many as there were]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    nodes: Option<u32>,
    /// End after the first round's verdict
    #[arg(long)]
    once: bool,
    /// The mesh's name [default: local]
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,
    /// The bus's program, 2.10 or newer [default: NATS_SERVER, LANDFALL_NATS_SERVER, or nats-server on PATH]
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
    /// The agent's program [default: landfall-agent beside this program, or on PATH]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// What to back up [default: the current folder at first, then what it was]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Starts everything, runs one round, stays until a signal, and ends what it started.
pub(super) async fn run(options: Up, screen: &Screen) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let programs = Programs::find(&options)?;
    let place = Place::make(&options.state).map_err(|error| unwritable(&options.state, &error))?;
    let _lock = Lock::take(&place)?;
    if mark::end_leftovers(&place).await > 0 {
        screen.note("processes that an earlier `landfall up` left behind were ended");
    }
    let before = memory::read(&place)?;
    let memory = Memory::recall(&options, before.clone(), &place)?;
    let other_sources = before.is_some_and(|before| before.sources != memory.sources);
    files::write_all(&memory, &place, other_sources).map_err(|(path, error)| unwritable(&path, &error))?;
    screen.note(&format!("state        {}", place.root().display()));

    let mut supervisor = Supervisor::new(&place, &programs);
    // Whether the first round is over: before that a signal interrupts, after it a signal is the usual end.
    let settled = Cell::new(false);
    let scene =
        Scene { options: &options, memory: &memory, place: &place, programs: &programs, screen, settled: &settled };
    let ended = tokio::select! {
        ended = scene.play(&mut supervisor) => ended,
        () = signals.next() => Ok(if settled.get() { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) }),
    };
    if !options.once {
        screen.note("\nending what was started");
    }
    supervisor.stop(&mut signals).await;
    ended
}

/// A file or folder of the state that cannot be used.
fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        USAGE,
        format!("{} cannot be written or read", path.display()),
        error.to_string(),
        "make it writable for this user, or name another folder with --state",
    )
}

/// Everything one `up` is about.
struct Scene<'a> {
    options: &'a Up,
    memory: &'a Memory,
    place: &'a Place,
    programs: &'a Programs,
    screen: &'a Screen,
    settled: &'a Cell<bool>,
}

impl Scene<'_> {
    /// Ends by itself only with `--once`, or where something cannot start.
    async fn play(&self, supervisor: &mut Supervisor) -> Result<ExitCode, Failure> {
        let (place, screen) = (self.place, self.screen);
        supervisor.start_bus();
        unless_it_cannot_run(supervisor, screen, ready::bus(self.memory, place, screen)).await?;
        supervisor.start_coordinator();
        supervisor.start_agents(self.memory);
        let mesh = unless_it_cannot_run(supervisor, screen, ready::leader(place, screen)).await?;
        let routine: RoutineName = ROUTINE.parse().expect("the routine's name is a routine name");
        unless_it_cannot_run(supervisor, screen, ready::nodes(&routine, self.memory, &mesh, place, screen)).await?;

        let ended = self.round(routine, &mesh, supervisor).await;
        if self.options.once {
            return ended;
        }
        if let Err(failure) = ended {
            screen.problem(&failure.problem);
        }
        self.settled.set(true);
        if !screen.json && !screen.quiet {
            screen.line("");
            advice::advice(place, &self.programs.landfall, &self.memory.node_ids(), &self.memory.pages())
                .iter()
                .for_each(|line| screen.line(line));
        }
        loop {
            tell(&supervisor.news().await, screen);
        }
    }

    /// One round of the routine, to its verdict.
    async fn round(&self, routine: RoutineName, mesh: &Mesh, supervisor: &mut Supervisor) -> Result<ExitCode, Failure> {
        let round = start(routine, mesh).await?;
        let following = follow::to_verdict(round, mesh, self.screen);
        tokio::pin!(following);
        let detail = loop {
            tokio::select! {
                detail = &mut following => break detail?,
                news = supervisor.news() => tell(&news, self.screen),
            }
        };
        follow::print(&detail, self.screen);
        Ok(follow::exit_code(&detail))
    }
}

async fn start(routine: RoutineName, mesh: &Mesh) -> Result<RoundId, Failure> {
    let request = Request::Start {
        routine,
        nodes: Vec::new(),
        task: TaskKind::Backup,
        by: who(),
        request: clock::command_id().0,
    };
    let reply = mesh.ask(&request).await?;
    let Reply::Opened { round } = reply else { return Err(Mesh::strange(&reply)) };
    Ok(round)
}

/// Waits for one step of the start, unless a child turns out to be unable to run.
async fn unless_it_cannot_run<T>(
    supervisor: &mut Supervisor,
    screen: &Screen,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::pin!(step);
    loop {
        tokio::select! {
            done = &mut step => return done,
            news = supervisor.news() => match &news {
                News::Again { .. } => tell(&news, screen),
                News::CannotRun { name, how, log, tail } => return Err(Failure::new(
                    BAD,
                    format!("{name} cannot run ({how})"),
                    tail.clone(),
                    format!("put that right and start again; the whole log is {}", log.display()),
                )),
            },
        }
    }
}

fn tell(news: &News, screen: &Screen) {
    match news {
        News::Again { name, how } => screen.note(&format!("{name} ended by itself ({how}) and is started again")),
        News::CannotRun { name, how, log, tail } => {
            screen.note(&format!(
                "{name} cannot run ({how}); it is tried again now and then. See {}: {tail}",
                log.display()
            ));
        }
    }
}
