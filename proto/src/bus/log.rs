//! The log's stream: made once, checked at every start, and never trusted to be what was asked for.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{ClusterInfo, Config, DiscardPolicy, Info, RetentionPolicy, StorageType};

use super::nats::{Nats, is_without_jetstream, refusal_of};
use super::told::{BusRefusal, Told};
use crate::codec::FACT_BYTES_MAX;
use crate::subject::Filter;
use crate::time::Timestamp;

/// How long the log itself recognises a repeated id; the fold recognises it for ever.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// Room for headers beside the fact.
const HEADER_BYTES_MAX: usize = 4096;

/// What an administrator may choose about the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Most bytes the log may take; the server's own limit if `None`. A full log refuses facts, it drops none.
    pub max_bytes: Option<u64>,
    /// Copies: 1, or 3 in a cluster of servers.
    pub replicas: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { max_bytes: None, replicas: 1 }
    }
}

/// What the log is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// When the stream was made; another instant is another log.
    pub created: Timestamp,
    /// The oldest sequence it still holds; in an empty log 0 or `last_seq + 1`.
    pub first_seq: u64,
    pub last_seq: u64,
    pub messages: u64,
    pub bytes: u64,
}

/// The log and its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogInfo {
    pub state: LogState,
    /// Copies of the log.
    pub replicas: usize,
    /// Whether the answer comes from the copy that leads the others, as an only copy does. No other one shows where the log
    /// ends, or that anything is lost.
    pub is_from_leader: bool,
    pub server_version: Option<String>,
    /// Settings that differ from what was asked for without endangering anything.
    pub notes: Vec<String>,
}

/// Makes the log unless it is there, and compares what the server has with what must be.
pub(super) async fn ensure(nats: &Nats, settings: &LogSettings) -> Told<LogInfo> {
    if let Some(refusal) = too_old(nats.server_version().as_deref()) {
        return Told::Refused(refusal);
    }
    let wanted = wanted(nats, settings);
    let found = match stream_info(nats).await {
        Told::Refused(BusRefusal::NoLog { .. }) => create(nats, &wanted).await,
        found @ (Told::Done(_) | Told::Refused(_) | Told::Unknown) => found,
    };
    match found {
        Told::Done(info) => checked(nats, &wanted, &info),
        Told::Refused(refusal) => Told::Refused(refusal),
        Told::Unknown => Told::Unknown,
    }
}

/// The log's state, with no check of its settings.
pub(super) async fn info(nats: &Nats) -> Told<LogInfo> {
    stream_info(nats).await.map(|info| told_of(nats, &info, Vec::new()))
}

fn told_of(nats: &Nats, info: &Info, notes: Vec<String>) -> LogInfo {
    LogInfo {
        state: state_of(info),
        replicas: info.config.num_replicas,
        is_from_leader: info.config.num_replicas <= 1 || info.cluster.as_ref().is_some_and(is_from_leader),
        server_version: nats.server_version(),
        notes,
    }
}

/// A server names the leader, and every other server with a copy: a leader among the others is not the one who answers.
fn is_from_leader(cluster: &ClusterInfo) -> bool {
    let leader = cluster.leader.as_deref().filter(|name| !name.is_empty());
    leader.is_some_and(|leader| cluster.replicas.iter().all(|other| other.name != leader))
}

async fn stream_info(nats: &Nats) -> Told<Info> {
    let name = nats.stream_name();
    match nats.managed(nats.jetstream.get_stream(&name)).await {
        Told::Done(Ok(stream)) => Told::Done(stream.cached_info().clone()),
        Told::Done(Err(error)) => match error.kind() {
            GetStreamErrorKind::JetStream(server) => Told::Refused(refusal_of(&server, &name)),
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::Request | GetStreamErrorKind::InvalidStreamName => {
                unanswered(&error)
            }
        },
        Told::Refused(refusal) => Told::Refused(refusal),
        Told::Unknown => Told::Unknown,
    }
}

async fn create(nats: &Nats, wanted: &Config) -> Told<Info> {
    match nats.managed(nats.jetstream.create_stream(wanted.clone())).await {
        Told::Done(Ok(stream)) => Told::Done(stream.cached_info().clone()),
        Told::Done(Err(error)) => match error.kind() {
            // Another coordinator was quicker, with other settings: theirs are judged like any that were found.
            CreateStreamErrorKind::JetStream(server) if server.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                stream_info(nats).await
            }
            CreateStreamErrorKind::JetStream(server) => Told::Refused(refusal_of(&server, &wanted.name)),
            CreateStreamErrorKind::JetStreamUnavailable => {
                Told::Refused(BusRefusal::NoJetStream { detail: "nobody answers for it".to_owned() })
            }
            CreateStreamErrorKind::EmptyStreamName
            | CreateStreamErrorKind::InvalidStreamName
            | CreateStreamErrorKind::DomainAndExternalSet
            | CreateStreamErrorKind::TimedOut
            | CreateStreamErrorKind::Response
            | CreateStreamErrorKind::NotFound
            | CreateStreamErrorKind::ResponseParse => unanswered(&error),
        },
        Told::Refused(refusal) => Told::Refused(refusal),
        Told::Unknown => Told::Unknown,
    }
}

pub(super) fn unanswered<T>(error: &(dyn Error + 'static)) -> Told<T> {
    if is_without_jetstream(error) {
        return Told::Refused(BusRefusal::NoJetStream { detail: "nobody answers for it".to_owned() });
    }
    tracing::debug!(%error, "the server's management did not answer");
    Told::Unknown
}

fn wanted(nats: &Nats, settings: &LogSettings) -> Config {
    let max_bytes = settings.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    Config {
        name: nats.stream_name(),
        subjects: vec![Filter::Facts.of(&nats.cluster)],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: i32::try_from(FACT_BYTES_MAX + HEADER_BYTES_MAX).unwrap_or(i32::MAX),
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: settings.replicas,
        deny_delete: true,
        deny_purge: true,
        ..Config::default()
    }
}

fn checked(nats: &Nats, wanted: &Config, info: &Info) -> Told<LogInfo> {
    let found = &info.config;
    let dangers = dangers(wanted, found);
    if !dangers.is_empty() {
        let stream = wanted.name.clone();
        return Told::Refused(BusRefusal::LogDiffers { stream, differences: dangers.join("; ") });
    }
    Told::Done(told_of(nats, info, notes(wanted, found)))
}

/// Differences that could lose facts or mix them with foreign messages.
fn dangers(wanted: &Config, found: &Config) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, same: bool, found: String, wanted: String| {
        if !same {
            differences.push(format!("{what} is {found}, must be {wanted}"));
        }
    };
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    compare("subjects", found.subjects == wanted.subjects, text(&found.subjects), text(&wanted.subjects));
    compare("storage", found.storage == wanted.storage, text(&found.storage), text(&wanted.storage));
    compare("retention", found.retention == wanted.retention, text(&found.retention), text(&wanted.retention));
    compare("discard", found.discard == wanted.discard, text(&found.discard), text(&wanted.discard));
    compare("deny_delete", found.deny_delete, text(&found.deny_delete), text(&true));
    compare("deny_purge", found.deny_purge, text(&found.deny_purge), text(&true));
    compare("max_age", found.max_age.is_zero(), text(&found.max_age), "unlimited".to_owned());
    let fits = found.max_message_size <= 0 || found.max_message_size >= wanted.max_message_size;
    compare("max_msg_size", fits, text(&found.max_message_size), text(&wanted.max_message_size));
    differences
}

fn notes(wanted: &Config, found: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if found.max_bytes != wanted.max_bytes {
        notes.push(format!("max_bytes is {}, asked for {}", found.max_bytes, wanted.max_bytes));
    }
    if found.num_replicas != wanted.num_replicas {
        notes.push(format!("replicas are {}, asked for {}", found.num_replicas, wanted.num_replicas));
    }
    if found.duplicate_window < wanted.duplicate_window {
        notes.push(format!("the duplicate window is {} s", found.duplicate_window.as_secs()));
    }
    notes
}

fn state_of(info: &Info) -> LogState {
    LogState {
        created: timestamp(info.created.unix_timestamp_nanos()),
        first_seq: info.state.first_sequence,
        last_seq: info.state.last_sequence,
        messages: info.state.messages,
        bytes: info.state.bytes,
    }
}

/// Nanoseconds since 1970 as an instant of the mesh, in whole milliseconds.
pub(super) fn timestamp(nanoseconds: i128) -> Timestamp {
    i64::try_from(nanoseconds.div_euclid(1_000_000))
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or_default()
}

/// A server that says no readable version is given the benefit of the doubt; the echoed settings are compared anyway.
fn too_old(version: Option<&str>) -> Option<BusRefusal> {
    let version = version?;
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    ((major, minor) < (2, 10)).then(|| BusRefusal::ServerTooOld { version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PeerInfo;

    use super::*;

    #[test]
    fn servers_before_2_10_are_refused_by_name() {
        for good in ["2.10.27", "2.15.0-RC.1", "3.0.0", "strange"] {
            assert_eq!(too_old(Some(good)), None, "{good}");
        }
        let refusal = too_old(Some("2.9.10")).unwrap();
        assert!(refusal.to_string().contains("2.9.10"));
        assert!(refusal.problem().fix.contains("2.10"));
    }

    #[test]
    fn only_the_leading_copy_speaks_for_the_log() {
        let other = |name: &str| PeerInfo { name: name.to_owned(), ..PeerInfo::default() };
        let told = |leader: Option<&str>, others: &[&str]| ClusterInfo {
            leader: leader.map(str::to_owned),
            replicas: others.iter().map(|name| other(name)).collect(),
            ..ClusterInfo::default()
        };
        assert!(is_from_leader(&told(Some("one"), &["two", "three"])));
        assert!(!is_from_leader(&told(Some("two"), &["two", "three"])), "one that has just come back");
        assert!(!is_from_leader(&told(None, &["two", "three"])), "nobody leads");
        assert!(!is_from_leader(&told(Some(""), &["two", "three"])));
    }

    #[test]
    fn a_log_that_may_forget_is_a_danger() {
        let wanted = Config { discard: DiscardPolicy::New, deny_delete: true, deny_purge: true, ..Config::default() };
        assert!(dangers(&wanted, &wanted).is_empty());
        let forgetful = Config { discard: DiscardPolicy::Old, max_age: Duration::from_secs(1), ..wanted.clone() };
        let found = dangers(&wanted, &forgetful);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
