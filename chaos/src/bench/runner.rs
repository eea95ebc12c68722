//! Landfall's own way: an agent with one plan, asked by hand or through its living daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use landfall_proto::plan::{IoClass, Plan, Target};

use super::{timed, tools};
use crate::live::plans::{self, PASSWORD};
use crate::live::process::Process;
use crate::live::wait::until_true;

/// A node in a folder.
pub(super) struct Prepared {
    folder: PathBuf,
}

/// Writes the password's file and returns its path.
pub(super) fn password(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("password");
    fs::write(&path, PASSWORD)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

/// Writes agent, plans and target, and makes the repository.
pub(super) fn prepare(folder: &Path, source: &Path, log: &Path) -> anyhow::Result<Prepared> {
    let password = password(folder)?;
    let repository = folder.join("repository");
    for name in ["plans.d", "targets.d", "state", "one-file"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(folder.join("one-file/file"), "one file")?;
    let target = plans::repository(&repository, &password);
    write_plan(folder, "tree", source, &target)?;
    write_plan(folder, "warm-up", &folder.join("one-file"), &target)?;
    let at = |below: &str| folder.join(below).display().to_string();
    let text = format!(
        "cluster = \"bench\"\nnode = \"bench\"\nplans_dir = {:?}\ntargets_dir = {:?}\nstate_dir = {:?}\n",
        at("plans.d"),
        at("targets.d"),
        at("state")
    );
    fs::write(folder.join("agent.toml"), text)?;
    let mut init = Command::new(tools::bench()?);
    init.arg("bare-engine").arg("--init").arg("--repository").arg(&repository).arg("--password-file").arg(&password);
    timed::seconds(init, log)?;
    Ok(Prepared { folder: folder.to_owned() })
}

/// The command that is measured.
pub(super) fn command(folder: &Path) -> anyhow::Result<Box<dyn Fn() -> Command>> {
    let (agent, config) = (tools::agent(), folder.join("agent.toml"));
    Ok(Box::new(move || run(&agent, &config, "tree")))
}

impl Prepared {
    /// Starts the agent and has it open the repository once, so that it holds the key as it does after its first run.
    pub(super) async fn daemon(self, log: &Path) -> anyhow::Result<Process> {
        let config = self.folder.join("agent.toml");
        let mut serve = Command::new(tools::agent());
        serve.arg("--config").arg(&config).arg("serve");
        let daemon = Process::start("agent", &mut serve, log);
        let socket = self.folder.join("state/agent.sock");
        until_true("the agent opens its door", Duration::from_secs(20), || socket.exists()).await;
        timed::seconds(run(&tools::agent(), &config, "warm-up"), log).context("the agent's first run")?;
        Ok(daemon)
    }
}

fn run(agent: &Path, config: &Path, plan: &str) -> Command {
    let mut command = Command::new(agent);
    command.arg("--config").arg(config).args(["run", plan]);
    command
}

fn write_plan(folder: &Path, name: &str, source: &Path, target: &Target) -> anyhow::Result<()> {
    let mut plan: Plan = plans::rustic(name, source);
    // The others are not made nice either.
    plan.limits.nice = 0;
    plan.limits.ionice = IoClass::Normal;
    plan.deadlines.finish_within = landfall_proto::time::Duration::from_secs(3600);
    fs::write(folder.join(format!("plans.d/{name}.toml")), toml::to_string(&plan)?)?;
    fs::write(folder.join("targets.d/shared.toml"), toml::to_string(target)?)?;
    Ok(())
}
