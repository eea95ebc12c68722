//! A real Alertmanager: it is told, shown again, and told of the end; and what it is sent looks as its interface says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use landfall_proto::time::{Duration as Span, after};
use serde_json::{Value, json};

use super::*;
use crate::config::{AlertmanagerConfig, Patience};
use crate::core::tell::Standing;
use crate::notify::alertmanager::{alert_name, entries, entry};

/// A process that ends with the test.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Forgets an alert that nobody repeats after two seconds.
const CONFIG: &str = "global:\n  resolve_timeout: 2s\nroute:\n  receiver: nobody\nreceivers:\n- name: nobody\n";

fn start() -> Server {
    let program = std::env::var("LANDFALL_ALERTMANAGER").unwrap_or_else(|_| "prometheus-alertmanager".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("alertmanager.yml");
    std::fs::write(&config, CONFIG).unwrap();
    let mut child = Command::new(&program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.path().join("data").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; `deploy/tools.sh alertmanager` prints one for LANDFALL_ALERTMANAGER")
        });
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("address=127.0.0.1:")?;
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u16>().ok()
    });
    // What it says later has to go somewhere, or it would stand still.
    std::thread::spawn(move || lines.for_each(drop));
    let port = port.expect("it says where it listens");
    Server { child, url: format!("http://127.0.0.1:{port}"), _folder: folder }
}

fn sink(urls: Vec<String>) -> SinkConfig {
    let patience = Patience { attempts: 20, timeout: Span::from_secs(5) };
    let (login, link) = (None, Some("https://landfall.example/{key}".to_owned()));
    let config = AlertmanagerConfig { urls, login, link, resend_interval: Span::from_secs(1), patience };
    SinkConfig { name: "prometheus".to_owned(), kind: SinkKind::Alertmanager(config) }
}

async fn seen(server: &Server) -> Vec<Value> {
    let url = format!("{}/api/v2/alerts?active=true", server.url);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    all.into_iter().filter(|alert| alert["status"]["state"] != "suppressed").collect()
}

async fn until(server: &Server, what: &str, count: usize) -> Vec<Value> {
    for _ in 0..400 {
        let all = seen(server).await;
        if all.len() == count {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}: {:?}", seen(server).await);
}

fn standing(notice: &Notice) -> Standing {
    Standing {
        alert: notice.alert.clone(),
        raised_at: notice.raised_at,
        resolved_at: notice.resolved.as_ref().map(|resolved| resolved.at),
        sinks: vec!["prometheus".to_owned()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_fires_stands_as_long_as_it_is_shown_and_resolves() {
    let server = start();
    // One replica of two is away: the other one is enough.
    let sinks = [sink(vec!["http://127.0.0.1:9".to_owned(), server.url.clone()])];
    let (deliveries, mut told) = mpsc::channel(10);
    let notifier = Notifier::start(&"home".parse().unwrap(), &sinks, deliveries);
    let raised = notice("prometheus", false);
    notifier.send(&raised);
    let delivery = timeout(WITHIN, told.recv()).await.unwrap().unwrap();
    assert_eq!(delivery.error, None);
    assert!(delivery.answer.unwrap().starts_with("200 OK (1 of 2 replicas; 127.0.0.1:9: "));
    let alert = until(&server, "it fires", 1).await.remove(0);
    let labels = json!({
        "alertname": "BackupJobFailed", "job": "nightly", "node": "a", "severity": "critical", "cluster": "home",
        "alert": "failed/nightly/a",
    });
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"]["summary"], "nightly failed on a");
    assert!(alert["annotations"]["description"].as_str().unwrap().contains("Now: free space"));
    assert_eq!(alert["generatorURL"], "https://landfall.example/failed/nightly/a");

    // Shown again and again it outlives the receiver's patience; the fingerprint says that it is one alert all the time.
    let shown_until = tokio::time::Instant::now() + Duration::from_secs(5);
    while tokio::time::Instant::now() < shown_until {
        notifier.show(vec![standing(&raised)]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(seen(&server).await.len(), 1, "it stands while it is shown");
    }
    assert_eq!(seen(&server).await[0]["fingerprint"], alert["fingerprint"]);
    assert_eq!(seen(&server).await[0]["startsAt"], alert["startsAt"]);
    until(&server, "nobody shows it any more", 0).await;

    // Who takes over shows it, and the end ends it at once.
    let another = Notifier::start(&"home".parse().unwrap(), &sinks, mpsc::channel(10).0);
    another.show(vec![standing(&raised)]);
    until(&server, "it fires again", 1).await;
    let resolved = Notice { resolved: Some(Resolved { at: clock::now(), why: "good".to_owned() }), ..raised };
    notifier.send(&resolved);
    let delivery = timeout(WITHIN, told.recv()).await.unwrap().unwrap();
    assert_eq!((delivery.resolved, delivery.error), (true, None));
    assert!(seen(&server).await.is_empty(), "it is over when the delivery says so");
    another.show(vec![standing(&resolved)]);
    let said = test(&"home".parse().unwrap(), &sinks[0]).await.unwrap();
    assert!(said.0.starts_with("200 OK"), "{said:?}");
    let alerts = until(&server, "the test fires", 1).await;
    assert_eq!(alerts[0]["labels"]["alertname"], "BackupTest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alertmanager_that_is_not_there_is_given_up_and_one_that_refuses_says_why() {
    let mut config = sink(vec!["http://127.0.0.1:9".to_owned(), "http://127.0.0.1:9".to_owned()]).kind;
    if let SinkKind::Alertmanager(config) = &mut config {
        config.patience.attempts = 2;
    }
    let (mut courier, _folder) = courier(SinkKind::Journal);
    courier.kind = config;
    let told = timeout(WITHIN, courier.deliver(&letter())).await.unwrap();
    assert_eq!(told.attempts, 2);
    assert!(told.told.unwrap_err().contains("127.0.0.1:9: "));
    let server = start();
    courier.kind = sink(vec![server.url.clone()]).kind;
    let mut wrong = letter();
    // An end before the beginning is what Alertmanager refuses.
    wrong.resolved = Some(Resolved { at: "2020-01-01T00:00:00Z".parse().unwrap(), why: String::new() });
    let told = timeout(WITHIN, courier.deliver(&wrong)).await.unwrap();
    assert_eq!(told.attempts, 1);
    assert!(told.told.clone().unwrap_err().contains("400 Bad Request"), "{told:?}");
}

#[test]
fn an_identity_is_shown_once_and_what_fires_wins_over_what_ended() {
    let at = |second| landfall_proto::time::Timestamp::from_second(second).unwrap();
    let first = notice("prometheus", false);
    let stand = |number, raised, resolved: Option<i64>| {
        let mut alert = first.alert.clone();
        alert.id = Uuid::from_u128(number);
        Standing { alert, raised_at: at(raised), resolved_at: resolved.map(at), sinks: Vec::new() }
    };
    let cluster = "home".parse().unwrap();
    let shown = |all: &[Standing]| entries(&cluster, all, None);
    let again = shown(&[stand(2, 200, None), stand(1, 100, Some(150))]);
    assert_eq!(
        (again.len(), again[0]["startsAt"].as_str(), again[0].get("endsAt")),
        (1, Some("1970-01-01T00:03:20Z"), None)
    );
    let over = shown(&[stand(1, 100, Some(150)), stand(2, 200, Some(250))]);
    assert_eq!((over.len(), over[0]["endsAt"].as_str()), (1, Some("1970-01-01T00:04:10Z")));
}

#[test]
fn labels_are_an_identity_without_ids_and_times() {
    let cluster = "home".parse().unwrap();
    let mut alert = notice("x", false).alert;
    let now = clock::now();
    let labels = |alert: &landfall_proto::alert::Alert, now| entry(&cluster, alert, now, None, None)["labels"].clone();
    let first = labels(&alert, now);
    (alert.id, alert.round) = (Uuid::from_u128(99), Some(landfall_proto::id::RoundId(Uuid::from_u128(98))));
    alert.last_good_at = Some(now);
    alert.title.push_str(" again");
    assert_eq!(labels(&alert, after(now, Span::from_secs(60))), first);
    alert.nodes.push("b".parse().unwrap());
    assert_eq!(labels(&alert, now).get("node"), None, "several nodes are no label");
    assert_eq!(alert_name("failed"), "BackupJobFailed");
    assert_eq!(alert_name("diverged"), "BackupJobFailed");
    assert_eq!(alert_name("node_silent"), "BackupNodeSilent");
}
