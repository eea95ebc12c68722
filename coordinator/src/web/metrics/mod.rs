//! `/metrics`: the mesh as Prometheus reads it, made from the state at each scrape, so that what is gone vanishes at once.

mod families;
mod monitors;
mod scrape;
#[cfg(test)]
mod tests;
mod text;

pub(super) use scrape::routes;
