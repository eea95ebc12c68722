//! The configuration file of a nats-server that serves one mesh, written from the same permissions that the code checks against.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::id::ClusterName;
use crate::subject::{DISCONNECTS, Permissions, Role, WATCH_INBOX_PREFIX};

/// What a server is to be.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub server_name: String,
    pub cluster: ClusterName,
    /// Port 0 lets the system choose; the server writes the port into its ports file.
    pub listen: SocketAddr,
    /// Health and numbers over HTTP, without passwords: loopback only.
    pub monitor: Option<SocketAddr>,
    pub store_dir: PathBuf,
    /// Below the free space of the store's file system; a full disk switches JetStream off.
    pub max_file_store_bytes: u64,
    /// Who may connect, with their public keys (`U…`).
    pub users: Vec<(Role, String)>,
    /// Public key of the system account's user that hears who disconnects.
    pub watch: Option<String>,
    pub tls: Option<ServerTls>,
}

/// The server's own certificate, and the authority that its clients' certificates must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// With it every client must show a certificate of this authority, beside its key.
    pub client_ca: Option<PathBuf>,
}

/// Renders the file. nats-server before 2.10 refuses it: it does not know `sync_interval`.
pub fn render(config: &ServerConfig) -> String {
    let mut out = Writer::default();
    out.line("# Written by landfall. Changes are overwritten.");
    out.line(&format!("server_name: {}", quoted(&config.server_name)));
    out.line(&format!("listen: {}", quoted(&port_chosen(config.listen))));
    if let Some(monitor) = config.monitor {
        out.line(&format!("http: {}", quoted(&port_chosen(monitor))));
    }
    if let Some(tls) = &config.tls {
        write_tls(&mut out, tls);
    }
    for line in [
        "max_payload: 256KB",
        "max_connections: 16384",
        "max_subscriptions: 256",
        "max_pending: 16MB",
        "write_deadline: \"10s\"",
        "ping_interval: \"20s\"",
        "ping_max: 2",
    ] {
        out.line(line);
    }
    out.open("jetstream {");
    out.line(&format!("store_dir: {}", quoted(&config.store_dir.to_string_lossy())));
    out.line("# A fact counts as received once it is on the disk.");
    out.line("sync_interval: always");
    out.line(&format!("max_file_store: {}", config.max_file_store_bytes));
    out.line("max_memory_store: 67108864");
    out.close("}");
    write_accounts(&mut out, config);
    out.line("system_account: SYS");
    out.text
}

fn write_tls(out: &mut Writer, tls: &ServerTls) {
    out.open("tls {");
    out.line(&format!("cert_file: {}", quoted(&tls.certificate.to_string_lossy())));
    out.line(&format!("key_file: {}", quoted(&tls.key.to_string_lossy())));
    if let Some(ca) = &tls.client_ca {
        out.line(&format!("ca_file: {}", quoted(&ca.to_string_lossy())));
        out.line("verify: true");
    }
    out.close("}");
}

fn write_accounts(out: &mut Writer, config: &ServerConfig) {
    out.open("accounts {");
    out.open("LANDFALL {");
    out.line("jetstream: enabled");
    out.open("users: [");
    for (role, key) in &config.users {
        write_user(out, key, &role.permissions(&config.cluster));
    }
    out.close("]");
    out.close("}");
    out.open("SYS {");
    if let Some(key) = &config.watch {
        out.open("users: [");
        let subscribe = vec![DISCONNECTS.to_owned(), format!("{WATCH_INBOX_PREFIX}.>")];
        write_user(out, key, &Permissions { publish: Vec::new(), subscribe, replies: false });
        out.close("]");
    }
    out.close("}");
    out.close("}");
}

fn write_user(out: &mut Writer, key: &str, permissions: &Permissions) {
    out.open("{");
    out.line(&format!("nkey: {}", quoted(key)));
    out.open("permissions: {");
    if permissions.publish.is_empty() {
        // An empty list of allowed subjects would allow them all.
        out.line("publish: { deny: [ \">\" ] }");
    } else {
        out.line(&format!("publish: {{ allow: [ {} ] }}", list(&permissions.publish)));
    }
    out.line(&format!("subscribe: {{ allow: [ {} ] }}", list(&permissions.subscribe)));
    if permissions.replies {
        out.line("allow_responses: { max: 1, expires: \"5s\" }");
    }
    out.close("}");
    out.close("}");
}

fn list(subjects: &[String]) -> String {
    subjects.iter().map(|subject| quoted(subject)).collect::<Vec<_>>().join(", ")
}

/// The server takes 0 for its default port, and -1 for one that the system chooses.
fn port_chosen(address: SocketAddr) -> String {
    match (address.port(), address) {
        (0, SocketAddr::V4(address)) => format!("{}:-1", address.ip()),
        (0, SocketAddr::V6(address)) => format!("[{}]:-1", address.ip()),
        (_, address) => address.to_string(),
    }
}

/// A double-quoted text of the server's configuration language; unquoted, `$` would begin a variable.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[derive(Default)]
struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn line(&mut self, line: &str) {
        let indent = self.depth * 2;
        writeln!(self.text, "{:indent$}{line}", "").expect("writing to a String cannot fail");
    }

    fn open(&mut self, line: &str) {
        self.line(line);
        self.depth += 1;
    }

    fn close(&mut self, line: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ServerConfig {
        ServerConfig {
            server_name: "bus".into(),
            cluster: "home".parse().unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            monitor: None,
            store_dir: "/var/lib/a \"b\"".into(),
            max_file_store_bytes: 1_000_000,
            users: vec![(Role::Agent("a".parse().unwrap()), "UA".into()), (Role::Operator, "UO".into())],
            watch: Some("UW".into()),
            tls: None,
        }
    }

    #[test]
    fn every_permission_of_a_role_stands_in_the_file() {
        let text = render(&config());
        let cluster: ClusterName = "home".parse().unwrap();
        for (role, _) in config().users {
            let Permissions { publish, subscribe, .. } = role.permissions(&cluster);
            for subject in publish.iter().chain(&subscribe) {
                assert!(text.contains(&format!("\"{subject}\"")), "{subject}");
            }
        }
        assert_eq!(text.matches("allow_responses").count(), 1, "only the agent answers here");
        assert!(text.contains("sync_interval: always"));
        assert!(text.contains("listen: \"127.0.0.1:-1\""));
    }

    #[test]
    fn who_may_say_nothing_is_denied_everything() {
        let text = render(&config());
        let watch = &text[text.find("SYS {").unwrap()..];
        assert!(watch.contains("publish: { deny: [ \">\" ] }"));
        assert!(watch.contains(&format!("\"{DISCONNECTS}\"")));
    }

    #[test]
    fn a_path_with_quotes_does_not_break_out() {
        assert!(render(&config()).contains(r#"store_dir: "/var/lib/a \"b\"""#));
    }
}
