//! The files that bus, coordinator, agents and operator read; written again at each start, because port and nodes may change.

use std::io;
use std::path::{Path, PathBuf};

use landfall_proto::bus::{Seed, ServerConfig, render};
use landfall_proto::id::NodeId;
use landfall_proto::subject::Role;

use super::memory::Memory;
use super::place::{Place, make_folder};
use super::plan::{plan_text, target_text};
use super::private;

/// The log of a bus that many rounds have gone over takes a few MiB.
const STORE_BYTES_MAX: u64 = 4 << 30;
const STORE_BYTES_MIN: u64 = 64 << 20;

const HEAD: &str = "# Written by `landfall up` at each start; changes are overwritten.\n";

/// Writes everything that is missing or may have changed. A plan is written only for a fresh node or for other sources, so
/// that it may be edited.
pub(super) fn write_all(memory: &Memory, place: &Place, other_sources: bool) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: PathBuf| move |error: io::Error| (path, error);
    let put = |path: PathBuf, text: &str| private::write(&path, text).map_err(at(path));
    let seed = |name: &str| private::seed(&place.seed(name)).map_err(at(place.seed(name)));
    private::password(&place.password()).map_err(at(place.password()))?;
    for folder in [
        place.repository(),
        place.bus().join("store"),
        place.coordinator().join("state"),
        place.log("bus").with_file_name(""),
        place.marks(),
    ] {
        make_folder(&folder).map_err(at(folder.clone()))?;
    }

    let signing = seed("signing")?;
    let mut users =
        vec![(Role::Coordinator, seed("coordinator")?.public_key()), (Role::Operator, seed("operator")?.public_key())];
    for node in memory.node_ids() {
        users.push((Role::Agent(node.clone()), seed(node.as_str())?.public_key()));
        let folder = place.node(&node);
        make_folder(&folder.join("state")).map_err(at(folder.clone()))?;
        put(folder.join("agent.toml"), &agent_text(&node, &signing, memory, place))?;
        let plan = folder.join("plans.d/nightly.toml");
        if other_sources || !plan.exists() {
            put(plan, &plan_text(&memory.sources, place.root()))?;
        }
        let target = folder.join("targets.d/shared.toml");
        if !target.exists() {
            put(target, &target_text(place))?;
        }
    }
    let watch = seed("watch")?.public_key();
    put(place.bus().join("nats.conf"), &render(&server(memory, place, users, watch)))?;
    put(place.coordinator().join("coordinator.toml"), &coordinator_text(memory, place))?;
    put(place.operator(), &operator_text(memory, place))
}

/// A path as a TOML string.
pub(super) fn quoted(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}

fn server(memory: &Memory, place: &Place, users: Vec<(Role, String)>, watch: String) -> ServerConfig {
    ServerConfig {
        server_name: format!("{}-bus", memory.cluster),
        cluster: memory.cluster.clone(),
        listen: memory.address(),
        monitor: None,
        store_dir: place.bus().join("store"),
        max_file_store_bytes: store_bytes(place.root()),
        users,
        watch: Some(watch),
        tls: None,
    }
}

/// A full disk would switch the bus's log off, so half of what is free is left alone.
fn store_bytes(folder: &Path) -> u64 {
    let free =
        rustix::fs::statvfs(folder).map_or(STORE_BYTES_MAX, |space| space.f_bavail.saturating_mul(space.f_frsize));
    (free / 2).clamp(STORE_BYTES_MIN, STORE_BYTES_MAX)
}

fn coordinator_text(memory: &Memory, place: &Place) -> String {
    format!(
        "{HEAD}cluster = \"{}\"\nname = \"main\"\nstate_dir = {}\nsigning_seed_file = {}\n\n[bus]\nurls = [\"{}\"]\nseed_file = {}\nsystem_seed_file = {}\n\n[[sink]]\nkind = \"journal\"\n\n[[sink]]\nkind = \"jsonl\"\npath = {}\n\n[web]\nlisten = \"127.0.0.1:{}\"\n",
        memory.cluster,
        quoted(&place.coordinator().join("state")),
        quoted(&place.seed("signing")),
        memory.url(),
        quoted(&place.seed("coordinator")),
        quoted(&place.seed("watch")),
        quoted(&place.alerts()),
        memory.web_port,
    )
}

fn agent_text(node: &NodeId, signing: &Seed, memory: &Memory, place: &Place) -> String {
    let folder = place.node(node);
    format!(
        "{HEAD}cluster = \"{}\"\nnode = \"{node}\"\ncoordinator_keys = [\"{}\"]\nplans_dir = {}\ntargets_dir = {}\nstate_dir = {}\ndrain = \"5s\"\n\n[bus]\nurls = [\"{}\"]\nseed_file = {}\n",
        memory.cluster,
        signing.public_key(),
        quoted(&folder.join("plans.d")),
        quoted(&folder.join("targets.d")),
        quoted(&folder.join("state")),
        memory.url(),
        quoted(&place.seed(node.as_str())),
    )
}

fn operator_text(memory: &Memory, place: &Place) -> String {
    format!(
        "{HEAD}cluster = \"{}\"\nurls = [\"{}\"]\nseed_file = {}\n",
        memory.cluster,
        memory.url(),
        quoted(&place.seed("operator"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context;
    use crate::config::{Config, SinkKind};
    use landfall_proto::plan::{read_plan, read_target};

    fn written(name: &str) -> (tempfile::TempDir, Memory, Place) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join(name)).unwrap();
        let memory = Memory {
            cluster: "home".parse().unwrap(),
            port: 4333,
            web_port: 4334,
            nodes: 2,
            sources: vec![folder.path().to_owned()],
        };
        write_all(&memory, &place, false).unwrap();
        (folder, memory, place)
    }

    #[test]
    fn what_is_written_is_read_back_by_those_who_read_it() {
        let (_folder, memory, place) = written("a \"state\"");
        let path = place.coordinator().join("coordinator.toml");
        let config = Config::load(&path).unwrap();
        assert_eq!((config.cluster, config.bus.urls), (memory.cluster.clone(), vec![memory.url()]));
        assert_eq!(config.sinks[1].kind, SinkKind::Jsonl { path: place.alerts() });
        let agent = std::fs::read_to_string(place.node(&"node-2".parse().unwrap()).join("agent.toml")).unwrap();
        assert!(agent.contains(&config.signing_seed.public_key()));
        let table: toml::Table = agent.parse().unwrap();
        assert_eq!(table["node"].as_str(), Some("node-2"));
        let operator = context::find(Some(&place.operator())).unwrap();
        assert_eq!(operator.urls, [memory.url()]);
        for node in memory.node_ids() {
            let folder = place.node(&node);
            let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
            read_plan("nightly.toml", &read(folder.join("plans.d/nightly.toml"))).unwrap();
            read_target("shared.toml", &read(folder.join("targets.d/shared.toml"))).unwrap();
        }
    }

    #[test]
    fn every_client_has_a_key_of_its_own_in_the_bus() {
        let (_folder, memory, place) = written("state");
        let text = std::fs::read_to_string(place.bus().join("nats.conf")).unwrap();
        let names = ["coordinator", "operator", "watch", "node-1", "node-2"];
        for name in names {
            let key = private::seed(&place.seed(name)).unwrap().public_key();
            assert_eq!(text.matches(&key).count(), 1, "{name}");
        }
        assert!(
            !text.contains(&private::seed(&place.seed("signing")).unwrap().public_key()),
            "the signing key is no user of the bus"
        );
        assert!(text.contains(&memory.address().to_string()));
    }

    #[test]
    fn an_edited_plan_is_kept_until_other_sources_are_named() {
        let (_folder, memory, place) = written("state");
        let plan = place.node(&"node-1".parse().unwrap()).join("plans.d/nightly.toml");
        std::fs::write(&plan, "# mine\n").unwrap();
        write_all(&memory, &place, false).unwrap();
        assert_eq!(std::fs::read_to_string(&plan).unwrap(), "# mine\n");
        write_all(&memory, &place, true).unwrap();
        assert!(std::fs::read_to_string(&plan).unwrap().contains("nightly"));
    }
}
