//! The simulator: the real cores of agents and coordinators under one seeded clock, with everything around them modelled.
//!
//! A [`options::Plan`] is one run written out: its world and its bad luck. [`world::World`] lets it happen, [`run`] judges it.

pub mod bus;
pub mod cli;
pub mod coordinator;
pub mod dice;
pub mod fault;
pub mod generate;
pub mod hits;
pub mod host;
pub mod law;
pub mod minimise;
pub mod mutant;
pub mod node;
pub mod options;
pub mod report;
pub mod round;
pub mod run;
pub mod script;
pub mod seeds;
pub mod trace;
pub mod world;
