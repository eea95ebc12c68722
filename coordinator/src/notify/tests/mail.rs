//! Mails to a real mail server: plain on loopback, STARTTLS, TLS, with a login, with refusals of both sorts.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::*;
use crate::config::{Login, MailConfig, MailSecurity, Patience};

struct Server {
    child: Child,
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LOGIN: &str = "landfall:pass word";

impl Server {
    fn start(security: &str, login: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("mail_server.py");
        std::fs::write(&script, include_str!("mail_server.py")).unwrap();
        let python = std::env::var("LANDFALL_PYTHON_AIOSMTPD").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(&python);
        command.arg(&script).arg(security);
        if security != "none" {
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).unwrap();
            let (certificate, key) = (folder.path().join("ca.pem"), folder.path().join("key.pem"));
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            command.arg("--certificate").arg(certificate).arg("--key").arg(key);
        }
        if let Some(login) = login {
            command.args(["--login", login]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().and_then(Result::ok).and_then(|line| line.parse().ok()).expect(
            "the mail server begins; `deploy/tools.sh python-aiosmtpd` prints a Python with it for LANDFALL_PYTHON_AIOSMTPD",
        );
        Self { child, port, lines, folder }
    }

    fn config(&self, security: MailSecurity, to: &[&str]) -> MailConfig {
        let file = |name: &str| Some(self.folder.path().join(name)).filter(|path| path.is_file());
        MailConfig {
            server: "localhost".to_owned(),
            port: self.port,
            security,
            ca: file("ca.pem"),
            login: None,
            from: "Landfall <landfall@example.org>".to_owned(),
            to: to.iter().map(ToString::to_string).collect(),
            templates: None,
            patience: Patience { attempts: 3, timeout: landfall_proto::time::Duration::from_secs(8) },
        }
    }

    fn login(&self, text: &str) -> Login {
        let password_file = self.folder.path().join("password");
        std::fs::write(&password_file, text).unwrap();
        Login { user: "landfall".to_owned(), password_file }
    }

    /// The next mail that was taken.
    fn mail(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

async fn deliver(config: MailConfig, letter: &Letter) -> End {
    let (mut courier, _folder) = courier(SinkKind::Journal);
    courier.kind = SinkKind::Mail(config);
    timeout(Duration::from_secs(40), courier.deliver(letter)).await.unwrap()
}

/// The mail's own text without the folding and encoding of its parts.
fn text(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    text.replace("=\r\n", "").replace("=3D", "=").replace("\r\n", "\n")
}

#[tokio::test]
async fn a_mail_says_what_happened_and_what_to_do_in_text_and_html() {
    let mut server = Server::start("none", None);
    let told =
        deliver(server.config(MailSecurity::None, &["ops@example.org", "Ann <ann@example.org>"]), &letter()).await;
    assert_eq!(told, end(1, Ok("250 2.0.0 kept (2 addresses)")));
    let (one, two) = (server.mail(), server.mail());
    assert_eq!((&one["to"][0], &two["to"][0]), (&"ops@example.org".into(), &"ann@example.org".into()));
    assert_eq!(one["text"], two["text"], "it is one mail");
    let text = text(&one);
    for part in [
        "Subject: [home] critical: nightly failed on a\n",
        "Auto-Submitted: auto-generated",
        "Message-ID: <00000000-0000-0000-0000-000000000007.raised.0@home.landfall>",
        "To: ops@example.org, Ann <ann@example.org>",
        "Content-Type: text/plain",
        "Now:              free space",
        "Last good backup: none known",
        "Content-Type: text/html",
        "<td>free space</td>",
        "landfall alerts failed/nightly/a --all",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("In-Reply-To"));
    let mut again = letter();
    again.reminder = 1;
    again.alert.title = "<b>bold</b>\r\nBcc: everybody@example.org".to_owned();
    deliver(server.config(MailSecurity::None, &["ops@example.org"]), &again).await;
    let text = self::text(&server.mail());
    assert!(text.contains("In-Reply-To: <00000000-0000-0000-0000-000000000007.raised.0@home.landfall>"), "{text}");
    assert!(text.contains("&lt;b&gt;bold&lt;&#x2f;b&gt;"), "{text}");
    let head = text.split("\n\n").next().unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "no title makes a header: {head}");
}

#[tokio::test]
async fn a_login_goes_through_starttls_or_tls_only() {
    for (name, security) in [("starttls", MailSecurity::Starttls), ("tls", MailSecurity::Tls)] {
        let mut server = Server::start(name, Some(LOGIN));
        let mut config = server.config(security, &["ops@example.org"]);
        config.login = Some(server.login("pass word\n"));
        assert_eq!(deliver(config.clone(), &letter()).await, end(1, Ok("250 2.0.0 kept")), "{name}");
        let mail = server.mail();
        assert_eq!((&mail["tls"], &mail["user"]), (&true.into(), &"landfall".into()), "{name}");
        config.login = Some(server.login("wrong"));
        let told = deliver(config.clone(), &letter()).await;
        let error = told.told.unwrap_err();
        assert!(told.attempts == 1 && error.contains("535"), "{name}: a wrong password stays wrong: {error}");
        assert!(!error.contains("wrong"), "no secret is repeated: {error}");
        config.ca = None;
        let told =
            deliver(MailConfig { patience: Patience { attempts: 1, ..config.patience }, ..config }, &letter()).await;
        assert!(told.told.is_err(), "{name}: a certificate that nobody vouches for is not believed");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_nothing() {
    let server = Server::start("none", None);
    let mut config = server.config(MailSecurity::Starttls, &["ops@example.org"]);
    config.login = Some(server.login("secret"));
    let told = deliver(config, &letter()).await;
    assert_eq!(told.attempts, 1);
    assert!(told.told.unwrap_err().contains("STARTTLS"));
}

#[tokio::test]
async fn who_is_busy_is_tried_again_who_is_gone_is_told_and_nobody_gets_it_twice() {
    let mut server = Server::start("none", None);
    let to = ["ops@example.org", "busy@example.org", "gone@example.org", "ann@example.org"];
    let told = deliver(server.config(MailSecurity::None, &to), &letter()).await;
    assert_eq!(told.attempts, 2);
    assert_eq!(told.told.unwrap_err(), "gone@example.org refused: 550: 5.1.1 no such user (3 of 4 addresses took it)");
    let had: Vec<Value> = (0..3).map(|_| server.mail()["to"][0].clone()).collect();
    assert_eq!(had, ["ops@example.org", "ann@example.org", "busy@example.org"]);
    server.child.kill().unwrap();
    assert!(server.lines.next().is_none(), "each once");
    let told = deliver(server.config(MailSecurity::None, &["ops@example.org"]), &letter()).await;
    assert_eq!(told.attempts, 3, "a server that is away is tried again");
}

#[tokio::test]
async fn own_templates_take_the_place_of_the_built_in_ones_and_a_broken_one_costs_no_notice() {
    let mut server = Server::start("none", None);
    let folder = server.folder.path().join("templates");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("subject.txt", "{{ notice.key }}\nis {{ notice.status }}");
    let mut config = server.config(MailSecurity::None, &["ops@example.org"]);
    config.templates = Some(folder.clone());
    check_templates(&folder).unwrap();
    deliver(config.clone(), &letter()).await;
    assert!(text(&server.mail()).contains("Subject: failed/nightly/a is raised\n"));
    write("subject.txt", "{{ notice.key");
    assert!(check_templates(&folder).unwrap_err().contains("line 1"));
    deliver(config, &letter()).await;
    assert!(text(&server.mail()).contains("Subject: [home] critical: nightly failed on a\n"));
    write("subject.txt", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}");
    assert!(check_templates(&folder).unwrap_err().contains("fuel"), "a loop without end has one");
    write("subject.txt", "{{ notice.kye }}");
    assert!(check_templates(&folder).is_err(), "a misspelt name is found");
    write("subject.txt", "x");
    write("body.txt", "x");
    assert!(check_templates(Path::new(&folder)).unwrap_err().contains("body.txt is no template"));
}
