//! Identities: every id and every name is a type of its own, and ids are derived where they can be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::report::TaskKind;
use crate::time::Timestamp;

/// Longest accepted name, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Root of all derived ids; changing it would give every slot a second round.
const NAMESPACE: Uuid =
    Uuid::from_bytes([0x6c, 0x61, 0x6e, 0x64, 0x66, 0x61, 0x6c, 0x6c, 0x80, 0x00, 0x6d, 0x65, 0x73, 0x68, 0x00, 0x01]);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a {what}: use {NAME_BYTES_MAX} characters at most out of {allowed}, starting with a letter or digit"
)]
pub struct NameError {
    what: &'static str,
    allowed: &'static str,
    text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:literal, $extra:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                let extra: &[u8] = $extra;
                let good = text.len() <= NAME_BYTES_MAX
                    && text.bytes().next().is_some_and(plain)
                    && text.bytes().all(|byte| plain(byte) || extra.contains(&byte));
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(NAME_BYTES_MAX * 2).collect();
                    Err(NameError { what: $what, allowed: $allowed, text })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of one mesh: a token in every subject.
    ClusterName, "cluster name", "a-z, 0-9 and -", b"-"
);
name!(
    /// One machine with an agent; chosen at install and stable. Host names are aliases, never identity.
    NodeId, "node id", "a-z, 0-9 and -", b"-"
);
name!(
    /// One coordinator process's name, unique in its cluster.
    Holder, "coordinator name", "a-z, 0-9 and -", b"-"
);
name!(
    /// The name that all plans of one routine share.
    RoutineName, "routine name", "a-z, 0-9, dot, - and _", b"-_."
);
name!(
    /// A destination as one node calls it.
    TargetName, "target name", "a-z, 0-9, dot, - and _", b"-_."
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// One mesh-wide execution. Derived from its slot; drawn (v7) when an operator opens it.
    RoundId
);
uuid_id!(
    /// One node's part of a round. Always derived, so that deciding twice is deciding once.
    RunId
);
uuid_id!(
    /// One life of one journal: a new one begins only where the old journal cannot be continued.
    Incarnation
);
uuid_id!(
    /// One command; receivers remember it, so that a repeat is harmless.
    CommandId
);

impl RoundId {
    /// The round of a routine's slot.
    pub fn of_slot(cluster: &ClusterName, routine: &RoutineName, slot: Timestamp) -> Self {
        Self(derive(&["round", cluster.as_str(), routine.as_str(), &slot.to_string()]))
    }
}

impl RunId {
    /// The run of one node and task in a round.
    pub fn of(round: RoundId, node: &NodeId, task: TaskKind) -> Self {
        Self(derive(&["run", &round.to_string(), node.as_str(), task.as_str()]))
    }
}

impl CommandId {
    /// The id of the only command of this purpose for this subject; `part` tells repeated commands apart.
    pub fn of(purpose: &str, subject: Uuid, part: &str) -> Self {
        Self(derive(&["command", purpose, &subject.to_string(), part]))
    }
}

/// The identity of a fact as one id: what the bus dedupes on.
pub fn fact_id(writer: &str, incarnation: Incarnation, seq: u64) -> Uuid {
    derive(&["fact", writer, &incarnation.to_string(), &seq.to_string()])
}

/// A repository's own id, read from the destination: nodes that share one are known to share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryId(String);

impl RepositoryId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good {
            Ok(Self(text.to_owned()))
        } else {
            let text = text.chars().take(128).collect();
            Err(NameError { what: "repository id", allowed: "printable ASCII", text })
        }
    }
}

impl TryFrom<String> for RepositoryId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RepositoryId> for String {
    fn from(id: RepositoryId) -> String {
        id.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Length-prefixed parts keep `("ab","c")` and `("a","bc")` apart.
fn derive(parts: &[&str]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u32).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_and_bounded() {
        for good in ["a", "node-1", "0", &"x".repeat(63)] {
            assert!(good.parse::<NodeId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a.b", "a b", "a*", "a>", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
        assert!("db.daily_1".parse::<RoutineName>().is_ok());
    }

    #[test]
    fn the_same_slot_is_the_same_round_and_another_slot_is_not() {
        let cluster: ClusterName = "home".parse().unwrap();
        let routine: RoutineName = "nightly".parse().unwrap();
        let slot: Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let round = RoundId::of_slot(&cluster, &routine, slot);
        assert_eq!(round, RoundId::of_slot(&cluster, &routine, slot));
        assert_ne!(round, RoundId::of_slot(&cluster, &routine, later));
        let node: NodeId = "a".parse().unwrap();
        assert_ne!(RunId::of(round, &node, TaskKind::Backup), RunId::of(round, &node, TaskKind::Check));
    }
}
