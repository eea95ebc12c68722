//! What a person's shell is offered while a line is being typed: names that only the living mesh knows.

use std::path::Path;
use std::process::Stdio;

use landfall_chaos::live::process::binary;
use landfall_chaos::live::wait::seconds;
use landfall_chaos::live::{Gate, Node, Place, Setup, tool};
use tokio::process::Command;

/// The words that the shell gets for a line whose last word is being typed.
async fn offered(context: Option<&Path>, folder: &Path, shell: &str, line: &[&str]) -> Vec<String> {
    let mut command = Command::new(binary("landfall"));
    command.arg("--").arg("landfall").args(line).current_dir(folder).env("COMPLETE", shell);
    command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", line.len().to_string());
    command.env("HOME", folder).env_remove("XDG_CONFIG_HOME").env_remove("LANDFALL_CONTEXT");
    if let Some(context) = context {
        command.env("LANDFALL_CONTEXT", context);
    }
    let answer = tool::run(command).await.good();
    assert_eq!(answer.err, "", "expected that completion is silent");
    answer.out.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_is_offered_what_the_mesh_holds_at_this_moment() {
    let place = Place::new("completion");
    let gate = Gate::new(&place, "a");
    let setup = Setup::new(place).node(Node::new("alpha").plan(gate.plan("task")).target(gate.target()));
    let cluster = setup.start().await;
    let round = cluster.operator.start("task").await;
    gate.begun(1).await;
    let run = cluster.operator.run(round, "alpha").await.id.to_string();
    let (context, folder) = (cluster.place.path("operator.toml"), cluster.place.folder("elsewhere"));
    let ask = async |shell: &str, line: &[&str]| offered(Some(&context), &folder, shell, line).await;

    assert_eq!(ask("bash", &["start", "t"]).await, ["task"]);
    assert_eq!(ask("bash", &["start", "task", "--node", ""]).await, ["alpha"]);
    assert_eq!(ask("bash", &["nodes", "al"]).await, ["alpha"]);
    assert_eq!(ask("bash", &["logs", &run[..6]]).await, [run.as_str()]);
    assert_eq!(ask("bash", &["limits", "set", "cl"]).await, ["cluster"]);
    let open = ask("fish", &["cancel", ""]).await;
    assert!(
        open.iter().any(|word| word.starts_with(&format!("{round}\tround of backup task, converging"))),
        "{open:?}"
    );
    assert!(open.iter().any(|word| word.starts_with(&format!("{run}\trunning backup task on alpha"))), "{open:?}");
    gate.open();
    cluster.operator.verdict(round, seconds(25)).await;

    assert!(!ask("bash", &["cancel", ""]).await.contains(&run), "expected that what has ended cannot be cancelled");
    assert_eq!(ask("bash", &["rounds", &round.to_string()[..14]]).await, [round.to_string()]);
    // The line itself may say where the mesh is.
    let named = format!("--context={}", context.display());
    assert_eq!(offered(None, &folder, "bash", &[&named, "start", "t"]).await, ["task"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mesh_a_shell_is_offered_nothing_and_is_not_kept_waiting() {
    let place = Place::new("completion-alone");
    let folder = place.folder("elsewhere");
    assert!(offered(None, &folder, "bash", &["start", "n"]).await.is_empty(), "expected nothing without a file");

    // A bus that takes the connection and never says a word is the slowest there can be.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", mute.local_addr().unwrap());
    let seed = place.secret("operator.seed", &nkeys::KeyPair::new_user().seed().unwrap());
    let context = place.path("operator.toml");
    let text = format!("cluster = \"home\"\nurls = [{url:?}]\nseed_file = {:?}\n", seed.display().to_string());
    std::fs::write(&context, text).unwrap();
    assert!(
        offered(Some(&context), &folder, "bash", &["start", "n"]).await.is_empty(),
        "expected nothing from a mute bus"
    );
    assert!(
        !offered(Some(&context), &folder, "bash", &["start", "--"]).await.is_empty(),
        "expected the options all the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bash_itself_takes_the_script_and_completes_with_it() {
    let place = Place::new("completion-bash");
    let gate = Gate::new(&place, "a");
    let setup = Setup::new(place).node(Node::new("alpha").plan(gate.plan("task")).target(gate.target()));
    let cluster = setup.start().await;
    let folder = binary("landfall").parent().unwrap().display().to_string();
    let script = "source <(landfall completion bash)\n\
         COMP_WORDS=(landfall start ta) COMP_CWORD=2 COMP_TYPE=9\n\
         _clap_complete_landfall landfall ta start\n\
         printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script]).stdin(Stdio::null());
    command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()));
    command.env("LANDFALL_CONTEXT", cluster.place.path("operator.toml"));
    assert_eq!(tool::run(command).await.good().out, "task\n");
}
