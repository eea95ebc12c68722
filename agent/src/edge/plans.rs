//! Reading `plans.d` and `targets.d`: a broken file is named and left out, and never disables the others.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::tz::TimeZone;
use landfall_proto::fact::agent::BrokenPlan;
use landfall_proto::file::{FileProblem, problem_at};
use landfall_proto::id::{RoutineName, TargetName};
use landfall_proto::plan::{Plan, Target, read_plan, read_target};

use crate::core::{Catalog, CatalogEntry};

/// Where definitions live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    pub plans: PathBuf,
    pub targets: PathBuf,
}

/// What the files say, and everything that is wrong with them.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub catalog: Catalog,
    pub targets: BTreeMap<TargetName, Target>,
    pub problems: Vec<FileProblem>,
}

/// Changes whenever a file comes, goes or changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<SystemTime>, u64)>);

/// Files read of each folder at most.
const FILES_MAX: usize = 1000;

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

impl Folders {
    /// Reads every `*.toml` of both folders.
    pub fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        let mut texts = BTreeMap::new();
        for file in files(&self.targets, &mut loaded) {
            let Some(target) = file.and_read(read_target, &mut loaded) else { continue };
            if let Some(older) = texts.insert(target.name.clone(), file.name.clone()) {
                let problem = file.problem("name", format!("{older} defines the target {} too", target.name));
                loaded.refuse(&file.name, vec![problem]);
            } else {
                loaded.targets.insert(target.name.clone(), target);
            }
        }
        let mut owners: BTreeMap<RoutineName, String> = BTreeMap::new();
        let plan_files = files(&self.plans, &mut loaded);
        for file in &plan_files {
            let Some(plan) = file.and_read(read_plan, &mut loaded) else { continue };
            match loaded.complete(file, plan, &owners) {
                Ok(entry) => {
                    owners.insert(entry.plan.name.clone(), file.name.clone());
                    loaded.catalog.plans.insert(entry.plan.name.clone(), entry);
                }
                Err(problem) => loaded.refuse(&file.name, vec![*problem]),
            }
        }
        for file in &plan_files {
            loaded.problems.extend(loaded.bad_chain(file, &owners));
        }
        loaded
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let mut seen = Vec::new();
        for folder in [&self.plans, &self.targets] {
            for path in toml_files(folder).unwrap_or_default() {
                let metadata = fs::metadata(&path).ok();
                let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
                seen.push((path, modified, metadata.map_or(0, |metadata| metadata.len())));
            }
        }
        Fingerprint(seen)
    }
}

impl Loaded {
    /// Joins a plan with its target and zone.
    fn complete(
        &self,
        file: &TextFile,
        plan: Plan,
        owners: &BTreeMap<RoutineName, String>,
    ) -> Result<CatalogEntry, Box<FileProblem>> {
        if let Some(older) = owners.get(&plan.name) {
            return Err(Box::new(file.problem("name", format!("{older} defines the plan {} too", plan.name))));
        }
        let Some(target) = self.targets.get(&plan.target).cloned() else {
            let mut problem = file.problem("target", format!("there is no usable target {}", plan.target));
            problem.fix = "write a file in targets.d with this name, or correct the name here".to_owned();
            return Err(Box::new(problem));
        };
        if target.driver != plan.driver {
            let mut problem = file
                .problem("target", format!("the target {} is for the driver {}", target.name, target.driver.as_str()));
            problem.fix = format!("name a target whose driver is {}", plan.driver.as_str());
            return Err(Box::new(problem));
        }
        let zone =
            TimeZone::get(plan.zone()).map_err(|error| Box::new(file.problem("schedule.zone", error.to_string())))?;
        Ok(CatalogEntry { plan, target, zone })
    }

    /// What is wrong with what the plan of this file builds on. The plan itself can run: only what is said of it makes no sense.
    fn bad_chain(&self, file: &TextFile, owners: &BTreeMap<RoutineName, String>) -> Option<FileProblem> {
        let (name, _) = owners.iter().find(|(_, owner)| **owner == file.name)?;
        let base_of = |name: &RoutineName| self.catalog.plans.get(name)?.plan.builds_on.as_ref();
        let base = base_of(name)?;
        let (what, fix) = if self.catalog.plans.contains_key(base) {
            // Along the bases, each at most once, whether the way leads back here.
            let way: Vec<&RoutineName> =
                std::iter::successors(Some(base), |at| base_of(at)).take(self.catalog.plans.len()).collect();
            if !way.contains(&name) {
                return None;
            }
            (
                format!("{name} builds on {base}, which builds on {name} in the end"),
                "break the circle: a base builds on nothing",
            )
        } else {
            (
                format!("there is no usable plan {base} on this node to build on"),
                "name a plan of this node, or remove it",
            )
        };
        Some(FileProblem { fix: fix.to_owned(), ..file.problem("builds_on", what) })
    }

    fn refuse(&mut self, file: &str, problems: Vec<FileProblem>) {
        let error = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        self.catalog.broken.push(BrokenPlan { file: file.to_owned(), error });
        self.problems.extend(problems);
    }
}

struct TextFile {
    name: String,
    /// As problems name it.
    shown: String,
    text: String,
}

impl TextFile {
    fn and_read<T>(&self, read: impl Fn(&str, &str) -> Result<T, Vec<FileProblem>>, loaded: &mut Loaded) -> Option<T> {
        read(&self.shown, &self.text).map_err(|problems| loaded.refuse(&self.name, problems)).ok()
    }

    fn problem(&self, key: &str, what: String) -> FileProblem {
        problem_at(&self.shown, &self.text, key, what, "give each file a name of its own")
    }
}

fn files(folder: &Path, loaded: &mut Loaded) -> Vec<TextFile> {
    let paths = match toml_files(folder) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            loaded.refuse(&file_name(folder), vec![unreadable(folder, &error)]);
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for path in paths {
        match read_bounded(&path) {
            Ok(text) => files.push(TextFile { name: file_name(&path), shown: path.display().to_string(), text }),
            Err(error) => loaded.refuse(&file_name(&path), vec![unreadable(&path, &error)]),
        }
    }
    files
}

fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    Ok(paths)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has {bytes} bytes; {FILE_BYTES_MAX} is the most")));
    }
    fs::read_to_string(path)
}

fn unreadable(path: &Path, error: &io::Error) -> FileProblem {
    FileProblem {
        file: path.display().to_string(),
        line: None,
        column: None,
        key: ".".to_owned(),
        what: format!("it cannot be read: {error}"),
        fix: "give the agent's user read access to it".to_owned(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "name = \"db\"\nsources = [\"/etc\"]\ntarget = \"disk\"\n";
    const TARGET: &str = "name = \"disk\"\ndriver = \"rustic\"\nlocation = \"/backup\"\nsecret = { file = \"/s\" }\n";

    fn folders(root: &Path, plans: &[(&str, &str)], targets: &[(&str, &str)]) -> Folders {
        let folders = Folders { plans: root.join("plans.d"), targets: root.join("targets.d") };
        fs::create_dir_all(&folders.plans).unwrap();
        fs::create_dir_all(&folders.targets).unwrap();
        for (name, text) in plans {
            fs::write(folders.plans.join(name), text).unwrap();
        }
        for (name, text) in targets {
            fs::write(folders.targets.join(name), text).unwrap();
        }
        folders
    }

    #[test]
    fn a_broken_file_never_disables_the_others() {
        let root = tempfile::tempdir().unwrap();
        let plans = [
            ("a.toml", PLAN),
            ("b.toml", "name = "),
            ("c.toml", "name = \"www\"\nsources = [\"/srv\"]\ntarget = \"nowhere\"\n"),
            ("d.toml", PLAN),
            ("notes.txt", "not a plan"),
        ];
        let loaded = folders(root.path(), &plans, &[("disk.toml", TARGET), ("x.toml", "name = \"x\"\n")]).load();
        assert_eq!(loaded.catalog.plans.keys().map(RoutineName::as_str).collect::<Vec<_>>(), ["db"]);
        let broken: Vec<&str> = loaded.catalog.broken.iter().map(|broken| broken.file.as_str()).collect();
        assert_eq!(broken, ["x.toml", "b.toml", "c.toml", "d.toml"]);
        let missing = loaded.problems.iter().find(|problem| problem.file.ends_with("c.toml")).unwrap();
        assert_eq!((missing.key.as_str(), missing.line), ("target", Some(3)));
        assert!(loaded.catalog.broken[3].error.contains("a.toml defines the plan db too"));
    }

    #[test]
    fn missing_folders_are_empty_ones() {
        let loaded = Folders { plans: "/nonexistent/p".into(), targets: "/nonexistent/t".into() }.load();
        assert!(loaded.catalog.plans.is_empty() && loaded.problems.is_empty());
    }

    #[test]
    fn a_changed_file_changes_the_fingerprint() {
        let root = tempfile::tempdir().unwrap();
        let folders = folders(root.path(), &[("a.toml", PLAN)], &[]);
        let before = folders.fingerprint();
        assert_eq!(before, folders.fingerprint());
        fs::write(folders.plans.join("a.toml"), format!("{PLAN}# longer\n")).unwrap();
        assert_ne!(before, folders.fingerprint());
        fs::remove_file(folders.plans.join("a.toml")).unwrap();
        assert_eq!(folders.fingerprint(), Fingerprint::default());
    }

    #[test]
    fn a_plan_that_builds_on_nothing_or_in_a_circle_is_named_and_runs_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let plan = |name: &str, base: &str| {
            format!("name = \"{name}\"\nsources = [\"/etc\"]\ntarget = \"disk\"\nbuilds_on = \"{base}\"\n")
        };
        let (wal, first, second, fine) =
            (plan("wal", "gone"), plan("one", "two"), plan("two", "one"), plan("fine", "db"));
        let files = [("db.toml", PLAN), ("f.toml", &fine), ("w.toml", &wal), ("x.toml", &first), ("y.toml", &second)];
        let loaded = folders(root.path(), &files, &[("disk.toml", TARGET)]).load();
        assert_eq!((loaded.catalog.plans.len(), loaded.catalog.broken.len()), (5, 0));
        let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].contains("w.toml:4") && said[0].contains("no usable plan gone"), "{said:#?}");
        assert!(said[1].contains("x.toml") && said[1].contains("one in the end"), "{said:#?}");
    }
}
