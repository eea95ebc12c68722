//! Pages that always fit into one message, however large their rows are.

use landfall_proto::codec::{MESSAGE_BYTES_MAX, encode};
use landfall_proto::control::{PAGE_ROWS_MAX, Paging};
use landfall_proto::view::Page;
use serde::Serialize;

/// Room for rows in one reply; the rest of the message is for what surrounds them.
pub const PAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 40 * 1024;

/// How many rows were asked for, within what is allowed.
pub fn rows_wanted(paging: &Paging) -> usize {
    let rows = paging.rows.unwrap_or(PAGE_ROWS_MAX).clamp(1, PAGE_ROWS_MAX);
    usize::try_from(rows).unwrap_or(1)
}

/// Takes rows until the page is full.
#[derive(Debug)]
pub struct Pager<T> {
    rows: Vec<T>,
    rows_max: usize,
    bytes_left: usize,
}

impl<T: Serialize> Pager<T> {
    pub const fn new(rows_max: usize) -> Self {
        Self::within(rows_max, PAGE_BYTES_MAX)
    }

    /// A page with another share of the message.
    pub const fn within(rows_max: usize, bytes_max: usize) -> Self {
        Self { rows: Vec::new(), rows_max, bytes_left: bytes_max }
    }

    /// False where the row has no room: it opens the next page. The first row always has.
    pub fn push(&mut self, row: T) -> bool {
        let bytes = encode(&row).len();
        if self.rows.len() >= self.rows_max || (!self.rows.is_empty() && bytes > self.bytes_left) {
            return false;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.rows.push(row);
        true
    }

    pub const fn is_full(&self) -> bool {
        self.rows.len() >= self.rows_max
    }

    /// `next` is where the page after this one begins.
    pub fn page(self, next: Option<String>) -> Page<T> {
        Page { rows: self.rows, next }
    }

    pub fn into_rows(self) -> Vec<T> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_never_outgrows_a_message() {
        let mut pager = Pager::new(100);
        let row = "x".repeat(50_000);
        let taken = (0..100).take_while(|_| pager.push(row.clone())).count();
        assert_eq!(taken, PAGE_BYTES_MAX / 50_003);
        assert!(encode(&pager.page(None)).len() < MESSAGE_BYTES_MAX);
    }

    #[test]
    fn asking_for_too_many_rows_gives_the_most_there_are() {
        let asked = |rows| rows_wanted(&Paging { rows, after: None });
        assert_eq!((asked(None), asked(Some(0)), asked(Some(7)), asked(Some(1_000_000))), (100, 1, 7, 100));
    }
}
