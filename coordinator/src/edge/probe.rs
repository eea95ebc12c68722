//! Tests of sinks that an operator asks for: each is made once, however often it is asked, and beside the loop.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::control::{ProblemCode, Reply};
use uuid::Uuid;

use super::asker::Asker;
use super::requests::{busy, coded, problem};
use super::shell::Shell;
use crate::notify::{SinkError, Taken, test};

/// Tests that are remembered, and of these the ones that are under way.
const PROBES_MAX: usize = 32;
const UNDER_WAY_MAX: usize = 4;

/// A test ends before the operator's tool stops asking for it.
const PROBE_WITHIN: Duration = Duration::from_secs(8);

/// The last tests, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Probes(Arc<Mutex<VecDeque<Probe>>>);

#[derive(Debug)]
struct Probe {
    id: Uuid,
    /// Absent while it is under way.
    reply: Option<Reply>,
}

/// What is to be done about a test that is asked.
enum Step {
    Make,
    /// Whoever makes it gives the answer, or the next time it is asked.
    Wait,
    Answer(Box<Reply>),
}

impl Probes {
    fn begin(&self, id: Uuid) -> Step {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(probe) = known.iter().find(|probe| probe.id == id) {
            return probe.reply.clone().map_or(Step::Wait, |reply| Step::Answer(Box::new(reply)));
        }
        if known.iter().filter(|probe| probe.reply.is_none()).count() >= UNDER_WAY_MAX {
            return Step::Answer(Box::new(busy()));
        }
        if known.len() >= PROBES_MAX {
            known.pop_front();
        }
        known.push_back(Probe { id, reply: None });
        Step::Make
    }

    fn end(&self, id: Uuid, reply: Reply) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(probe) = known.iter_mut().find(|probe| probe.id == id) {
            probe.reply = Some(reply);
        }
    }
}

impl Shell {
    /// Sends a test to a sink, and answers with what the sink says.
    pub(super) fn test_sink(&self, asker: Asker, name: &str, id: Uuid) {
        let Some(sink) = self.sinks.iter().find(|sink| sink.name == name).cloned() else {
            let names: Vec<&str> = self.sinks.iter().map(|sink| sink.name.as_str()).collect();
            let fix = if names.is_empty() {
                "write a [[sink]] into the coordinator's file".to_owned()
            } else {
                format!("the sinks are: {}", names.join(", "))
            };
            let why = format!("the configuration of {} has none of this name", self.own.holder);
            return self.reply(asker, coded(ProblemCode::NotFound, &format!("there is no sink {name:?}"), &why, &fix));
        };
        match self.desk.probes.begin(id) {
            Step::Wait => return,
            Step::Answer(reply) => return self.reply(asker, *reply),
            Step::Make => {}
        }
        let (probes, replier, cluster) = (self.desk.probes.clone(), self.replier(), self.bus.cluster().clone());
        tokio::spawn(async move {
            let late = SinkError::passing(format!("no answer within {} s", PROBE_WITHIN.as_secs()));
            let answer = tokio::time::timeout(PROBE_WITHIN, test(&cluster, &sink)).await.unwrap_or(Err(late));
            let reply = match answer {
                Ok(Taken(message)) => Reply::Done { message },
                Err(error) => refused(&sink.name, &error),
            };
            probes.end(id, reply.clone());
            replier.give(asker, reply).await;
        });
    }
}

fn refused(sink: &str, error: &SinkError) -> Reply {
    let fix = if error.is_final {
        "correct what it complains about in the sink's settings; a real notice would be given up"
    } else {
        "see that it is there and can be reached from the coordinator; a real notice would be tried again"
    };
    problem(&format!("the sink {sink} did not take the test"), &error.message, fix)
}
