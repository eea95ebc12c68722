//! Another time of day for one process: a library shifts its clock, by an offset in a file that may change while it runs.

use std::path::PathBuf;

use crate::live::process::find_fetched;
use crate::live::{Node, Place};

/// Where Debian puts the library.
const INSTALLED: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The library, where it can be had.
pub fn library() -> Option<PathBuf> {
    let installed = || Some(PathBuf::from(INSTALLED)).filter(|path| path.is_file());
    find_fetched("LANDFALL_FAKETIME", "faketime/lib/libfaketime.so.1").or_else(installed)
}

/// One node's own clock.
#[derive(Debug)]
pub struct Hours {
    file: PathBuf,
}

impl Hours {
    /// A clock that shows the true time.
    pub fn new(place: &Place, name: &str) -> Self {
        Self { file: place.file(&format!("hours/{name}"), "+0s\n") }
    }

    /// The node reads this clock; timers keep the true pace.
    pub fn given_to(&self, node: Node) -> Node {
        let library = library().unwrap_or_else(|| panic!("expected libfaketime"));
        node.variable("LD_PRELOAD", &library.display().to_string())
            .variable("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string())
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("FAKETIME_NO_CACHE", "1")
    }

    /// Steps the clock to the true time and so many seconds.
    pub fn step(&self, seconds: i64) {
        // Written beside it and moved: the reader never sees half a number.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}s\n")).expect("the story's folder can be written");
        std::fs::rename(&next, &self.file).expect("the story's folder can be written");
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shifted_process_sees_another_day_and_its_neighbour_does_not() {
        let Some(library) = library() else {
            eprintln!("not shown on this machine: libfaketime is not there");
            return;
        };
        let place = Place::new("hours");
        let hours = Hours::new(&place, "a");
        let seen = |is_shifted: bool| -> i64 {
            let mut command = Command::new("date");
            command.arg("+%s");
            if is_shifted {
                command.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", &hours.file);
            }
            String::from_utf8(command.output().unwrap().stdout).unwrap().trim().parse().unwrap()
        };
        hours.step(-86_400);
        assert!((86_395..=86_405).contains(&(seen(false) - seen(true))));
        hours.step(0);
        assert!((seen(false) - seen(true)).abs() < 5);
    }
}
