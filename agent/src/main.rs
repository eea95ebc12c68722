//! The agent's program: chooses the one TLS provider, then does what the command line says.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two TLS providers may be compiled in, and then none is chosen by itself. A second choice changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    landfall_agent::cli::main()
}
