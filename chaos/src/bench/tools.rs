//! The programs that benchmarks run: found, never built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::live::process::find_outside;

/// Landfall's own two programs, of the same build as this one.
pub(super) fn own() -> anyhow::Result<()> {
    let exe = std::env::current_exe().context("this program does not know where it lies")?;
    let folder = std::env::var_os("LANDFALL_BIN_DIR")
        .map(PathBuf::from)
        .or_else(|| exe.parent().map(Path::to_owned))
        .unwrap_or_default();
    for name in ["landfall", "landfall-agent"] {
        if !folder.join(name).is_file() {
            bail!(
                "{} is not there, and benchmarks build nothing; do: cargo build --release -p landfall -p landfall-agent -p landfall-chaos",
                folder.join(name).display()
            );
        }
    }
    Ok(())
}

/// Landfall's agent.
pub(super) fn agent() -> PathBuf {
    crate::live::process::binary("landfall-agent")
}

/// This program, which is the bare engine too.
pub(super) fn bench() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program does not know where it lies")
}

/// An outside program: named by a variable, fetched by `deploy/tools.sh`, or on PATH.
pub(super) fn outside(variable: &str, name: &str) -> anyhow::Result<PathBuf> {
    find_outside(variable, name)
        .with_context(|| format!("{name} is not there; do: export {variable}=\"$(deploy/tools.sh {name})\""))
}

/// The first line that a program says of its version.
pub(super) fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").split(" compiled").next().unwrap_or_default().to_owned()
}
