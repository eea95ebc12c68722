//! The plan and the target that every node of `up` has: the same sources, into one repository that they share.

use std::path::{Path, PathBuf};

use super::files::quoted;
use super::place::Place;

/// A plan over the sources, without the state folder itself, which changes while it is read.
pub(super) fn plan_text(sources: &[PathBuf], state: &Path) -> String {
    let list = |paths: Vec<String>| paths.iter().map(|path| format!("  {path},\n")).collect::<String>();
    format!(
        "# A plan: what is backed up, where to, and when. Yours to edit; `landfall-agent plan example` shows every key.\n\
         name = \"nightly\"\n\
         sources = [\n{}]\n\
         excludes = [\n{}]\n\
         target = \"shared\"\n\n\
         [schedule]\ncalendar = \"*-*-* 02:00\"\n\n\
         [check]\nevery = \"7d\"\ndata_parts = 8\n",
        list(sources.iter().map(|source| quoted(source)).collect()),
        list(excludes(sources, state).iter().map(|pattern| quoted(Path::new(pattern))).collect()),
    )
}

/// The repository that all nodes share, made by the first of them.
pub(super) fn target_text(place: &Place) -> String {
    format!(
        "# A target: where a plan's backups go, as this node knows it.\n\
         name = \"shared\"\ndriver = \"rustic\"\nlocation = {}\ncreate = true\nstorage = \"shared\"\nsecret = {{ file = {} }}\nfree_percent_min = 5\n",
        quoted(&place.repository()),
        quoted(&place.password()),
    )
}

/// Absolute patterns: the state folder, and what cargo builds below a source, which can be built again.
fn excludes(sources: &[PathBuf], state: &Path) -> Vec<String> {
    let mut excludes = vec![pattern(state)];
    excludes.extend(
        sources
            .iter()
            .filter(|source| source.join("Cargo.toml").exists())
            .map(|source| pattern(&source.join("target"))),
    );
    excludes
}

/// A path as a glob that means only itself.
fn pattern(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::plan::{read_plan, read_target};

    #[test]
    fn the_plan_leaves_out_the_state_and_what_cargo_builds() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        let state = folder.path().join(".land[fall]");
        let text = plan_text(&[folder.path().to_owned(), other.path().to_owned()], &state);
        let plan = read_plan("nightly.toml", &text).unwrap();
        assert_eq!(plan.sources, [folder.path().to_str().unwrap(), other.path().to_str().unwrap()]);
        let root = folder.path().display();
        assert_eq!(plan.excludes, [format!(r"{root}/.land\[fall\]"), format!("{root}/target")]);
        assert!(plan.schedule.is_some() && plan.check.is_some());
    }

    #[test]
    fn the_target_makes_its_repository_and_names_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join("state")).unwrap();
        let target = read_target("shared.toml", &target_text(&place)).unwrap();
        assert!(target.create && target.secret.is_some());
        assert_eq!(target.location, place.repository().to_str().unwrap());
    }
}
