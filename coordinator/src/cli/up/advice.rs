//! What to try next: commands to copy, each for one thing worth seeing.

use std::path::Path;

use landfall_proto::id::NodeId;

use super::place::Place;

/// The lines to print.
pub(super) fn advice(place: &Place, program: &Path, nodes: &[NodeId], pages: &str) -> Vec<String> {
    let landfall = quoted(program);
    let (repository, password) = (quoted(&place.repository()), quoted(&place.password()));
    let restic = format!("RESTIC_PASSWORD_FILE={password} restic -r {repository}");
    let mut lines = vec![
        "It stays up; Ctrl-C ends what it started. In another terminal:".to_owned(),
        format!("  export LANDFALL_CONTEXT={}", quoted(&place.operator())),
    ];
    let mut add = |what: &str, command: String| {
        lines.push(String::new());
        lines.push(format!("  # {what}"));
        lines.push(format!("  {command}"));
    };
    let config = quoted(&place.coordinator().join("coordinator.toml"));
    add(
        &format!("the pages are at {pages}/; this makes a link by which you become a user of them"),
        format!("{landfall} user --config {config} invite"),
    );
    add("the mesh in one glance, and every fact as it comes", format!("{landfall} status; {landfall} watch"));
    add("another round, with its verdict", format!("{landfall} start nightly --follow"));
    if let Some(node) = nodes.last() {
        let what = format!(
            "freeze {node}, start a round without it, then kill it: it comes back, and its run ends exactly once"
        );
        let pid = quoted(&place.mark(node.as_str()));
        add(
            &what,
            format!(
                "p=$(head -n 1 {pid}); kill -STOP $p; {landfall} start nightly --follow & sleep 3; kill -9 $p; wait"
            ),
        );
    }
    add(
        "what is there, and a restore, with nothing but restic",
        format!("{restic} snapshots && {restic} restore latest --target landfall-restored"),
    );
    add(
        "break the repository: the check finds it (begin again with an empty --state afterwards)",
        format!(
            "f=$(find {repository}/data -type f | head -n 1); chmod u+w \"$f\"; truncate -s -1 \"$f\"; {landfall} start nightly --task check --follow; {landfall} alerts"
        ),
    );
    lines
}

/// A word for the shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:,@%".contains(letter);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_copied_whatever_the_folder_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(&folder.path().join("it's here")).unwrap();
        let text = advice(&place, Path::new("/bin/landfall"), &["node-2".parse().unwrap()], "http://x").join("\n");
        assert!(text.contains(r"it'\''s here/pid/node-2')"), "{text}");
        assert!(text.contains(r"it'\''s here/repository' snapshots"), "{text}");
        assert_eq!(quoted(Path::new("/a/b-1.c")), "/a/b-1.c");
    }
}
