//! Where the mesh is: one small file, found in the usual places.

use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_proto::bus::{ConnectOptions, Seed};
use landfall_proto::id::ClusterName;
use landfall_proto::subject::Role;
use serde::Deserialize;

use super::failure::{Failure, USAGE};
use crate::config::{FileTls, TLS_HALF};

/// How long the tool tries to reach the bus.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The context file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cluster: ClusterName,
    urls: Vec<String>,
    seed_file: PathBuf,
    #[serde(default)]
    tls: Option<FileTls>,
}

/// Reads the named file, or the first of the usual ones that exists.
pub(super) fn find(named: Option<&Path>) -> Result<ConnectOptions, Failure> {
    // A variable that is set to nothing names nothing.
    if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) {
        return read(path);
    }
    let places = usual_places();
    match places.iter().find(|path| path.exists()) {
        Some(path) => read(path),
        None => {
            let tried: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::new(
                USAGE,
                "there is no file that says where the mesh is",
                format!("looked for {}", tried.join(", ")),
                "name one with --context FILE or LANDFALL_CONTEXT; `landfall up` writes DIR/operator.toml",
            ))
        }
    }
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(".landfall/operator.toml")];
    let home = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    places.extend(home.map(|home| home.join("landfall/context.toml")));
    places.push(PathBuf::from("/etc/landfall/operator.toml"));
    places
}

fn read(path: &Path) -> Result<ConnectOptions, Failure> {
    let wrong = |why: String, fix: &str| Failure::new(USAGE, format!("{} cannot be used", path.display()), why, fix);
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(error.to_string(), "name a file that you may read with --context FILE"))?;
    let file: File = toml::from_str(&text).map_err(|error| {
        wrong(error.to_string(), "write cluster, urls and seed_file; `landfall up` writes such a file")
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let seed_path = folder.join(&file.seed_file);
    let seed_text = std::fs::read_to_string(&seed_path)
        .map_err(|error| wrong(format!("{}: {error}", seed_path.display()), "name a seed file that you may read"))?;
    let seed: Seed =
        seed_text.lines().next().unwrap_or_default().parse().map_err(|error| {
            wrong(format!("{}: {error}", seed_path.display()), "put the operator's nkey seed there")
        })?;
    let mut options = ConnectOptions::new(file.urls, Role::Operator, file.cluster, seed).impatient(CONNECT_WITHIN);
    if let Some(tls) = file.tls {
        options.tls = Some(tls.at(folder).ok_or_else(|| wrong(format!("tls: {}", TLS_HALF.0), TLS_HALF.1))?);
    }
    Ok(options)
}
