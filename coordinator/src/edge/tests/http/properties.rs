//! The API against its own document: whatever the document allows or forbids, no answer is one that it does not describe.

use std::process::Stdio;

use tokio::process::Command;

use super::*;

/// The program that draws requests from the document; `deploy/tools.sh schemathesis` provides it.
fn program() -> String {
    std::env::var("LANDFALL_SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_drawn_request_gets_an_answer_that_the_document_does_not_describe() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let round = story.start().await;
    story.verdict(round).await;
    let served = story.serve("one", &plain()).await;
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(program())
        .args(["run", &served.url("/api/v1/openapi.json"), "--no-color", "--seed", "7", "--generation-deterministic"])
        .args(["--header", &format!("Authorization: Bearer {}", served.token("ann"))])
        .args(["--max-examples", "3", "--max-time", "45", "--phases", "examples,coverage,fuzzing", "--no-shrink"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        // A stream does not end, and a run's log is as long as its node takes to answer.
        .args(["--exclude-path", "/api/v1/events", "--request-timeout", "15", "--rate-limit", "40/s"])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        timeout(Duration::from_secs(180), output).await.expect("it has a time of its own").unwrap_or_else(|error| {
            panic!("{} cannot be run: {error}; `deploy/tools.sh schemathesis` provides it", program())
        });
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("/api/v1/") || told.contains("passed"), "nothing was tried: {told}");
    life.end().await;
}
