//! A sink that writes each notice into a channel of Slack, through an incoming webhook.

use landfall_proto::alert::Severity;
use serde_json::{Value, json};

use super::answer::{Answer, SinkError};
use super::body::{NoticeBody, Status};
use super::http;
use crate::config::{SlackConfig, read_secret};

/// Slack's own limits, in characters: the text of a header, of a section, and of a field.
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 3000;
const FIELD_CHARS_MAX: usize = 2000;

/// One channel.
pub struct Slack {
    client: reqwest::Client,
    /// Whoever has it can write into the channel.
    url: String,
    link: Option<String>,
}

impl Slack {
    pub fn new(config: &SlackConfig) -> Result<Self, SinkError> {
        let url = read_secret(&config.url_file)
            .map_err(|error| SinkError::last(format!("the address cannot be read: {error}")))?;
        let url = String::from_utf8_lossy(&url).into_owned();
        Ok(Self { client: http::client(config.patience.timeout.as_std())?, url, link: config.link.clone() })
    }

    /// One attempt.
    pub async fn post(&self, body: &NoticeBody) -> Answer {
        http::post(self.client.post(&self.url), message(body, self.link.as_deref()).to_string()).await
    }
}

/// The message: blocks for the channel, and one line for where blocks are not shown.
pub fn message(body: &NoticeBody, link: Option<&str>) -> Value {
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&heading(body), HEADER_CHARS_MAX) } }),
        section(&escaped(&body.title)),
    ];
    let fields: Vec<Value> = fields(body).iter().map(|text| markdown(&cut(text, FIELD_CHARS_MAX))).collect();
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some(text) = remedy(body) {
        blocks.push(section(&text));
    }
    let mut context = vec![format!("Landfall, cluster {}", escaped(body.cluster.as_str()))];
    context.extend(link.map(|pattern| anchor(&body.link(pattern), "alert")));
    context.extend(body.runbook.as_ref().map(|url| anchor(url, "runbook")));
    blocks.push(json!({ "type": "context", "elements": [markdown(&cut(&context.join(" · "), FIELD_CHARS_MAX))] }));
    json!({ "text": cut(&escaped(&format!("{}: {}", heading(body), body.title)), SECTION_CHARS_MAX), "blocks": blocks })
}

fn heading(body: &NoticeBody) -> String {
    let about = body.routine.as_ref().map_or_else(|| body.cluster.to_string(), ToString::to_string);
    let loud = match body.severity {
        Severity::Info => "Info",
        Severity::Warning => "Warning",
        Severity::Critical => "Critical",
        Severity::Emergency => "Emergency",
    };
    match (body.status, body.reminder) {
        (Status::Resolved, _) => format!("Resolved: {about}"),
        (Status::Succeeded, _) => format!("Converged: {about}"),
        (Status::Raised, 0) => format!("{loud}: {about}"),
        (Status::Raised, _) => format!("{loud}, still open: {about}"),
    }
}

fn fields(body: &NoticeBody) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = |name: &str, value: String| fields.push(format!("*{name}*\n{}", escaped(&value)));
    if body.status == Status::Raised {
        field("Severity", body.severity.to_string());
    }
    if !body.nodes.is_empty() {
        field("Nodes", body.node_names());
    }
    if body.status != Status::Succeeded {
        field("Since", body.raised_at.to_string());
    }
    match (body.status, body.last_good_at) {
        (Status::Raised, Some(at)) => field("Last good backup", at.to_string()),
        (Status::Raised, None) if body.routine.is_some() => field("Last good backup", "none known".to_owned()),
        (Status::Raised | Status::Resolved | Status::Succeeded, _) => {}
    }
    fields
}

fn remedy(body: &NoticeBody) -> Option<String> {
    let (promise, called) = (body.promise(), body.called().unwrap_or_default());
    let lines = match body.status {
        Status::Raised => vec![
            ("Cause", body.cause.unwrap_or_default()),
            ("Now", body.fix.as_str()),
            ("At stake", promise.as_str()),
            ("To be called", called.as_str()),
        ],
        Status::Resolved => vec![("Why", body.resolved_why.as_deref().unwrap_or_default())],
        Status::Succeeded => Vec::new(),
    };
    let said: Vec<String> = lines
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("*{name}:* {}", escaped(text)))
        .collect();
    (!said.is_empty()).then(|| said.join("\n"))
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": markdown(&cut(text, SECTION_CHARS_MAX)) })
}

fn markdown(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text })
}

fn anchor(url: &str, text: &str) -> String {
    format!("<{}|{text}>", escaped(url).replace('|', "%7C"))
}

/// Slack reads these three as its own: with them a title could call a whole channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}
