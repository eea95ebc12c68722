//! What comes from outside, each kind as one function of bytes that must never panic: the fuzzer calls it with what it invents,
//! a test with a fixed corpus and its mutations.
//!
//! A body does more than parse: what was accepted is written and read again, and must be the same.

mod calendar;
mod control;
mod driver;
mod envelope;
mod facts;
mod files;
mod signed;

/// A door of the mesh.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also the name of its corpus folder and of its fuzzing program.
    pub name: &'static str,
    pub body: fn(&[u8]),
}

/// Every door.
pub const TARGETS: &[Target] = &[
    Target { name: "envelope", body: envelope::body },
    Target { name: "facts", body: facts::body },
    Target { name: "calendar", body: calendar::body },
    Target { name: "files", body: files::body },
    Target { name: "driver", body: driver::body },
    Target { name: "signed", body: signed::body },
    Target { name: "control", body: control::body },
];

/// Runs one target by its name; a name that is none is a mistake of the caller.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("{name:?} is no target"));
    (target.body)(bytes);
}

/// The first line as text, and the rest: how an input says which of several it is.
fn headed(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// Reads bytes as a `T`, and what is written from it again, which must be the same bytes from then on.
fn settles<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8], max: usize) -> Option<T> {
    use landfall_proto::codec::{decode, encode};
    let value: T = decode(bytes, max).ok()?;
    let once = encode(&value);
    // Named fields may make it longer than what was read.
    let again: T = decode(&once, usize::MAX).unwrap_or_else(|refusal| panic!("what was written is refused: {refusal}"));
    assert_eq!(encode(&again), once, "what was read is written differently each time");
    Some(value)
}
