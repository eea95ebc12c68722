//! `cargo sim`: runs seeds, mutants and recorded traces.

use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use clap::Parser;
use landfall_sim::cli::{Cli, Surroundings, run};

/// A world makes and drops very many small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static BEGAN: OnceLock<Instant> = OnceLock::new();

fn main() -> ExitCode {
    BEGAN.get_or_init(instant);
    let cli = Cli::parse();
    let stdout = std::io::stdout();
    let mut out = std::io::BufWriter::new(stdout.lock());
    let result = run(&cli, &mut Surroundings { out: &mut out, seconds, peak_bytes });
    // Whoever reads may have gone away in the middle, which is no error of a run.
    let _ = out.flush();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// How long this process has worked: for people, and never for a simulated world.
fn seconds() -> f64 {
    BEGAN.get_or_init(instant).elapsed().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "what a run costs is measured on the wall; no world ever sees it")]
fn instant() -> Instant {
    Instant::now()
}

/// The most memory that this process ever had.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
