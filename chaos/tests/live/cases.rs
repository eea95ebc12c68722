//! The fast ones among the cases of bad weather: each breaks a mesh, mends it, and is judged by its own expectations and every law.

use std::sync::Arc;

use landfall_chaos::weather::{Ending, Manner, cases, tell};

/// The weather of these stories; another number in `LANDFALL_WEATHER` is another day.
const SEED: u64 = 20_261_121;

async fn passes(name: &str, rounds: u32) {
    let case = cases::named(name).unwrap_or_else(|| panic!("expected a case called {name}"));
    let seed = std::env::var("LANDFALL_WEATHER").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let voice = Arc::new(|line: &str| eprintln!("{line}"));
    let manner = Manner { seed, rounds: Some(rounds), keeps: false, voice };
    let told = tell(&case, &manner, std::future::pending()).await;
    match &told.ending {
        Ending::Passed => {}
        Ending::Skipped(why) => eprintln!("not shown on this machine: {why}"),
        Ending::Failed(why) => panic!("{name} failed: {why}\n  again: {}", told.again()),
        Ending::Stopped => panic!("nobody stopped {name}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_and_then_a_killed_server_of_three_change_no_verdict() {
    passes("three-leader-and-server-killed", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_from_a_killed_leader_in_the_middle_of_a_round() {
    passes("leader-killed", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_lost_its_whole_store_in_the_middle_of_a_round_gives_the_right_verdict() {
    passes("store-wiped", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_its_tail_loses_no_fact() {
    passes("torn-tail", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_killed_at_random_moments_run_nothing_twice() {
    passes("agent-killed", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_break_again_and_again_leave_no_readers_behind() {
    passes("reconnect-storm", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cloned_is_named_and_trusted_no_more() {
    passes("state-copied", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_records_that_is_full_loses_no_run() {
    passes("state-disk-full", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_where_everybody_shows_a_certificate_converges_and_lets_nobody_in_without() {
    passes("mutual-tls", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_certificate_is_not_taken_works_on_alone_and_loses_nothing() {
    passes("certificate-lost", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_says_a_word_to_a_server_that_shows_a_foreign_certificate() {
    passes("foreign-bus", 1).await;
}
