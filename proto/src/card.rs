//! The protection card: what a routine protects, what was promised for it, and who is called when it fails.

use serde::{Deserialize, Serialize};

use crate::alert::Risk;
use crate::time::Duration;

/// Longest text of a card, in characters; a step of the restore may be longer.
pub const TEXT_CHARS_MAX: usize = 200;

/// Longest step of the restore, in characters.
pub const STEP_CHARS_MAX: usize = 500;

/// Entries of one of a card's lists.
pub const ENTRIES_MAX: usize = 20;

/// A whole card, in bytes: all cards of a node travel in one fact.
pub const CARD_BYTES_MAX: usize = 4096;

/// What a person writes down once for a routine, and needs at night.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// What is protected, in the words of those who need it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protects: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whom to ask first: an address, a number, a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Who is called next, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalation: Vec<String>,
    /// Recovery time objective: how long a restore may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_class: Option<String>,
    /// How to bring it back, step by step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restore: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
}

/// Something in a card that cannot stay: below which key, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardProblem {
    pub key: String,
    pub what: String,
    pub fix: &'static str,
}

/// What an alert says of the routine that it is about, as it stood when the alert was raised.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Stakes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalation: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto: Option<Duration>,
    /// Of the node among those named that is worst off; absent where none has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
}

impl Stakes {
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Whom to call, in one line; `None` where nobody is named.
    pub fn called(&self) -> Option<String> {
        called(self.owner.as_deref(), self.contact.as_deref(), &self.escalation)
    }
}

/// The owner with the contact, and who is called next; `None` where nobody is named.
pub fn called(owner: Option<&str>, contact: Option<&str>, escalation: &[String]) -> Option<String> {
    let first = match (owner, contact) {
        (Some(owner), Some(contact)) => Some(format!("{owner} ({contact})")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    };
    let all: Vec<String> = first.into_iter().chain(escalation.iter().cloned()).collect();
    (!all.is_empty()).then(|| all.join(", then "))
}

impl Card {
    /// Everything that is wrong with the card.
    pub fn problems(&self) -> Vec<CardProblem> {
        let mut problems = Vec::new();
        let mut add = |key: String, what: String, fix| problems.push(CardProblem { key, what, fix });
        for (key, text) in self.texts() {
            let most = if key.starts_with("restore") { STEP_CHARS_MAX } else { TEXT_CHARS_MAX };
            if text.trim().is_empty() {
                add(key, "it is empty".to_owned(), "write something, or remove it");
            } else if text.chars().count() > most {
                add(key, format!("it is longer than {most} characters"), "shorten it; the runbook has room");
            } else if text.chars().any(char::is_control) {
                add(key, "it contains a line end or another control character".to_owned(), "write one line");
            }
        }
        let lists = [("protects", &self.protects), ("escalation", &self.escalation), ("restore", &self.restore)];
        for (key, list) in lists.into_iter().filter(|(_, list)| list.len() > ENTRIES_MAX) {
            let what = format!("its {} entries are more than {ENTRIES_MAX}", list.len());
            add(key.to_owned(), what, "shorten the list; the runbook has room");
        }
        if self.runbook.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            add(
                "runbook".to_owned(),
                "it is not an address".to_owned(),
                "write https://…; steps belong into `restore`",
            );
        }
        if self.rto.is_some_and(|rto| rto.as_ms() == 0) {
            add(
                "rto".to_owned(),
                "nothing is restored in no time".to_owned(),
                "write how long a restore may take, \"4h\" for instance",
            );
        }
        if crate::codec::encode(self).len() > CARD_BYTES_MAX {
            let what = format!("the card has more than {CARD_BYTES_MAX} bytes");
            add(".".to_owned(), what, "put the steps of the restore into the runbook, and name its address");
        }
        problems
    }

    /// Each text with its key.
    fn texts(&self) -> impl Iterator<Item = (String, &String)> {
        let single = [
            ("owner", &self.owner),
            ("contact", &self.contact),
            ("data_class", &self.data_class),
            ("runbook", &self.runbook),
        ];
        let single = single.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text.as_ref()?)));
        let lists = [("protects", &self.protects), ("escalation", &self.escalation), ("restore", &self.restore)];
        let listed = lists.into_iter().flat_map(|(key, list)| {
            list.iter().enumerate().map(move |(index, text)| (format!("{key}[{index}]"), text))
        });
        single.chain(listed)
    }

    /// This card, with what it leaves open taken from another.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let list = |own: &Vec<String>, other: &Vec<String>| if own.is_empty() { other.clone() } else { own.clone() };
        let text = |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        Self {
            protects: list(&self.protects, &other.protects),
            owner: text(&self.owner, &other.owner),
            contact: text(&self.contact, &other.contact),
            escalation: list(&self.escalation, &other.escalation),
            rto: self.rto.or(other.rto),
            data_class: text(&self.data_class, &other.data_class),
            restore: list(&self.restore, &other.restore),
            runbook: text(&self.runbook, &other.runbook),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(card: &Card) -> Vec<String> {
        card.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn what_a_card_must_not_hold_is_named_by_its_key() {
        let good = Card {
            protects: vec!["orders".to_owned()],
            owner: Some("Ann".to_owned()),
            rto: Some(Duration::from_secs(3600)),
            runbook: Some("https://wiki.example/orders".to_owned()),
            ..Card::default()
        };
        assert!(good.problems().is_empty());
        let bad = Card {
            protects: vec!["orders".to_owned(), " ".to_owned()],
            contact: Some("line\nbreak".to_owned()),
            escalation: vec!["x".to_owned(); 21],
            rto: Some(Duration::from_ms(0)),
            restore: vec!["y".repeat(501)],
            runbook: Some("wiki".to_owned()),
            ..good.clone()
        };
        assert_eq!(keys(&bad), ["contact", "protects[1]", "restore[0]", "escalation", "runbook", "rto"]);
        let long = Card { restore: vec!["z".repeat(500); 9], ..good };
        assert_eq!(keys(&long), ["."], "each step is short enough, all of them are not");
    }

    #[test]
    fn who_is_called_is_said_in_one_line() {
        let ann = Stakes { owner: Some("Ann".to_owned()), ..Stakes::default() };
        assert_eq!(ann.called().as_deref(), Some("Ann"));
        let all = Stakes { contact: Some("#ops".to_owned()), escalation: vec!["Cy".to_owned()], ..ann };
        assert_eq!(all.called().as_deref(), Some("Ann (#ops), then Cy"));
        assert_eq!(Stakes::default().called(), None);
    }

    #[test]
    fn what_one_card_leaves_open_the_other_says() {
        let own = Card { owner: Some("Ann".to_owned()), ..Card::default() };
        let other = Card { owner: Some("Bob".to_owned()), escalation: vec!["Cy".to_owned()], ..Card::default() };
        let both = own.or(&other);
        assert_eq!((both.owner.as_deref(), both.escalation.len()), (Some("Ann"), 1));
        assert_eq!(Card::default().or(&own), own);
    }
}
