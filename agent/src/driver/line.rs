//! The line that starts a driver's program, fit for being shown: what looks like a secret is struck.

use std::path::Path;

use landfall_proto::plan::{DriverName, Plan, Target};
use landfall_proto::report::TaskKind;

use crate::edge::redact::Redactor;

/// What stands where a secret may have stood.
const STRUCK: &str = "***";

/// In the name of an option these say that its value is a secret…
const SECRETS: [&str; 10] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "api-key", "api_key", "access-key", "credential"];

/// …except where the value only says where the secret is found.
const PLACES: [&str; 6] = ["file", "command", "cmd", "path", "program", "env"];

/// A program with its arguments and the names of the variables that the plan sets for it. The target's secret is in none
/// of them: it comes as a line on standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    pub words: Vec<String>,
    pub variables: Vec<String>,
}

/// What a run of this task would start; no words where it would start nothing.
pub(crate) fn command_line(plan: &Plan, target: &Target, task: TaskKind, exe: &Path) -> CommandLine {
    let words = match (plan.driver, task, &plan.command) {
        (DriverName::Rustic, ..) => vec![exe.display().to_string(), "worker".to_owned()],
        (DriverName::Command, TaskKind::Backup, Some(command)) => command.program.clone(),
        (DriverName::Command, TaskKind::Check, Some(command)) => command.check_program.clone(),
        (DriverName::Command, _, None) => Vec::new(),
    };
    let mut redactor = Redactor::default();
    // A password in the target's address may be an argument as well.
    let location = crate::worker::protocol::Location(target.location.clone());
    redactor.hide(location.url_password().unwrap_or_default());
    let words = masked(&words).iter().map(|word| redactor.redact(word)).collect();
    let variables = plan.command.iter().flat_map(|command| command.environment.keys().cloned()).collect();
    CommandLine { words, variables }
}

/// The words with the value of each option struck whose name says that it is a secret.
fn masked(words: &[String]) -> Vec<String> {
    let mut is_value = false;
    let mask = |word: &String| {
        if std::mem::take(&mut is_value) && !word.starts_with('-') {
            return STRUCK.to_owned();
        }
        match word.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={STRUCK}"),
            Some(_) => word.clone(),
            None => {
                is_value = word.starts_with('-') && is_secret(word);
                word.clone()
            }
        }
    };
    words.iter().map(mask).collect()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|part| name.contains(part)) && !PLACES.iter().any(|place| name.ends_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        masked(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn the_value_of_an_option_that_is_a_secret_is_struck_in_both_ways_of_writing_it() {
        assert_eq!(shown(&["dump", "--password=hunter2", "-v"]), "dump --password=*** -v");
        assert_eq!(shown(&["dump", "--api-key", "hunter2", "db"]), "dump --api-key *** db");
        assert_eq!(shown(&["env", "PGPASSWORD=hunter2", "pg_dump"]), "env PGPASSWORD=*** pg_dump");
        assert_eq!(shown(&["dump", "--token", "--all", "x"]), "dump --token --all x");
    }

    #[test]
    fn what_only_says_where_a_secret_is_and_what_is_none_stays() {
        for line in ["dump --password-file /etc/pw", "dump --password-command=pass x", "tar --exclude=secret-cave"] {
            assert_eq!(shown(&line.split(' ').collect::<Vec<_>>()), line);
        }
    }
}
