//! One node of a story: its plans and targets as files, and how its agent is started.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use landfall_proto::plan::{Plan, Target};

use super::bus::CLUSTER;
use super::place::Place;
use super::process::binary;

/// Who nobody is.
pub const NOBODY: u32 = 65534;

/// How an agent's process is started.
#[derive(Debug, Clone)]
enum Start {
    Plain,
    /// As the user without rights, where the story itself is root's.
    Nobody,
    /// In file systems of its own, made by these lines of shell; they vanish with it.
    Mounts(String),
    /// In a network of its own, by its name.
    Network(String),
}

/// One node of a story.
#[derive(Debug, Clone)]
pub struct Node {
    pub(super) name: String,
    pub(super) plans: Vec<Plan>,
    targets: Vec<Target>,
    labels: BTreeMap<String, String>,
    lines: String,
    environment: BTreeMap<String, String>,
    start: Start,
}

impl Node {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            plans: Vec::new(),
            targets: Vec::new(),
            labels: BTreeMap::new(),
            lines: String::new(),
            environment: BTreeMap::new(),
            start: Start::Plain,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plans.push(plan);
        self
    }

    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Changes every plan of the node.
    #[must_use]
    pub fn each_plan(mut self, change: impl Fn(&mut Plan)) -> Self {
        self.plans.iter_mut().for_each(change);
        self
    }

    /// Changes every target of the node.
    #[must_use]
    pub fn each_target(mut self, change: impl Fn(&mut Target)) -> Self {
        self.targets.iter_mut().for_each(change);
        self
    }

    /// A line for the top of `agent.toml`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// A variable of the agent's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the agent in this network namespace.
    #[must_use]
    pub fn in_network(mut self, name: &str) -> Self {
        self.start = Start::Network(name.to_owned());
        self
    }

    #[must_use]
    pub fn as_nobody(mut self) -> Self {
        self.start = Start::Nobody;
        self
    }

    /// Runs these lines of shell as root in mounts of the agent's own before it starts.
    #[must_use]
    pub fn with_mounts(mut self, lines: &str) -> Self {
        self.start = Start::Mounts(lines.to_owned());
        self
    }
}

/// Writes everything that the agent reads.
/// `tables` is added to its file below `[bus]`.
pub(super) fn write_node(place: &Place, node: &Node, urls: &[String], tables: &str, signing_key: &str) {
    let Node { name, plans, targets, labels, lines, environment: _, start } = node;
    let root = place.folder(&format!("nodes/{name}"));
    let at = |below: &str| root.join(below).display().to_string();
    let seed = std::fs::read_to_string(place.path(&format!("seeds/node-{name}"))).expect("the seeds are drawn");
    place.secret(&format!("nodes/{name}/seed"), &seed);
    let mut text = format!(
        "cluster = {CLUSTER:?}\nnode = {name:?}\ncoordinator_keys = [{signing_key:?}]\ndrain = \"1s\"\n{lines}\
         plans_dir = {:?}\ntargets_dir = {:?}\nstate_dir = {:?}\n[bus]\nurls = {urls:?}\nseed_file = {:?}\n{tables}[labels]\n",
        at("plans.d"),
        at("targets.d"),
        at("state"),
        at("seed"),
    );
    for (key, value) in labels {
        let _ = writeln!(text, "{key:?} = {value:?}");
    }
    place.file(&format!("nodes/{name}/agent.toml"), &text);
    for plan in plans {
        let text = toml::to_string(plan).unwrap_or_else(|error| panic!("a plan can be written as a file: {error}"));
        place.file(&format!("nodes/{name}/plans.d/{}.toml", plan.name), &text);
    }
    for target in targets {
        let text = toml::to_string(target).unwrap_or_else(|error| panic!("a target can be written as a file: {error}"));
        place.file(&format!("nodes/{name}/targets.d/{}.toml", target.name), &text);
    }
    place.folder(&format!("nodes/{name}/plans.d"));
    place.folder(&format!("nodes/{name}/targets.d"));
    place.folder(&format!("nodes/{name}/state"));
    if matches!(start, Start::Nobody) && is_root() {
        let status = Command::new("chown").arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(&root).status();
        assert!(status.is_ok_and(|status| status.success()), "expected that root can give {} away", root.display());
    }
}

/// `folder` is that of the node, or of its twin.
pub(super) fn agent_command(place: &Place, node: &Node, folder: &str) -> Command {
    let program = binary("landfall-agent");
    let config = place.path(&format!("nodes/{folder}/agent.toml"));
    let mut command = match &node.start {
        Start::Nobody if is_root() => {
            // Root's build folder may be closed to others.
            let copy = place.folder("bin").join("landfall-agent");
            std::fs::copy(&program, &copy).unwrap_or_else(|error| panic!("{} can be written: {error}", copy.display()));
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()])
                .arg(copy);
            command
        }
        Start::Plain | Start::Nobody => Command::new(program),
        Start::Network(network) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", network]).arg(program);
            command
        }
        Start::Mounts(lines) => {
            let mut command = Command::new("unshare");
            command
                .args(if is_root() { vec!["-m"] } else { vec!["-rm"] })
                .args(["sh", "-ec"])
                .arg(format!("{lines}\nexec \"$@\""))
                .arg("sh")
                .arg(program);
            command
        }
    };
    command.arg("--config").arg(config).arg("serve").current_dir(place.root()).envs(&node.environment);
    command
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether an agent can be given file systems of its own here. Some containers forbid it; stories about full and closed
/// disks cannot be told there, and say so.
pub fn can_mount() -> bool {
    let flags = if is_root() { "-m" } else { "-rm" };
    let tried = Command::new("unshare").args([flags, "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let is_allowed = tried.is_ok_and(|output| output.status.success());
    if !is_allowed {
        eprintln!("not shown on this machine: it allows no file systems of one's own");
    }
    is_allowed
}
