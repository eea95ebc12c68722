//! The house rules that neither the compiler nor the linter can check. Each says why it is there.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Longer files hold more than one idea.
const LINES_MAX: usize = 400;

const ROOMS: [&str; 4] = ["proto", "agent", "coordinator", "chaos"];

/// What a core may use besides itself: values, and ways to make them. No clock, no chance, nothing that waits.
const CORE_MAY_USE: [&str; 12] = [
    "std",
    "core",
    "crate",
    "self",
    "super",
    "landfall_proto",
    "serde",
    "uuid",
    "jiff",
    "blake3",
    "thiserror",
    "proptest",
];

const CORE_MUST_NOT_NAME: [&str; 10] = [
    "tokio",
    "async fn",
    "rand::",
    "std::time::Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "HashMap",
    "std::fs",
    "std::net",
];

const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "manager", "misc"];

/// A source file: its path from the repository's root, its text, and its text without tests.
struct File {
    path: String,
    text: String,
    code: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn files() -> Vec<File> {
    let root = root();
    let mut files: Vec<File> = ROOMS
        .iter()
        .flat_map(|room| WalkDir::new(root.join(room)))
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| {
            let path = entry.path().strip_prefix(&root).unwrap().display().to_string();
            let text = fs::read_to_string(entry.path()).unwrap();
            let code = if is_test(&path) { String::new() } else { without_tests(&text) };
            File { path, text, code }
        })
        .collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(files.len() > 50, "expected the whole repository at {}", root.display());
    files
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Unit tests stand at the file's end.
fn without_tests(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// Code without comments; a comment may name what code may not.
fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn demand(rule: &str, why: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}: {why}\n  {}", offenders.join("\n  "));
}

#[test]
fn subjects_are_spelled_in_one_file() {
    let words = ["\"lf.", "\"lf\"", "fact.node", "fact.coord", "$JS", "$SYS", "$KV", "\"_INBOX"];
    let mut found = Vec::new();
    for file in files() {
        let is_home = file.path == "proto/src/subject.rs";
        for word in words.iter().filter(|word| !is_home && without_comments(&file.code).contains(*word)) {
            found.push(format!("{} spells {word}", file.path));
        }
    }
    demand("every subject comes from proto/src/subject.rs", "permissions are generated from the same values", &found);
}

#[test]
fn a_core_is_a_room_without_windows() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| is_core(&file.path) && !is_test(&file.path)) {
        let code = without_comments(&file.code);
        for line in code.lines().map(str::trim) {
            let Some(path) = line.strip_prefix("use ").or_else(|| line.strip_prefix("pub use ")) else { continue };
            let first = path.split([':', ';', ' ']).next().unwrap_or_default();
            let is_own_module = code.contains(&format!("mod {first};"));
            if !CORE_MAY_USE.contains(&first) && !is_own_module {
                found.push(format!("{} uses {first}", file.path));
            }
        }
        let named = CORE_MUST_NOT_NAME.iter().filter(|word| code.contains(*word));
        found.extend(named.map(|word| format!("{} names {word}", file.path)));
    }
    demand("a core takes values and gives values", "only so can it be replayed and simulated", &found);
}

/// The laws judge what happened from values alone, as the cores decide from values alone.
fn is_core(path: &str) -> bool {
    path.contains("/src/core/") || path.contains("/src/audit/")
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let long = |file: &&File| !is_test(&file.path) && file.code.lines().count() > LINES_MAX;
    let found: Vec<String> = files()
        .iter()
        .filter(long)
        .map(|file| format!("{} has {} lines", file.path, file.code.lines().count()))
        .collect();
    demand("a file has at most 400 lines without its tests", "a longer one holds more than one idea", &found);
}

#[test]
fn every_file_says_what_it_is_for() {
    let found: Vec<String> =
        files().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path).collect();
    demand("every file opens with a sentence", "a reader should know where he is", &found);
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let says_nothing = |file: &File| {
        let path = Path::new(&file.path).with_extension("");
        path.components().any(|part| EMPTY_NAMES.contains(&part.as_os_str().to_string_lossy().as_ref()))
    };
    let found: Vec<String> = files().into_iter().filter(says_nothing).map(|file| file.path).collect();
    demand("a module is named after its idea", "such names collect what belongs nowhere", &found);
}

#[test]
fn every_file_is_part_of_a_program() {
    let root = root();
    let mut reached = BTreeSet::new();
    let mut next: Vec<PathBuf> = Vec::new();
    let is_package = |folder: &PathBuf| folder.join("Cargo.toml").is_file();
    let folders =
        ROOMS.iter().flat_map(|room| WalkDir::new(root.join(room))).flatten().map(walkdir::DirEntry::into_path);
    for package in folders.filter(is_package) {
        let at = |path: &str| package.join(path);
        next.extend(["src/lib.rs", "src/main.rs"].map(at));
        for folder in ["tests", "src/bin", "benches", "examples", "fuzz_targets"] {
            for entry in fs::read_dir(at(folder)).into_iter().flatten().flatten() {
                next.extend([entry.path(), entry.path().join("main.rs")]);
            }
        }
    }
    while let Some(path) = next.pop() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if path.extension().is_none_or(|extension| extension != "rs") || !reached.insert(path.clone()) {
            continue;
        }
        next.extend(children(&path, &text));
    }
    let is_dead = |file: &File| !reached.contains(&root.join(&file.path));
    let found: Vec<String> = files().into_iter().filter(is_dead).map(|file| file.path).collect();
    demand("every file is reached by a `mod` line", "code that no compiler reads is a rumour", &found);
}

/// The files that a file's `mod` lines mean.
fn children(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_root =
        folder.ends_with("tests") || folder.ends_with("bin") || ["lib", "main", "mod"].contains(&stem.as_str());
    let below = if is_root { folder.to_owned() } else { folder.join(&stem) };
    let names = text.lines().filter_map(|line| {
        // Whoever may see a module, it is one.
        let at = line.trim_start().starts_with("pub").then(|| line.find(" mod ")).flatten();
        let line = at.map_or(line, |at| &line[at..]).trim();
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.flat_map(|name| [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")]).collect()
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME", "XXX"];
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.path != "chaos/tests/tidy.rs") {
        found.extend(
            words.iter().filter(|word| file.text.contains(*word)).map(|word| format!("{} has {word}", file.path)),
        );
    }
    demand("nothing is left for later", "what is not done is not there", &found);
}

#[test]
fn every_script_stops_at_its_first_mistake() {
    let root = root();
    let scripts = ["deploy", ".ci"]
        .iter()
        .flat_map(|folder| WalkDir::new(root.join(folder)))
        .flatten()
        .filter(|entry| entry.file_type().is_file());
    let mut found = Vec::new();
    for entry in scripts {
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let is_script = text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("sh"));
        if is_script && !text.contains("\nset -eu") {
            found.push(entry.path().strip_prefix(&root).unwrap().display().to_string());
        }
    }
    demand("every script has `set -eu`", "a script that goes on after a mistake makes it worse", &found);
}

#[test]
fn every_path_that_the_readme_names_is_there() {
    let root = root();
    let Ok(text) = fs::read_to_string(root.join("README.md")) else { panic!("expected a README.md") };
    let starts: Vec<String> =
        ROOMS.iter().chain(&["deploy", ".ci", ".cargo", ".config"]).map(|room| format!("{room}/")).collect();
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted
        .map(|words| words.split_whitespace().next().unwrap_or_default())
        .filter(|word| starts.iter().any(|start| word.starts_with(start)));
    let found: Vec<String> = paths
        .flat_map(expanded)
        .filter(|path| !path.contains(['*', '<', '…', '$']) && !root.join(path).exists())
        .collect();
    demand("every path in the README exists", "a map with holes leads astray", &found);
}

/// `core/{step,mesh}.rs` means two files.
fn expanded(word: &str) -> Vec<String> {
    match word.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?))) {
        Some((head, (names, tail))) => {
            names.split(',').flat_map(|name| expanded(&format!("{head}{}{tail}", name.trim()))).collect()
        }
        None => vec![word.to_owned()],
    }
}
