//! Plans and targets as short as a test wants them, with every time limit scaled down.

use std::path::Path;

use landfall_proto::plan::{Deadlines, Plan, Retries, Secret, Target, read_plan, read_target};

use super::place::Place;
use landfall_proto::time::Duration;

/// The password of every repository that a story makes.
pub const PASSWORD: &str = "correct horse battery staple";

/// A plan of the embedded engine for the target `shared`, which runs when asked.
pub fn rustic(name: &str, source: &Path) -> Plan {
    scaled(&format!("name = {name:?}\nsources = [{:?}]\ntarget = \"shared\"\n", source.display().to_string()))
}

/// A plan that runs a script; `evidence` is the path pattern that proves it left something. Its target is `folder`.
pub fn command(name: &str, script: &Path, evidence: &Path) -> Plan {
    let (script, evidence) = (script.display().to_string(), evidence.display().to_string());
    scaled(&format!(
        "name = {name:?}\ndriver = \"command\"\ntarget = \"folder\"\n\
         [command]\nprogram = [{script:?}]\nlock = \"shared\"\n[command.evidence]\npath = {evidence:?}\n"
    ))
}

/// The plan `task` with its target: it fails until there is a file `out/mended`.
pub fn until_mended(place: &Place) -> (Plan, Target) {
    let out = place.folder("out");
    let body = format!("[ -e '{0}/mended' ] || exit 9\necho saved > '{0}/artifact'", out.display());
    (command("task", &place.script("task", &body), &out.join("artifact")), folder(&out))
}

/// The repository that all nodes share; made by whoever comes first.
pub fn repository(location: &Path, password_file: &Path) -> Target {
    let text = format!(
        "name = \"shared\"\ndriver = \"rustic\"\nlocation = {:?}\ncreate = true\nfree_percent_min = 0\n",
        location.display().to_string()
    );
    let mut target =
        read_target("shared.toml", &format!("{text}secret = {{ file = {:?} }}\n", password_file.display().to_string()))
            .unwrap_or_else(|problems| panic!("the story's target is sound: {problems:?}"));
    target.secret = Some(Secret::File(password_file.display().to_string()));
    target
}

/// The folder that the artifacts of `command` plans land in.
pub fn folder(location: &Path) -> Target {
    let text = format!(
        "name = \"folder\"\ndriver = \"command\"\nlocation = {:?}\nfree_percent_min = 0\n",
        location.display().to_string()
    );
    read_target("folder.toml", &text).unwrap_or_else(|problems| panic!("the story's target is sound: {problems:?}"))
}

fn scaled(text: &str) -> Plan {
    let mut plan =
        read_plan("story.toml", text).unwrap_or_else(|problems| panic!("the story's plan is sound: {problems:?}"));
    plan.deadlines = Deadlines {
        start_within: Duration::from_secs(20),
        finish_within: Duration::from_secs(60),
        stall_after: Duration::from_secs(30),
    };
    plan.retries = Retries { attempts: 1, delay: Duration::from_ms(100), delay_max: Duration::from_ms(200) };
    // How long a run takes depends on what else the machine does, and no story is about that unless it says so.
    plan.guards.slow_factor = 1_000_000.0;
    plan
}
