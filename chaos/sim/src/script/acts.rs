//! What people ask of the mesh.

use anyhow::{Context, bail};
use landfall_proto::control::Request;
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::limit::LimitName;
use landfall_proto::monitor::{Expects, KeyHash, MonitorSpec, Ping, PingKind, PingTo, Said, Slug};
use landfall_proto::report::TaskKind;
use landfall_proto::time::Duration;

use super::scene::number;
use super::stage::Stage;
use crate::world::bed;

/// Who asks, wherever a story does not care.
const PERSON: &str = "ann";

impl Stage {
    /// Verbs of people; false where it is none.
    pub(super) fn act(&mut self, words: &[&str]) -> anyhow::Result<bool> {
        let by = PERSON.to_owned();
        let request = match words {
            ["start", "check", nodes @ ..] => self.start(TaskKind::Check, nodes)?,
            ["start", nodes @ ..] => self.start(TaskKind::Backup, nodes)?,
            ["cancel"] => Request::Cancel { id: self.latest_round()?, by },
            ["cancel", node] => Request::Cancel { id: self.latest_run(node)?, by },
            ["retry"] => Request::Retry { id: self.latest_round()?, by, request: self.world()?.dice.uuid() },
            ["retry", node] => Request::Retry { id: self.latest_run(node)?, by, request: self.world()?.dice.uuid() },
            ["retire", node] => Request::Retire { node: self.node_id(node)?, by },
            ["limit", name, size] => Request::SetLimit { name: name.parse::<LimitName>()?, value: number(size)?, by },
            ["monitor", name, "every", period, "grace", grace] => monitor(name, period.parse()?, grace.parse()?)?,
            ["ping", name, kind] => self.ping(name, kind)?,
            _ => return Ok(false),
        };
        self.world()?.ask(request);
        Ok(true)
    }

    fn start(&mut self, task: TaskKind, nodes: &[&str]) -> anyhow::Result<Request> {
        let nodes = nodes.iter().map(|node| self.node_id(node)).collect::<anyhow::Result<Vec<NodeId>>>()?;
        let request = self.world()?.dice.uuid();
        Ok(Request::Start { routine: bed::routine(), nodes, task, by: PERSON.to_owned(), request })
    }

    /// A program that only pings says something of itself.
    fn ping(&mut self, name: &str, kind: &str) -> anyhow::Result<Request> {
        let kind = match kind {
            "start" => PingKind::Start,
            "success" => PingKind::Success,
            "fail" => PingKind::Fail,
            "log" => PingKind::Log,
            _ => bail!("{kind:?} is no ping; they are start, success, fail and log"),
        };
        let ping = Ping {
            id: self.world()?.dice.uuid(),
            kind,
            rid: None,
            from: String::new(),
            method: String::new(),
            agent: String::new(),
            body: String::new(),
            body_bytes: 0,
            said: Said::default(),
        };
        Ok(Request::Ping { to: PingTo::Key { key: KeyHash::of(name) }, ping })
    }

    fn node_id(&mut self, name: &str) -> anyhow::Result<NodeId> {
        let index = self.node(name)?;
        Ok(self.world()?.nodes[index].id.clone())
    }

    fn latest_round(&self) -> anyhow::Result<uuid::Uuid> {
        Ok(self.names.latest_round.context("no round was opened yet")?.0)
    }

    fn latest_run(&mut self, name: &str) -> anyhow::Result<uuid::Uuid> {
        let node = self.node_id(name)?;
        let run = self.names.latest_runs.get(&node);
        Ok(run.with_context(|| format!("{node} had no backup yet"))?.0)
    }

    /// The index of the node of this name.
    pub(super) fn node(&mut self, name: &str) -> anyhow::Result<usize> {
        let world = self.world()?;
        let found = world.nodes.iter().position(|node| node.id.as_str() == name && !node.is_copy);
        let Some(index) = found else { bail!("{name:?} is no node; they are node-1 to node-{}", world.options.nodes) };
        Ok(index)
    }

    /// The index of the coordinator of this name, which may be the leader.
    pub(super) fn seat(&mut self, name: &str) -> anyhow::Result<usize> {
        let world = self.world()?;
        if name == "leader" {
            return world.leader().context("nobody leads at this moment");
        }
        let found = world.seats.iter().position(|seat| seat.coordinator.holder.as_str() == name);
        found.with_context(|| format!("{name:?} is no coordinator; the first ones are alpha, beta and gamma"))
    }
}

/// A program that is to ping so often. Its name is the secret in its address: nobody else is here.
fn monitor(name: &str, period: Duration, grace: Duration) -> anyhow::Result<Request> {
    let routine: RoutineName = name.parse()?;
    let slug = Slug::of(&routine);
    let expects = Expects::Every { period };
    let monitor = MonitorSpec { key: Some(KeyHash::of(name)), expects, grace, ..MonitorSpec::created(routine, slug) };
    Ok(Request::SetMonitor { monitor, replaces: false, by: PERSON.to_owned() })
}
