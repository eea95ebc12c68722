//! Those that back the same tree up: ours by hand and through its daemon, the bare engine, and the peers.

use std::path::Path;
use std::process::Command;

use super::{peers, runner, timed, tools};
use crate::live::process::Process;

/// Who backs up, and how it gets at the repository's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    /// `landfall-agent run` asks the living agent, which holds the key.
    RunnerDaemon,
    /// `landfall-agent run` does it all itself, by password.
    RunnerAlone,
    BareKey,
    BarePassword,
    Restic,
    Borg,
}

/// Everything that one program needs for one repository and one tree.
pub(super) struct Contender {
    command: Box<dyn Fn() -> Command>,
    log: std::path::PathBuf,
    /// The living agent, where there is one.
    _daemon: Option<Process>,
}

impl Program {
    pub(super) const ALL: [Self; 6] =
        [Self::RunnerDaemon, Self::RunnerAlone, Self::BareKey, Self::BarePassword, Self::Restic, Self::Borg];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RunnerDaemon => "runner, living agent",
            Self::RunnerAlone => "runner, by hand",
            Self::BareKey => "bare engine, key",
            Self::BarePassword => "bare engine, password",
            Self::Restic => "restic",
            Self::Borg => "borg",
        }
    }

    /// Makes a fresh repository and everything else that is needed in `folder`, which must not exist.
    pub(super) async fn prepare(self, folder: &Path, source: &Path) -> anyhow::Result<Contender> {
        std::fs::create_dir_all(folder)?;
        let log = folder.join("log");
        let (command, daemon): (Box<dyn Fn() -> Command>, Option<Process>) = match self {
            Self::RunnerDaemon => {
                let daemon = runner::prepare(folder, source, &log)?.daemon(&log).await?;
                (runner::command(folder)?, Some(daemon))
            }
            Self::RunnerAlone => {
                runner::prepare(folder, source, &log)?;
                (runner::command(folder)?, None)
            }
            Self::BareKey | Self::BarePassword => (bare(folder, source, self == Self::BareKey, &log)?, None),
            Self::Restic => (peers::restic(folder, source, &log)?, None),
            Self::Borg => (peers::borg(folder, source, &log)?, None),
        };
        Ok(Contender { command, log, _daemon: daemon })
    }
}

impl Contender {
    /// Backs up once; seconds from the command's start to its end.
    pub(super) fn back_up(&self) -> anyhow::Result<f64> {
        timed::settle();
        timed::seconds((self.command)(), &self.log)
    }
}

fn bare(folder: &Path, source: &Path, by_key: bool, log: &Path) -> anyhow::Result<Box<dyn Fn() -> Command>> {
    let password = runner::password(folder)?;
    let (key, repository) = (folder.join("key"), folder.join("repository"));
    let exe = tools::bench()?;
    let base = move || {
        let mut command = Command::new(&exe);
        command.arg("bare-engine").arg("--repository").arg(&repository).arg("--password-file").arg(&password);
        command
    };
    let mut init = base();
    init.arg("--init").arg("--key-file").arg(&key);
    timed::seconds(init, log)?;
    let source = source.to_owned();
    Ok(Box::new(move || {
        let mut command = base();
        if by_key {
            command.arg("--key-file").arg(&key);
        }
        command.arg(&source);
        command
    }))
}
