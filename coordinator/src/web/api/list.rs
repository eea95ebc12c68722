//! Walking a list of the mesh for one page: filters leave rows out, and a page looks at a bounded number of them.

use axum::http::Uri;
use landfall_proto::control::{Paging, Reply, Request};
use landfall_proto::view::Page;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::refused;
use super::query::Wanted;
use crate::web::door::Door;
use crate::web::problem::Details;

/// Questions to the coordinator for one page at most.
const QUESTIONS_MAX: usize = 10;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listing<T> {
    /// All rows that match; null where they would have to be read to be counted.
    pub(super) count: Option<u64>,
    /// Where the list goes on; null at its end.
    pub(super) next: Option<String>,
    /// Always null: lists are read forwards.
    pub(super) previous: Option<String>,
    pub(super) results: Vec<T>,
}

/// One page of a list that the coordinator pages itself.
pub(super) async fn walk<T>(
    door: &Door,
    wanted: Wanted,
    uri: &Uri,
    question: impl Fn(Paging) -> Request,
    page: impl Fn(Reply) -> Result<Page<T>, Box<Reply>>,
    keep: impl Fn(&T) -> bool,
) -> Result<Listing<T>, Details> {
    let Wanted { rows, mut after } = wanted;
    let mut results = Vec::new();
    let mut missing = rows;
    for _ in 0..QUESTIONS_MAX {
        let reply = door.ask(question(Paging { rows: Some(missing), after })).await;
        let found = page(reply).map_err(|reply| refused(*reply))?;
        results.extend(found.rows.into_iter().filter(&keep));
        after = found.next;
        missing = rows.saturating_sub(u32::try_from(results.len()).unwrap_or(rows));
        if after.is_none() || missing == 0 {
            break;
        }
    }
    let next = after.map(|after| reference(uri, &after));
    Ok(Listing { count: None, next, previous: None, results })
}

/// One page of a list that is at hand as a whole; a place in it is a number.
pub(super) fn part<T>(all: Vec<T>, wanted: &Wanted, uri: &Uri) -> Listing<T> {
    let from: usize = wanted.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
    let rows = usize::try_from(wanted.rows).unwrap_or(usize::MAX);
    let (count, until) = (all.len(), from.saturating_add(rows));
    let next = (until < count).then(|| reference(uri, &until.to_string()));
    let results = all.into_iter().skip(from).take(rows).collect();
    Listing { count: u64::try_from(count).ok(), next, previous: None, results }
}

pub(super) fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

/// The same question from another place on.
fn reference(uri: &Uri, after: &str) -> String {
    let others =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
    let query: String = others.map(|pair| format!("{pair}&")).collect();
    format!("{}?{query}after={after}", uri.path())
}

/// Whether one of the texts has `wanted` in it, in whatever case.
pub(super) fn has(wanted: Option<&str>, texts: &[&str]) -> bool {
    let Some(wanted) = wanted.map(str::to_lowercase) else { return true };
    texts.iter().any(|text| text.to_lowercase().contains(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_at_hand_is_read_to_its_end_by_its_references() {
        let mut uri: Uri = "/api/v1/limits?limit=2&q=x".parse().unwrap();
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let after = uri.query().unwrap().split('&').find_map(|pair| pair.strip_prefix("after=")).map(str::to_owned);
            let listing = part((0..5).collect(), &Wanted { rows: 2, after }, &uri);
            assert_eq!(listing.count, Some(5));
            seen.extend(listing.results);
            pages += 1;
            let Some(next) = listing.next else { break };
            assert!(next.starts_with("/api/v1/limits?limit=2&q=x&after="), "{next}");
            uri = next.parse().unwrap();
        }
        assert_eq!((seen, pages), (vec![0, 1, 2, 3, 4], 3));
    }

    #[test]
    fn a_search_looks_into_every_text() {
        assert!(has(None, &[]) && has(Some("WEB"), &["db-1", "web-1"]) && !has(Some("x"), &["web"]));
    }
}
