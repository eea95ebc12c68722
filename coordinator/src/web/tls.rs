//! TLS of the pages: a certificate that is given and read again when it changes, or one made here once and kept.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use landfall_proto::control::Problem;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::config::{WebConfig, WebTls};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// How often the files of a given certificate are looked at: it is replaced every few weeks by whoever renews it.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no certificate")]
    Certificate { path: PathBuf, why: String },
    #[error("{path} holds no private key")]
    Key { path: PathBuf, why: String },
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
    #[error("a certificate cannot be made")]
    Make(#[source] rcgen::Error),
    #[error("the certificate cannot be kept in {path}")]
    Keep { path: PathBuf, source: io::Error },
}

impl TlsError {
    /// The error for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        let (why, fix) = match self {
            Self::Read { source, .. } => (source.to_string(), "see that it exists and this service's user may read it"),
            Self::Certificate { why, .. } | Self::Key { why, .. } => (why.clone(), "write it in PEM form"),
            Self::Pair(source) => (source.to_string(), "name a certificate in [web] with the key it was made for"),
            Self::Make(source) => (source.to_string(), "give `certificate` and `key` in [web]"),
            Self::Keep { source, .. } => (source.to_string(), "see that state_dir is writable and has space"),
        };
        Problem { what: self.to_string(), why, fix: fix.to_owned(), code: None }
    }
}

/// What the server encrypts with.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) config: RustlsConfig,
    /// Certificate and key, where they are somebody else's to renew.
    given: Option<(PathBuf, PathBuf)>,
}

/// Looks for a renewed certificate while the pages are served.
#[derive(Debug)]
pub(super) struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads or makes what the configuration asks for; nothing where it asks for none.
pub(super) fn secure(web: &WebConfig, folder: &Path) -> Result<Option<Secured>, TlsError> {
    let (certificate, key, is_given) = match &web.tls {
        WebTls::Plain => return Ok(None),
        WebTls::Files { certificate, key } => (certificate.clone(), key.clone(), true),
        WebTls::SelfSigned => {
            let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
            if !(certificate.exists() && key.exists()) {
                make(web, folder, &certificate, &key)?;
            }
            (certificate, key, false)
        }
    };
    let (config, fingerprint) = read(&certificate, &key)?;
    tracing::info!(sha256 = fingerprint, certificate = %certificate.display(), "the pages' certificate; compare this fingerprint with what a browser shows");
    Ok(Some(Secured {
        config: RustlsConfig::from_config(Arc::new(config)),
        given: is_given.then_some((certificate, key)),
    }))
}

impl Secured {
    /// Reads a given certificate again whenever its files change.
    pub(super) fn renewal(self) -> Option<Renewal> {
        let (certificate, key) = self.given?;
        let config = self.config;
        let mut seen = changed_at(&certificate, &key);
        Some(Renewal(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOKED_AT_EVERY).await;
                let found = changed_at(&certificate, &key);
                if found == seen {
                    continue;
                }
                seen = found;
                match read(&certificate, &key) {
                    Ok((fresh, fingerprint)) => {
                        config.reload_from_config(Arc::new(fresh));
                        tracing::info!(sha256 = fingerprint, "the pages' certificate was renewed");
                    }
                    Err(error) => {
                        let problem = error.problem();
                        tracing::error!(
                            why = problem.why,
                            fix = problem.fix,
                            "{error}; the certificate before it stays in use"
                        );
                    }
                }
            }
        })))
    }
}

fn changed_at(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
}

fn read(certificate: &Path, key: &Path) -> Result<(ServerConfig, String), TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Read { path, source }
    };
    let text = fs::read(certificate).map_err(unreadable(certificate))?;
    let wrong = |why: String| TlsError::Certificate { path: certificate.to_owned(), why };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    let Some(first) = chain.first() else { return Err(wrong("there is none in it".to_owned())) };
    let fingerprint = fingerprint(first);
    let text = fs::read(key).map_err(unreadable(key))?;
    let key_der = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| TlsError::Key { path: key.to_owned(), why: error.to_string() })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key_der))
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, fingerprint))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate.as_ref());
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// The key is written first: a certificate without it would be made again.
fn make(web: &WebConfig, folder: &Path, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let made = rcgen::generate_simple_self_signed(names(web)).map_err(TlsError::Make)?;
    let keep = |path: &Path, text: &str| {
        keep(folder, path, text.as_bytes()).map_err(|source| TlsError::Keep { path: path.to_owned(), source })
    };
    keep(key, &made.signing_key.serialize_pem())?;
    keep(certificate, &made.cert.pem())
}

/// Everything that people may type to reach the pages.
fn names(web: &WebConfig) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !web.listen.ip().is_unspecified() {
        names.push(web.listen.ip().to_string());
    }
    if let Some(url) = &web.public_url {
        let without_port = url.authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let host = without_port.map_or(url.authority.as_str(), |(host, _)| host);
        names.push(host.trim_matches(['[', ']']).to_owned());
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    names.extend(Some(host.trim().to_owned()).filter(|name| is_name(name)));
    names.sort();
    names.dedup();
    names
}

/// Writes a file whole or not at all, readable by its owner only, and makes its folder where there is none.
pub(super) fn keep(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn web(tls: WebTls) -> WebConfig {
        WebConfig { listen: "192.0.2.7:0".parse().unwrap(), public_url: None, tls, metrics_open: false }
    }

    #[test]
    fn a_certificate_of_its_own_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("web");
        assert!(secure(&web(WebTls::SelfSigned), &place).unwrap().unwrap().given.is_none());
        let first = fs::read(place.join(CERTIFICATE)).unwrap();
        secure(&web(WebTls::SelfSigned), &place).unwrap();
        assert_eq!(fs::read(place.join(CERTIFICATE)).unwrap(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place.join(KEY)), mode(&place)), (0o600, 0o700));
        assert!(names(&web(WebTls::SelfSigned)).contains(&"192.0.2.7".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_given_files_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = |certificate: &str, key: &str| {
            let web = web(WebTls::Files { certificate: at(certificate), key: at(key) });
            secure(&web, folder.path()).map(|_| ()).unwrap_err()
        };
        for place in ["one", "two"] {
            secure(&web(WebTls::SelfSigned), &at(place)).unwrap();
        }
        fs::write(at("empty"), "").unwrap();
        assert!(matches!(files("missing", "empty"), TlsError::Read { .. }));
        assert!(matches!(files("empty", "empty"), TlsError::Certificate { .. }));
        assert!(matches!(files("one/certificate.pem", "empty"), TlsError::Key { .. }));
        let foreign = files("one/certificate.pem", "two/key.pem");
        assert!(matches!(foreign, TlsError::Pair(_)), "{foreign:?}");
        assert!(!foreign.problem().why.is_empty() && !foreign.problem().fix.is_empty());
    }
}
