//! The fixed corpus, and thousands of deterministic mutations of it, on every target. What ever made one panic stays here.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use landfall_fuzz_targets::{TARGETS, Target};

/// Mutations of all inputs of one target together.
const MUTATIONS: usize = 6000;

/// A mutation is made of at most so many changes.
const CHANGES_MAX: u64 = 6;

/// Bytes that readers treat in a way of their own: MessagePack's markers, signs of numbers, quotes, line ends.
const TELLING: &[u8] = &[
    0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xca, 0xcb, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc,
    0xdd, 0xde, 0xdf, 0xe0, 0xff, b'"', b'\\', b'\n', b'-', b'9', b'0', b'.', b'*', b'/', b'~', b'[', b'{', b':', b'@',
];

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target.name)
}

/// Every input, with its name, in an order that does not depend on the machine.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("{}: {error}", target.name));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .chain(golden(target))
        .collect();
    inputs.sort();
    inputs
}

/// The messages of every kind, as peers of all versions write them.
fn golden(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto/tests/golden/v1");
    let samples = fs::read_dir(folder).unwrap().flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (group, kind) = name.strip_suffix(".hex")?.split_once('.').unwrap_or(("", name.strip_suffix(".hex")?));
        let heads = match (target.name, group) {
            ("facts", "agent" | "coordinator") => format!("{kind}\n"),
            ("facts", "") if kind != "envelope" && kind != "signed_command" => format!("{kind}\n"),
            ("envelope", "") if kind == "envelope" => String::new(),
            ("signed", "command" | "answer") => String::new(),
            ("signed", "") if kind == "signed_command" => String::new(),
            ("control", "request" | "reply") => String::new(),
            _ => return None,
        };
        let hex: String = fs::read_to_string(entry.path()).unwrap().split_whitespace().collect();
        let body = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        Some((name.clone(), heads.into_bytes().into_iter().chain(body).collect()))
    });
    samples.collect()
}

/// Numbers that follow from the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % (bound.max(1) as u64)).unwrap()
    }
}

fn mutated(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(usize::try_from(CHANGES_MAX).unwrap()) {
        let place = dice.below(bytes.len() + 1);
        match dice.below(8) {
            0 if place < bytes.len() => bytes[place] ^= 1 << dice.below(8),
            1 if place < bytes.len() => bytes[place] = TELLING[dice.below(TELLING.len())],
            2 => bytes.insert(place, TELLING[dice.below(TELLING.len())]),
            3 if place < bytes.len() => drop(bytes.remove(place)),
            4 => bytes.truncate(place),
            // A piece twice, many times, or of another input.
            5 => {
                let piece = bytes[place..bytes.len().min(place + 1 + dice.below(12))].to_vec();
                let times = 1 + dice.below(40);
                bytes.splice(place..place, piece.repeat(times));
            }
            6 => {
                let from = dice.below(other.len() + 1);
                let piece = &other[from..other.len().min(from + 1 + dice.below(40))];
                bytes.splice(place..place, piece.iter().copied());
            }
            _ => bytes.splice(place..place, format!("{}", u64::MAX >> dice.below(64)).into_bytes()).for_each(drop),
        }
    }
    bytes
}

/// Runs one input; one that panics is kept, so that it can be put into the corpus once its cause is mended.
fn survives(target: &Target, name: &str, bytes: &[u8]) {
    let body = target.body;
    if catch_unwind(|| body(bytes)).is_err() {
        let kept = std::env::temp_dir().join(format!("landfall-fuzz-{}-{}", target.name, std::process::id()));
        fs::write(&kept, bytes).unwrap();
        panic!("{} panics at {name}; the input is kept in {}", target.name, kept.display());
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = inputs(target);
    assert!(inputs.len() >= 5, "the corpus of {name} has {} inputs", inputs.len());
    for (name, bytes) in &inputs {
        survives(target, name, bytes);
    }
    let mut dice = Dice(20_261_121);
    for number in 0..MUTATIONS {
        let (name, input) = &inputs[number % inputs.len()];
        let (_, other) = &inputs[dice.below(inputs.len())];
        let bytes = mutated(input, other, &mut dice);
        survives(target, &format!("mutation {number} of {name}"), &bytes);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_has_a_program() {
            let replayed = [$(stringify!($name)),*];
            for target in TARGETS {
                assert!(replayed.contains(&target.name), "{} is not replayed", target.name);
                let program = format!("../fuzz_targets/{}.rs", target.name);
                let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(program)).unwrap();
                assert!(text.contains(&format!("\"{}\"", target.name)), "the program of {} runs another", target.name);
            }
            assert_eq!(replayed.len(), TARGETS.len());
        }
    };
}

targets! { envelope facts calendar files driver signed control }
