//! Waiting until the mesh is there: the bus greets, a coordinator leads, every node has announced its plan.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::control::{Paging, Reply, Request};
use landfall_proto::id::{NodeId, RoutineName};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::child::tail;
use super::memory::Memory;
use super::place::Place;
use super::supervisor::{BUS, COORDINATOR};
use crate::cli::ask::Mesh;
use crate::cli::context;
use crate::cli::failure::{BAD, Failure};
use crate::cli::screen::Screen;

const BUS_WITHIN: Duration = Duration::from_secs(20);
const LEADER_WITHIN: Duration = Duration::from_secs(40);
const NODES_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A coordinator that does not lead yet does not answer; it is asked again after this.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Ready is when a client is greeted by a server whose log is on.
pub(super) async fn bus(memory: &Memory, place: &Place, screen: &Screen) -> Result<(), Failure> {
    let greeting = async {
        while !greeted(memory.address()).await {
            sleep(POLL).await;
        }
    };
    timeout(BUS_WITHIN, greeting).await.map_err(|_| late("the bus does not greet its clients", BUS, place))?;
    screen.note(&format!("bus          ready at {}", memory.url()));
    Ok(())
}

/// Connects as the operator, and waits for a leader that answers.
pub(super) async fn leader(place: &Place, screen: &Screen) -> Result<Mesh, Failure> {
    let mesh = Mesh::connect(&context::find(Some(&place.operator()))?).await?;
    let leading = async {
        loop {
            if let Some(Reply::Status(status)) = ask(&mesh, &Request::Status).await
                && let Some(leader) = status.leader
            {
                return (leader, status.epoch.term);
            }
            sleep(POLL).await;
        }
    };
    let (leader, term) =
        timeout(LEADER_WITHIN, leading).await.map_err(|_| late("no coordinator leads", COORDINATOR, place))?;
    screen.note(&format!("coordinator  {leader} leads, term {term}"));
    Ok(mesh)
}

/// Waits until every node is heard and has announced the routine.
pub(super) async fn nodes(
    routine: &RoutineName,
    memory: &Memory,
    mesh: &Mesh,
    place: &Place,
    screen: &Screen,
) -> Result<(), Failure> {
    let wanted: BTreeSet<NodeId> = memory.node_ids().into_iter().collect();
    let mut there = BTreeSet::new();
    let announcing = async {
        loop {
            for node in announced(routine, mesh).await {
                if wanted.contains(&node) && !there.contains(&node) {
                    screen.note(&format!("{node:<12} has announced {routine}", node = node.as_str()));
                    there.insert(node);
                }
            }
            if there.len() == wanted.len() {
                return;
            }
            sleep(POLL).await;
        }
    };
    if timeout(NODES_WITHIN, announcing).await.is_ok() {
        return Ok(());
    }
    match wanted.difference(&there).next() {
        Some(missing) => Err(late(&format!("{missing} has not announced its plan"), missing.as_str(), place)),
        None => Ok(()),
    }
}

/// Nodes that are online and hold the routine.
async fn announced(routine: &RoutineName, mesh: &Mesh) -> Vec<NodeId> {
    let Some(Reply::Routine(view)) = ask(mesh, &Request::Routine { name: routine.clone() }).await else {
        return Vec::new();
    };
    let mut online = BTreeSet::new();
    let mut after = None;
    loop {
        let Some(Reply::Nodes(page)) = ask(mesh, &Request::Nodes { paging: Paging { rows: None, after } }).await else {
            break;
        };
        online.extend(page.rows.into_iter().filter(|node| node.online).map(|node| node.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    view.nodes.into_iter().filter(|node| online.contains(node)).collect()
}

async fn ask(mesh: &Mesh, request: &Request) -> Option<Reply> {
    timeout(ANSWER_WITHIN, mesh.ask(request)).await.ok()?.ok()
}

async fn greeted(address: SocketAddr) -> bool {
    let greeting = async {
        let stream = TcpStream::connect(address).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.ok()?;
        Some(line)
    };
    let line = timeout(ANSWER_WITHIN, greeting).await.ok().flatten();
    line.is_some_and(|line| line.starts_with("INFO ") && line.contains("\"jetstream\":true"))
}

fn late(what: &str, child: &str, place: &Place) -> Failure {
    let log = place.log(child);
    Failure::new(
        BAD,
        what,
        tail(&log),
        format!("read {}; what it complains about has to be put right, then start again", log.display()),
    )
}
