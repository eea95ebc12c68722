//! Every subject of the mesh as a value; no other file spells one.

use std::fmt;
use std::str::FromStr;

use crate::id::{ClusterName, Holder, NodeId, RunId};

/// What a message's address means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Agent to log, durable.
    NodeFact(NodeId),
    /// Coordinator to log, durable: leader claims and decisions.
    CoordinatorFact(Holder),
    /// Coordinator to agent, request and reply.
    Command(NodeId),
    /// Coordinator to agent: durable watermark, resend request, queued runs.
    Sync(NodeId),
    /// Leader to all.
    Beacon,
    /// Agent to coordinators: vitals, live run ids.
    Beat(NodeId),
    /// Agent to whoever looks: progress.
    Live(NodeId, RunId),
    /// Agent to whoever looks: output lines.
    Out(NodeId, RunId),
    /// Operator to coordinator, request and reply; verbs that begin with `peer.` are asked by one coordinator of another.
    Control(String),
}

/// An address on the bus: a cluster and a topic in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    pub cluster: ClusterName,
    pub topic: Topic,
}

/// A text that is no subject of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a subject of the mesh")]
pub struct SubjectError(String);

const ROOT: &str = "lf";

impl Subject {
    pub fn new(cluster: &ClusterName, topic: Topic) -> Self {
        Self { cluster: cluster.clone(), topic }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{ROOT}.{}.", self.cluster)?;
        match &self.topic {
            Topic::NodeFact(node) => write!(formatter, "fact.node.{node}"),
            Topic::CoordinatorFact(holder) => write!(formatter, "fact.coord.{holder}"),
            Topic::Command(node) => write!(formatter, "cmd.{node}"),
            Topic::Sync(node) => write!(formatter, "sync.{node}"),
            Topic::Beacon => formatter.write_str("beacon"),
            Topic::Beat(node) => write!(formatter, "beat.{node}"),
            Topic::Live(node, run) => write!(formatter, "live.{node}.{run}"),
            Topic::Out(node, run) => write!(formatter, "out.{node}.{run}"),
            Topic::Control(verb) => write!(formatter, "ctl.{verb}"),
        }
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        parse(text).ok_or_else(|| SubjectError(text.chars().take(300).collect()))
    }
}

fn parse(text: &str) -> Option<Subject> {
    let tokens: Vec<&str> = text.split('.').collect();
    let (root, rest) = tokens.split_first()?;
    let (cluster, rest) = rest.split_first()?;
    if *root != ROOT {
        return None;
    }
    let topic = match rest {
        ["fact", "node", node] => Topic::NodeFact(node.parse().ok()?),
        ["fact", "coord", holder] => Topic::CoordinatorFact(holder.parse().ok()?),
        ["cmd", node] => Topic::Command(node.parse().ok()?),
        ["sync", node] => Topic::Sync(node.parse().ok()?),
        ["beacon"] => Topic::Beacon,
        ["beat", node] => Topic::Beat(node.parse().ok()?),
        ["live", node, run] => Topic::Live(node.parse().ok()?, run.parse().ok()?),
        ["out", node, run] => Topic::Out(node.parse().ok()?, run.parse().ok()?),
        ["ctl", verb] if is_verb(verb) => Topic::Control((*verb).to_owned()),
        ["ctl", "peer", verb] if is_verb(verb) => Topic::Control(format!("peer.{verb}")),
        _ => return None,
    };
    Some(Subject { cluster: cluster.parse().ok()?, topic })
}

fn is_verb(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Wildcard filters: what a reader of the mesh subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The whole log.
    Facts,
    Beats,
    Live,
    Out,
    Control,
}

impl Filter {
    pub fn of(self, cluster: &ClusterName) -> String {
        let tail = match self {
            Self::Facts => "fact.>",
            Self::Beats => "beat.*",
            Self::Live => "live.*.*",
            Self::Out => "out.*.*",
            Self::Control => "ctl.*",
        };
        format!("{ROOT}.{cluster}.{tail}")
    }
}

/// The log's stream.
pub fn stream_name(cluster: &ClusterName) -> String {
    format!("LF_{cluster}")
}

/// Where the bus itself reports that a client went away; heard only by users of its system account.
pub const DISCONNECTS: &str = "$SYS.ACCOUNT.*.DISCONNECT";

/// Prefix of the reply subjects of the system account's user that hears [`DISCONNECTS`].
pub const WATCH_INBOX_PREFIX: &str = "_INBOX_watch";

/// Who a client is on the bus; decides its inbox and its permissions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Agent(NodeId),
    Coordinator,
    Operator,
}

impl Role {
    /// Prefix of this client's reply subjects. Underscores cannot occur in a node id, so no node can take another's inbox.
    pub fn inbox_prefix(&self) -> String {
        match self {
            Self::Agent(node) => format!("_INBOX_node_{node}"),
            Self::Coordinator => "_INBOX_coordinator".to_owned(),
            Self::Operator => "_INBOX_operator".to_owned(),
        }
    }

    /// What this client may publish and subscribe to; everything else the bus refuses.
    pub fn permissions(&self, cluster: &ClusterName) -> Permissions {
        let inbox = format!("{}.>", self.inbox_prefix());
        let at = |tail: &str| format!("{ROOT}.{cluster}.{tail}");
        let stream = stream_name(cluster);
        let read_log = [
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
            format!("$JS.API.CONSUMER.CREATE.{stream}"),
            format!("$JS.API.CONSUMER.INFO.{stream}.*"),
            format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
            format!("$JS.API.STREAM.MSG.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}.>"),
            "$JS.API.INFO".to_owned(),
        ];
        match self {
            Self::Agent(node) => Permissions {
                publish: vec![
                    at(&format!("fact.node.{node}")),
                    at(&format!("beat.{node}")),
                    at(&format!("live.{node}.*")),
                    at(&format!("out.{node}.*")),
                ],
                subscribe: vec![at(&format!("cmd.{node}")), at(&format!("sync.{node}")), at("beacon"), inbox],
                replies: true,
            },
            Self::Coordinator => Permissions {
                publish: [
                    at("fact.coord.*"),
                    at("cmd.*"),
                    at("sync.*"),
                    at("beacon"),
                    at("ctl.peer.*"),
                    format!("$JS.API.STREAM.CREATE.{stream}"),
                    "$JS.FC.>".to_owned(),
                    "$JS.ACK.>".to_owned(),
                ]
                .into_iter()
                .chain(read_log)
                .collect(),
                subscribe: vec![at("beat.*"), at("ctl.*"), at("ctl.peer.*"), at("beacon"), at("live.*.*"), inbox],
                replies: true,
            },
            Self::Operator => Permissions {
                publish: [at("ctl.*"), "$JS.FC.>".to_owned(), "$JS.ACK.>".to_owned()]
                    .into_iter()
                    .chain(read_log)
                    .collect(),
                subscribe: vec![at("fact.>"), at("beacon"), at("beat.*"), at("live.*.*"), at("out.*.*"), inbox],
                replies: false,
            },
        }
    }
}

/// Subject permissions of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
    /// Whether it may answer requests, once each, for a short time.
    pub replies: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn topic() -> impl Strategy<Value = Topic> {
        let node = "[a-z0-9][a-z0-9-]{0,20}".prop_map(|text| text.parse::<NodeId>().unwrap());
        let run = any::<u128>().prop_map(|value| RunId(Uuid::from_u128(value)));
        prop_oneof![
            node.clone().prop_map(Topic::NodeFact),
            node.clone().prop_map(|node| Topic::CoordinatorFact(node.as_str().parse().unwrap())),
            node.clone().prop_map(Topic::Command),
            node.clone().prop_map(Topic::Sync),
            Just(Topic::Beacon),
            node.clone().prop_map(Topic::Beat),
            (node.clone(), run.clone()).prop_map(|(node, run)| Topic::Live(node, run)),
            (node, run).prop_map(|(node, run)| Topic::Out(node, run)),
            "(peer\\.)?[a-z_]{1,20}".prop_map(Topic::Control),
        ]
    }

    proptest! {
        #[test]
        fn every_subject_is_read_back(topic in topic()) {
            let subject = Subject { cluster: "home".parse().unwrap(), topic };
            prop_assert_eq!(subject.to_string().parse::<Subject>(), Ok(subject));
        }

        #[test]
        fn no_text_makes_the_parser_fall(text in ".{0,80}") {
            let _ = text.parse::<Subject>();
        }
    }

    #[test]
    fn an_agent_may_not_touch_its_neighbour_or_the_log() {
        let cluster: ClusterName = "home".parse().unwrap();
        let permissions = Role::Agent("a".parse().unwrap()).permissions(&cluster);
        let all = permissions.publish.iter().chain(&permissions.subscribe);
        for subject in all {
            assert!(!subject.starts_with("$JS"), "{subject}");
            assert!(!subject.contains("fact.>") && !subject.contains("cmd.*"), "{subject}");
        }
    }
}
