//! What can be seen of the bus: its version, the log, its permissions, and who leads.

use std::time::Duration;

use landfall_proto::bus::{Inbox, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode};
use landfall_proto::live::{BEACON_KIND, Beacon};
use landfall_proto::subject::{Subject, Topic};

use super::finding::Finding;
use crate::cli::ask::Mesh;
use crate::cli::human::bytes;

/// The oldest server that can write through to the disk.
const VERSION_MIN: (u32, u32) = (2, 10);

/// More than two of the leader's beacons fit into this.
const LISTEN_MAX: Duration = Duration::from_secs(5);

pub(super) async fn look(mesh: &Mesh, findings: &mut Vec<Finding>) {
    let health = mesh.bus.health();
    findings.push(Finding::good("bus", "it takes this operator's key"));
    findings.push(version(health.server_version.as_deref()));
    findings.push(log(mesh).await);
    findings.push(Finding::unknown(
        "sync",
        "a client cannot see whether the bus writes through to its disk",
        "see that the bus's configuration says `sync_interval: always`; with anything else a power cut loses acknowledged facts",
    ));
    findings.push(beacon(mesh).await);
    let denied: Vec<String> = mesh.bus.health().denials.iter().map(|denial| denial.subject.clone()).collect();
    if !denied.is_empty() {
        findings.push(Finding::bad(
            "permits",
            format!("the bus forbids this operator {}", denied.join(", ")),
            "compare the operator's entry in the bus's configuration with the sample, and reload the bus",
        ));
    }
}

fn version(version: Option<&str>) -> Finding {
    let Some(text) = version else {
        return Finding::unknown(
            "version",
            "the bus does not say its version",
            "see that it is nats-server 2.10 or newer",
        );
    };
    let mut numbers = text.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= VERSION_MIN => {
            Finding::good("version", format!("nats-server {text}"))
        }
        (Some(_), Some(_)) => Finding::bad(
            "version",
            format!("nats-server {text} is too old"),
            "install nats-server 2.10 or newer and restart the bus",
        ),
        _ => Finding::unknown("version", format!("{text:?} is no version"), "see that it is nats-server 2.10 or newer"),
    }
}

async fn log(mesh: &Mesh) -> Finding {
    match mesh.bus.log_info().await {
        Told::Done(info) if info.notes.is_empty() => {
            let state = info.state;
            Finding::good(
                "log",
                format!("{} facts, {}, up to position {}", state.messages, bytes(state.bytes), state.last_seq),
            )
        }
        Told::Done(info) => Finding::bad("log", info.notes.join("; "), "change the stream with the bus's own tools"),
        Told::Refused(refusal) => Finding::of_failure("log", refusal.into()),
        Told::Unknown => {
            Finding::unknown("log", "the bus did not answer about the log", "see the bus's own log; try again")
        }
    }
}

/// Fresh is what came while we listened: a leader sends one every two seconds.
async fn beacon(mesh: &Mesh) -> Finding {
    let subject = Subject::new(mesh.bus.cluster(), Topic::Beacon).to_string();
    let Told::Done(mut inbox) = mesh.bus.listen(&subject).await else {
        return Finding::unknown(
            "leader",
            "the leader's beacon cannot be listened to",
            "see that the bus allows the operator to hear it",
        );
    };
    match tokio::time::timeout(LISTEN_MAX, first(&mut inbox)).await {
        Ok(Some(beacon)) => Finding::good(
            "leader",
            format!("{} leads in term {}, at position {}", beacon.holder, beacon.epoch.term, beacon.position.seq),
        ),
        Ok(None) | Err(_) => Finding::bad(
            "leader",
            format!("nobody leads: no beacon was heard in {} s", LISTEN_MAX.as_secs()),
            "start `landfall serve`, or look into its journal if it runs; nodes go on by themselves meanwhile",
        ),
    }
}

async fn first(inbox: &mut Inbox) -> Option<Beacon> {
    loop {
        let envelope = inbox.next().await?.envelope().ok().filter(|envelope| envelope.kind == BEACON_KIND);
        let beacon = envelope.and_then(|envelope| decode(&envelope.body, MESSAGE_BYTES_MAX).ok());
        if beacon.is_some() {
            return beacon;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Health;

    #[test]
    fn a_version_is_good_bad_or_not_known() {
        for (text, health) in
            [("2.10.27", Health::Good), ("2.9.10", Health::Bad), ("3.0.0", Health::Good), ("dev", Health::Unknown)]
        {
            assert_eq!(version(Some(text)).ok, health, "{text}");
        }
        assert_eq!(version(None).ok, Health::Unknown);
    }
}
