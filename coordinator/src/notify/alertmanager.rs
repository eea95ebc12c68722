//! A sink that pushes alerts to Prometheus's Alertmanager: to every replica, again and again while they stand, and for a while
//! after they have ended.

use std::collections::BTreeMap;

use futures::future::join_all;
use landfall_proto::alert::Alert;
use landfall_proto::id::ClusterName;
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp, after};
use serde_json::{Value, json};

use super::answer::{Answer, SinkError, Taken};
use super::http;
use super::letter::Letter;
use crate::config::{AlertmanagerConfig, read_secret};
use crate::core::route::kind_of;
use crate::core::tell::{CONVERGED, Standing};
use crate::edge::clock;

/// Alerts of one POST.
const BATCH_MAX: usize = 256;

/// A test stands so long: longer than Alertmanager waits before it tells somebody of a new group.
const TEST_STANDS: Duration = Duration::from_secs(120);

/// Every replica of one Alertmanager.
pub struct Alertmanager {
    client: reqwest::Client,
    config: AlertmanagerConfig,
    password: Option<String>,
}

impl Alertmanager {
    pub fn new(config: &AlertmanagerConfig) -> Result<Self, SinkError> {
        let read =
            |path| read_secret(path).map_err(|error| SinkError::last(format!("the password cannot be read: {error}")));
        let password = config.login.as_ref().map(|login| read(&login.password_file)).transpose()?;
        Ok(Self {
            client: http::client(config.patience.timeout.as_std())?,
            config: config.clone(),
            password: password.map(|password| String::from_utf8_lossy(&password).into_owned()),
        })
    }

    /// One attempt at one notice.
    pub(super) async fn post(&self, cluster: &ClusterName, letter: &Letter) -> Answer {
        let alert = &letter.alert;
        if kind_of(alert) == CONVERGED {
            return Ok(Taken::new("nothing was sent: a success is no alert"));
        }
        let mut ends_at = letter.resolved.as_ref().map(|resolved| resolved.at);
        if kind_of(alert) == "test" {
            ends_at = Some(after(clock::now(), TEST_STANDS));
        }
        self.push(&[entry(cluster, alert, letter.raised_at, ends_at, self.config.link.as_deref())]).await
    }

    /// Shows everything that stands.
    pub(super) async fn show(&self, cluster: &ClusterName, standing: &[Standing]) -> Answer {
        let entries = entries(cluster, standing, self.config.link.as_deref());
        let mut answer = Ok(Taken::new("nothing stands"));
        for batch in entries.chunks(BATCH_MAX) {
            match self.push(batch).await {
                Ok(taken) => answer = answer.and(Ok(taken)),
                // What one batch is refused for need not be wrong in the next one; who is away is away for all.
                Err(error) if error.is_final => answer = Err(error),
                Err(error) => return Err(error),
            }
        }
        answer
    }

    /// Pushes to every replica at once; one that takes it is enough, because what stands is shown again soon.
    async fn push(&self, entries: &[Value]) -> Answer {
        let text = &Value::from(entries).to_string();
        let posts = self.config.urls.iter().map(|url| async move {
            let mut request = self.client.post(format!("{url}/api/v2/alerts"));
            if let Some(login) = &self.config.login {
                request = request.basic_auth(&login.user, self.password.as_deref());
            }
            (url, http::post(request, text.clone()).await)
        });
        summary(join_all(posts).await)
    }
}

fn summary(answers: Vec<(&String, Answer)>) -> Answer {
    let count = answers.len();
    let (mut taken, mut errors) = (Vec::new(), Vec::new());
    for (url, answer) in answers {
        match answer {
            Ok(Taken(text)) => taken.push(text),
            Err(error) => errors.push((host(url).to_owned(), error)),
        }
    }
    let told: Vec<String> = errors.iter().map(|(host, error)| format!("{host}: {}", error.message)).collect();
    match taken.first() {
        Some(first) if errors.is_empty() => Ok(Taken(format!("{first} ({count} of {count} replicas)"))),
        Some(first) => Ok(Taken(format!("{first} ({} of {count} replicas; {})", taken.len(), told.join("; ")))),
        None => Err(SinkError {
            message: told.join("; "),
            is_final: errors.iter().all(|(_, error)| error.is_final),
            retry_after: errors.iter().filter_map(|(_, error)| error.retry_after).max(),
        }),
    }
}

/// An address without its scheme, path, and whatever stands before an `@`.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// What stands, each identity once: the same trouble may have ended and begun again within the time for which ends are shown.
pub fn entries(cluster: &ClusterName, standing: &[Standing], link: Option<&str>) -> Vec<Value> {
    let mut latest: BTreeMap<(&str, &str), &Standing> = BTreeMap::new();
    for each in standing {
        let identity = (each.alert.key.0.as_str(), each.alert.severity.as_str());
        let is_later = |before: &&Standing| {
            (each.resolved_at.is_none(), each.raised_at) > (before.resolved_at.is_none(), before.raised_at)
        };
        if latest.get(&identity).is_none_or(is_later) {
            latest.insert(identity, each);
        }
    }
    latest.values().map(|each| entry(cluster, &each.alert, each.raised_at, each.resolved_at, link)).collect()
}

/// One alert in the form of the interface's version 2. Labels are its identity, so that no id and no time is among them.
pub fn entry(
    cluster: &ClusterName,
    alert: &Alert,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    link: Option<&str>,
) -> Value {
    let mut entry = json!({
        "labels": labels(cluster, alert),
        "annotations": annotations(alert),
        "startsAt": starts_at,
    });
    if let Some(at) = ends_at {
        entry["endsAt"] = json!(at);
    }
    if let Some(pattern) = link {
        entry["generatorURL"] = json!(pattern.replace("{key}", &alert.key.0));
    }
    entry
}

fn labels(cluster: &ClusterName, alert: &Alert) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        ("alertname", alert_name(kind_of(alert))),
        ("severity", alert.severity.to_string()),
        ("cluster", cluster.to_string()),
        ("alert", alert.key.0.clone()),
    ]);
    labels.extend(alert.routine.as_ref().map(|routine| ("job", routine.to_string())));
    if let [node] = alert.nodes.as_slice() {
        labels.insert("node", node.to_string());
    }
    labels
}

fn annotations(alert: &Alert) -> BTreeMap<&'static str, String> {
    let cause = alert.reason.map(Reason::cause).unwrap_or_default();
    let good = alert.last_good_at.map(|at| at.to_string());
    let stakes = alert.stakes.as_deref().cloned().unwrap_or_default();
    let called = stakes.called();
    let said = [
        alert.title.clone(),
        if cause.is_empty() { String::new() } else { format!("Cause: {cause}") },
        if alert.fix.is_empty() { String::new() } else { format!("Now: {}", alert.fix) },
        good.as_ref().map_or_else(String::new, |at| format!("Last good backup: {at}")),
        called.map_or_else(String::new, |called| format!("To be called: {called}")),
    ];
    let description: Vec<String> = said.into_iter().filter(|text| !text.is_empty()).collect();
    let nodes: Vec<&str> = alert.nodes.iter().map(|node| node.as_str()).collect();
    let all = [
        ("summary", alert.title.clone()),
        ("description", description.join("\n")),
        ("reason", alert.reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default()),
        ("cause", cause.to_owned()),
        ("fix", alert.fix.clone()),
        ("last_good_backup", good.unwrap_or_default()),
        ("nodes", nodes.join(" ")),
        ("runbook_url", alert.runbook.clone().unwrap_or_default()),
        ("owner", stakes.owner.unwrap_or_default()),
        ("contact", stakes.contact.unwrap_or_default()),
        ("escalation", stakes.escalation.join(", then ")),
        ("risk", stakes.risk.map(|risk| risk.to_string()).unwrap_or_default()),
        ("rpo", stakes.rpo.map(|rpo| rpo.to_string()).unwrap_or_default()),
        ("rto", stakes.rto.map(|rto| rto.to_string()).unwrap_or_default()),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// The alert's name as operators write it into their routes: `node_silent` is `BackupNodeSilent`. A failed backup has the name
/// that runbooks know it by, alone or on many nodes.
pub fn alert_name(kind: &str) -> String {
    if matches!(kind, "failed" | "diverged" | "cluster_failing") {
        return "BackupJobFailed".to_owned();
    }
    let words = kind.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    ["Backup".to_owned()].into_iter().chain(words).collect()
}
