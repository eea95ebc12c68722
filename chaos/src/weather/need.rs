//! What a case needs of the machine, and the plain word where the machine does not give it.

use std::process::{Command, Stdio};

use super::hours;
use crate::live::node::is_root;

/// Something that not every machine allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// File systems of a given size: root, and the right to mount.
    Mounts,
    /// Networks of one's own, joined by a pair of virtual cards.
    Networks,
    /// A library that shifts a program's clock.
    Clock,
}

impl Need {
    /// Why this machine does not give it.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Mounts | Self::Networks if !is_root() => Some("it needs root".to_owned()),
            Self::Mounts => refused("unshare", &["-m", "mount", "-t", "tmpfs", "none", "/mnt"]),
            // Tried in a network that ends with the trial.
            Self::Networks => refused("unshare", &["-n", "ip", "link", "add", "lf-try", "type", "veth"])
                .or_else(|| refused("ip", &["netns", "list"])),
            Self::Clock => match hours::library() {
                Some(_) => None,
                None => Some("libfaketime is not there; do: deploy/tools.sh faketime".to_owned()),
            },
        }
    }
}

fn refused(program: &str, arguments: &[&str]) -> Option<String> {
    let tried = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Some(format!("{program} {}: {said}", arguments.join(" ")))
        }
        Err(error) => Some(format!("{program} cannot be started: {error}")),
    }
}
