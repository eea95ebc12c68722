//! A page as its parts: those that stand still, and those that the same functions render again while it is open.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::Query as UriQuery;
use axum::http::Uri;
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::time::Timestamp;
use maud::{Markup, html};

use crate::web::markup::Section;
use crate::web::server::Site;

/// Longest value of a query's field; what is longer is cut.
const VALUE_CHARS_MAX: usize = 200;

/// One page at one instant.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) active: Section,
    pub(super) parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) enum Part {
    Fixed(Markup),
    /// Found again by its id.
    Live(&'static str, Markup),
}

impl Shown {
    pub(super) fn new(title: impl Into<String>, active: Section) -> Self {
        Self { title: title.into(), active, parts: Vec::new() }
    }

    pub(super) fn fixed(mut self, markup: Markup) -> Self {
        self.parts.push(Part::Fixed(markup));
        self
    }

    pub(super) fn live(mut self, id: &'static str, markup: &Markup) -> Self {
        self.parts.push(Part::Live(id, wrapped(id, markup)));
        self
    }

    /// The part stands before all others.
    pub(super) fn first(mut self, id: &'static str, markup: &Markup) -> Self {
        self.parts.insert(0, Part::Live(id, wrapped(id, markup)));
        self
    }

    pub(super) fn body(&self) -> Markup {
        html! {
            @for part in &self.parts {
                @match part { Part::Fixed(markup) | Part::Live(_, markup) => (markup) }
            }
        }
    }
}

pub(super) fn wrapped(id: &str, markup: &Markup) -> Markup {
    html! { div.stack id=(id) { (markup) } }
}

/// What a page is made from.
pub(super) struct Glance<'a> {
    pub(super) site: &'a Site,
    pub(super) query: &'a Query,
    pub(super) now: Timestamp,
    pub(super) memory: &'a mut Memory,
}

/// What a stream knows from before, so that it neither asks nor sends it again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Whether the browser has the page already, and only its live parts are wanted.
    pub(super) has_page: bool,
    /// Rows whose strips the browser has, and since when.
    pub(super) strips: Option<(Timestamp, BTreeSet<(NodeId, RoutineName)>)>,
}

/// The fields behind the question mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    fields: BTreeMap<String, String>,
}

impl Query {
    /// What cannot be read is no field.
    pub(super) fn of(uri: &Uri) -> Self {
        let read = UriQuery::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
        let cut = |value: String| value.trim().chars().take(VALUE_CHARS_MAX).collect();
        Self { fields: read.into_iter().take(16).map(|(name, value)| (name, cut(value))).collect() }
    }

    /// The field's value; `None` where it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    /// The same page with another value of one field; `None` takes the field away.
    pub(super) fn with(&self, path: &str, name: &str, value: Option<&str>) -> String {
        let mut fields = self.fields.clone();
        fields.remove("told");
        match value {
            Some(value) => fields.insert(name.to_owned(), value.to_owned()),
            None => fields.remove(name),
        };
        let pairs: Vec<String> = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
            .collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }
}

/// As it stands behind a question mark.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_link_is_read_back_as_it_was_meant(value in "\\PC{0,40}", other in "[a-z]{1,8}") {
            let link = Query::default().with("/queue", "node", Some(&value));
            let read = Query::of(&link.parse().unwrap());
            let expected = value.trim();
            prop_assert_eq!(read.get("node").unwrap_or_default(), expected);
            let both = read.with("/queue", "type", Some(&other));
            let again = Query::of(&both.parse().unwrap());
            prop_assert_eq!(again.get("type"), Some(other.as_str()));
        }
    }
}
