//! Every recorded story happens again exactly as it was recorded.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::path::{Path, PathBuf};

use landfall_sim::script::{Story, difference};

/// Fewer stories do not tell what the mesh is for.
const STORIES_MIN: usize = 25;

/// Stories at once.
const WORKERS: usize = 4;

fn stories() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// What differs in the stories that fall to this worker.
fn differences(stories: &[(PathBuf, String)], worker: usize) -> Vec<String> {
    let mut other = Vec::new();
    for (path, text) in stories.iter().skip(worker).step_by(WORKERS) {
        let happened = Story::read(text).and_then(|story| story.play());
        let happened = happened.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        other.extend(difference(text, &happened).map(|text| format!("{}\n{text}", path.display())));
    }
    other
}

#[test]
fn every_story_happens_as_it_was_recorded() {
    let stories = stories();
    let other: Vec<String> = std::thread::scope(|scope| {
        let all = &stories;
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || differences(all, worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let all = other.join("\n");
    assert!(other.is_empty(), "- recorded, + happened; cargo sim scenario --record FILE takes it over\n{all}");
}

#[test]
fn there_are_many_stories_and_each_says_why_it_exists() {
    let stories = stories();
    assert!(stories.len() >= STORIES_MIN, "{} stories are too few", stories.len());
    for (path, text) in stories {
        let story = Story::read(&text).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        let sentences = story.reason().matches(". ").count() + 1;
        assert!(
            story.reason().ends_with('.') && sentences <= 3,
            "{} opens with one to three sentences",
            path.display()
        );
    }
}

#[test]
fn every_story_ends_with_the_laws_and_keeps_them() {
    for (path, text) in stories() {
        let story = Story::read(&text).unwrap();
        assert!(story.ends_with_laws(), "{} does not look at the laws", path.display());
        assert!(text.trim_end().ends_with("all promises kept"), "{} records a broken promise", path.display());
    }
}
