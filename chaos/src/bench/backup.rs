//! A backup through the whole runner, its look at the destination included, against the bare engine and against the peers.

use std::collections::BTreeMap;
use std::path::Path;

use super::contender::{Contender, Program};
use super::samples::Samples;
use super::table::{Budget, Row, Table, Unit};
use super::{Options, peers, tools, tree};
use crate::live::Place;

/// The whole runner against the bare engine.
const RUNNER_RATIO: Budget = Budget::AtMost(1.10);
/// The first backup of the tree against each peer.
const FIRST_RATIO: Budget = Budget::AtMost(0.80);
/// The same tree, unchanged, against each peer.
const UNCHANGED_RATIO: Budget = Budget::AtMost(0.55);
/// Ten small files, second run on, against each peer.
const TEN_RATIO: Budget = Budget::AtMost(0.15);

const SMALL_FILES: u64 = 10;
const SMALL_BYTES: u64 = 20_000;

type Measured = BTreeMap<Program, Samples>;
type Contenders = BTreeMap<Program, Contender>;

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let mut table = Table::new("backup", conditions(options)?);
    let place = Place::new("bench-backup");
    let (large, small) = (place.path("source/tree"), place.path("source/ten"));
    tree::write(&large, options.files, options.bytes)?;
    tree::write(&small, SMALL_FILES, SMALL_BYTES)?;

    let (first, contenders) = first(&place, &large, options.rounds).await?;
    let unchanged = again(&contenders, options.rounds)?;
    drop(contenders);
    let mut contenders = Contenders::new();
    for program in Program::ALL {
        let contender = program.prepare(&place.path(&format!("ten/{program:?}")), &small).await?;
        contender.back_up()?;
        contenders.insert(program, contender);
    }
    let ten = again(&contenders, options.rounds * 2)?;

    let both = [Program::RunnerDaemon, Program::RunnerAlone];
    report(&mut table, "first", &first, &both, Some(RUNNER_RATIO), FIRST_RATIO);
    report(&mut table, "unchanged", &unchanged, &both[..1], Some(RUNNER_RATIO), UNCHANGED_RATIO);
    report(&mut table, "ten files", &ten, &both[..1], None, TEN_RATIO);
    Ok(table)
}

fn conditions(options: &Options) -> anyhow::Result<Vec<String>> {
    Ok(vec![
        format!("{:.2} GB in {} files, half of it compressible", options.bytes as f64 / 1e9, options.files),
        tools::version(&peers::restic_program()?, "version"),
        tools::version(&peers::borg_program()?, "--version"),
        "encrypted local repositories, each program's own defaults".to_owned(),
    ])
}

/// First backups, each into a fresh repository; those of the last round are kept.
async fn first(place: &Place, source: &Path, rounds: u32) -> anyhow::Result<(Measured, Contenders)> {
    let mut measured = Measured::new();
    let mut kept = Contenders::new();
    for round in 0..rounds {
        for program in in_turn(round) {
            let folder = place.path(&format!("first-{round}/{program:?}"));
            let contender = program.prepare(&folder, source).await?;
            measured.entry(program).or_default().push(contender.back_up()?);
            if round + 1 == rounds {
                kept.insert(program, contender);
            } else {
                drop(contender);
                std::fs::remove_dir_all(&folder)?;
            }
        }
    }
    Ok((measured, kept))
}

fn again(contenders: &Contenders, rounds: u32) -> anyhow::Result<Measured> {
    let mut measured = Measured::new();
    for round in 0..rounds {
        for program in in_turn(round) {
            if let Some(contender) = contenders.get(&program) {
                measured.entry(program).or_default().push(contender.back_up()?);
            }
        }
    }
    Ok(measured)
}

/// All programs, beginning with another one each round, so that nobody always follows the same neighbour.
fn in_turn(round: u32) -> impl Iterator<Item = Program> {
    let skip = round as usize % Program::ALL.len();
    Program::ALL.into_iter().cycle().skip(skip).take(Program::ALL.len())
}

/// `bound`: which of ours must keep the budget against the peers; the others are shown beside them.
fn report(
    table: &mut Table,
    phase: &str,
    measured: &Measured,
    bound: &[Program],
    runner: Option<Budget>,
    peer: Budget,
) {
    for (program, samples) in measured {
        let row = || Row::median(format!("{phase}: {}", program.name()), Unit::Seconds, samples);
        let engine = match program {
            Program::RunnerDaemon => Program::BareKey,
            Program::RunnerAlone => Program::BarePassword,
            Program::BareKey | Program::BarePassword | Program::Restic | Program::Borg => {
                table.push(row());
                continue;
            }
        };
        for (other, budget) in [(engine, runner), (Program::Restic, Some(peer)), (Program::Borg, Some(peer))] {
            let Some(reference) = measured.get(&other) else { continue };
            let row = row().against(other.name(), reference);
            let is_bound = other == engine || bound.contains(program);
            table.push(match budget.filter(|_| is_bound) {
                Some(budget) => row.budget(budget),
                None => row,
            });
        }
    }
}
