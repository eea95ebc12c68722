//! What landed stays, until an operator's signed deed takes it away.

use crate::audit::{Case, Law, Violation};

pub(super) struct MonotoneSafety;

const NAME: &str = "monotone-safety";

impl Law for MonotoneSafety {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "No snapshot disappears from a repository by a deed of the mesh that no operator signed."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.history.repositories.is_empty().then_some("listings of repositories")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = Vec::new();
        for (id, repository) in &case.history.repositories {
            let removed = repository.removed.iter().filter(|(_, is_explained)| !is_explained);
            for (snapshot, _) in removed.filter(|(snapshot, _)| !repository.taken.contains(snapshot)) {
                let what =
                    format!("snapshot {snapshot} disappeared from the repository {id}, and nobody had asked for it");
                found.push(Violation::new(NAME, what));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::RepositoryTrace;
    use crate::audit::story::{Story, repository};

    #[test]
    fn a_snapshot_goes_only_when_it_is_told_to() {
        let mut story = Story::morning();
        let removed = |is_explained| vec![("s1".to_owned(), is_explained)];
        let trace = RepositoryTrace { removed: removed(true), ..RepositoryTrace::default() };
        story.history.repositories.insert(repository(), trace);
        story.keeps(&MonotoneSafety);
        let trace = story.history.repositories.get_mut(&repository()).unwrap();
        trace.removed = removed(false);
        let mut stolen = story.clone();
        story.breaks(&MonotoneSafety, "s1 disappeared");
        stolen.history.repositories.get_mut(&repository()).unwrap().taken.insert("s1".to_owned());
        stolen.keeps(&MonotoneSafety);
    }
}
