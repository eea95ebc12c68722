//! Stories and laws of the core, told in a small deterministic world.

mod cluster;
mod laws;
mod operators;
mod queueing;
mod rounds;
mod trouble;
mod world;
