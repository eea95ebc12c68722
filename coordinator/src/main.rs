//! The coordinator and the operator's tool as one program.

use std::process::ExitCode;

/// The system's allocator took a quarter of a replay's time, and kept what was let go of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers may be linked in; the libraries below fall over unless one is chosen before the first of them wakes.
    // It is already chosen where this fails, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    landfall::cli::main()
}
