//! Every kind of sink behind one door.

use std::path::Path;

use landfall_proto::id::ClusterName;

use super::alertmanager::Alertmanager;
use super::answer::{Answer, SinkError, Taken};
use super::body::NoticeBody;
use super::journal;
use super::jsonl::Jsonl;
use super::letter::Letter;
use super::mail::Mail;
use super::pagerduty::Pagerduty;
use super::slack::Slack;
use super::webhook::Webhook;
use crate::config::{SinkKind, read_secret};

/// Attempts of the sinks that have no setting of their own.
const LOCAL_ATTEMPTS: u32 = 3;

pub(super) enum Sink {
    Journal,
    Jsonl(Jsonl),
    Webhook(Webhook),
    Alertmanager(Alertmanager),
    Mail(Box<Mail>),
    Slack(Slack),
    Pagerduty(Pagerduty),
}

impl Sink {
    /// Made for each notice: a changed secret counts from the next one on, and an idle coordinator holds no connection.
    pub(super) fn open(kind: &SinkKind) -> Result<Self, SinkError> {
        Ok(match kind {
            SinkKind::Journal => Self::Journal,
            SinkKind::Jsonl { path } if path == Path::new("-") => Self::Jsonl(Jsonl::Stdout),
            SinkKind::Jsonl { path } => Self::Jsonl(Jsonl::File(path.clone())),
            SinkKind::Webhook { url, secret_file, timeout, .. } => {
                let secret = read_secret(secret_file)
                    .map_err(|error| SinkError::last(format!("the secret cannot be read: {error}")))?;
                Self::Webhook(Webhook::new(url.clone(), secret, timeout.as_std())?)
            }
            SinkKind::Alertmanager(config) => Self::Alertmanager(Alertmanager::new(config)?),
            SinkKind::Mail(config) => Self::Mail(Box::new(Mail::new(config)?)),
            SinkKind::Slack(config) => Self::Slack(Slack::new(config)?),
            SinkKind::Pagerduty(config) => Self::Pagerduty(Pagerduty::new(config)?),
        })
    }

    /// One attempt; `body` says what `letter` holds.
    pub(super) async fn send(&self, cluster: &ClusterName, letter: &Letter, body: &NoticeBody) -> Answer {
        match self {
            Self::Journal => {
                journal::write(body);
                Ok(Taken::new("written"))
            }
            Self::Jsonl(jsonl) => jsonl.write(body),
            Self::Webhook(webhook) => webhook.post(body).await,
            Self::Alertmanager(alertmanager) => alertmanager.post(cluster, letter).await,
            Self::Mail(mail) => mail.send(body).await,
            Self::Slack(slack) => slack.post(body).await,
            Self::Pagerduty(pagerduty) => pagerduty.post(body).await,
        }
    }
}

/// How often one notice is tried.
pub(super) fn attempts(kind: &SinkKind) -> u32 {
    let attempts = match kind {
        SinkKind::Journal | SinkKind::Jsonl { .. } => LOCAL_ATTEMPTS,
        SinkKind::Webhook { attempts, .. } => *attempts,
        SinkKind::Alertmanager(config) => config.patience.attempts,
        SinkKind::Mail(config) => config.patience.attempts,
        SinkKind::Slack(config) => config.patience.attempts,
        SinkKind::Pagerduty(config) => config.patience.attempts,
    };
    attempts.max(1)
}
