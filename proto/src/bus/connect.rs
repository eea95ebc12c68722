//! How a client of the bus is set up: who it is, where the bus is, how it proves itself, and how patient it is.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{ConnectErrorKind, ServerAddr, rustls};

use super::delay::{RECONNECT_MAX, RECONNECT_MIN, chance, jittered};
use super::health::{Link, Pulse};
use super::mailbox::Mailbox;
use super::signing::Seed;
use super::unreached::{Unreached, plain};
use crate::control::Problem;
use crate::id::ClusterName;
use crate::subject::Role;

/// A silent link is noticed after three unanswered pings.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long one server may take to answer the first handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);

/// Messages that wait in one subscription before the client library drops further ones.
const SUBSCRIPTION_CAPACITY: usize = 8192;

/// Messages that wait to be written; the library's own calls block when this is full, ours do not.
const SEND_CAPACITY: usize = 2048;

/// Everything a client needs to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// One or more `nats://host:port` or `tls://host:port`.
    pub urls: Vec<String>,
    pub role: Role,
    pub cluster: ClusterName,
    /// The nkey seed whose public half stands in the bus's user list.
    pub seed: Seed,
    /// The connection's name as the server shows it; [`ConnectOptions::new`] derives it from the role.
    pub name: String,
    pub tls: Option<Tls>,
    /// True for daemons: wait for the bus for ever. False for tools: say within `timeout` why it cannot be reached.
    pub patient: bool,
    /// How long an impatient client tries.
    pub timeout: Duration,
}

/// Certificates by path; they are read again at every connection, so that a rotation needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Authority that signed the server's certificate, as PEM.
    pub ca: PathBuf,
    /// This client's certificate and its key, as PEM, where the bus asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|(certificate, key)| [certificate, key]);
        std::iter::once(&self.ca).chain(client).map(PathBuf::as_path)
    }
}

impl ConnectOptions {
    /// A patient client with no TLS and the role's usual connection name.
    pub fn new(urls: Vec<String>, role: Role, cluster: ClusterName, seed: Seed) -> Self {
        let name = connection_name(&role);
        Self { urls, role, cluster, seed, name, tls: None, patient: true, timeout: Duration::from_secs(5) }
    }

    /// The same client, failing within `timeout` when the bus cannot be reached.
    pub fn impatient(mut self, timeout: Duration) -> Self {
        self.patient = false;
        self.timeout = timeout;
        self
    }
}

/// The name under which the server reports a client; the disconnect of `agent-<node>` means that node is gone.
pub fn connection_name(role: &Role) -> String {
    match role {
        Role::Agent(node) => format!("{AGENT_NAME_PREFIX}{node}"),
        Role::Coordinator => "coordinator".to_owned(),
        Role::Operator => "operator".to_owned(),
    }
}

pub(super) const AGENT_NAME_PREFIX: &str = "agent-";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("{url:?} is not an address of a bus")]
    Address { url: String },
    #[error("no address of a bus is configured")]
    NoAddress,
    #[error("the file {path} for TLS cannot be read")]
    TlsFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the bus at {urls} refuses this client's key")]
    Credentials { urls: String },
    #[error("the bus at {urls} and this client cannot agree on TLS")]
    TlsHandshake {
        urls: String,
        #[source]
        source: async_nats::ConnectError,
    },
    #[error("the bus at {urls} does not answer within {seconds} s")]
    Silent { urls: String, seconds: u64 },
    #[error("the bus at {urls} cannot be reached")]
    Unreachable {
        urls: String,
        #[source]
        source: async_nats::ConnectError,
    },
}

impl BusError {
    /// The error for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        let (why, fix) = match self {
            Self::Address { .. } | Self::NoAddress => (
                "an address has the form nats://host:4222, or tls://host:4222".to_owned(),
                "correct the address in the configuration",
            ),
            Self::TlsFile { source, .. } => (source.to_string(), "correct the path, or the file's owner and mode"),
            Self::Credentials { .. } => (
                "its public key is not in the bus's user list, or the seed belongs to another client".to_owned(),
                "enter this client's public key in the bus's configuration and reload the bus",
            ),
            Self::TlsHandshake { source, .. } => plain(&source.to_string()),
            Self::Silent { .. } => (
                "a server or a firewall takes the connection and says nothing".to_owned(),
                "see that nats-server runs there and is not stopped, then try again",
            ),
            Self::Unreachable { source, .. } => {
                (source.to_string(), "see that nats-server runs there, and that address, port and firewall are right")
            }
        };
        Problem { what: self.to_string(), why, fix: fix.to_owned(), code: None }
    }
}

/// Opens the library's client. Its events feed `pulse`, and end what waits in `mailbox` when they decide it.
pub(super) async fn open(
    options: &ConnectOptions,
    inbox_prefix: &str,
    pulse: &Arc<Pulse>,
    mailbox: &Arc<Mailbox>,
) -> Result<async_nats::Client, BusError> {
    let servers = addresses(&options.urls)?;
    // A daemon goes on without a bus, and says itself which file is missing.
    if let Some(tls) = options.tls.as_ref().filter(|_| !options.patient) {
        check_files(tls).await?;
    }
    let library = library_options(options, inbox_prefix, pulse, mailbox);
    let urls = options.urls.join(", ");
    if options.patient {
        // The library returns at once here and connects in the background.
        return library
            .retry_on_initial_connect()
            .connect(servers)
            .await
            .map_err(|source| BusError::Unreachable { urls, source });
    }
    let seconds = options.timeout.as_secs();
    match tokio::time::timeout(options.timeout, library.connect(servers)).await {
        Err(_) => Err(BusError::Silent { urls, seconds }),
        Ok(Err(source)) => Err(explained(source, urls, seconds)),
        Ok(Ok(client)) => Ok(client),
    }
}

fn addresses(urls: &[String]) -> Result<Vec<ServerAddr>, BusError> {
    if urls.is_empty() {
        return Err(BusError::NoAddress);
    }
    urls.iter().map(|url| url.parse().map_err(|_| BusError::Address { url: url.clone() })).collect()
}

/// The library reports an unreadable file only as a failed handshake, again and again; here it is said once and by name.
async fn check_files(tls: &Tls) -> Result<(), BusError> {
    for path in tls.files() {
        tokio::fs::read(path).await.map_err(|source| BusError::TlsFile { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn library_options(
    options: &ConnectOptions,
    inbox_prefix: &str,
    pulse: &Arc<Pulse>,
    mailbox: &Arc<Mailbox>,
) -> async_nats::ConnectOptions {
    let was_up = Arc::new(AtomicBool::new(false));
    let was_up_before = Arc::clone(&was_up);
    let (pulse, mailbox) = (Arc::clone(pulse), Arc::clone(mailbox));
    let unreached = Arc::new(Unreached::new(options.tls.clone()));
    let unreached_before = Arc::clone(&unreached);
    let mut library = async_nats::ConnectOptions::with_nkey(options.seed.expose().to_owned())
        .name(&options.name)
        .custom_inbox_prefix(inbox_prefix)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(HANDSHAKE_MAX)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(SEND_CAPACITY)
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempt| reconnect_delay(attempt, was_up_before.load(Ordering::Relaxed)))
        .event_callback(move |event| {
            if let Some(denial) = pulse.take(&event) {
                mailbox.deny(&denial.subject);
            }
            match pulse.snapshot().link {
                Link::Up => {
                    was_up.store(true, Ordering::Relaxed);
                    unreached.is_over();
                }
                Link::Down => mailbox.give_up(),
                Link::Connecting => {}
            }
            std::future::ready(())
        });
    if options.patient {
        // The place where the library shows why its last try failed; which server is next stays its own choice.
        library = library.reconnect_to_server_callback(move |servers, _| {
            unreached_before.look(&servers);
            std::future::ready(None)
        });
    }
    // Two crypto providers may be linked into one program; rustls falls over unless one is chosen. A second choice is void.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Some(tls) = &options.tls {
        library = library.require_tls(true).add_root_certificates(tls.ca.clone());
        if let Some((certificate, key)) = &tls.client {
            library = library.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    library
}

/// The library asks before the very first try too, which must not wait. After a lost connection even the first try waits
/// a little: a whole fleet lost it in the same moment.
fn reconnect_delay(attempt: usize, was_up: bool) -> Duration {
    match u32::try_from(attempt).unwrap_or(u32::MAX) {
        0 | 1 if was_up => Duration::from_millis(chance() % 250),
        0 | 1 => Duration::ZERO,
        attempt => jittered(attempt - 1, RECONNECT_MIN, RECONNECT_MAX),
    }
}

fn explained(source: async_nats::ConnectError, urls: String, seconds: u64) -> BusError {
    match source.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => BusError::Credentials { urls },
        ConnectErrorKind::Tls => BusError::TlsHandshake { urls, source },
        ConnectErrorKind::Io if is_about_tls(&source) => BusError::TlsHandshake { urls, source },
        ConnectErrorKind::TimedOut => BusError::Silent { urls, seconds },
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Dns
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => BusError::Unreachable { urls, source },
    }
}

/// A failed handshake arrives as an error of the socket, with the cause inside it.
fn is_about_tls(error: &async_nats::ConnectError) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_the_first_try_after_a_loss_is_spread() {
        assert_eq!(reconnect_delay(1, false), Duration::ZERO);
        assert!(reconnect_delay(1, true) < Duration::from_millis(250));
        assert!(reconnect_delay(2, true) >= RECONNECT_MIN);
        assert!(reconnect_delay(60, true) <= RECONNECT_MAX);
    }

    #[test]
    fn options_do_not_show_the_seed() {
        let seed = Seed::generate();
        let role = Role::Agent("a".parse().unwrap());
        let options = ConnectOptions::new(vec!["nats://127.0.0.1:1".into()], role, "home".parse().unwrap(), seed);
        assert!(!format!("{options:?}").contains(options.seed.expose()));
        assert_eq!(options.name, "agent-a");
    }

    #[test]
    fn an_address_must_be_one() {
        assert!(matches!(addresses(&[]), Err(BusError::NoAddress)));
        assert!(matches!(addresses(&["http://x:y:z".into()]), Err(BusError::Address { .. })));
        assert_eq!(addresses(&["nats://127.0.0.1:4222".into()]).unwrap().len(), 1);
    }
}
