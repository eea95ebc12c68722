//! A sink that triggers and resolves incidents of PagerDuty, through its events interface of version 2.

use landfall_proto::alert::Severity;
use serde_json::{Value, json};

use super::answer::{Answer, SinkError, Taken};
use super::body::{NoticeBody, Status};
use super::http;
use crate::config::{PagerdutyConfig, read_secret};

/// PagerDuty's own limits, in characters.
const SUMMARY_CHARS_MAX: usize = 1024;
const DEDUP_KEY_CHARS_MAX: usize = 255;

/// One service.
pub struct Pagerduty {
    client: reqwest::Client,
    url: String,
    routing_key: String,
    link: Option<String>,
}

impl Pagerduty {
    pub fn new(config: &PagerdutyConfig) -> Result<Self, SinkError> {
        let key = read_secret(&config.routing_key_file)
            .map_err(|error| SinkError::last(format!("the routing key cannot be read: {error}")))?;
        Ok(Self {
            client: http::client(config.patience.timeout.as_std())?,
            url: config.url.clone(),
            routing_key: String::from_utf8_lossy(&key).into_owned(),
            link: config.link.clone(),
        })
    }

    /// One attempt.
    pub async fn post(&self, body: &NoticeBody) -> Answer {
        match event(body, &self.routing_key, self.link.as_deref()) {
            Some(event) => http::post(self.client.post(&self.url), event.to_string()).await,
            None => Ok(Taken::new("nothing was sent: a success is no incident")),
        }
    }
}

/// The event; `None` where there is no incident to speak of.
pub fn event(body: &NoticeBody, routing_key: &str, link: Option<&str>) -> Option<Value> {
    let dedup_key = dedup_key(body);
    match body.status {
        Status::Succeeded => None,
        Status::Resolved => {
            Some(json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key }))
        }
        Status::Raised => Some(trigger(body, routing_key, &dedup_key, link)),
    }
}

fn trigger(body: &NoticeBody, routing_key: &str, dedup_key: &str, link: Option<&str>) -> Value {
    // A single node is where the trouble is; else it is the cluster's.
    let source = match body.nodes.as_slice() {
        [node] => node.to_string(),
        _ => body.cluster.to_string(),
    };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Landfall",
        "payload": {
            "summary": body.title.chars().take(SUMMARY_CHARS_MAX).collect::<String>(),
            "source": source,
            "severity": severity(body.severity),
            "timestamp": body.raised_at,
            "group": body.cluster,
            "class": body.kind,
            "custom_details": {
                "alert": body.key,
                "severity": body.severity,
                "nodes": body.nodes,
                "reason": body.reason,
                "cause": body.cause,
                "fix": body.fix,
                "last_good_at": body.last_good_at,
                "round": body.round,
            },
        },
    });
    if let Some(routine) = &body.routine {
        event["payload"]["component"] = json!(routine);
    }
    let stakes = [
        ("owner", json!(body.owner)),
        ("contact", json!(body.contact)),
        ("escalation", json!(body.escalation)),
        ("rpo", json!(body.rpo)),
        ("rto", json!(body.rto)),
        ("risk", json!(body.risk)),
    ];
    for (name, value) in stakes.into_iter().filter(|(_, value)| !value.is_null() && *value != json!([])) {
        event["payload"]["custom_details"][name] = value;
    }
    if let Some(pattern) = link {
        event["client_url"] = json!(body.link(pattern));
    }
    if let Some(runbook) = &body.runbook {
        event["links"] = json!([{ "href": runbook, "text": "Runbook" }]);
    }
    event
}

/// PagerDuty has nothing above critical.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical | Severity::Emergency => "critical",
    }
}

/// The same trouble is the same incident, whenever and under which id it was raised: an end that was never taken is made up for
/// by the next one.
fn dedup_key(body: &NoticeBody) -> String {
    let key = format!("landfall/{}/{}", body.cluster, body.key);
    if key.chars().count() <= DEDUP_KEY_CHARS_MAX {
        return key;
    }
    let hash = blake3::hash(key.as_bytes()).to_hex();
    let head: String = key.chars().take(DEDUP_KEY_CHARS_MAX - hash.len() - 1).collect();
    format!("{head}-{hash}")
}
