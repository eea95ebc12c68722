//! `chaos list | run NAME... | all`: real processes in bad weather, each case named, seeded, bounded and judged.

#![expect(clippy::print_stdout, reason = "what a case does is told while it does it")]

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use landfall_chaos::weather::{Case, Ending, Manner, Report, cases, tell};
use tokio::signal::unix::{SignalKind, signal};

/// Bad weather for real processes
#[derive(Debug, Parser)]
#[command(name = "chaos", max_term_width = 110, after_help = HELP)]
struct Chaos {
    #[command(subcommand)]
    verb: Verb,
}

const HELP: &str = "\
Examples:
  cargo chaos list                                  what there is, and what this machine cannot show
  cargo chaos run agent-killed --rounds 100         a hundred rounds in a row, each with a kill at a random moment
  cargo chaos run torn-tail --seed 7 --keep         the same weather again; its folder stays
  cargo chaos all --json > chaos.json               every case, and the table as JSON

Every case starts a mesh of its own in a folder below TMPDIR (default /tmp): a bus, coordinators, agents. It breaks them, mends
them, waits for rest, and looks into the log, the receipts and the repository. A failure prints the command that tells it again,
and its folder stays, with the logs of all processes in log/.

Needs the two binaries beside this program or in LANDFALL_BIN_DIR; run through cargo it builds them first. Needs nats-server and
restic: deploy/tools.sh nats-server restic. Cases about full disks and networks need root, those about clocks libfaketime:
deploy/tools.sh faketime.

Exit codes: 0 every case that could be shown passed, 1 one did not, 2 wrong usage or nothing could be started, 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every case with its sentence
    List,
    /// These cases, one after the other
    Run {
        /// Names as `list` shows them
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Every case, one after the other
    All {
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// The weather's number: the same breaks the same things in the same order
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often a case breaks something, where it can do so more than once; each has a default of its own
    #[arg(long)]
    rounds: Option<u32>,
    /// The table as JSON on standard output; what happens is told on standard error
    #[arg(long)]
    json: bool,
    /// Keep the folders of cases that passed as well
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let result = match Chaos::parse().verb {
        Verb::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { names, options } => chosen(&names).and_then(|cases| tell_all(&cases, &options)),
        Verb::All { options } => tell_all(&cases::all(), &options),
    };
    result.unwrap_or_else(|error| {
        eprintln!("chaos: {error:#}");
        ExitCode::from(2)
    })
}

fn list() {
    for case in cases::all() {
        println!("{:<32} {}", case.name, case.about);
        if let Some(why) = case.missing() {
            println!("{:<32} not possible here: {why}", "");
        }
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Case>> {
    let find = |name: &String| {
        cases::named(name).with_context(|| format!("there is no case called {name}; `cargo chaos list` names them all"))
    };
    names.iter().map(find).collect()
}

fn tell_all(cases: &[Case], options: &Options) -> anyhow::Result<ExitCode> {
    build()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("no runtime")?;
    let report = runtime.block_on(one_after_the_other(cases, options))?;
    if options.json {
        println!("{}", report.json());
    } else {
        println!("\n{report}");
    }
    let is_stopped = report.told.iter().any(|told| told.ending == Ending::Stopped);
    Ok(match (is_stopped, report.is_good()) {
        (true, _) => ExitCode::from(130),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

async fn one_after_the_other(cases: &[Case], options: &Options) -> anyhow::Result<Report> {
    let begun = tokio::time::Instant::now();
    let is_json = options.json;
    let voice = Arc::new(move |line: &str| {
        let line = format!("{:>8.1} s  {line}", begun.elapsed().as_secs_f64());
        if is_json { eprintln!("{line}") } else { println!("{line}") }
    });
    let manner = Manner { seed: options.seed, rounds: options.rounds, keeps: options.keep, voice };
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be heard")?;
    let mut report = Report::default();
    for case in cases {
        let rounds = manner.rounds.unwrap_or(case.rounds);
        (manner.voice)(&format!("== {} --seed {} --rounds {rounds}: {}", case.name, manner.seed, case.about));
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let told = tell(case, &manner, stop).await;
        (manner.voice)(&match &told.ending {
            Ending::Passed => format!("{} passed in {:.1} s", case.name, told.took.as_secs_f64()),
            Ending::Failed(why) => format!("{} FAILED: {why}\n            again: {}", case.name, told.again()),
            Ending::Skipped(why) => format!("{}: not possible here: {why}", case.name),
            Ending::Stopped => format!("{} is stopped", case.name),
        });
        let is_stopped = told.ending == Ending::Stopped;
        report.told.push(told);
        if is_stopped {
            break;
        }
    }
    Ok(report)
}

/// Run through cargo, the binaries under test are those of the tree as it is, built in this program's own profile.
fn build() -> anyhow::Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    if std::env::var_os("LANDFALL_BIN_DIR").is_some() {
        return Ok(());
    }
    let own = std::env::current_exe().context("this program does not know where it is")?;
    let is_release = own.parent().is_some_and(|folder| folder.ends_with("release"));
    let mut command = std::process::Command::new(cargo);
    command.args(["build", "--quiet", "-p", "landfall", "-p", "landfall-agent", "--bins"]);
    if is_release {
        command.arg("--release");
    }
    let status = command.status().context("cargo cannot be started")?;
    anyhow::ensure!(status.success(), "the binaries under test could not be built; cargo said why");
    Ok(())
}
