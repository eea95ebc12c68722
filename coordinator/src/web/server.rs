//! Listening, and what every answer has in common.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::Uri;
use landfall_proto::control::Problem;
use landfall_proto::id::ClusterName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::door::Door;
use super::health;
use super::metrics;
use super::problem::Details;
use crate::config::{Config, WebConfig};

/// What every handler can reach.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) door: Door,
    pub(super) cluster: ClusterName,
}

/// Why there are no pages.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("{address} cannot be listened at")]
    Listen { address: SocketAddr, source: io::Error },
}

impl WebError {
    /// The error for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Listen { source, .. } => Problem {
                what: self.to_string(),
                why: source.to_string(),
                fix: "end what listens there, or set another `listen` in [web]; `ss -ltnp` shows who does".to_owned(),
            },
        }
    }
}

/// The pages while they are served; dropping it ends them.
#[derive(Debug)]
pub struct Pages {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens, and serves from then on.
pub async fn start(web: &WebConfig, config: &Config, door: Door) -> Result<Pages, WebError> {
    let refused = |source| WebError::Listen { address: web.listen, source };
    let listener = TcpListener::bind(web.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let router = routes(Site { door, cluster: config.cluster.clone() });
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the pages are no longer served");
        }
    });
    tracing::info!(%address, "pages, API and metrics are served");
    Ok(Pages { address, task })
}

fn routes(site: Site) -> Router {
    Router::new()
        .merge(health::routes())
        .merge(metrics::routes())
        .fallback(|uri: Uri| async move { Details::not_found(uri.path()) })
        .with_state(site)
}
