//! Outside programs that tests run beside the agent.

use std::path::PathBuf;

/// What a variable names, what `deploy/tools.sh` has fetched, or what is on PATH.
pub(crate) fn outside(variable: &str, name: &str) -> PathBuf {
    let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")));
    let tools = from("LANDFALL_TOOLS").or_else(|| Some(cache()?.join("landfall/tools")));
    let fetched = tools.map(|tools| tools.join(format!("{name}/bin/{name}"))).filter(|path| path.is_file());
    from(variable).or(fetched).unwrap_or_else(|| PathBuf::from(name))
}
