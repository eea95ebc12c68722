//! Who is told: every kind of sink with its settings, as the notifier takes them.

use std::io;
use std::path::{Path, PathBuf};

use landfall_proto::time::Duration;

/// One receiver of notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// Unique; stands in the facts about deliveries.
    pub name: String,
    pub kind: SinkKind,
}

/// What takes the notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    Journal,
    /// A file, or the standard output where the path is `-`.
    Jsonl {
        path: PathBuf,
    },
    Webhook {
        url: String,
        secret_file: PathBuf,
        attempts: u32,
        timeout: Duration,
    },
    Alertmanager(AlertmanagerConfig),
    Mail(MailConfig),
    Slack(SlackConfig),
    Pagerduty(PagerdutyConfig),
}

/// How long a sink is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub attempts: u32,
    /// Of one attempt.
    pub timeout: Duration,
}

/// A name and where its password is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password_file: PathBuf,
}

/// Prometheus's Alertmanager, every one of its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerConfig {
    /// Without the path of the interface.
    pub urls: Vec<String>,
    pub login: Option<Login>,
    /// Where a person sees the alert; `{key}` stands for its key.
    pub link: Option<String>,
    /// How often what stands is shown again.
    pub resend_interval: Duration,
    pub patience: Patience,
}

/// A mail server and the people behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailConfig {
    pub server: String,
    pub port: u16,
    pub security: MailSecurity,
    /// Who signs the server's certificate, where the system does not know him.
    pub ca: Option<PathBuf>,
    pub login: Option<Login>,
    pub from: String,
    pub to: Vec<String>,
    /// A folder with templates of one's own.
    pub templates: Option<PathBuf>,
    pub patience: Patience,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSecurity {
    /// Plain at first, then TLS before anything is said; a server without it is refused.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// Nothing; only to a server on this machine.
    None,
}

/// A channel of Slack, through an incoming webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackConfig {
    /// The address is the secret.
    pub url_file: PathBuf,
    pub link: Option<String>,
    pub patience: Patience,
}

/// A service of PagerDuty, through its events interface of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagerdutyConfig {
    pub url: String,
    pub routing_key_file: PathBuf,
    pub link: Option<String>,
    pub patience: Patience,
}

impl SinkKind {
    /// Whether a round that converged is something it can say: an incident or a standing alert is not.
    pub const fn takes_successes(&self) -> bool {
        match self {
            Self::Journal | Self::Jsonl { .. } | Self::Webhook { .. } | Self::Mail(_) | Self::Slack(_) => true,
            Self::Alertmanager(_) | Self::Pagerduty(_) => false,
        }
    }
}

/// The secret's first line.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, io::Error> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"))
    } else {
        Ok(line.as_bytes().to_vec())
    }
}
