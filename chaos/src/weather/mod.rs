//! Bad weather for a mesh of real processes: named cases with seeds, each judged by its own expectations and by every law.

pub mod case;
pub mod cases;
pub mod diary;
pub mod dice;
pub mod disk;
pub mod heard;
pub mod history;
pub mod hours;
pub mod judge;
pub mod mesh;
pub mod need;
pub mod network;
pub mod report;
pub mod rest;
pub mod run;
pub mod store;
pub mod stray;
pub mod witness;

pub use case::{Case, Weather};
pub use diary::{Counts, Diary, Voice};
pub use dice::Dice;
pub use need::Need;
pub use report::Report;
pub use run::{Ending, Manner, Told, tell};
