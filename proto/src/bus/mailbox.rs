//! Replies to what this client asked: one subscription, one address per question, and nothing left behind when nobody answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::Message;
use tokio::sync::oneshot;

/// Questions that may wait at the same time; one more is not asked.
const WAITING_MAX: usize = 16_384;

/// The client library keeps an entry for every question that nobody answered, for as long as it lives; this does not.
#[derive(Debug)]
pub(super) struct Mailbox {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Question>>,
}

#[derive(Debug)]
struct Question {
    subject: String,
    answer: oneshot::Sender<Letter>,
}

/// What comes back.
#[derive(Debug)]
pub(super) enum Letter {
    Message(Message),
    /// The bus refused the question itself.
    Denied,
}

/// One question's address. Dropping it forgets the question.
#[derive(Debug)]
pub(super) struct Slot {
    mailbox: Arc<Mailbox>,
    number: u64,
    pub(super) address: String,
    answer: oneshot::Receiver<Letter>,
}

impl Mailbox {
    pub(super) fn new(prefix: String) -> Arc<Self> {
        Arc::new(Self { prefix, next: AtomicU64::new(1), waiting: Mutex::default() })
    }

    /// The subscription that all answers come on.
    pub(super) fn filter(&self) -> String {
        format!("{}.*", self.prefix)
    }

    /// An address for one answer to a question sent to `subject`; `None` when too many wait.
    pub(super) fn open(self: &Arc<Self>, subject: &str) -> Option<Slot> {
        let (sender, answer) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.insert(number, Question { subject: subject.to_owned(), answer: sender });
        drop(waiting);
        Some(Slot { mailbox: Arc::clone(self), number, address: format!("{}.{number}", self.prefix), answer })
    }

    /// Hands a message to the question whose address it carries; late answers fall on the floor.
    pub(super) fn deliver(&self, message: Message) {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        if let Some(question) = number.and_then(|number| self.forget(number)) {
            let _ = question.answer.send(Letter::Message(message));
        }
    }

    /// The bus forbade `subject`: whoever asked there gets to know.
    pub(super) fn deny(&self, subject: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let denied: Vec<u64> =
            waiting.iter().filter(|(_, question)| question.subject == subject).map(|(number, _)| *number).collect();
        for number in denied {
            if let Some(question) = waiting.remove(&number) {
                let _ = question.answer.send(Letter::Denied);
            }
        }
    }

    /// The connection is gone: no open question can count on an answer, so all end as unknown at once.
    pub(super) fn give_up(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn forget(&self, number: u64) -> Option<Question> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}

impl Slot {
    /// Waits for the answer; `None` when the connection went first. Bound it by a timeout.
    pub(super) async fn answer(&mut self) -> Option<Letter> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.mailbox.forget(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_nobody_answers_leaves_nothing_behind() {
        let mailbox = Mailbox::new("inbox".into());
        let slot = mailbox.open("a").unwrap();
        assert_eq!(mailbox.len(), 1);
        drop(slot);
        assert_eq!(mailbox.len(), 0);
    }

    #[test]
    fn no_more_questions_than_the_limit_wait() {
        let mailbox = Mailbox::new("inbox".into());
        let slots: Vec<Slot> = (0..WAITING_MAX).filter_map(|_| mailbox.open("a")).collect();
        assert_eq!(slots.len(), WAITING_MAX);
        assert!(mailbox.open("a").is_none());
    }

    #[tokio::test]
    async fn a_denied_subject_answers_only_those_who_asked_there() {
        let mailbox = Mailbox::new("inbox".into());
        let mut denied = mailbox.open("a").unwrap();
        let _other = mailbox.open("b").unwrap();
        mailbox.deny("a");
        assert!(matches!(denied.answer().await, Some(Letter::Denied)));
        assert_eq!(mailbox.len(), 1);
    }
}
