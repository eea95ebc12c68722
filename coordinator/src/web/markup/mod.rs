//! What every page is made of: the frame around it, and the small parts that pages share. Everything is escaped by maud.

mod drawing;
mod figure;
mod frame;
mod sign;

pub(super) use drawing::{bars, line, strip, strip_unchanged};
pub(super) use figure::{
    age, bytes, bytes_or_dash, count_or_dash, dash, dash_because, instant, lasting, span, span_or_dash, time, when,
};
pub(super) use frame::{Frame, Section, csrf, frame, heads, page, problem, said};
pub(super) use sign::{Tone, of_grade, of_outcome, of_severity, of_state, of_verdict, tag};
