//! `[web]`: where people and programs look in, and how nobody else does.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Uri;

use super::file::FileWeb;
use super::{Finder, TLS_HALF};

/// Where the pages are where the file does not say.
const LISTEN: &str = "127.0.0.1:8440";

/// Where people and programs look in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfig {
    pub listen: SocketAddr,
    /// What people type, where it is not what is listened at.
    pub public_url: Option<PublicUrl>,
    pub tls: WebTls,
    /// Whether whoever reaches the address may read the figures; else a token is wanted.
    pub metrics_open: bool,
}

/// How the way to the pages is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebTls {
    /// Only at an address of this machine itself.
    Plain,
    /// A certificate made once and kept in the state folder.
    SelfSigned,
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
}

/// Scheme, host and port under which people reach the pages; the beginning of every link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// Without a slash at its end.
    pub origin: String,
    /// Host, and port where it is not the scheme's own.
    pub authority: String,
    pub is_https: bool,
}

impl PublicUrl {
    fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
        let authority = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase())?;
        let is_bare = uri.path().trim_end_matches('/').is_empty() && uri.query().is_none() && !authority.contains('@');
        let origin = format!("{scheme}://{authority}");
        is_bare.then(|| Self { origin, authority, is_https: scheme == "https" })
    }
}

impl Finder<'_> {
    pub(super) fn web(&mut self, web: FileWeb) -> Option<WebConfig> {
        let public_url = web.public_url.as_deref().map(|url| self.public_url(url));
        let tls = self.web_tls(web.certificate, web.key, web.self_signed);
        let listen = match web.listen.as_deref().unwrap_or(LISTEN).parse::<SocketAddr>() {
            Ok(listen) => listen,
            Err(error) => {
                let fix = "write an address and a port, such as listen = \"127.0.0.1:8440\"";
                self.problem("web.listen", &format!("this is no address to listen at: {error}"), fix);
                return None;
            }
        };
        let tls = tls?;
        if tls == WebTls::Plain && !listen.ip().is_loopback() {
            self.problem(
                "web.listen",
                &format!("{listen} is reached from other machines, and passwords would cross the network in the clear"),
                "give `certificate` and `key`, or write self_signed = true, or listen at 127.0.0.1 behind a proxy with TLS",
            );
        }
        Some(WebConfig { listen, public_url: public_url.flatten(), tls, metrics_open: web.metrics_open })
    }

    fn public_url(&mut self, text: &str) -> Option<PublicUrl> {
        let read = PublicUrl::read(text);
        if read.is_none() {
            self.problem(
                "web.public_url",
                "this is no address of pages: a scheme, a host and perhaps a port are wanted, and no path",
                "write public_url = \"https://backup.example:8440\"",
            );
        }
        read
    }

    fn web_tls(&mut self, certificate: Option<PathBuf>, key: Option<PathBuf>, self_signed: bool) -> Option<WebTls> {
        match (certificate, key, self_signed) {
            (Some(certificate), Some(key), false) => {
                Some(WebTls::Files { certificate: self.folder.join(certificate), key: self.folder.join(key) })
            }
            (None, None, true) => Some(WebTls::SelfSigned),
            (None, None, false) => Some(WebTls::Plain),
            (Some(_), Some(_), true) => {
                let what = "a certificate is given, and one of the coordinator's own is wanted too";
                self.problem("web.self_signed", what, "give `certificate` and `key`, or write self_signed = true");
                None
            }
            (Some(_), None, _) | (None, Some(_), _) => {
                self.problem("web.certificate", TLS_HALF.0, TLS_HALF.1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;
    use landfall_proto::bus::Seed;

    fn read(web: &str) -> Result<WebConfig, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("seed"), Seed::generate().expose()).unwrap();
        let text = format!(
            "cluster = \"home\"\nname = \"one\"\nsigning_seed_file = \"seed\"\n[bus]\nurls = [\"nats://127.0.0.1:4222\"]\nseed_file = \"seed\"\n[web]\n{web}"
        );
        match Config::read(&folder.path().join("coordinator.toml"), &text) {
            Ok(config) => Ok(config.web.unwrap()),
            Err(ConfigError::Wrong(problems)) => {
                for problem in &problems {
                    assert!(problem.line.is_some() && !problem.fix.is_empty(), "{problem}");
                }
                Err(problems.into_iter().map(|problem| problem.key).collect())
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_empty_table_is_enough_and_listens_on_this_machine_only() {
        let web = read("").unwrap();
        assert_eq!((web.listen.to_string().as_str(), web.tls, web.public_url), (LISTEN, WebTls::Plain, None));
    }

    #[test]
    fn other_machines_are_served_over_tls_only() {
        assert_eq!(read("listen = \"0.0.0.0:8440\"\n").unwrap_err(), ["web.listen"]);
        assert_eq!(read("listen = \"[::]:8440\"\n").unwrap_err(), ["web.listen"]);
        assert_eq!(read("listen = \"0.0.0.0:8440\"\nself_signed = true\n").unwrap().tls, WebTls::SelfSigned);
        let files = read("listen = \"0.0.0.0:8440\"\ncertificate = \"a.pem\"\nkey = \"/k\"\n").unwrap().tls;
        assert!(
            matches!(files, WebTls::Files { certificate, key } if certificate.ends_with("a.pem") && key.as_os_str() == "/k")
        );
    }

    #[test]
    fn half_a_pair_or_two_certificates_are_refused() {
        assert_eq!(read("certificate = \"a.pem\"\n").unwrap_err(), ["web.certificate"]);
        assert_eq!(read("key = \"a.pem\"\n").unwrap_err(), ["web.certificate"]);
        let both = "certificate = \"a.pem\"\nkey = \"k\"\nself_signed = true\n";
        assert_eq!(read(both).unwrap_err(), ["web.self_signed"]);
        assert_eq!(read("listen = \"here\"\n").unwrap_err(), ["web.listen"]);
    }

    #[test]
    fn a_public_address_has_a_host_and_no_path() {
        let web = read("public_url = \"https://Backup.example:8440/\"\n").unwrap().public_url.unwrap();
        assert_eq!((web.authority.as_str(), web.is_https), ("backup.example:8440", true));
        assert_eq!(web.origin, "https://backup.example:8440");
        for wrong in ["ftp://x", "https://", "backup.example", "https://x/path", "https://ann@x", "https://x?y"] {
            assert_eq!(read(&format!("public_url = \"{wrong}\"\n")).unwrap_err(), ["web.public_url"], "{wrong}");
        }
    }
}
