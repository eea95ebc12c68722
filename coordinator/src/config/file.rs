//! The tables of `coordinator.toml` as they are written, before anything that they name is read.

use std::path::{Path, PathBuf};

use landfall_proto::bus::Tls;
use landfall_proto::id::{ClusterName, Holder};
use landfall_proto::time::Duration;
use serde::Deserialize;

use super::sinks::FileSink;
use crate::core::policy::Policy;
use crate::core::route::Route;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileConfig {
    pub(super) cluster: ClusterName,
    #[serde(default)]
    pub(super) name: Option<Holder>,
    #[serde(default = "default_state_dir")]
    pub(super) state_dir: PathBuf,
    pub(super) signing_seed_file: PathBuf,
    pub(super) bus: FileBus,
    #[serde(default)]
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) sink: Vec<FileSink>,
    #[serde(default)]
    pub(super) routes: Vec<Route>,
    #[serde(default)]
    pub(super) watchdog: Option<FileWatchdog>,
    #[serde(default)]
    pub(super) web: Option<FileWeb>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileWeb {
    #[serde(default)]
    pub(super) listen: Option<String>,
    #[serde(default)]
    pub(super) public_url: Option<String>,
    #[serde(default)]
    pub(super) certificate: Option<PathBuf>,
    #[serde(default)]
    pub(super) key: Option<PathBuf>,
    #[serde(default)]
    pub(super) self_signed: bool,
    #[serde(default)]
    pub(super) metrics_open: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileWatchdog {
    pub(super) url: String,
    #[serde(default)]
    pub(super) interval: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileBus {
    pub(super) urls: Vec<String>,
    pub(super) seed_file: PathBuf,
    #[serde(default)]
    pub(super) tls: Option<FileTls>,
    #[serde(default)]
    pub(super) system_seed_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) replicas: Option<usize>,
}

/// A `[tls]` table of any file of ours: the coordinator's and the operator's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileTls {
    ca: PathBuf,
    #[serde(default)]
    certificate: Option<PathBuf>,
    #[serde(default)]
    key: Option<PathBuf>,
}

impl FileTls {
    /// Paths count from the file's own `folder`. `None` where a certificate or its key is alone.
    pub(crate) fn at(self, folder: &Path) -> Option<Tls> {
        let at = |path: PathBuf| folder.join(path);
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((at(certificate), at(key))),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        Some(Tls { ca: at(self.ca), client })
    }
}

/// What is wrong where [`FileTls::at`] gives nothing, and what to do.
pub(crate) const TLS_HALF: (&str, &str) =
    ("a certificate and its key belong together", "give both `certificate` and `key`, or neither");

fn default_state_dir() -> PathBuf {
    PathBuf::from("/var/lib/landfall-coordinator")
}
