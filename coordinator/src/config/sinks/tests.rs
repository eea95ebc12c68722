//! What a person writes into `[[sink]]` and `[[routes]]`, and what he is told where it is wrong.

use landfall_proto::alert::Severity;
use landfall_proto::bus::Seed;
use landfall_proto::file::FileProblem;

use super::*;
use crate::config::{Config, ConfigError};

const HEAD: &str = "cluster = \"home\"\nname = \"one\"\nsigning_seed_file = \"seed\"\n[bus]\nurls = [\"nats://127.0.0.1:4222\"]\nseed_file = \"seed\"\n";

const ALL: &str = r#"
[[sink]]
kind = "alertmanager"
name = "prometheus"
urls = ["http://am-1:9093/", "https://am-2:9093"]
user = "landfall"
password_file = "password"
link = "https://landfall.example/{key}"
resend_interval = "30s"
[[sink]]
kind = "mail"
server = "mail.example"
from = "Landfall <landfall@example.org>"
to = ["ops@example.org", "Ann <ann@example.org>"]
user = "landfall"
password_file = "password"
[[sink]]
kind = "slack"
url_file = "slack"
[[sink]]
kind = "pagerduty"
routing_key_file = "password"
attempts = 9
timeout = "3s"
[[routes]]
severity = "critical"
routines = ["db.*"]
labels = { site = "cellar" }
kinds = ["failed", "ledger_full"]
sinks = ["pagerduty"]
continue = true
reminder_interval = "30m"
[[routes]]
sinks = ["mail", "slack"]
resolved = false
success = true
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("seed", Seed::generate().expose());
    write("password", "secret\n");
    write("slack", "https://hooks.slack.example/T/B/x\n");
    folder
}

fn read(text: &str) -> Result<Config, Vec<FileProblem>> {
    let folder = folder();
    match Config::read(&folder.path().join("coordinator.toml"), &format!("{HEAD}{text}")) {
        Ok(config) => Ok(config),
        Err(ConfigError::Wrong(problems)) => Err(problems),
        Err(other) => panic!("{other}"),
    }
}

/// Key and line, counted from the text's first.
fn keys(text: &str) -> Vec<(String, usize)> {
    let problems = read(text).unwrap_err();
    for problem in &problems {
        assert!(!problem.what.is_empty() && !problem.fix.is_empty(), "{problem}");
    }
    let line = |problem: &FileProblem| problem.line.unwrap() - HEAD.lines().count();
    problems.iter().map(|problem| (problem.key.clone(), line(problem))).collect()
}

fn found(keys: &[(&str, usize)]) -> Vec<(String, usize)> {
    keys.iter().map(|(key, line)| ((*key).to_owned(), *line)).collect()
}

#[test]
fn every_kind_of_sink_and_route_is_read() {
    let config = read(ALL).unwrap();
    let [alertmanager, mail, slack, pagerduty] = config.sinks.as_slice() else { panic!("{:?}", config.sinks) };
    let SinkKind::Alertmanager(known) = &alertmanager.kind else { panic!("{alertmanager:?}") };
    assert_eq!(known.urls, ["http://am-1:9093", "https://am-2:9093"]);
    assert_eq!((known.resend_interval, known.login.is_some()), (Duration::from_secs(30), true));
    let SinkKind::Mail(known) = &mail.kind else { panic!("{mail:?}") };
    assert_eq!((known.port, known.security, known.to.len()), (587, MailSecurity::Starttls, 2));
    assert!(matches!(slack.kind, SinkKind::Slack(_)));
    let SinkKind::Pagerduty(known) = &pagerduty.kind else { panic!("{pagerduty:?}") };
    assert_eq!((known.url.as_str(), known.patience.attempts), (PAGERDUTY_URL, 9));
    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.routes[0].severity, Some(Severity::Critical));
    assert!(config.routes[0].goes_on && config.routes[0].resolved && !config.routes[0].success);
    assert!(!config.routes[1].resolved && config.routes[1].success);
}

#[test]
fn each_mistake_in_a_sink_is_named_with_its_own_line() {
    let alertmanager = "[[sink]]\nkind = \"journal\"\n[[sink]]\nkind = \"alertmanager\"\nurls = [\"am:9093\"]\nresend_interval = \"10m\"\nuser = \"x\"\n";
    assert_eq!(keys(alertmanager), found(&[("sink[1].user", 7), ("sink[1].resend_interval", 6), ("sink[1].urls", 5)]));
    let mail = "[[sink]]\nkind = \"mail\"\nserver = \"mail.example\"\nsecurity = \"none\"\nfrom = \"nobody\"\nto = []\ntemplates = \"gone\"\nca = \"gone\"\n";
    assert_eq!(
        keys(mail),
        found(&[
            ("sink[0].security", 4),
            ("sink[0].from", 5),
            ("sink[0].to", 6),
            ("sink[0].templates", 7),
            ("sink[0].ca", 8),
        ])
    );
    assert_eq!(keys("[[sink]]\nkind = \"slack\"\nurl_file = \"password\"\n"), found(&[("sink[0].url_file", 3)]));
    assert_eq!(
        keys("[[sink]]\nkind = \"pagerduty\"\nurl = \"x\"\ntimeout = \"1h\"\n"),
        found(&[("sink[0].timeout", 4), ("sink[0].url", 3), ("sink[0].routing_key_file", 1)])
    );
    assert_eq!(keys("[[sink]]\nkind = \"journal\"\nto = []\n"), found(&[("sink[0].to", 3)]), "a key for another kind");
    assert_eq!(keys("[[sink]]\nkind = \"journal\"\n[[sink]]\nkind = \"journal\"\n"), found(&[("sink[1]", 3)]));
}

#[test]
fn a_plain_mail_server_is_one_on_this_machine() {
    let mail = |server: &str| {
        read(&format!(
            "[[sink]]\nkind = \"mail\"\nserver = \"{server}\"\nsecurity = \"none\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\n"
        ))
    };
    for server in ["localhost", "127.0.0.1", "::1"] {
        assert!(mail(server).is_ok(), "{server}");
    }
    for server in ["10.0.0.1", "localhost.example"] {
        assert!(mail(server).is_err(), "{server}");
    }
}

#[test]
fn each_mistake_in_a_route_is_named_with_its_own_line() {
    let routes = "[[sink]]\nkind = \"pagerduty\"\nrouting_key_file = \"password\"\n[[routes]]\nsinks = [\"mail\"]\n[[routes]]\nsinks = [\"pagerduty\"]\nsuccess = true\nkinds = [\"borken\"]\nroutines = [\"\"]\nreminder_interval = \"1s\"\n";
    assert_eq!(
        keys(routes),
        found(&[
            ("routes[0].sinks", 5),
            ("routes[1].success", 8),
            ("routes[1].kinds", 9),
            ("routes[1].routines", 10),
            ("routes[1].reminder_interval", 11),
        ])
    );
    let problems = read("[[routes]]\nsink = \"x\"\n").unwrap_err();
    assert!(problems[0].to_string().contains("unknown field"), "{}", problems[0]);
    let problems = read("[[routes]]\nsinks = []\nseverity = \"loud\"\n").unwrap_err();
    assert!(problems[0].key.contains("routes") && problems[0].what.contains("emergency"), "{}", problems[0]);
}

#[test]
fn no_problem_repeats_a_secret() {
    let told = read("[[sink]]\nkind = \"slack\"\nurl_file = \"password\"\n").unwrap_err();
    assert!(!told.iter().any(|problem| problem.to_string().contains("secret\n") || problem.what.contains("secret")));
}
