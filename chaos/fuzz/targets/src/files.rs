//! Plan and target files: a person's mistakes end in sentences, never in a panic.

use landfall_proto::file::FileProblem;
use landfall_proto::plan::{read_plan, read_target};

pub(crate) fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read_plan("plan.toml", text) {
        Ok(plan) => {
            let kept = super::settles::<landfall_proto::plan::Plan>(&landfall_proto::codec::encode(&plan), usize::MAX);
            assert_eq!(kept.map(|kept| kept.hash()), Some(plan.hash()), "a plan is stored as what it is");
            let _ = (plan.lock(), plan.zone());
        }
        Err(problems) => say(&problems, text),
    }
    if let Err(problems) = read_target("target.toml", text) {
        say(&problems, text);
    }
}

fn say(problems: &[FileProblem], text: &str) {
    assert!(!problems.is_empty(), "a refusal has a reason");
    let lines = text.matches('\n').count() + 1;
    for problem in problems {
        assert!(!problem.what.is_empty() && !problem.to_string().is_empty());
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "line {:?} of {lines}", problem.line);
    }
}
