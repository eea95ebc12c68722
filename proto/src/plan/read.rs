//! Reading plan and target files, with every error placed: file, line, key path, and what to do.

use super::{DriverName, Plan, Target};
use crate::card::Card;
use crate::file::{FileProblem, problem_at, read_toml};

/// What shows every key.
const SAMPLE: &str = "`landfall-agent plan example` shows every key";

/// Reads a plan and checks everything that can be checked without looking at the machine.
pub fn read_plan(file: &str, text: &str) -> Result<Plan, Vec<FileProblem>> {
    let plan: Plan = read_toml(file, text, SAMPLE).map_err(|problem| vec![*problem])?;
    let problems = Finder { file, text, problems: Vec::new() }.plan(&plan);
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// Reads a target and checks everything that can be checked without looking at the machine.
pub fn read_target(file: &str, text: &str) -> Result<Target, Vec<FileProblem>> {
    let target: Target = read_toml(file, text, SAMPLE).map_err(|problem| vec![*problem])?;
    let problems = Finder { file, text, problems: Vec::new() }.target(&target);
    if problems.is_empty() { Ok(target) } else { Err(problems) }
}

/// Collects what is wrong with a file that has the right shape; all of it, not the first.
struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<FileProblem>,
}

impl Finder<'_> {
    fn plan(mut self, plan: &Plan) -> Vec<FileProblem> {
        if let Some(schedule) = &plan.schedule
            && jiff::tz::TimeZone::get(&schedule.zone).is_err()
        {
            self.add(
                "schedule.zone",
                format!("{:?} is not a time zone", schedule.zone),
                "write an IANA name such as \"Europe/Berlin\" or \"UTC\"",
            );
        }
        for (index, source) in plan.sources.iter().enumerate() {
            self.path(&format!("sources[{index}]"), source);
        }
        if plan.driver == DriverName::Rustic && plan.sources.is_empty() {
            self.add("sources", "no source is named".to_owned(), "name at least one absolute path");
        }
        match (plan.driver, &plan.command) {
            (DriverName::Command, None) => self.add(
                "command",
                "the driver `command` has no [command] table".to_owned(),
                "add `[command]` with `program` and `[command.evidence]`",
            ),
            (DriverName::Rustic, Some(_)) => self.add(
                "command",
                "only the driver `command` reads a [command] table".to_owned(),
                "remove it, or write driver = \"command\"",
            ),
            (DriverName::Command, Some(_)) => self.command(plan),
            (DriverName::Rustic, None) => {}
        }
        if plan.builds_on.as_ref() == Some(&plan.name) {
            self.add(
                "builds_on",
                "a plan cannot build on itself".to_owned(),
                "name the routine that makes the base, or remove it",
            );
        }
        self.figures(plan);
        for problem in plan.card.iter().flat_map(Card::problems) {
            let key = if problem.key == "." { "card".to_owned() } else { format!("card.{}", problem.key) };
            self.add(&key, problem.what, problem.fix);
        }
        self.problems
    }

    fn command(&mut self, plan: &Plan) {
        let Some(command) = &plan.command else { return };
        self.program("command.program", &command.program, true);
        self.program("command.check_program", &command.check_program, false);
        self.program("command.evidence.program", &command.evidence.program, false);
        match (&command.evidence.path, command.evidence.program.is_empty()) {
            (Some(path), true) => self.path("command.evidence.path", path),
            (None, false) => {}
            (Some(_), false) => {
                self.add("command.evidence", "both `path` and `program` are given".to_owned(), "keep one of them")
            }
            (None, true) => self.add(
                "command.evidence",
                "nothing proves that the program left something".to_owned(),
                "give `path` or `program`; an exit code alone is never success",
            ),
        }
        if command.evidence.max_bytes.is_some_and(|max| max < command.evidence.min_bytes) {
            self.add(
                "command.evidence.max_bytes",
                "it is smaller than `min_bytes`".to_owned(),
                "make it larger, or remove it",
            );
        }
        for code in command.exit.keys() {
            if code.parse::<u8>().is_err() {
                self.add(
                    &format!("command.exit.{code}"),
                    format!("{code:?} is not an exit code"),
                    "write a number from 0 to 255",
                );
            }
        }
    }

    fn figures(&mut self, plan: &Plan) {
        if plan.limits.nice > 19 {
            self.add(
                "limits.nice",
                format!("{} is more than 19", plan.limits.nice),
                "write 0 (as others) to 19 (last)",
            );
        }
        if plan.retries.attempts == 0 || plan.retries.attempts > 20 {
            self.add(
                "retries.attempts",
                format!("{} attempts are not possible", plan.retries.attempts),
                "write 1 (no retry) to 20",
            );
        }
        if plan.deadlines.finish_within < plan.deadlines.start_within {
            self.add(
                "deadlines.finish_within",
                "it is shorter than `start_within`".to_owned(),
                "make it longer: both count from the slot",
            );
        }
        if plan.deadlines.stall_after.as_ms() < 1000 {
            self.add(
                "deadlines.stall_after",
                "less than a second would end every run".to_owned(),
                "write at least \"1s\"",
            );
        }
        if plan.guards.slow_factor.is_nan() || plan.guards.slow_factor <= 1.0 {
            self.add("guards.slow_factor", "it must be above 1".to_owned(), "write 2.0 for \"twice as long as usual\"");
        }
        if plan.guards.shrink_percent == 0 || plan.guards.shrink_percent > 100 {
            self.add(
                "guards.shrink_percent",
                "it must be from 1 to 100".to_owned(),
                "write 50 for \"half as much as usual\"",
            );
        }
        if plan.check.is_some_and(|check| check.data_parts == Some(0)) {
            self.add(
                "check.data_parts",
                "the data cannot be split into 0 parts".to_owned(),
                "write 1 to read all data each time, or 52 to read it over a year of weeks",
            );
        }
    }

    fn target(mut self, target: &Target) -> Vec<FileProblem> {
        let remote = target.driver == DriverName::Rustic && target.location.starts_with("rest:");
        if !remote {
            self.path("location", &target.location);
        }
        if target.driver == DriverName::Rustic && target.secret.is_none() {
            self.add(
                "secret",
                "the repository's password is not named".to_owned(),
                "add `secret = { file = \"/etc/landfall/secrets/NAME\" }`",
            );
        }
        if target.free_percent_min > 95 {
            self.add(
                "free_percent_min",
                "more than 95 would refuse almost every disk".to_owned(),
                "write 20, or 0 for no such check",
            );
        }
        self.problems
    }

    fn program(&mut self, key: &str, program: &[String], required: bool) {
        match program.first() {
            None if required => {
                self.add(key, "no program is named".to_owned(), "write [\"/absolute/path\", \"argument\"]")
            }
            None => {}
            Some(path) => self.path(&format!("{key}[0]"), path),
        }
        if program.iter().any(|part| part.contains('\0')) {
            self.add(key, "an argument contains a NUL".to_owned(), "remove it");
        }
    }

    fn path(&mut self, key: &str, path: &str) {
        if !path.starts_with('/') {
            self.add(key, format!("{path:?} is not an absolute path"), "start it with /");
        } else if path.contains(['\0', '\n']) {
            self.add(key, "the path contains a NUL or a line end".to_owned(), "remove it");
        } else if path.split('/').any(|part| part == "..") {
            self.add(key, format!("{path:?} contains \"..\""), "write the path without it");
        }
    }

    fn add(&mut self, key: &str, what: String, fix: &str) {
        self.problems.push(problem_at(self.file, self.text, key, what, fix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "nightly"
sources = ["/etc", "/home"]
target = "main"

[schedule]
calendar = "*-*-* 02:00"
zone = "Europe/Berlin"
"#;

    #[test]
    fn a_short_plan_is_enough() {
        let plan = read_plan("nightly.toml", GOOD).unwrap();
        assert_eq!(plan.driver, DriverName::Rustic);
        assert_eq!(plan.deadlines.finish_within.to_string(), "8h");
        assert_eq!(plan.hash(), read_plan("b", &GOOD.replace("02:00", "02:00:00")).unwrap().hash());
        assert_ne!(plan.hash(), read_plan("b", &GOOD.replace("/home", "/srv")).unwrap().hash());
    }

    #[test]
    fn a_wrong_value_is_shown_with_line_and_key() {
        let problems = read_plan("nightly.toml", &GOOD.replace("*-*-* 02:00", "daily 04:00")).unwrap_err();
        assert_eq!(problems[0].line, Some(7));
        assert_eq!(problems[0].key, "schedule.calendar");
        let problems = read_plan("nightly.toml", &GOOD.replace("zone", "zome")).unwrap_err();
        assert!(problems[0].what.contains("zome"), "{problems:?}");
        assert_eq!(problems[0].line, Some(8));
    }

    #[test]
    fn a_plan_builds_on_another_and_not_on_itself() {
        let builds_on = |name: &str| format!("builds_on = {name:?}{GOOD}");
        let plan = read_plan("nightly.toml", &builds_on("base")).unwrap();
        assert_eq!(plan.builds_on, Some("base".parse().unwrap()));
        assert_ne!(plan.hash(), read_plan("b", GOOD).unwrap().hash(), "it is part of the definition");
        let problems = read_plan("nightly.toml", &builds_on("nightly")).unwrap_err();
        assert_eq!((problems[0].key.as_str(), problems[0].line), ("builds_on", Some(1)));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let text = GOOD.replace("Berlin", "Berlim").replace("\"/etc\"", "\"etc\"") + "[retries]\nattempts = 0\n";
        let problems = read_plan("nightly.toml", &text).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["schedule.zone", "sources[0]", "retries.attempts"]);
        assert_eq!(problems[0].line, Some(8));
        assert_eq!(problems[1].line, Some(3));
    }

    #[test]
    fn a_card_is_checked_with_its_plan() {
        let text = GOOD.to_owned() + "[card]\nowner = \"Ann\"\nrunbook = \"wiki\"\nrto = \"4h\"\n";
        let problems = read_plan("nightly.toml", &text).unwrap_err();
        assert_eq!((problems[0].key.as_str(), problems[0].line), ("card.runbook", Some(11)));
        let plan = read_plan("nightly.toml", &text.replace("\"wiki\"", "\"https://wiki.example\"")).unwrap();
        assert_eq!(plan.card.as_ref().and_then(|card| card.owner.as_deref()), Some("Ann"));
        let without = read_plan("nightly.toml", GOOD).unwrap();
        assert_ne!(plan.hash(), without.hash());
        assert!(read_plan("nightly.toml", &(GOOD.to_owned() + "[card]\nownre = \"Ann\"\n")).is_err());
    }

    #[test]
    fn a_command_needs_proof() {
        let text = "name = \"dump\"\ndriver = \"command\"\ntarget = \"disk\"\n[command]\nprogram = [\"/bin/true\"]\n[command.evidence]\n";
        let problems = read_plan("dump.toml", text).unwrap_err();
        assert_eq!(problems[0].key, "command.evidence");
        assert!(problems[0].fix.contains("never success"));
    }
}
