//! What one `up` remembers from start to start: its cluster, its port, how many nodes it has and what they back up.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use landfall_proto::id::{ClusterName, NodeId};
use serde::{Deserialize, Serialize};

use super::Up;
use super::place::Place;
use super::private;
use crate::cli::failure::{Failure, USAGE, chain};

const NODES_FIRST: u32 = 3;
const CLUSTER_FIRST: &str = "local";

/// One file of the state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) cluster: ClusterName,
    pub(super) port: u16,
    /// Where the pages are; 0 where they have had no place yet.
    #[serde(default)]
    pub(super) web_port: u16,
    pub(super) nodes: u32,
    pub(super) sources: Vec<PathBuf>,
}

impl Memory {
    /// What was remembered, with what this start asks for. Nodes are only ever added: each is expected in every round.
    pub(super) fn recall(options: &Up, before: Option<Self>, place: &Place) -> Result<Self, Failure> {
        let sources = sources(options)?;
        let memory = match before {
            Some(memory) => memory.changed(options, sources, place)?,
            None => Self::first(options, sources)?,
        };
        let text = toml::to_string(&memory)
            .map_err(|error| Failure::internal("the state folder cannot be written", &error))?;
        private::write(&place.memory(), &text).map_err(|error| super::unwritable(&place.memory(), &error))?;
        Ok(memory)
    }

    pub(super) fn node_ids(&self) -> Vec<NodeId> {
        (1..=self.nodes)
            .map(|number| format!("node-{number}").parse().expect("letters, a dash and a number are a node id"))
            .collect()
    }

    pub(super) const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// The pages' address as a person types it.
    pub(super) fn pages(&self) -> String {
        format!("http://{}", SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.web_port))
    }

    fn first(options: &Up, sources: Vec<PathBuf>) -> Result<Self, Failure> {
        let sources = if sources.is_empty() { vec![here()?] } else { sources };
        let cluster = match &options.cluster {
            Some(cluster) => cluster.clone(),
            None => CLUSTER_FIRST.parse().expect("the default name is a cluster name"),
        };
        Ok(Self {
            cluster,
            port: free_port()?,
            web_port: free_port()?,
            nodes: options.nodes.unwrap_or(NODES_FIRST),
            sources,
        })
    }

    fn changed(mut self, options: &Up, sources: Vec<PathBuf>, place: &Place) -> Result<Self, Failure> {
        if let Some(cluster) = options.cluster.as_ref().filter(|cluster| **cluster != self.cluster) {
            let why = format!("{} holds the cluster {}", place.root().display(), self.cluster);
            return Err(Failure::new(
                USAGE,
                format!("the cluster {cluster} is not here"),
                why,
                "name another folder with --state, or leave --cluster out",
            ));
        }
        self.nodes = self.nodes.max(options.nodes.unwrap_or_default());
        if !sources.is_empty() {
            self.sources = sources;
        }
        if TcpListener::bind(self.address()).is_err() {
            self.port = free_port()?;
        }
        if self.web_port == 0 || TcpListener::bind((Ipv4Addr::LOCALHOST, self.web_port)).is_err() {
            self.web_port = free_port()?;
        }
        Ok(self)
    }
}

/// What stands in the state folder; `None` where nothing was ever started there.
pub(super) fn read(place: &Place) -> Result<Option<Memory>, Failure> {
    let path = place.memory();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(super::unwritable(&path, &error)),
    };
    toml::from_str(&text).map(Some).map_err(|error| {
        Failure::new(
            USAGE,
            format!("{} cannot be read", path.display()),
            chain(&error),
            "correct it, or begin again in another folder with --state",
        )
    })
}

/// The named paths, absolute and without links in them; none twice.
fn sources(options: &Up) -> Result<Vec<PathBuf>, Failure> {
    let mut sources = Vec::new();
    for path in &options.paths {
        let found = path.canonicalize().map_err(|error| {
            Failure::new(
                USAGE,
                format!("{} cannot be backed up", path.display()),
                error.to_string(),
                "name a file or folder that is there",
            )
        })?;
        if found.to_str().is_none() {
            let why = "its name is not UTF-8, which a plan file cannot hold";
            return Err(Failure::new(
                USAGE,
                format!("{} cannot be backed up", path.display()),
                why,
                "name a folder above it",
            ));
        }
        sources.push(found);
    }
    sources.sort();
    sources.dedup();
    Ok(sources)
}

fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::internal("the current folder cannot be found", &error))
}

fn free_port() -> Result<u16, Failure> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(|error| Failure::internal("no free port is to be had", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(nodes: Option<u32>, paths: Vec<PathBuf>) -> Up {
        Up { nodes, paths, ..Up::default() }
    }

    fn recall(options: &Up, place: &Place) -> Result<Memory, Failure> {
        Memory::recall(options, read(place)?, place)
    }

    #[test]
    fn a_second_start_continues_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join("state")).unwrap();
        let first = recall(&up(Some(2), vec![folder.path().to_owned()]), &place).unwrap();
        assert_eq!((first.nodes, first.sources.len()), (2, 1));
        assert_eq!(recall(&up(None, Vec::new()), &place).unwrap(), first);
        let more = recall(&up(Some(5), Vec::new()), &place).unwrap();
        assert_eq!((more.node_ids().len(), more.port), (5, first.port));
        assert_eq!(recall(&up(Some(1), Vec::new()), &place).unwrap().nodes, 5, "nodes are never taken away");
        let other = Up { cluster: Some("other".parse().unwrap()), ..Up::default() };
        assert_eq!(recall(&other, &place).unwrap_err().code, USAGE);
    }

    #[test]
    fn a_port_that_somebody_took_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join("state")).unwrap();
        let first = recall(&up(None, Vec::new()), &place).unwrap();
        let _taken = TcpListener::bind(first.address()).unwrap();
        assert_ne!(recall(&up(None, Vec::new()), &place).unwrap().port, first.port);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join("state")).unwrap();
        let failure = recall(&up(None, vec!["/nowhere/at/all".into()]), &place).unwrap_err();
        assert_eq!(failure.code, USAGE);
        assert!(failure.problem.what.contains("/nowhere/at/all"));
    }
}
