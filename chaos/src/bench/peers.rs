//! The peers, each with its own defaults, its own cache and a fresh encrypted repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{runner, timed, tools};
use crate::live::plans::PASSWORD;

/// Today's restic.
pub(super) fn restic_program() -> anyhow::Result<PathBuf> {
    tools::outside("LANDFALL_RESTIC", "restic")
}

/// Today's borg.
pub(super) fn borg_program() -> anyhow::Result<PathBuf> {
    tools::outside("LANDFALL_BORG", "borg")
}

pub(super) fn restic(folder: &Path, source: &Path, log: &Path) -> anyhow::Result<Box<dyn Fn() -> Command>> {
    let (program, password) = (restic_program()?, runner::password(folder)?);
    let (repository, cache) = (folder.join("repository"), folder.join("cache"));
    let base = move || {
        let mut command = Command::new(&program);
        command
            .arg("-q")
            .arg("-r")
            .arg(&repository)
            .arg("--cache-dir")
            .arg(&cache)
            .env("RESTIC_PASSWORD_FILE", &password);
        command
    };
    let mut init = base();
    init.arg("init");
    timed::seconds(init, log)?;
    let source = source.to_owned();
    Ok(Box::new(move || {
        let mut command = base();
        command.arg("backup").arg(&source);
        command
    }))
}

pub(super) fn borg(folder: &Path, source: &Path, log: &Path) -> anyhow::Result<Box<dyn Fn() -> Command>> {
    let (program, base_dir, repository) = (borg_program()?, folder.join("base"), folder.join("repository"));
    std::fs::create_dir_all(&base_dir)?;
    let base = move || {
        let mut command = Command::new(&program);
        command.env("BORG_BASE_DIR", &base_dir).env("BORG_PASSPHRASE", PASSWORD);
        command
    };
    let mut init = base();
    init.args(["init", "-e", "repokey"]).arg(&repository);
    timed::seconds(init, log)?;
    let archive = format!("{}::{{utcnow:%Y-%m-%d_%H-%M-%S.%f}}", repository.display());
    let source = source.to_owned();
    Ok(Box::new(move || {
        let mut command = base();
        command.arg("create").arg(&archive).arg(&source);
        command
    }))
}
