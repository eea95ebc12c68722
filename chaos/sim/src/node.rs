//! One node in the world: its machine, its line to the bus, and what the world remembers of it.

use std::collections::BTreeMap;

use landfall_proto::envelope::Identity;
use landfall_proto::id::NodeId;
use landfall_proto::live::Beat;
use landfall_proto::time::{Duration, Timestamp};

use crate::bus::Link;
use crate::fault::AgentPlace;
pub use crate::host::{
    Behaviour, Host, HostFault, HostSpec, In, Out, Place, Power, Repositories, RepositoryFault, Told3, ToolKind,
};

/// A machine with its surroundings.
pub struct Node {
    pub id: NodeId,
    pub host: Host,
    pub link: Link,
    /// Which life of the process this is.
    pub life: u64,
    /// The earliest wake-up in the queue.
    pub woken_at: Option<Timestamp>,
    /// Published facts whose confirmation is waited for, with the number of the attempt.
    pub awaiting: BTreeMap<Identity, u64>,
    pub attempts: u64,
    pub last_beat: Option<Beat>,
    /// Whether this is the copy of another machine; it ends with the fault.
    pub is_copy: bool,
    /// Whether it was switched off for good: no start that was under way brings it back.
    pub is_off: bool,
    /// Which definition of its plans it has: changed ones count up.
    pub definition: u32,
    /// How long it stays away where it dies at a boundary inside itself.
    pub away: Duration,
    /// Since when it has been down.
    pub down_since: Option<Timestamp>,
}

impl Node {
    pub fn new(host: Host, link: Link, is_copy: bool) -> Self {
        Self {
            id: host.node().clone(),
            host,
            link,
            life: 0,
            woken_at: None,
            awaiting: BTreeMap::new(),
            attempts: 0,
            last_beat: None,
            is_copy,
            is_off: false,
            definition: 0,
            away: Duration::from_secs(10),
            down_since: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.host.is_up()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Node").field("id", &self.id).field("life", &self.life).finish_non_exhaustive()
    }
}

impl From<AgentPlace> for Place {
    fn from(place: AgentPlace) -> Self {
        match place {
            AgentPlace::BeforeIntent => Self::BeforeIntent,
            AgentPlace::BeforeCommit => Self::BeforeCommit,
            AgentPlace::AfterCommit => Self::AfterCommit,
            AgentPlace::BetweenEffects => Self::BetweenEffects,
            AgentPlace::IntentWritten => Self::IntentWritten,
            AgentPlace::AfterIntent => Self::AfterIntent,
            AgentPlace::AfterSpawn => Self::AfterSpawn,
            AgentPlace::WhileToolRuns => Self::WhileToolRuns,
            AgentPlace::AfterSave => Self::AfterSave,
            AgentPlace::BeforeReceipt => Self::BeforeReceipt,
            AgentPlace::ReceiptWritten => Self::ReceiptWritten,
            AgentPlace::AfterReceipt => Self::AfterReceipt,
            AgentPlace::AfterPublish => Self::AfterPublish,
            AgentPlace::AfterAck => Self::AfterAck,
        }
    }
}
