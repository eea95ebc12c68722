//! What can go wrong with users, for a person to read.

use std::io;
use std::path::PathBuf;

use landfall_proto::control::Problem;

use super::role::UserName;

/// Why somebody is not let in, or a user is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the users' file {path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the users' file {path} is not what was written")]
    Damaged { path: PathBuf, why: String },
    #[error("the users' file {path} cannot be written")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("there is a user {0} already")]
    Exists(UserName),
    #[error("there is no user {0}")]
    NoUser(UserName),
    #[error("{user} has no token {token}")]
    NoToken { user: UserName, token: String },
    #[error("this password cannot be used")]
    Password(&'static str),
    #[error("there are too many {0} already")]
    TooMany(&'static str),
    #[error("this link is good no longer")]
    NoInvite,
    #[error("the system gives no random numbers")]
    Random,
    #[error("a password cannot be hashed")]
    Hash(String),
    #[error("too many people log in at this moment")]
    Busy,
}

impl AccessError {
    /// The error for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        let (why, fix) = match self {
            Self::Unreadable { source, .. } => (
                source.to_string(),
                "see that this user may read it; nobody is let in meanwhile. Verbs of `landfall user` run as the coordinator's user",
            ),
            Self::Damaged { why, .. } => (
                why.clone(),
                "put back a copy of it, or move it away: the next start of the coordinator shows a link for a first admin",
            ),
            Self::Unwritable { source, .. } => {
                (source.to_string(), "see that state_dir is writable for this user and has space, then try again")
            }
            Self::Exists(_) => ("names are unique".to_owned(), "choose another name, or change that user"),
            Self::NoUser(_) => (
                "nobody of this name was added here".to_owned(),
                "`landfall user list` shows who is; each coordinator has its own",
            ),
            Self::NoToken { .. } => {
                ("it was revoked, or never made".to_owned(), "`landfall user token list` shows what there is")
            }
            Self::Password(why) => ((*why).to_owned(), "choose another one; several words are good"),
            Self::TooMany(_) => ("the number is bounded".to_owned(), "remove some that nobody uses"),
            Self::NoInvite => (
                "it was used, has expired, or was never made".to_owned(),
                "`landfall user invite` on the coordinator's machine makes another one",
            ),
            Self::Random => ("it refused".to_owned(), "see the coordinator's journal, then try again"),
            Self::Hash(why) => (why.clone(), "see that memory is not exhausted, then try again"),
            Self::Busy => ("only a few passwords are checked at once".to_owned(), "try again in a moment"),
        };
        Problem { what: self.to_string(), why, fix: fix.to_owned(), code: None }
    }
}
