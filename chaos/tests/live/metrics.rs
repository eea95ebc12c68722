//! Outside monitoring with the shipped rules: a real Prometheus reads the mesh, a real Alertmanager is told of a failed backup and
//! of its end.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use landfall_chaos::live::bus::run_of;
use landfall_chaos::live::process::outside;
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::webhook::Receiver;
use landfall_chaos::live::{Node, Place, Setup, fresh_id, plans};
use landfall_proto::control::Request;
use landfall_proto::report::TaskKind;

use crate::monitoring::Server;

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The shipped file with other values, each of which has to be there.
fn with(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "expected {from:?} in the shipped file");
        text.replace(from, to)
    })
}

/// The shipped rules, which wait for a second where people wait for minutes.
fn impatient_rules(place: &Place) -> PathBuf {
    let lines = shipped("landfall.rules.yml");
    let waits = |line: &str| line.trim_start().starts_with("for: ");
    assert!(lines.lines().any(waits));
    let quick = lines.lines().map(|line| if waits(line) { "        for: 1s" } else { line }.to_owned() + "\n");
    place.file("prometheus/landfall.rules.yml", &quick.collect::<String>())
}

fn alertmanager(place: &Place, told: &str) -> Server {
    let changes = [("group_wait: 10s", "group_wait: 100ms"), ("group_interval: 5m", "group_interval: 1s")];
    let text = with(&with(&shipped("alertmanager.yml"), &changes), &[("http://127.0.0.1:9099/alerts", told)]);
    Server::alertmanager(place, &text)
}

fn prometheus(place: &Place, coordinator: &str, alertmanager: &Server) -> Server {
    impatient_rules(place);
    let changes = [
        ("scrape_interval: 30s", "scrape_interval: 500ms"),
        ("evaluation_interval: 30s", "evaluation_interval: 500ms"),
        ("127.0.0.1:9093", &alertmanager.address),
        ("127.0.0.1:8440", coordinator),
    ];
    let config = place.file("prometheus/prometheus.yml", &with(&shipped("prometheus.yml"), &changes));
    Server::start(
        Command::new(outside("LANDFALL_PROMETHEUS", "prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", place.folder("prometheus/data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--rules.alert.resend-delay=1s"]),
    )
}

/// What promtool finds wrong with a text of figures.
fn complaints(text: &str) -> Vec<String> {
    let mut child = Command::new(outside("LANDFALL_PROMTOOL", "promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_with_the_shipped_rules_calls_for_a_failed_backup_and_stops_when_it_is_good() {
    let place = Place::new("prometheus");
    let (plan, target) = plans::until_mended(&place);
    let cluster = Setup::new(place).pages().node(Node::new("a").plan(plan).target(target)).start().await;
    let address = cluster.pages().pop().unwrap();
    let people = Receiver::start(&[]).await;
    let bell = alertmanager(&cluster.place, &people.url);
    let watch = prometheus(&cluster.place, &address, &bell);

    let round = cluster.operator.start("task").await;
    cluster.operator.verdict(round, seconds(20)).await;
    let alert = until("the failure fires", seconds(40), async || bell.failed_job().await).await;
    let labels = &alert["labels"];
    assert_eq!(
        (&labels["job"], &labels["node"], &labels["severity"]),
        (&"task".into(), &"a".into(), &"critical".into())
    );
    let described = alert["annotations"]["description"].as_str().unwrap();
    assert!(described.contains("It has never been good."), "{described}");

    // The runbook's queries as they are written there.
    let status = watch.query("proxmox_backup_job_last_status{job=\"task\"}").await;
    assert_eq!(status[0]["value"][1], "2", "{status:?}");
    let fresh = watch.query("time() - proxmox_backup_job_last_run_endtime{job=\"task\"} < 86400").await;
    assert_eq!(fresh.len(), 1, "{fresh:?}");
    let free = until("the destination's space is known", seconds(40), async || {
        watch.query("pbs_datastore_available / pbs_datastore_total <= 1").await.into_iter().next()
    })
    .await;
    assert_eq!(free["metric"]["datastore"], "a/folder", "{free}");

    std::fs::write(cluster.place.path("out/mended"), "").unwrap();
    let run = run_of(round, "a", TaskKind::Backup);
    let retry =
        cluster.operator.opened(&Request::Retry { id: run.0, by: "story".to_owned(), request: fresh_id() }).await;
    cluster.operator.verdict(retry, seconds(20)).await;
    until("it is over", seconds(40), async || bell.failed_job().await.is_none().then_some(())).await;
    until("people hear that it is over", seconds(40), async || {
        people.posts().iter().any(|post| post.json()["status"] == "resolved").then_some(())
    })
    .await;
    let status = watch.query("proxmox_backup_job_last_status{job=\"task\"}").await;
    assert_eq!(status[0]["value"][1], "0", "{status:?}");

    let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(text.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = text.text().await.unwrap();
    let said = complaints(&text);
    let known = |line: &&String| line.starts_with("pbs_datastore_total ") && line.contains("\"_total\" suffix");
    assert!(said.iter().filter(|line| !known(line)).count() == 0, "expected only the runbook's own name: {said:#?}");
    assert!(said.iter().any(|line| known(&line)), "expected that promtool has read the figures: {said:#?}");
}
