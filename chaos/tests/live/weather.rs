//! Everything at once: whatever is killed or frozen while rounds go on, each run ends once and each round has one verdict.

use std::time::Duration;

use landfall_chaos::live::source::noise;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::{Cluster, Node, Place, Setup, fresh_id, plans};
use landfall_proto::control::Request;
use landfall_proto::id::RoundId;
use landfall_proto::report::TaskKind;
use landfall_proto::verdict::VerdictKind;

use crate::table;

const NODES: [&str; 3] = ["a", "b", "c"];

/// Faults in one story, each followed by its repair.
const FAULTS: usize = 12;

/// The weather of this story; another number in `LANDFALL_WEATHER` is another day.
const SEED: u64 = 20_261_120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_bad_weather_every_run_ends_once_and_every_round_has_one_verdict() {
    let place = Place::new("weather");
    let nodes = NODES.map(|name| {
        let out = place.folder(&format!("out/{name}"));
        let at = out.display();
        // The lock is held by the process itself: two programs of one run at the same time would be seen.
        let body = format!(
            "exec 9> '{at}/lock-'$LANDFALL_RUN\nflock -n 9 || echo $LANDFALL_RUN >> '{at}/overlaps'\nsleep 0.4\n\
             echo saved > '{at}/artifact-'$LANDFALL_RUN\necho $LANDFALL_RUN >> '{at}/ended'"
        );
        let script = place.script(&format!("work-{name}"), &body);
        Node::new(name).plan(plans::command("task", &script, &out.join("artifact-*"))).target(plans::folder(&out))
    });
    let mut cluster = nodes.into_iter().fold(Setup::new(place), Setup::node).start().await;

    let seed = std::env::var("LANDFALL_WEATHER").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
    println!("the same weather again: LANDFALL_WEATHER={seed}");
    let mut rounds = Vec::new();
    for draw in noise(seed, FAULTS) {
        rounds.push(RoundId(fresh_id()));
        ask_for(&cluster, rounds[rounds.len() - 1]).await;
        fault(&mut cluster, draw).await;
    }
    for round in &rounds {
        // Asked again under the same id: what was lost with the bus or the coordinator is made good, and nothing is opened twice.
        until("the coordinator takes the round on", seconds(15), async || {
            ask_for(&cluster, *round).await.then_some(())
        })
        .await;
    }
    for round in &rounds {
        let detail = cluster.operator.verdict(*round, seconds(30)).await;
        assert_eq!(detail.round.verdict, Some(VerdictKind::Converged), "expected converged: {}", table(&detail));
    }

    let log = cluster.operator.log();
    for round in &rounds {
        assert_eq!(log.openings(*round).len(), 1, "expected one opening of {round}");
        assert_eq!(log.verdicts(*round).len(), 1, "expected one verdict about {round}");
        for name in NODES {
            let run = landfall_chaos::live::bus::run_of(*round, name, TaskKind::Backup);
            let reports = log.reports(run);
            assert_eq!(reports.len(), 1, "expected one end of the run of {name}: {reports:#?}");
            assert!(reports[0].report.outcome.is_good(), "expected a good end: {:#?}", reports[0]);
        }
    }
    for name in NODES {
        let overlaps = cluster.place.path(&format!("out/{name}/overlaps"));
        assert!(!overlaps.exists(), "expected never two programs of one run at once on {name}: {}", overlaps.display());
    }
    assert!(
        cluster.bus_complaints().is_empty(),
        "expected that the bus refuses nothing: {:?}",
        cluster.bus_complaints()
    );
    assert!(log.alerts().is_empty(), "expected that nobody is woken: {:?}", log.alert_keys());
}

/// Asks for a round; whether the coordinator answered.
async fn ask_for(cluster: &Cluster, round: RoundId) -> bool {
    let routine = landfall_chaos::live::bus::routine("task");
    let request =
        Request::Start { routine, nodes: Vec::new(), task: TaskKind::Backup, by: "story".to_owned(), request: round.0 };
    let answer = tokio::time::timeout(Duration::from_secs(2), cluster.operator.ask(&request)).await;
    matches!(answer, Ok(Some(landfall_proto::control::Reply::Opened { .. })))
}

/// Breaks one thing and mends it.
async fn fault(cluster: &mut Cluster, draw: u8) {
    let pause = Duration::from_millis(u64::from(draw) * 3);
    let name = NODES[usize::from(draw / 8) % NODES.len()];
    match draw % 5 {
        0 => {
            cluster.kill_coordinator();
            tokio::time::sleep(pause).await;
            cluster.start_coordinator();
        }
        1 => {
            cluster.kill_agent(name);
            tokio::time::sleep(pause).await;
            cluster.start_agent(name);
        }
        2 => {
            cluster.bus.kill();
            tokio::time::sleep(pause).await;
            cluster.bus.start();
        }
        3 => {
            cluster.bus.freeze();
            tokio::time::sleep(pause).await;
            cluster.bus.thaw();
        }
        _ => {
            cluster.agent(name).freeze();
            tokio::time::sleep(pause).await;
            cluster.agent(name).thaw();
        }
    }
}
