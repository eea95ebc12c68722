//! `bench NAME`: measures one budget, or all of them, and prints the tables.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use landfall_chaos::bench::{
    Options, Table, alert, backup, bare_engine, detect, dispatch, failover, fold, idle, pages, scale, scrape,
};

/// The budgets, measured against the best peers on this machine
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 110, after_help = HELP)]
struct Bench {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    name: Name,
}

const HELP: &str = "\
Everything is written below the folder that TMPDIR names (default /tmp) and removed afterwards; `backup` needs five times its
--bytes. Run it on a machine that does nothing else: cargo build --release -p landfall -p landfall-agent -p landfall-chaos, then
cargo bench-mesh all. Needs nats-server, and for `backup` also restic and borg: deploy/tools.sh nats-server restic borg.

Exit codes: 0 every budget is met, 1 one is not, 2 something could not be measured.";

#[derive(Debug, Subcommand)]
enum Name {
    /// The runner against the bare engine, restic and borg
    Backup,
    /// Many runs at once, and single starts on an idle mesh
    Dispatch,
    /// The coordinator's folding against the bus's own pace
    Fold,
    /// Memory and processor time while nothing happens
    Idle,
    /// Killed and frozen agents, a killed coordinator
    Detect,
    /// A leader killed while a second coordinator stands by
    Failover,
    /// From a deadline to the notice about who did not report
    Alert,
    /// One round over thousands of simulated agents
    Scale,
    /// Pages, lists of the API and streams over a long history
    Pages,
    /// `/metrics` of thousands of simulated agents
    Scrape,
    /// All of these
    All,
    /// The embedded engine alone, which `backup` measures against
    #[command(hide = true)]
    BareEngine(bare_engine::BareEngine),
}

fn main() -> ExitCode {
    let Bench { options, name } = Bench::parse();
    let result = match &name {
        // No runtime: the process is to be as small as it can be.
        Name::BareEngine(bare) => bare.run().map(|()| true),
        Name::Backup
        | Name::Dispatch
        | Name::Fold
        | Name::Idle
        | Name::Detect
        | Name::Failover
        | Name::Alert
        | Name::Scale
        | Name::Pages
        | Name::Scrape
        | Name::All => measure(&name, &options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn measure(name: &Name, options: &Options) -> anyhow::Result<bool> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut is_met = true;
        let is =
            |wanted: &Name| matches!(name, Name::All) || std::mem::discriminant(name) == std::mem::discriminant(wanted);
        if is(&Name::Idle) {
            is_met &= show(&idle::run(options).await?, options);
        }
        if is(&Name::Dispatch) {
            is_met &= show(&dispatch::run(options).await?, options);
        }
        if is(&Name::Detect) {
            is_met &= show(&detect::run(options).await?, options);
        }
        if is(&Name::Failover) {
            is_met &= show(&failover::run(options).await?, options);
        }
        if is(&Name::Alert) {
            is_met &= show(&alert::run(options).await?, options);
        }
        if is(&Name::Scale) {
            is_met &= show(&scale::run(options).await?, options);
        }
        if is(&Name::Pages) {
            is_met &= show(&pages::run(options).await?, options);
        }
        if is(&Name::Scrape) {
            is_met &= show(&scrape::run(options).await?, options);
        }
        if is(&Name::Fold) {
            is_met &= show(&fold::run(options).await?, options);
        }
        if is(&Name::Backup) {
            is_met &= show(&backup::run(options).await?, options);
        }
        Ok(is_met)
    })
}

#[expect(clippy::print_stdout, reason = "tables are what this program is for")]
fn show(table: &Table, options: &Options) -> bool {
    if options.json {
        println!("{}", serde_json::to_string(table).unwrap_or_else(|error| panic!("a table has a JSON form: {error}")));
    } else {
        println!("{table}\n");
    }
    table.is_met()
}
