//! Programs that only ping: a script from cron with curl, and borgmatic with its own hook, both as they are written for
//! healthchecks; only the address is ours.

use std::path::{Path, PathBuf};

use landfall_chaos::live::process::outside;
use landfall_chaos::live::tool::{Answer, run};
use landfall_chaos::live::wait::{seconds, until};
use landfall_chaos::live::webhook::{Post, Receiver};
use landfall_chaos::live::{Cluster, Place, Setup};
use serde_json::Value;
use tokio::process::Command;

/// As healthchecks' own manual writes it, with its ids of runs.
const SCRIPT: &str = r#"RID=$(cat /proc/sys/kernel/random/uuid)
curl -fsS -m 10 --retry 5 "$PING/start?rid=$RID"
m=$(sh -c "$1" 2>&1)
curl -fsS -m 10 --retry 5 --data-raw "$m" "$PING/$??rid=$RID"
"#;

/// A coordinator with pages, somebody who is told, and one monitor.
struct Watched {
    cluster: Cluster,
    people: Receiver,
    /// The monitor's address.
    url: String,
}

impl Watched {
    async fn start(name: &str) -> Self {
        let place = Place::new(name);
        let people = Receiver::start(&[]).await;
        let sink = people.sink(&place.secret("secrets/webhook", "a line that only two know"));
        let cluster = Setup::new(place).sink(&sink).pages().start().await;
        let address = cluster.pages().pop().unwrap();
        let made =
            cluster.tool(&["monitor", "add", "db", "--every", "1h", "--grace", "10m", "--json"]).await.good().json();
        let url = format!("http://{address}{}", made["path"].as_str().unwrap());
        Self { cluster, people, url }
    }

    async fn monitor(&self) -> Value {
        self.cluster.tool(&["monitor", "show", "db", "--json"]).await.good().json()
    }

    async fn told(&self, status: &str) -> Post {
        until(&format!("somebody is told that it is {status}"), seconds(25), async || {
            self.people.posts().into_iter().find(|post| post.json()["status"] == status)
        })
        .await
    }
}

async fn script(path: &Path, url: &str, work: &str) -> Answer {
    let mut command = Command::new("sh");
    command.arg(path).arg(work).env("PING", url);
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_from_cron_pings_us_as_it_pings_healthchecks() {
    let watched = Watched::start("cron-script").await;
    let path = watched.cluster.place.script("backup", SCRIPT);
    let good = script(&path, &watched.url, "echo all saved").await.good();
    assert_eq!(good.out, "OKOK");
    let one = watched.monitor().await;
    assert_eq!((&one["monitor"]["state"], &one["pings"][0]["ping"]["body"]), (&"up".into(), &"all saved".into()));
    assert!(one["pings"][0]["duration_ms"].is_u64(), "its start and its end are one run: {one}");

    script(&path, &watched.url, "echo no space left; exit 3").await.good();
    let raised = watched.told("raised").await.json();
    assert_eq!((&raised["key"], &raised["severity"]), (&"monitor_failed/db".into(), &"critical".into()), "{raised}");
    assert!(raised["title"].as_str().unwrap().contains("status 3"), "{raised}");
    script(&path, &watched.url, "true").await.good();
    assert_eq!(watched.told("resolved").await.json()["key"], "monitor_failed/db");

    let (ours, _) = watched.url.rsplit_once('/').unwrap();
    let wrong = format!("{ours}/00000000-0000-4000-8000-000000000000");
    let refused = script(&path, &wrong, "true").await;
    assert!(refused.err.contains("404"), "curl tells the wrong address: {refused:?}");
    watched.cluster.tool(&["audit"]).await.good();
}

/// borgmatic's own configuration, with the hook that its manual shows.
fn borgmatic(place: &Place, url: &str) -> PathBuf {
    let source = place.folder("source");
    std::fs::write(source.join("letter"), "dear reader").unwrap();
    let text = format!(
        "source_directories: [{:?}]\nrepositories:\n    - path: {:?}\n      label: local\nlocal_path: {:?}\n\
         encryption_passphrase: tests-only\nsource_directories_must_exist: true\nhealthchecks:\n    ping_url: {url}\n    send_logs: true\n",
        source.display().to_string(),
        place.path("borg-repository").display().to_string(),
        outside("LANDFALL_BORG", "borg").display().to_string(),
    );
    place.file("borgmatic.yaml", &text)
}

async fn borgmatic_says(place: &Place, config: &Path, words: &[&str]) -> Answer {
    let mut command = Command::new(outside("LANDFALL_BORGMATIC", "borgmatic"));
    command.arg("--config").arg(config).args(words).env("HOME", place.folder("borg-home"));
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn borgmatic_pings_us_unchanged() {
    let watched = Watched::start("borgmatic").await;
    let place = &watched.cluster.place;
    let config = borgmatic(place, &watched.url);
    borgmatic_says(place, &config, &["repo-create", "--encryption", "repokey-blake2"]).await.good();
    borgmatic_says(place, &config, &["create", "--verbosity", "1"]).await.good();
    let one = watched.monitor().await;
    assert_eq!(one["monitor"]["state"], "up", "{one}");
    let said: Vec<&str> =
        one["pings"].as_array().unwrap().iter().filter_map(|ping| ping["ping"]["kind"].as_str()).collect();
    assert!(said.starts_with(&["success", "log", "start"]), "its end, its log and its start, the latest first: {one}");
    let mut bodies = one["pings"].as_array().unwrap().iter().filter_map(|ping| ping["ping"]["body"].as_str());
    assert!(bodies.any(|body| body.contains("Creating archive")), "its log came along: {one}");

    std::fs::remove_dir_all(place.path("source")).unwrap();
    let failed = borgmatic_says(place, &config, &["create"]).await;
    assert_ne!(failed.code, 0, "{failed:?}");
    assert_eq!(watched.told("raised").await.json()["key"], "monitor_failed/db");
    let one = watched.monitor().await;
    assert_eq!((&one["monitor"]["state"], &one["pings"][0]["ping"]["kind"]), (&"failed".into(), &"fail".into()));
}
