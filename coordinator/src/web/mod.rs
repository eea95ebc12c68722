//! The face for browsers and programs over HTTP: pages, the API, events, metrics and pings, all from the one read model.

pub(crate) mod access;
mod api;
mod assets;
mod door;
mod events;
mod health;
mod markup;
mod metrics;
mod pages;
mod ping;
mod problem;
mod server;
mod tls;

pub use access::{AccessError, UserName};
pub use door::Door;
pub use server::{Home, Pages, WebError, start};
pub use tls::TlsError;
