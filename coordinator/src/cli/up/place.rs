//! Where everything of one `up` lies, below its state folder.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use landfall_proto::id::NodeId;

/// The state folder; all paths are absolute.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
}

impl Place {
    /// Makes the folder for its owner only, if it is not there.
    pub(super) fn make(root: &Path) -> io::Result<Self> {
        make_folder(root)?;
        Ok(Self { root: root.canonicalize()? })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What this `up` remembers from start to start.
    pub(super) fn memory(&self) -> PathBuf {
        self.root.join("up.toml")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("up.lock")
    }

    pub(super) fn operator(&self) -> PathBuf {
        self.root.join("operator.toml")
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.root.join("keys/repository.password")
    }

    pub(super) fn alerts(&self) -> PathBuf {
        self.root.join("alerts.jsonl")
    }

    /// The secret seed of one client of the bus, or of the commands' signer.
    pub(super) fn seed(&self, name: &str) -> PathBuf {
        self.root.join("keys").join(format!("{name}.seed"))
    }

    pub(super) fn bus(&self) -> PathBuf {
        self.root.join("bus")
    }

    pub(super) fn coordinator(&self) -> PathBuf {
        self.root.join("coordinator")
    }

    pub(super) fn node(&self, node: &NodeId) -> PathBuf {
        self.root.join("nodes").join(node.as_str())
    }

    /// What a child printed.
    pub(super) fn log(&self, child: &str) -> PathBuf {
        self.root.join("log").join(format!("{child}.log"))
    }

    /// Which process a child is.
    pub(super) fn mark(&self, child: &str) -> PathBuf {
        self.marks().join(child)
    }

    pub(super) fn marks(&self) -> PathBuf {
        self.root.join("pid")
    }
}

/// Makes a folder, with those above it, for its owner only.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
