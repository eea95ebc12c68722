//! Plans of the driver `command` that take next to no time, or exactly as long as a benchmark wants.

use std::path::{Path, PathBuf};

use landfall_proto::plan::{Plan, Target};

use crate::live::{Node, Place, plans};

/// Leaves one small artifact.
pub(super) const AT_ONCE: &str = "echo saved > \"$1/artifact-$$\"";

/// Begins, waits until its own file `open` or everybody's is there, and then leaves its artifact.
pub(super) fn gated(place: &Place) -> String {
    let all = everybody(place);
    format!(
        "while [ ! -e \"$1.open\" ] && [ ! -e '{}' ]; do sleep 0.05; done\necho saved > \"$1/artifact-$$\"",
        all.display()
    )
}

/// Lets every gated program go on.
pub(super) fn open_all(place: &Place) -> std::io::Result<()> {
    std::fs::write(everybody(place), "")
}

/// Lets one gated program go on.
pub(super) fn open(place: &Place, node: &str, routine: &str) -> std::io::Result<()> {
    std::fs::write(place.path(&format!("out/{node}/{routine}.open")), "")
}

/// A plan of this name on this node, with a destination of its own, so that no run waits for another one's.
pub(super) fn plan(place: &Place, script: &Path, node: &str, routine: &str) -> (Plan, Target) {
    let out = place.folder(&format!("out/{node}/{routine}"));
    let mut target = plans::folder(&out);
    let mut plan = plans::command(routine, script, &out.join("artifact-*"));
    if let Ok(name) = routine.parse() {
        target.name = name;
        plan.target = target.name.clone();
    }
    if let Some(command) = &mut plan.command {
        command.program.push(out.display().to_string());
    }
    plan.limits.nice = 0;
    (plan, target)
}

/// A node with such plans.
pub(super) fn node<'a>(
    place: &Place,
    script: &Path,
    name: &str,
    routines: impl IntoIterator<Item = &'a String>,
) -> Node {
    routines.into_iter().fold(Node::new(name), |node, routine| {
        let (plan, target) = self::plan(place, script, name, routine);
        node.plan(plan).target(target)
    })
}

fn everybody(place: &Place) -> PathBuf {
    place.path("open-all")
}
