//! The language of the mesh. Every word that travels is defined here, and nothing here looks at a clock, a disk or a socket;
//! the one exception, the door to the bus, stands behind the feature `bus`.

pub mod alert;
#[cfg(feature = "bus")]
pub mod bus;
pub mod calendar;
pub mod card;
pub mod codec;
pub mod command;
pub mod control;
pub mod doubt;
pub mod envelope;
pub mod fact;
pub mod file;
pub mod id;
pub mod limit;
pub mod live;
pub mod metrics;
pub mod monitor;
pub mod overview;
pub mod plan;
pub mod protection;
mod reason;
pub mod rehearsal;
pub mod report;
pub mod retention;
#[cfg(feature = "schema")]
mod schema;
pub mod subject;
pub mod time;
pub mod verdict;
pub mod version;
pub mod view;
