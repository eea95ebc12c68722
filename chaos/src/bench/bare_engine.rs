//! The embedded engine in a small process of its own, with nothing around it: what a runner costs is measured against this.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rustic_backend::BackendOptions;
use rustic_core::repofile::MasterKey;
use rustic_core::{
    BackupOptions, ConfigOptions, Credentials, KeyOptions, PathList, Repository, RepositoryBackends, RepositoryOptions,
    SnapshotOptions,
};

/// Makes a repository, or saves one tree into it.
#[derive(Debug, Args)]
pub struct BareEngine {
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
    /// Opens with this key and not with the password; with --init the file is written
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Makes the repository and ends
    #[arg(long)]
    pub init: bool,
    /// What to save
    pub source: Option<PathBuf>,
}

impl BareEngine {
    pub fn run(&self) -> anyhow::Result<()> {
        let password = fs::read_to_string(&self.password_file).context("the password file cannot be read")?;
        let password = Credentials::password(password.lines().next().unwrap_or_default());
        if self.init {
            return self.create(&password);
        }
        let credentials = match &self.key_file {
            Some(path) => Credentials::Masterkey(read_key(path)?),
            None => password,
        };
        let source = self.source.as_ref().context("name the tree to save")?;
        let repository = repository(&self.repository)?.open(&credentials)?.to_indexed_ids()?;
        let snapshot = SnapshotOptions::default().to_snapshot()?;
        let source = PathList::from_iter(Some(source));
        repository.backup(&BackupOptions::default(), &source, snapshot)?;
        Ok(())
    }

    fn create(&self, password: &Credentials) -> anyhow::Result<()> {
        let made = repository(&self.repository)?.init(password, &KeyOptions::default(), &ConfigOptions::default())?;
        if let Some(path) = &self.key_file {
            fs::write(path, serde_json::to_string(&made.key())?).context("the key file cannot be written")?;
        }
        Ok(())
    }
}

fn repository(location: &Path) -> anyhow::Result<Repository<()>> {
    let backends: RepositoryBackends =
        BackendOptions::default().repository(location.display().to_string()).to_backends()?;
    Ok(Repository::new(&RepositoryOptions::default().no_cache(true), &backends)?)
}

fn read_key(path: &Path) -> anyhow::Result<MasterKey> {
    let text = fs::read_to_string(path).context("the key file cannot be read")?;
    serde_json::from_str(&text).context("the key file holds no key")
}
