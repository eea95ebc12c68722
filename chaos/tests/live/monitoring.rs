//! Outside monitoring, real and of this story alone: an Alertmanager, a Prometheus.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use landfall_chaos::live::Place;
use landfall_chaos::live::process::outside;
use serde_json::Value;

/// A server of the monitoring, which ends with the story.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it at a free port; the line of its log with `Listening on` names which.
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said.push_str(&line);
            said.push('\n');
            let (_, rest) = line.split_once("Listening on").and_then(|(_, rest)| rest.split_once("address="))?;
            Some(rest.split_whitespace().next()?.to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.unwrap_or_else(|| panic!("expected that it listens; it said: {said}")) }
    }

    /// An Alertmanager with this configuration.
    pub(super) fn alertmanager(place: &Place, text: &str) -> Self {
        let config = place.file("alertmanager/alertmanager.yml", text);
        Self::start(
            Command::new(outside("LANDFALL_ALERTMANAGER", "alertmanager"))
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.path={}", place.folder("alertmanager/data").display()))
                .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]),
        )
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// What an Alertmanager shows of a failed backup.
    pub(super) async fn failed_job(&self) -> Option<Value> {
        let alerts = self.get("/api/v2/alerts").await;
        let mut alerts = alerts.as_array().unwrap().iter();
        alerts.find(|alert| alert["labels"]["alertname"] == "BackupJobFailed").cloned()
    }

    /// The samples that a query of Prometheus finds.
    pub(super) async fn query(&self, query: &str) -> Vec<Value> {
        let url = reqwest::Url::parse_with_params(&format!("http://{}/api/v1/query", self.address), [("query", query)]);
        let answer = reqwest::get(url.unwrap()).await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }
}
