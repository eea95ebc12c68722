//! The tables `[[sink]]`: read, checked, and turned into receivers.

use std::path::{Path, PathBuf};

use landfall_proto::time::Duration;
use serde::Deserialize;

use super::Finder;
use super::receivers::{
    AlertmanagerConfig, Login, MailConfig, MailSecurity, PagerdutyConfig, Patience, SinkConfig, SinkKind, SlackConfig,
    read_secret,
};

/// More sinks than anybody needs; each has a task and a queue.
const SINKS_MAX: usize = 16;

/// Replicas of one Alertmanager, and people behind one mail sink.
const ADDRESSES_MAX: usize = 32;

/// How often, and how long each time, a sink is tried where the file does not say.
const ATTEMPTS: u32 = 6;
const ATTEMPTS_MAX: u32 = 50;
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// How often what stands is shown again to an Alertmanager: it lets go after five minutes where it is not told otherwise.
const RESEND_INTERVAL: Duration = Duration::from_secs(60);
const RESEND_INTERVAL_MIN: Duration = Duration::from_secs(1);
const RESEND_INTERVAL_MAX: Duration = Duration::from_secs(120);

const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSink {
    kind: FileSinkKind,
    name: Option<String>,
    path: Option<PathBuf>,
    url: Option<String>,
    urls: Option<Vec<String>>,
    secret_file: Option<PathBuf>,
    url_file: Option<PathBuf>,
    routing_key_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    server: Option<String>,
    port: Option<u16>,
    security: Option<MailSecurity>,
    ca: Option<PathBuf>,
    from: Option<String>,
    to: Option<Vec<String>>,
    templates: Option<PathBuf>,
    link: Option<String>,
    resend_interval: Option<Duration>,
    attempts: Option<u32>,
    timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileSinkKind {
    Journal,
    Jsonl,
    Webhook,
    Alertmanager,
    Mail,
    Slack,
    Pagerduty,
}

impl FileSinkKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Jsonl => "jsonl",
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Mail => "mail",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
        }
    }

    /// The keys that mean something for it, besides `kind` and `name`.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Journal => &[],
            Self::Jsonl => &["path"],
            Self::Webhook => &["url", "secret_file", "attempts", "timeout"],
            Self::Alertmanager => &["urls", "user", "password_file", "link", "resend_interval", "attempts", "timeout"],
            Self::Mail => &[
                "server",
                "port",
                "security",
                "ca",
                "user",
                "password_file",
                "from",
                "to",
                "templates",
                "attempts",
                "timeout",
            ],
            Self::Slack => &["url_file", "link", "attempts", "timeout"],
            Self::Pagerduty => &["url", "routing_key_file", "link", "attempts", "timeout"],
        }
    }
}

impl FileSink {
    /// The keys that are written.
    fn written(&self) -> Vec<&'static str> {
        let keys = [
            ("path", self.path.is_some()),
            ("url", self.url.is_some()),
            ("urls", self.urls.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("url_file", self.url_file.is_some()),
            ("routing_key_file", self.routing_key_file.is_some()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("server", self.server.is_some()),
            ("port", self.port.is_some()),
            ("security", self.security.is_some()),
            ("ca", self.ca.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("templates", self.templates.is_some()),
            ("link", self.link.is_some()),
            ("resend_interval", self.resend_interval.is_some()),
            ("attempts", self.attempts.is_some()),
            ("timeout", self.timeout.is_some()),
        ];
        keys.into_iter().filter(|(_, is_written)| *is_written).map(|(key, _)| key).collect()
    }
}

impl Finder<'_> {
    pub(super) fn sinks(&mut self, sinks: Vec<FileSink>) -> Vec<SinkConfig> {
        if sinks.len() > SINKS_MAX {
            self.problem("sink", &format!("{} sinks are given; {SINKS_MAX} is the most", sinks.len()), "remove some");
        }
        let mut read: Vec<SinkConfig> = Vec::new();
        for (index, sink) in sinks.into_iter().take(SINKS_MAX).enumerate() {
            let name = sink.name.clone().unwrap_or_else(|| sink.kind.as_str().to_owned());
            let mut table = Table { finder: self, index };
            if name.is_empty() || name.len() > 63 || read.iter().any(|other| other.name == name) {
                let key = if sink.name.is_some() { "name" } else { "" };
                table.wrong(
                    key,
                    &format!("the sink name {name:?} is empty, too long or given twice"),
                    "give each [[sink]] a `name` of its own",
                );
            }
            for key in sink.written().into_iter().filter(|key| !sink.kind.keys().contains(key)) {
                let keys = sink.kind.keys();
                let known = if keys.is_empty() { "nothing else".to_owned() } else { keys.join(", ") };
                let what = format!("`{key}` means nothing to a sink of the kind {}", sink.kind.as_str());
                table.wrong(key, &what, &format!("remove it; such a sink takes: {known}"));
            }
            if let Some(kind) = table.kind(sink) {
                read.push(SinkConfig { name, kind });
            }
        }
        read
    }
}

/// One `[[sink]]` and who collects what is wrong with it.
struct Table<'a, 'b> {
    finder: &'a mut Finder<'b>,
    index: usize,
}

impl Table<'_, '_> {
    fn wrong(&mut self, key: &str, what: &str, fix: &str) {
        self.finder.problem_in(("sink", self.index), key, what, fix);
    }

    fn kind(&mut self, sink: FileSink) -> Option<SinkKind> {
        match sink.kind {
            FileSinkKind::Journal => Some(SinkKind::Journal),
            FileSinkKind::Jsonl => self.jsonl(sink),
            FileSinkKind::Webhook => self.webhook(sink),
            FileSinkKind::Alertmanager => self.alertmanager(sink),
            FileSinkKind::Mail => self.mail(sink),
            FileSinkKind::Slack => self.slack(&sink),
            FileSinkKind::Pagerduty => self.pagerduty(sink),
        }
    }

    fn jsonl(&mut self, sink: FileSink) -> Option<SinkKind> {
        match sink.path {
            Some(path) if path == Path::new("-") => Some(SinkKind::Jsonl { path }),
            Some(path) => Some(SinkKind::Jsonl { path: self.finder.folder.join(path) }),
            None => {
                let fix = "write path = \"alerts.jsonl\", or \"-\" for the standard output";
                self.wrong("path", "a jsonl sink needs a path", fix);
                None
            }
        }
    }

    fn webhook(&mut self, sink: FileSink) -> Option<SinkKind> {
        let Patience { attempts, timeout } = self.patience(&sink);
        let url = sink.url.filter(|url| is_web_address(url));
        if url.is_none() {
            self.wrong("url", "a webhook needs an address", "write url = \"https://…\"");
        }
        let secret_file =
            self.secret("secret_file", sink.secret_file.as_ref(), "the secret it shares with its receiver");
        Some(SinkKind::Webhook { url: url?, secret_file: secret_file?, attempts, timeout })
    }

    fn alertmanager(&mut self, sink: FileSink) -> Option<SinkKind> {
        let patience = self.patience(&sink);
        let login = self.login(&sink);
        let link = self.link(sink.link);
        let resend_interval = sink.resend_interval.unwrap_or(RESEND_INTERVAL);
        if !(RESEND_INTERVAL_MIN..=RESEND_INTERVAL_MAX).contains(&resend_interval) {
            let what =
                format!("{resend_interval} is no time after which an Alertmanager can be shown its alerts again");
            let fix = format!("choose {RESEND_INTERVAL_MIN} to {RESEND_INTERVAL_MAX}; it lets go of an alert after 5m");
            self.wrong("resend_interval", &what, &fix);
        }
        let urls: Vec<String> = sink.urls.unwrap_or_default();
        if urls.is_empty() || urls.len() > ADDRESSES_MAX || !urls.iter().all(|url| is_web_address(url)) {
            let fix =
                "write urls = [\"http://alertmanager-1.example:9093\", …], each replica by itself and no load balancer";
            self.wrong("urls", &format!("1 to {ADDRESSES_MAX} addresses of Alertmanager's replicas are needed"), fix);
        }
        let urls = urls.into_iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Some(SinkKind::Alertmanager(AlertmanagerConfig { urls, login, link, resend_interval, patience }))
    }

    fn mail(&mut self, sink: FileSink) -> Option<SinkKind> {
        let patience = self.patience(&sink);
        let login = self.login(&sink);
        let security = sink.security.unwrap_or(MailSecurity::Starttls);
        let server = sink.server.filter(|server| !server.is_empty());
        match &server {
            None => self.wrong("server", "a mail sink needs a server", "write server = \"mail.example\""),
            Some(server) if security == MailSecurity::None && !is_loopback(server) => self.wrong(
                "security",
                &format!("{server} is another machine, and nothing would hide or check what is said to it"),
                "write security = \"starttls\" or \"tls\"; \"none\" is for 127.0.0.1, ::1 and localhost",
            ),
            Some(_) => {}
        }
        let from = self.address("from", sink.from.as_deref());
        let to = sink.to.unwrap_or_default();
        if to.is_empty() || to.len() > ADDRESSES_MAX {
            self.wrong("to", &format!("1 to {ADDRESSES_MAX} addresses are needed"), "write to = [\"ops@example.org\"]");
        }
        let to: Vec<String> = to.iter().filter_map(|to| self.address("to", Some(to))).collect();
        let templates = sink.templates.map(|folder| self.finder.folder.join(folder));
        if let Some(folder) = &templates
            && let Err(error) = crate::notify::check_templates(folder)
        {
            self.wrong("templates", &error, "correct the template, or remove it for the built-in one");
        }
        let ca = sink.ca.map(|path| self.finder.folder.join(path));
        if let Some(path) = ca.as_ref().filter(|path| !path.is_file()) {
            self.wrong("ca", &format!("{} is no file", path.display()), "name a file of PEM certificates");
        }
        let port = sink.port.unwrap_or(match security {
            MailSecurity::Starttls => 587,
            MailSecurity::Tls => 465,
            MailSecurity::None => 25,
        });
        let server = server?;
        Some(SinkKind::Mail(MailConfig { server, port, security, ca, login, from: from?, to, templates, patience }))
    }

    fn slack(&mut self, sink: &FileSink) -> Option<SinkKind> {
        let patience = self.patience(sink);
        let link = self.link(sink.link.clone());
        let what = "the address of the incoming webhook; whoever has it can write to the channel";
        let url_file = self.secret("url_file", sink.url_file.as_ref(), what)?;
        let url = read_secret(&url_file).unwrap_or_default();
        if !is_web_address(&String::from_utf8_lossy(&url)) {
            let what = format!("{} holds no address", url_file.display());
            self.wrong("url_file", &what, "write https://hooks.slack.com/services/… into it");
        }
        Some(SinkKind::Slack(SlackConfig { url_file, link, patience }))
    }

    fn pagerduty(&mut self, sink: FileSink) -> Option<SinkKind> {
        let patience = self.patience(&sink);
        let link = self.link(sink.link);
        let url = sink.url.unwrap_or_else(|| PAGERDUTY_URL.to_owned());
        if !is_web_address(&url) {
            self.wrong("url", "this is no address", &format!("leave it out for {PAGERDUTY_URL}"));
        }
        let what = "the integration key of the service";
        let routing_key_file = self.secret("routing_key_file", sink.routing_key_file.as_ref(), what)?;
        Some(SinkKind::Pagerduty(PagerdutyConfig { url, routing_key_file, link, patience }))
    }

    fn patience(&mut self, sink: &FileSink) -> Patience {
        let attempts = sink.attempts.unwrap_or(ATTEMPTS);
        if attempts == 0 || attempts > ATTEMPTS_MAX {
            let what = format!("{attempts} attempts are not possible");
            self.wrong("attempts", &what, &format!("choose 1 to {ATTEMPTS_MAX}"));
        }
        let timeout = sink.timeout.unwrap_or(TIMEOUT);
        if timeout.as_ms() == 0 || timeout > TIMEOUT_MAX {
            let what = format!("{timeout} is no time in which a receiver can answer");
            self.wrong("timeout", &what, &format!("choose up to {TIMEOUT_MAX}"));
        }
        Patience { attempts, timeout }
    }

    fn login(&mut self, sink: &FileSink) -> Option<Login> {
        match (&sink.user, &sink.password_file) {
            (None, None) => None,
            (Some(user), Some(_)) => {
                let password_file = self.secret("password_file", sink.password_file.as_ref(), "the password")?;
                Some(Login { user: user.clone(), password_file })
            }
            (Some(_), None) | (None, Some(_)) => {
                let key = if sink.user.is_some() { "user" } else { "password_file" };
                self.wrong(
                    key,
                    "a user and a password belong together",
                    "give both `user` and `password_file`, or neither",
                );
                None
            }
        }
    }

    fn secret(&mut self, key: &str, path: Option<&PathBuf>, what: &str) -> Option<PathBuf> {
        let Some(path) = path.map(|path| self.finder.folder.join(path)) else {
            self.wrong(key, &format!("it needs a file with {what}"), "write one line into a file and name it here");
            return None;
        };
        if let Err(error) = read_secret(&path) {
            let fix = format!("write {what} into it, readable by this service's user only");
            self.wrong(key, &format!("{} cannot be used: {error}", path.display()), &fix);
        }
        Some(path)
    }

    fn address(&mut self, key: &str, text: Option<&str>) -> Option<String> {
        let is_good = text.is_some_and(|text| text.parse::<lettre::message::Mailbox>().is_ok());
        if !is_good {
            let what = format!("{:?} is no mail address", text.unwrap_or_default());
            self.wrong(key, &what, "write \"name@example.org\" or \"Name <name@example.org>\"");
        }
        text.filter(|_| is_good).map(str::to_owned)
    }

    fn link(&mut self, link: Option<String>) -> Option<String> {
        if link.as_ref().is_some_and(|link| !is_web_address(link)) {
            self.wrong("link", "this is no address", "write link = \"https://…\"; {key} stands for the alert's key");
        }
        link
    }
}

pub(super) fn is_web_address(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

fn is_loopback(server: &str) -> bool {
    server == "localhost" || server.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
