//! Processes that a story left behind: whatever names its folder, and is none that the story started itself.

use std::path::Path;

/// What is left, one line each. `known` are the story's own processes.
pub fn strays(root: &Path, known: &[u32]) -> Vec<String> {
    let root = root.display().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = ids.filter(|id| !known.contains(id) && *id != std::process::id());
    found
        .filter_map(|id| {
            let read = |name: &str| {
                let bytes = std::fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let command = read("cmdline");
            (command.contains(&root) || read("environ").contains(&root)).then(|| format!("{id}: {command}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::live::Place;
    use crate::live::process::Process;
    use crate::live::wait::{seconds, until_true};

    #[tokio::test]
    async fn a_process_that_names_the_folder_is_found_unless_it_is_known() {
        let place = Place::new("stray");
        let mut command = Command::new("sleep");
        command.arg("60").env("WHERE", place.root());
        let process = Process::start("sleep", &mut command, &place.log_of("sleep"));
        until_true("the process is found", seconds(5), || strays(place.root(), &[]).len() == 1).await;
        assert!(strays(place.root(), &[process.id()]).is_empty());
        drop(process);
        until_true("the process is gone", seconds(5), || strays(place.root(), &[]).is_empty()).await;
    }
}
