//! The alarm of last resort: a journal line, and one's own webhook, when perhaps nobody else is there to raise one.

use std::time::Duration;

use landfall_proto::id::{ClusterName, NodeId};
use landfall_proto::time::Timestamp;
use serde_json::{Value, json};

use crate::core::Alarm;

/// Waits before the second, third and fourth try.
const DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// How long the webhook may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Raises alarms for one node.
#[derive(Debug, Clone)]
pub struct Siren {
    pub cluster: ClusterName,
    pub node: NodeId,
    pub webhook: Option<String>,
}

impl Siren {
    /// Writes to the journal, then calls the webhook until it answers or the tries are used up.
    pub async fn raise(&self, alarm: &Alarm, now: Timestamp) {
        let body = self.body(alarm, now);
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, title) = (text("kind"), text("title"));
        tracing::error!(node = %self.node, kind, "{title}");
        let Some(webhook) = &self.webhook else { return };
        for delay in DELAYS.iter().map(Some).chain([None]) {
            match post(webhook, &body).await {
                Ok(()) => return,
                Err(error) => tracing::warn!("the alarm webhook did not take the alarm: {error}"),
            }
            match delay {
                Some(delay) => tokio::time::sleep(*delay).await,
                None => tracing::error!(
                    "the alarm webhook was tried {} times; the alarm stands in the journal only",
                    DELAYS.len() + 1
                ),
            }
        }
    }

    fn body(&self, alarm: &Alarm, now: Timestamp) -> Value {
        let mut body = match alarm {
            Alarm::RunFailed { about, outcome, reason, message } => json!({
                "kind": "run_failed",
                "title": format!("{} of {} on {} ended {outcome}: {message}", about.task, about.routine, self.node),
                "routine": about.routine,
                "run": about.run,
                "outcome": outcome,
                "reason": reason,
                "cause": reason.cause(),
                "fix": reason.fix(),
            }),
            Alarm::NoLeader { since } => json!({
                "kind": "no_leader",
                "title": format!("{} has heard no coordinator since {since}; it goes on by its own schedule", self.node),
                "since": since,
                "fix": "Look at the coordinator and the bus: `landfall-agent doctor` on this node, `landfall status` on the coordinator's.",
            }),
        };
        if let Some(fields) = body.as_object_mut() {
            fields.insert("cluster".to_owned(), json!(self.cluster));
            fields.insert("node".to_owned(), json!(self.node));
            fields.insert("at".to_owned(), json!(now));
        }
        body
    }
}

async fn post(webhook: &str, body: &Value) -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
    client.post(webhook).json(body).send().await?.error_for_status()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_webhook_is_tried_again_until_it_takes_the_alarm() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let webhook = format!("http://{}/x", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut texts = Vec::new();
            for status in ["500 No", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut text = String::new();
                let mut buffer = [0; 4096];
                while !text.contains("no_leader") || !text.ends_with('}') {
                    let count = stream.read(&mut buffer).unwrap();
                    text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                texts.push(text);
            }
            texts
        });
        let siren = Siren { cluster: "home".parse().unwrap(), node: "nas".parse().unwrap(), webhook: Some(webhook) };
        siren.raise(&Alarm::NoLeader { since: Timestamp::UNIX_EPOCH }, Timestamp::UNIX_EPOCH).await;
        let texts = server.join().unwrap();
        assert_eq!(texts.len(), 2);
        assert!(texts[1].contains("\"node\":\"nas\"") && texts[1].contains("has heard no coordinator"), "{}", texts[1]);
    }
}
