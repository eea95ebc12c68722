//! Listening, and what every answer has in common.

mod connection;
mod layers;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum_server::Handle;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use hyper_util::rt::TokioTimer;
use landfall_proto::control::Problem;
use landfall_proto::id::ClusterName;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_http::compression::CompressionLayer;

use super::access::{self, Access, AccessError};
use super::api;
use super::door::Door;
use super::events::{Hub, Listening};
use super::health;
use super::metrics;
use super::pages;
use super::ping::{self, Flood};
use super::problem::Details;
use super::tls::{self, Secured, TlsError};
use crate::config::{Config, PublicUrl, WebConfig, WebTls};
use connection::Gate;
pub(in crate::web) use layers::authority;

/// Bytes of a request's body at most.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Everything before a request's body has to arrive within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of a request's head at most.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEAD_LIST_BYTES_MAX: u32 = 32 * 1024;

/// Requests and streams at once on one connection of HTTP/2.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;

/// How often a silent connection of HTTP/2 is asked whether it still is one, and how long it may take to say so.
const ASKED_EVERY: Duration = Duration::from_secs(30);
const SAID_WITHIN: Duration = Duration::from_secs(10);

/// Answers on their way may take so long to leave when the coordinator ends.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What every handler can reach.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) door: Door,
    pub(super) cluster: ClusterName,
    pub(super) access: Arc<Access>,
    pub(super) front: Arc<Front>,
    pub(super) events: Hub,
    pub(super) pings: Arc<Flood>,
    /// True once the pages are about to end; streams end with them.
    pub(super) ending: watch::Receiver<bool>,
}

/// How the pages look from outside.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) public_url: Option<PublicUrl>,
    /// Whether `/metrics` needs no token.
    pub(super) metrics_open: bool,
    /// Without TLS of its own.
    pub(super) is_plain: bool,
    /// With a certificate that was given, so that browsers may insist on it.
    pub(super) is_trusted_tls: bool,
    /// Scheme, address and port that are listened at.
    pub(super) listens_at: String,
}

impl Front {
    /// The address of a page as a person types it.
    pub(super) fn link(&self, path: &str) -> String {
        let origin = self.public_url.as_ref().map_or(&self.listens_at, |url| &url.origin);
        format!("{origin}{path}")
    }

    /// Whether browsers reach the pages over TLS, here or at a proxy.
    pub(super) fn is_https(&self) -> bool {
        !self.is_plain || self.public_url.as_ref().is_some_and(|url| url.is_https)
    }
}

/// Whose pages these are, and where their own files lie.
#[derive(Debug, Clone)]
pub struct Home {
    pub cluster: ClusterName,
    pub state_dir: PathBuf,
}

impl Home {
    pub fn of(config: &Config) -> Self {
        Self { cluster: config.cluster.clone(), state_dir: config.state_dir.clone() }
    }

    /// The folder of everything that belongs to the pages.
    pub(crate) fn folder(state_dir: &Path) -> PathBuf {
        state_dir.join("web")
    }
}

/// Why there are no pages.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("{address} cannot be listened at")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl WebError {
    /// The error for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Listen { source, .. } => Problem {
                what: self.to_string(),
                why: source.to_string(),
                fix: "end what listens there, or set another `listen` in [web]; `ss -ltnp` shows who does".to_owned(),
                code: None,
            },
            Self::Tls(error) => error.problem(),
            Self::Access(error) => error.problem(),
        }
    }
}

/// The pages while they are served; dropping it ends them at once.
#[derive(Debug)]
pub struct Pages {
    pub address: SocketAddr,
    /// Where they are found, as a person types it.
    pub url: String,
    handle: Handle<SocketAddr>,
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
    _renewal: Option<tls::Renewal>,
    _listening: Listening,
    #[cfg(test)]
    events: Hub,
}

impl Pages {
    /// Pages that somebody has open.
    #[cfg(test)]
    pub(crate) fn open_for_test(&self) -> usize {
        self.events.pages_open()
    }

    /// Lets answers on their way leave, and ends.
    pub async fn end(mut self) {
        self.ending.send_replace(true);
        self.handle.graceful_shutdown(Some(END_WITHIN));
        if tokio::time::timeout(END_WITHIN * 2, &mut self.task).await.is_err() {
            tracing::warn!("the pages did not end in time");
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.task.abort();
    }
}

/// Listens, and serves from then on.
pub async fn start(web: &WebConfig, home: Home, door: Door) -> Result<Pages, WebError> {
    let refused = |source| WebError::Listen { address: web.listen, source };
    let folder = Home::folder(&home.state_dir);
    let secured = tls::secure(web, &folder)?;
    let listener = TcpListener::bind(web.listen).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let scheme = if secured.is_some() { "https" } else { "http" };
    let front = Arc::new(Front {
        public_url: web.public_url.clone(),
        metrics_open: web.metrics_open,
        is_plain: secured.is_none(),
        is_trusted_tls: matches!(web.tls, WebTls::Files { .. }),
        listens_at: format!("{scheme}://{address}"),
    });
    let access = Arc::new(Access::open(&folder)?);
    access::invite_the_first(&access, &front).await?;
    let (ending, is_ending) = watch::channel(false);
    let url = front.link("");
    let (events, listening) = Hub::start(door.clone());
    #[cfg(test)]
    let seen = events.clone();
    let pings = Arc::default();
    let site = Site { door, cluster: home.cluster, access, front, events, pings, ending: is_ending };
    let handle = Handle::new();
    let (task, renewal) = serve(listener, secured, routes(site), handle.clone()).map_err(refused)?;
    tracing::info!(%address, url, "pages, API and metrics are served");
    Ok(Pages {
        address,
        url,
        handle,
        ending,
        task,
        _renewal: renewal,
        _listening: listening,
        #[cfg(test)]
        events: seen,
    })
}

type Served = (JoinHandle<()>, Option<tls::Renewal>);

fn serve(
    listener: TcpListener,
    secured: Option<Secured>,
    router: Router,
    handle: Handle<SocketAddr>,
) -> io::Result<Served> {
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEAD_LIST_BYTES_MAX)
        .keep_alive_interval(ASKED_EVERY)
        .keep_alive_timeout(SAID_WITHIN);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let ended = |served: io::Result<()>| {
        if let Err(error) = served {
            tracing::error!(%error, "the pages are no longer served");
        }
    };
    Ok(match secured {
        None => {
            let server = server.acceptor(Gate::new(DefaultAcceptor::new()));
            (tokio::spawn(async move { ended(server.serve(service).await) }), None)
        }
        Some(secured) => {
            let server = server.acceptor(Gate::new(RustlsAcceptor::new(secured.config.clone())));
            (tokio::spawn(async move { ended(server.serve(service).await) }), secured.renewal())
        }
    })
}

fn routes(site: Site) -> Router {
    let front = Arc::clone(&site.front);
    Router::new()
        .merge(health::routes())
        .merge(access::routes())
        .merge(api::routes())
        .merge(pages::routes(&site))
        .merge(metrics::routes())
        .merge(ping::routes())
        .fallback(|uri: Uri| async move { Details::not_found(uri.path()) })
        .method_not_allowed_fallback(|| async { wrong_method() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(site.clone(), access::guard))
        .layer(CompressionLayer::new())
        .layer(from_fn(layers::deadline))
        .layer(from_fn_with_state(Arc::clone(&front), layers::host))
        .layer(from_fn_with_state(front, layers::headers))
        .with_state(site)
}

fn wrong_method() -> Details {
    let problem = Problem {
        what: "this cannot be done here".to_owned(),
        why: "the address exists, and takes another method".to_owned(),
        fix: "the header `Allow` names the methods; /api/v1/openapi.json describes every one".to_owned(),
        code: None,
    };
    Details::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", &problem)
}
