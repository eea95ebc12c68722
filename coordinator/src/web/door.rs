//! The way from a request over HTTP to the coordinator's loop, and to the news of what changes.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::control::{Problem, ProblemCode, Reply, Request};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::edge::{Ask, Feed, News};

/// How long a page waits for the loop: longer than a standby asks its leader.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// Every page's access to what the coordinator knows and does.
#[derive(Debug, Clone)]
pub struct Door {
    asking: mpsc::Sender<Ask>,
    feed: Feed,
}

impl Door {
    pub const fn new(asking: mpsc::Sender<Ask>, feed: Feed) -> Self {
        Self { asking, feed }
    }

    /// The coordinator's answer; [`Reply::Refused`] where it gives none in time, which says nothing about an act.
    pub(super) async fn ask(&self, request: Request) -> Reply {
        let (answer, told) = oneshot::channel();
        let ask = Ask { request, answer };
        let answered = async {
            self.asking.send(ask).await.ok()?;
            told.await.ok()
        };
        match tokio::time::timeout(ANSWER_WITHIN, answered).await {
            Ok(Some(reply)) => reply,
            Ok(None) => silence("it is about to end, or begins again"),
            Err(_) => silence("it is busy, or waits for the bus"),
        }
    }

    /// News from this moment on.
    pub(super) fn onlooker(&self) -> broadcast::Receiver<Arc<News>> {
        self.feed.onlooker()
    }
}

fn silence(why: &str) -> Reply {
    Reply::Refused(Problem {
        what: "the coordinator does not answer".to_owned(),
        why: why.to_owned(),
        fix: "try again in a moment; `landfall status` says how it is".to_owned(),
        code: Some(ProblemCode::Unknown),
    })
}
