//! The log of one run: its end on the page, what follows over the stream, and the whole as a file.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use landfall_proto::control::{Problem, Request};
use landfall_proto::id::RunId;
use landfall_proto::view::LogView;
use maud::{Markup, html};

use super::ask::told;
use super::refusal;
use crate::web::api::rest_of_log;
use crate::web::server::Site;

/// How much of a log's end a page shows.
const TAIL_BYTES: u64 = 48 * 1024;

/// Longest wait of a page for the node that has the log: everything else on it is known without the node.
const PAGE_WAITS: Duration = Duration::from_millis(1500);

/// Longest line that is shown; the file has it whole.
const LINE_CHARS_MAX: usize = 2000;

/// Pieces that fail before a stream stops asking.
const FAILURES_MAX: u32 = 100;

/// Turns that are passed over after failures, at most.
const PASSED_MAX: u32 = 30;

/// The end of a log, as lines.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) lines: Markup,
    /// Where the stream goes on.
    pub(super) offset: u64,
    /// Whether the log has more before these lines.
    pub(super) is_cut: bool,
}

/// What the node shows of the log within a moment.
pub(super) async fn tail(site: &Site, run: RunId) -> Result<Tail, Problem> {
    let asked = async {
        // Beyond the end nothing stands, and the answer says where the end is.
        let end = piece(site, run, u64::MAX).await?.next_offset;
        let from = end.saturating_sub(TAIL_BYTES);
        let piece = piece(site, run, from).await?;
        let text = if from > 0 { piece.text.split_once('\n').map_or("", |(_, rest)| rest) } else { &piece.text };
        Ok(Tail { lines: lines(text), offset: piece.next_offset, is_cut: from > 0 })
    };
    tokio::time::timeout(PAGE_WAITS, asked).await.unwrap_or_else(|_| {
        Err(Problem {
            what: "the node has not shown its log yet".to_owned(),
            why: "it did not answer within a moment".to_owned(),
            fix: "load the page again, or use `landfall logs`".to_owned(),
            code: None,
        })
    })
}

async fn piece(site: &Site, run: RunId, offset: u64) -> Result<LogView, Problem> {
    told!(site, Request::Logs { run, offset }, Logs)
}

/// One element a line, in the colour of its level.
pub(super) fn lines(text: &str) -> Markup {
    html! {
        @for line in text.lines() {
            @let shown = printable(line);
            div class=[level(line)] { (shown) }
        }
    }
}

/// Without what moves a terminal's cursor.
fn printable(line: &str) -> String {
    let plain = line.chars().map(|letter| if letter == '\t' { ' ' } else { letter });
    plain.filter(|letter| !letter.is_control()).take(LINE_CHARS_MAX).collect()
}

/// The class of a line, by the word that tools use for its level.
fn level(line: &str) -> Option<&'static str> {
    let start: String = line.chars().take(80).collect::<String>().to_lowercase();
    let has = |words: &[&str]| {
        let mut parts = start.split(|letter: char| !letter.is_alphanumeric());
        parts.any(|part| words.contains(&part))
    };
    if has(&["error", "fatal", "failed", "panicked", "critical"]) {
        Some("t-bad")
    } else if has(&["warn", "warning"]) {
        Some("t-warn")
    } else if has(&["debug", "trace"]) {
        Some("t-dim")
    } else {
        None
    }
}

/// Reads on as the log grows.
#[derive(Debug)]
pub(super) struct Follower {
    run: RunId,
    offset: u64,
    has_ended: bool,
    failures: u32,
    /// Turns to pass over: a node that did not answer is not asked every second.
    passes: u32,
}

impl Follower {
    pub(super) const fn new(run: RunId, offset: u64) -> Self {
        Self { run, offset, has_ended: false, failures: 0, passes: 0 }
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended || self.failures >= FAILURES_MAX
    }

    /// Lines that have come since, as elements; a line that is not complete yet waits for its end.
    pub(super) async fn next(&mut self, site: &Site) -> Option<String> {
        if self.has_ended() {
            return None;
        }
        if self.passes > 0 {
            self.passes -= 1;
            return None;
        }
        let Ok(piece) = piece(site, self.run, self.offset).await else {
            self.failures += 1;
            self.passes = self.failures.min(PASSED_MAX);
            return None;
        };
        self.failures = 0;
        let whole = if piece.ended { piece.text.len() } else { piece.text.rfind('\n').map_or(0, |end| end + 1) };
        // A piece without any line end is a very long line: it is shown in parts.
        let whole = if whole == 0 && piece.text.len() > LINE_CHARS_MAX { piece.text.len() } else { whole };
        let taken = &piece.text[..whole];
        self.offset = self.offset.saturating_add(u64::try_from(whole).unwrap_or(0));
        self.has_ended = piece.ended && self.offset >= piece.next_offset;
        (!taken.is_empty()).then(|| lines(taken).into_string())
    }
}

/// `/runs/{id}/log.txt`: the whole log, piece by piece from the node that keeps it.
pub(super) async fn download(State(site): State<Site>, Path(run): Path<RunId>) -> Response {
    let first = match piece(&site, run, 0).await {
        Ok(first) => first,
        Err(problem) => return refusal(&problem),
    };
    let name = format!("attachment; filename=\"run-{run}.log\"");
    let about = [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (about, Body::from_stream(rest_of_log(site.door, first))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_colour_of_its_level_and_no_power_over_the_page() {
        let shown =
            lines("2026-11-20 INFO begun\nWARN low\nerror: <script>alert(1)</script>\nno errors? noerror\n\u{1b}[31mx")
                .into_string();
        assert!(shown.contains("<div>2026-11-20 INFO begun</div>"));
        assert!(shown.contains("<div class=\"t-warn\">WARN low</div>"));
        assert!(shown.contains("<div class=\"t-bad\">error: &lt;script&gt;"), "{shown}");
        assert!(!shown.contains("<script"));
        assert!(!shown.contains('\u{1b}'));
    }
}
