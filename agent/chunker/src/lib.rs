//! Where a file is cut into chunks: the rolling fingerprint of the restic format.
//!
//! The backup engine asks a crate of this name for a fingerprint each time that it opens a file. The published crate works
//! its tables out anew every time, which is a third of the processor time of a backup of many small files; here they are
//! kept. The published crate also overlooks one byte where the engine hands over to it, so that it misses cuts in the first
//! 64 places behind a chunk's smallest size. Here the cuts are restic's own.
//!
//! The method is Rabin's: the last 64 bytes are read as a polynomial over the field of two elements, and their fingerprint
//! is what is left of it modulo an irreducible polynomial, which each repository draws once and keeps in its config.

mod polynom;
mod rabin;
mod tables;

pub use polynom::{Polynom, Polynom64};
pub use rabin::{Rabin64, RollingHash64};
