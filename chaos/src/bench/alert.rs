//! How soon somebody is told that a node did not report: from the round's deadline to the notice at its receiver.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::report::TaskKind;
use landfall_proto::subject::Role;
use landfall_proto::time::{self, Timestamp};
use tokio::time::sleep;

use super::clock::{milliseconds, now};
use super::observer::{Observer, connect};
use super::samples::Samples;
use super::table::{Budget, Row, Statistic, Table, Unit};
use super::{Options, tiny, tools};
use crate::live::webhook::Receiver;
use crate::live::{Cluster, Node, Place, Setup, fresh_id};

/// The first reports, the second never does.
const NODES: [&str; 2] = ["reports", "missing"];

/// How long a round may take. Nobody reports later than that, so it is as short as a plan can sensibly say.
const FINISH_WITHIN: time::Duration = time::Duration::from_secs(3);
const START_WITHIN: time::Duration = time::Duration::from_secs(2);

/// How long after the deadline is waited before the benchmark is given up.
const WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at a receiver: what is measured is so much too long at most.
const LOOK: Duration = Duration::from_millis(1);

pub async fn run(options: &Options) -> anyhow::Result<Table> {
    tools::own()?;
    let routines: Vec<String> = (0..options.rounds * 2).map(|number| format!("late-{number}")).collect();
    let receiver = Receiver::start(&[]).await;
    let mut mesh = start(&routines, &receiver).await;
    mesh.kill_agent(NODES[1]);
    let bus = connect(&mesh, Role::Operator, "operator").await?;
    let conditions = vec![
        format!("rounds of two nodes, one of which never reports: {}", routines.len()),
        "each fact is on the disk before it counts (sync_interval always)".to_owned(),
    ];
    let mut table = Table::new("alert", conditions);
    let mut times = Times::default();
    let mut observer = Observer::at_the_end(&bus).await?;
    for routine in &routines {
        one(&mesh, &mut observer, &receiver, routine, &mut times).await?;
    }
    times.report(&mut table);
    Ok(table)
}

/// A mesh with a webhook and a file for its notices.
async fn start(routines: &[String], receiver: &Receiver) -> Cluster {
    let place = Place::new("bench-alert");
    let script = place.script("tiny", tiny::AT_ONCE);
    let webhook = receiver.sink(&place.secret("secrets/webhook", "a line that only two know"));
    let lines = format!("kind = \"jsonl\"\npath = {:?}\n", notices(&place).display().to_string());
    let nodes: Vec<Node> = NODES.iter().map(|name| node(&place, &script, name, routines)).collect();
    let setup = Setup::new(place).sink(&webhook).sink(&lines);
    nodes.into_iter().fold(setup, Setup::node).start().await
}

fn node(place: &Place, script: &Path, name: &str, routines: &[String]) -> Node {
    routines.iter().fold(Node::new(name), |node, routine| {
        let (mut plan, target) = tiny::plan(place, script, name, routine);
        plan.deadlines.start_within = START_WITHIN;
        plan.deadlines.finish_within = FINISH_WITHIN;
        node.plan(plan).target(target)
    })
}

fn notices(place: &Place) -> std::path::PathBuf {
    place.path("notices.jsonl")
}

/// From the deadline on, in milliseconds.
#[derive(Default)]
struct Times {
    judged: Samples,
    raised: Samples,
    posted: Samples,
    written: Samples,
}

impl Times {
    fn report(&self, table: &mut Table) {
        let row = |what: &str, statistic, samples: &Samples| {
            Row::new(format!("deadline → {what}"), Unit::Milliseconds, statistic, samples)
        };
        table.push(row("verdict stands in the log, slowest", Statistic::Max, &self.judged));
        table.push(row("alert stands in the log, slowest", Statistic::Max, &self.raised));
        table.push(row("webhook's receiver has the alert, median", Statistic::Median, &self.posted));
        for (what, samples) in
            [("webhook's receiver has the alert", &self.posted), ("line of the alert in the file", &self.written)]
        {
            let row = row(&format!("{what}, slowest"), Statistic::Max, samples);
            table.push(row.budget(Budget::AtMost(1000.0)));
        }
    }
}

/// One round of which one node never reports.
async fn one(
    mesh: &Cluster,
    observer: &mut Observer,
    receiver: &Receiver,
    routine: &str,
    times: &mut Times,
) -> anyhow::Result<()> {
    let key = format!("overdue/{routine}");
    let quoted = format!("{key:?}");
    let round = mesh.operator.start_as(routine, &[], TaskKind::Backup, fresh_id()).await;
    let in_log = async {
        let (mut deadline, mut judged, mut raised) = (None, None, None);
        observer
            .until(&format!("the alert {key}"), WITHIN, |seen| {
                match seen.coordinator() {
                    Some(CoordinatorFact::RoundOpened(opened)) if opened.round == round => {
                        deadline = Some(opened.deadline);
                    }
                    Some(CoordinatorFact::RoundConcluded(concluded)) if concluded.round == round => {
                        judged = Some(now());
                    }
                    Some(CoordinatorFact::AlertRaised(alert)) if alert.alert.key.0 == key => raised = Some(now()),
                    Some(_) | None => {}
                }
                raised.is_some()
            })
            .await?;
        anyhow::Ok((
            deadline.context("the round was opened")?,
            judged.context("the verdict comes before the alert")?,
            raised.context("the alert")?,
        ))
    };
    let posted = until(&key, || receiver.posts().iter().any(|post| post.body.contains(&quoted)));
    let file = notices(&mesh.place);
    let written = until(&key, || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&quoted)));
    let (in_log, posted, written) = tokio::join!(in_log, posted, written);
    let (deadline, judged, raised) = in_log?;
    let from_deadline = |at: Timestamp| milliseconds(deadline, at);
    if from_deadline(judged) < 0.0 {
        bail!("the verdict of {routine} fell before its deadline, so the missing node was not waited for");
    }
    times.judged.push(from_deadline(judged));
    times.raised.push(from_deadline(raised));
    times.posted.push(from_deadline(posted?));
    times.written.push(from_deadline(written?));
    Ok(())
}

/// When it was so.
async fn until(key: &str, is_there: impl Fn() -> bool) -> anyhow::Result<Timestamp> {
    let looking = async {
        while !is_there() {
            sleep(LOOK).await;
        }
        now()
    };
    tokio::time::timeout(WITHIN, looking).await.with_context(|| format!("the notice of {key} is delivered"))
}
