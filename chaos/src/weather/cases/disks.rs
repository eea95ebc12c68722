//! Disks that fill up: the bus's by its own limit and for real, a node's own, its working space, and the repository.

use std::time::Duration;

use landfall_proto::codec::encode;
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{Incarnation, RoundId};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::verdict::VerdictKind;

use super::stores::raw;
use crate::live::bus::{cluster, run_of};
use crate::live::wait::{seconds, until, until_true};
use crate::live::{fresh_id, now, plans};
use crate::weather::case::{Case, Weather};
use crate::weather::disk::Disk;
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, NIGHTLY, TASK, patient};
use crate::weather::need::Need;

/// What the bus may store until it is given more.
const SMALL_STORE_BYTES: u64 = 2 << 20;
const LARGE_STORE_BYTES: u64 = 256 << 20;

/// One message that only takes space.
const BALLAST_BYTES: usize = 60_000;

/// A node's own disk, the repository's, and a program's working space.
const SMALL_DISK_BYTES: u64 = 24 << 20;

const STAGING_BYTES: u64 = 1 << 20;

/// Enough for a mesh to be made, and not for much more.
const BUS_DISK_BYTES: u64 = 16 << 20;

/// What is left free on a disk that is filled.
const LEFT_BYTES: u64 = 64 << 10;

/// How long a full bus may last in a case.
const FULL: Duration = Duration::from_secs(15);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("bus-full", "The bus has stored as much as it may; it is given more room later.", |weather| {
            Box::pin(bus_full(weather))
        }),
        Case::new(
            "bus-disk-full",
            "The disk of the bus is really full; it gets room and is started again.",
            |weather| Box::pin(bus_disk_full(weather)),
        )
        .needs(&[Need::Mounts]),
        Case::new("state-disk-full", "The disk of a node's own records is full in the middle of a run.", |weather| {
            Box::pin(state_disk_full(weather))
        })
        .needs(&[Need::Mounts]),
        Case::new("repository-disk-full", "The disk of the repository fills up while two nodes save.", |weather| {
            Box::pin(repository_disk_full(weather))
        })
        .needs(&[Need::Mounts]),
        Case::new(
            "staging-disk-full",
            "The working space of a program is full; its run fails and says why.",
            |weather| Box::pin(staging_disk_full(weather)),
        )
        .needs(&[Need::Mounts]),
    ]
}

async fn bus_full(weather: Weather) {
    let mut mesh = weather.mesh(&["a", "b"]).with(|setup| setup.store_bytes_max(SMALL_STORE_BYTES)).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    let count = fill(&mut mesh).await;
    mesh.fault(&format!("the bus takes no more after {count} messages of {BALLAST_BYTES} bytes"));
    mesh.release();
    receipts(&mesh, round).await;
    tokio::time::sleep(FULL).await;
    assert!(mesh.cluster.operator.log().verdicts(round).is_empty(), "expected no verdict in a log that is full");
    mesh.cluster.bus.kill();
    mesh.cluster.bus.allow_bytes(LARGE_STORE_BYTES);
    mesh.cluster.bus.start();
    mesh.say("the bus is given more room");
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

/// Stores messages that nobody knows until the bus takes no more; how many it took.
async fn fill(mesh: &mut Mesh) -> u64 {
    mesh.cluster.bus.permit_administrator();
    let administrator = raw(mesh, "administrator").await;
    let mut context = async_nats::jetstream::new(administrator.client.clone());
    context.set_timeout(seconds(3));
    let writer = "ballast";
    let subject = Subject::new(&cluster(), Topic::CoordinatorFact(writer.parse().expect("it is a name"))).to_string();
    let incarnation = Incarnation(fresh_id());
    for seq in 0.. {
        let identity = Identity { writer: writer.to_owned(), incarnation, seq };
        // A kind that only a later build would know, so that nobody acts on it.
        let envelope = Envelope::fact(identity, "ballast", now(), vec![0x5a; BALLAST_BYTES]);
        let stored = context.publish(subject.clone(), encode(&envelope).into()).await;
        let is_stored = match stored {
            Ok(acknowledgement) => acknowledgement.await.is_ok(),
            Err(_) => false,
        };
        if !is_stored {
            return seq;
        }
    }
    unreachable!("a store is full some day")
}

async fn bus_disk_full(weather: Weather) {
    let draft = weather.mesh(&["a", "b"]);
    let disk = Disk::mount(&draft.place().path("bus/store"), BUS_DISK_BYTES);
    let mut mesh = draft.start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    disk.fill(0);
    mesh.fault("the disk of the bus is full");
    mesh.release();
    receipts(&mesh, round).await;
    tokio::time::sleep(FULL).await;
    mesh.cluster.bus.kill();
    disk.empty();
    mesh.cluster.bus.start();
    mesh.say("the disk of the bus has room, and the bus is started again");
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
    drop(disk);
}

async fn state_disk_full(weather: Weather) {
    let draft = weather.mesh(&["a", "b"]);
    let disk = Disk::mount(&draft.place().path("nodes/a/state"), SMALL_DISK_BYTES);
    let mut mesh = draft.start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    disk.fill(0);
    mesh.fault("the disk of a's own records is full");
    mesh.release();
    // The run of b ends; that of a cannot be written down, or only out of a's reserve.
    mesh.cluster.operator.finished(run_of(round, "b", TaskKind::Backup), seconds(60)).await;
    tokio::time::sleep(FULL).await;
    disk.empty();
    mesh.say("the disk of a has room again");
    mesh.verdict(round, seconds(120)).await;
    let second = mesh.open(TASK).await;
    mesh.verdict(second, seconds(60)).await;
    close(mesh).await;
    drop(disk);
}

async fn repository_disk_full(weather: Weather) {
    let draft = weather.mesh(&["a", "b"]);
    let at = draft.place().path("repository-disk");
    let disk = Disk::mount(&at, SMALL_DISK_BYTES);
    let location = at.join("repository");
    let draft = ["a", "b"].into_iter().fold(draft, |draft, name| {
        let location = location.display().to_string();
        draft.node(name, move |node| {
            node.each_target(|target| {
                if target.name.as_str() == "shared" {
                    target.location.clone_from(&location);
                }
            })
        })
    });
    let mut mesh = draft.start().await;
    mesh.repository.clone_from(&location);
    let first = mesh.open(NIGHTLY).await;
    mesh.verdict(first, seconds(60)).await;
    // Something new to save, larger than what is left.
    crate::live::source::tree(&mesh.cluster.place.path("tree"), 60, 200_001);
    disk.fill(LEFT_BYTES);
    mesh.fault("the disk of the repository is full");
    let round = mesh.plan_round(NIGHTLY, VerdictKind::Diverged);
    mesh.insist(round).await;
    mesh.verdict(round, seconds(120)).await;
    disk.empty();
    mesh.say("the disk of the repository has room again");
    let checked = crate::live::tool::restic(&location, &["--no-lock", "check", "--read-data"]).await;
    assert_eq!(checked.code, 0, "expected that the repository is sound after it was full: {checked:#?}");
    let again = mesh.open(NIGHTLY).await;
    mesh.verdict(again, seconds(120)).await;
    close(mesh).await;
    drop(disk);
}

async fn staging_disk_full(weather: Weather) {
    let draft = weather.mesh(&["a", "b"]);
    let at = draft.place().path("staging");
    let disk = Disk::mount(&at, STAGING_BYTES);
    let out = draft.place().folder("out");
    // A dump is written beside its final place first, as a careful program does it.
    let body = format!(
        "set -e\ntrap \"rm -f '{0}/dump-$LANDFALL_RUN'\" EXIT\nhead -c 3000000 /dev/urandom > '{0}/dump-'$LANDFALL_RUN\n\
         mv '{0}/dump-'$LANDFALL_RUN '{1}/dump-'$LANDFALL_RUN",
        at.display(),
        out.display()
    );
    let script = draft.place().script("dump", &body);
    let mut mesh = draft
        .node("a", move |node| node.plan(patient(plans::command("dump", &script, &out.join("dump-*")))))
        .start()
        .await;
    mesh.fault("the working space of a's program is too small");
    let round = mesh.plan_round("dump", VerdictKind::Diverged);
    mesh.insist(round).await;
    mesh.verdict(round, seconds(60)).await;
    let report = mesh.cluster.operator.finished(run_of(round, "a", TaskKind::Backup), seconds(5)).await.report;
    mesh.say(&format!("the run of a ended {}: {}", report.outcome, report.message));
    assert_eq!(report.outcome, Outcome::Failed, "expected a failure: {report:#?}");
    assert!(report.tail.contains("space"), "expected that the tool's own words are kept: {report:#?}");
    let left = std::fs::read_dir(&at).expect("the working space is mounted").count();
    assert_eq!(left, 0, "expected that nothing is left in the working space");
    mesh.alerts_allowed.push("failed/dump/a".to_owned());
    close(mesh).await;
    drop(disk);
}

/// Waits until both nodes have written down that their runs ended.
async fn receipts(mesh: &Mesh, round: RoundId) {
    for name in mesh.cluster.node_names() {
        let run = run_of(round, &name, TaskKind::Backup);
        let path = mesh.cluster.state(&name).join(format!("runs/{run}/receipt.json"));
        until_true(&format!("{name} ends its run while the bus is full"), seconds(60), || path.is_file()).await;
    }
    until("the mesh is still there", seconds(30), async || mesh.cluster.operator.status().await.map(|_| ())).await;
}
