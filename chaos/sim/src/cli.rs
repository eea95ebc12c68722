//! The command line: one seed, many seeds, a replay, the planted bugs.

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::generate::{Wishes, plan};
use crate::minimise::minimise;
use crate::mutant::{Mutants, trial};
use crate::options::Plan;
use crate::report;
use crate::run::Outcome;
use crate::script::{self, Story};
use crate::seeds::{Summary, guarded, run_all};

/// From so many seeds on every kind of fault must have taken effect.
const SEEDS_FOR_ALL_FAULTS: u64 = 500;

/// Failing seeds that are made small and told in full; of the others only the number is told.
const FAILURES_TOLD_MAX: usize = 3;

const EXAMPLES: &str = "\
Examples:
  cargo sim --seed 7                     one run; a failure is made small and written to a file
  cargo sim --seed 7 --trace             the same with one line per event
  cargo sim --seeds 0..2000 --jobs 2     many runs; exit code 1 where a promise was broken or a fault never took effect
  cargo sim --mutants                    every planted bug has to be seen by its law
  cargo sim replay FILE --trace          a run as a file has it
  cargo sim scenario chaos/scenarios/*   stories with recorded traces; --record writes them anew
  cargo sim round --nodes 100000         one round of a very large mesh, for its cost

Exit codes: 0 every promise was kept, 1 one was broken, 2 the simulator could not run.";

/// Simulates whole meshes with bad luck: the real cores, one seeded clock, everything else modelled
#[derive(Debug, Parser)]
#[command(name = "cargo sim", max_term_width = 110, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Run this seed and tell everything about it
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Run these seeds, the last one not included, and tell what they came to
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with = "seed")]
    seeds: Option<Range<u64>>,
    /// Nodes, instead of as many as the seed says
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Coordinators, instead of as many as the seed says
    #[arg(long, value_name = "M")]
    coordinators: Option<u32>,
    /// Fair weather: leave every fault out
    #[arg(long)]
    fair: bool,
    /// Print one line per notable event
    #[arg(long)]
    trace: bool,
    /// Plant every known bug, or those that are named, each over seeds until its law sees it
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with_all = ["seed", "seeds"])]
    mutants: Option<Vec<String>>,
    /// Threads for many seeds
    #[arg(long, value_name = "J", default_value_t = 2)]
    jobs: usize,
    /// Where failing runs are written
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = std::env::temp_dir().join("landfall-sim"))]
    keep: PathBuf,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run what a file says, as it was written for a failing seed
    Replay {
        file: PathBuf,
        /// Print one line per notable event
        #[arg(long)]
        trace: bool,
    },
    /// Let stories happen and compare each with what is recorded in it
    Scenario {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write what happened into the files, as what is expected from now on
        #[arg(long)]
        record: bool,
    },
    /// Let one round of a very large mesh happen, with agents that cost next to nothing, and tell what it cost
    Round {
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        nodes: u32,
    },
}

/// What the process needs from outside the library: where lines go, and how time passes.
pub struct Surroundings<'a> {
    pub out: &'a mut dyn Write,
    /// Seconds since the process began.
    pub seconds: fn() -> f64,
    /// The most memory that the process ever had, in bytes; absent where the system does not say.
    pub peak_bytes: fn() -> Option<u64>,
}

/// Does what the command line says. True where every promise was kept.
pub fn run(cli: &Cli, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let wishes = Wishes { nodes: cli.nodes, coordinators: cli.coordinators, is_fair: cli.fair };
    if let Some(names) = &cli.mutants {
        return trial::all(names, wishes, cli.jobs, around.out);
    }
    match (&cli.what, cli.seed, &cli.seeds) {
        (Some(What::Replay { file, trace }), _, _) => replay(file, *trace, around),
        (Some(What::Scenario { files, record }), _, _) => scenarios(files, *record, around),
        (Some(What::Round { nodes }), _, _) => large_round(*nodes, around),
        (None, Some(seed), _) => one(seed, wishes, cli, around),
        (None, None, Some(seeds)) => many(seeds.clone(), wishes, cli, around),
        (None, None, None) => {
            bail!("say what to run: --seed S, --seeds A..B --mutants or a command; --help shows examples")
        }
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let error = || format!("{text:?} is not a range of seeds: write \"0..2000\"");
    let (start, end) = text.split_once("..").ok_or_else(error)?;
    let number = |text: &str| text.replace('_', "").parse::<u64>().map_err(|_| error());
    let (start, end) = (number(start)?, number(end)?);
    if start < end { Ok(start..end) } else { Err(error()) }
}

fn one(seed: u64, wishes: Wishes, cli: &Cli, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let plan = plan(seed, wishes);
    write!(around.out, "{}", report::plan(&plan))?;
    let outcome = told(&plan, cli.trace, around)?;
    if outcome.violations.is_empty() {
        writeln!(around.out, "every promise was kept")?;
        return Ok(true);
    }
    make_small(&plan, &outcome, &report::command(seed, wishes), &cli.keep, around)?;
    Ok(false)
}

fn told(plan: &Plan, is_traced: bool, around: &mut Surroundings<'_>) -> anyhow::Result<Outcome> {
    let outcome = guarded(plan, Mutants::NONE, is_traced);
    for line in &outcome.trace {
        writeln!(around.out, "{line}")?;
    }
    write!(around.out, "{}{}", report::outcome(&outcome), report::violations(&outcome.violations))?;
    Ok(outcome)
}

/// Drops every fault that the failure does not need, and writes down what is left.
fn make_small(
    plan: &Plan,
    outcome: &Outcome,
    command: &str,
    keep: &Path,
    around: &mut Surroundings<'_>,
) -> anyhow::Result<()> {
    let Some(violation) = outcome.violations.first() else { return Ok(()) };
    writeln!(around.out, "again: {command}")?;
    let small = minimise(plan, violation.law, Mutants::NONE);
    let path = keep.join(format!("seed-{}-{}.toml", plan.options.seed, violation.law));
    let text = toml::to_string(&small).context("the run cannot be written down")?;
    let written = std::fs::create_dir_all(keep).and_then(|()| std::fs::write(&path, text));
    written.with_context(|| format!("{} cannot be written; choose another place with --keep", path.display()))?;
    let (left, all) = (small.faults.len(), plan.faults.len());
    writeln!(around.out, "{left} of {all} faults break {} too:", violation.law)?;
    for planned in &small.faults {
        let at = landfall_proto::time::after(plan.options.start, planned.at);
        writeln!(around.out, "    {} {}", crate::trace::offset(plan.options.start, at), planned.fault.line())?;
    }
    writeln!(around.out, "small: cargo sim replay {} --trace", path.display())?;
    Ok(())
}

fn replay(file: &Path, is_traced: bool, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let plan: Plan = toml::from_str(&text)
        .with_context(|| format!("{} is no run; write one with cargo sim --seed S", file.display()))?;
    write!(around.out, "{}", report::plan(&plan))?;
    let outcome = told(&plan, is_traced, around)?;
    Ok(outcome.violations.is_empty())
}

fn scenarios(files: &[PathBuf], is_recording: bool, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let began = (around.seconds)();
    let mut changed = 0;
    for file in files {
        let name = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
        let happened = Story::read(&text).and_then(|story| story.play()).with_context(|| name.to_string())?;
        let Some(difference) = script::difference(&text, &happened) else { continue };
        changed += 1;
        if is_recording {
            std::fs::write(file, happened).with_context(|| format!("{name} cannot be written"))?;
            writeln!(around.out, "{name} is recorded")?;
        } else {
            write!(around.out, "{name} went another way: - recorded, + happened\n{difference}")?;
        }
    }
    let (count, seconds) = (files.len(), (around.seconds)() - began);
    let what = if is_recording { "recorded anew" } else { "went another way" };
    writeln!(around.out, "{count} stories, {changed} {what}, in {seconds:.1} s")?;
    Ok(is_recording || changed == 0)
}

fn large_round(nodes: u32, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let (began, before) = ((around.seconds)(), (around.peak_bytes)());
    let cost = crate::round::round(&crate::generate::large(nodes));
    let grown = (around.peak_bytes)().zip(before).map(|(after, before)| after.saturating_sub(before));
    write!(around.out, "{}", report::cost(&cost, (around.seconds)() - began, grown))?;
    Ok(cost.good == usize::try_from(nodes).unwrap_or(usize::MAX))
}

fn many(seeds: Range<u64>, wishes: Wishes, cli: &Cli, around: &mut Surroundings<'_>) -> anyhow::Result<bool> {
    let began = (around.seconds)();
    let count = seeds.end - seeds.start;
    let summary = run_all(seeds, wishes, cli.jobs, Mutants::NONE, |_| {});
    let seconds = (around.seconds)() - began;
    write!(around.out, "{}{}", report::hits(&summary.hits), report::summary(&summary, seconds))?;
    tell_failures(&summary, wishes, &cli.keep, around)?;
    let missing = summary.hits.missing();
    let is_missing = count >= SEEDS_FOR_ALL_FAULTS && !cli.fair && !missing.is_empty();
    if is_missing {
        writeln!(around.out, "NEVER HIT: {}", missing.join(", "))?;
    }
    Ok(summary.failures.is_empty() && !is_missing)
}

fn tell_failures(summary: &Summary, wishes: Wishes, keep: &Path, around: &mut Surroundings<'_>) -> anyhow::Result<()> {
    let mut laws = std::collections::BTreeSet::new();
    for (seed, violations) in &summary.failures {
        let is_new = violations.iter().any(|violation| !laws.contains(violation.law));
        if !is_new || laws.len() >= FAILURES_TOLD_MAX {
            continue;
        }
        laws.extend(violations.iter().map(|violation| violation.law));
        let plan = plan(*seed, wishes);
        writeln!(around.out, "\nseed {seed}")?;
        let outcome = told(&plan, false, around)?;
        make_small(&plan, &outcome, &report::command(*seed, wishes), keep, around)?;
    }
    let seeds: Vec<String> = summary.failures.iter().map(|(seed, _)| seed.to_string()).take(40).collect();
    if !seeds.is_empty() {
        writeln!(around.out, "\nfailing seeds: {}", seeds.join(" "))?;
    }
    Ok(())
}
