//! What goes on while nothing can be written down: commands are refused with the reason, everything else waits in order.

use std::collections::VecDeque;

use tokio::time::{Instant, sleep_until};

use super::clock;
use super::shell::{INPUTS_MAX, Shell, Wake};
use crate::core::without_room;

/// Inputs that wait for room here; further ones wait where they come from.
const HELD_MAX: usize = INPUTS_MAX;

/// Inputs that came while nothing could be written down, oldest first.
pub(super) type HeldBack = VecDeque<Wake>;

impl Shell {
    /// Waits until the next try, and answers commands meanwhile: whoever sent one should not take a full disk for silence.
    pub(super) async fn wait_for_room(&mut self, until: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                wake = self.waiting.recv(), if self.held.len() < HELD_MAX => match wake {
                    Some(Wake::Command(command, answer)) => {
                        // Whoever asked may have stopped waiting.
                        let _ = answer.send(without_room(&self.agent, clock::now(), &command));
                    }
                    Some(other) => self.held.push_back(other),
                    None => return sleep_until(until).await,
                },
            }
        }
    }
}
