//! Who asked: a client on the bus, or a page that this process serves.

use landfall_proto::bus::Incoming;
use landfall_proto::control::{Reply, Request};
use tokio::sync::{mpsc, oneshot};

/// Questions of pages that wait for the loop.
const ASKS_MAX: usize = 256;

/// A question of this process's own pages.
#[derive(Debug)]
pub struct Ask {
    pub request: Request,
    pub answer: oneshot::Sender<Reply>,
}

/// The two ends of the way from the pages to whichever loop runs at the moment.
pub fn asks() -> (mpsc::Sender<Ask>, mpsc::Receiver<Ask>) {
    mpsc::channel(ASKS_MAX)
}

/// Who gets the answer.
#[derive(Debug)]
pub(super) enum Asker {
    Bus(Incoming),
    Here(oneshot::Sender<Reply>),
}
