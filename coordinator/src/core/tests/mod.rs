//! Stories and laws of the core, told in a small deterministic world.

mod chains;
mod clones;
mod cluster;
mod eras;
mod laws;
mod monitors;
mod operators;
mod queueing;
mod rehearsals;
mod rounds;
mod sight;
mod storages;
mod telling;
mod together;
mod trouble;
mod world;
