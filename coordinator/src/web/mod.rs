//! The face for browsers and programs over HTTP: pages, the API, events, metrics and pings, all from the one read model.

mod assets;
mod door;
mod health;
mod markup;
mod pages;
mod problem;
mod server;

pub use door::Door;
pub use server::{Pages, WebError, start};
