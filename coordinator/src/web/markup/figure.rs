//! Figures and instants as a page shows them. What is not known is a dash, never a zero.

use landfall_proto::time::{Timestamp, between};
use maud::{Markup, html};

use crate::cli::human;

pub(in crate::web) use crate::cli::human::{bytes, instant, span};

/// `<1m`, `5m`, `3h 12m`, `5d 3h`: coarse, so that a page that is left open says something else once a minute at most.
pub(in crate::web) fn age(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0 => "<1m".to_owned(),
        1..60 => format!("{minutes}m"),
        60..1440 if minutes.is_multiple_of(60) => format!("{}h", minutes / 60),
        60..1440 => format!("{}h {:02}m", minutes / 60, minutes % 60),
        _ if minutes % 1440 < 60 => format!("{}d", minutes / 1440),
        _ => format!("{}d {}h", minutes / 1440, minutes % 1440 / 60),
    }
}

/// `7s`, then as coarse as [`age`]: for what is under way, which is drawn again every second anyway.
pub(in crate::web) fn lasting(ms: u64) -> String {
    if ms < 60_000 { format!("{}s", ms / 1000) } else { age(ms) }
}

/// `5m ago`, `in 3h 12m`, with the instant itself as title.
pub(in crate::web) fn time(at: Timestamp, now: Timestamp) -> Markup {
    let text = if at > now {
        format!("in {}", age(between(now, at).as_ms()))
    } else {
        format!("{} ago", age(between(at, now).as_ms()))
    };
    html! { time datetime=(at) title=(human::instant(at)) { (text) } }
}

/// The instant itself.
pub(in crate::web) fn when(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (human::instant(at)) } }
}

pub(in crate::web) fn dash() -> Markup {
    html! { span.t-dim { "–" } }
}

/// A dash that says why it is one.
pub(in crate::web) fn dash_because(why: &str) -> Markup {
    html! { span.t-dim title=(why) { "–" } }
}

pub(in crate::web) fn bytes_or_dash(count: Option<u64>) -> Markup {
    count.map_or_else(dash, |count| html! { (bytes(count)) })
}

pub(in crate::web) fn span_or_dash(ms: Option<u64>) -> Markup {
    ms.map_or_else(dash, |ms| html! { (span(ms)) })
}

/// `1 234 567`
pub(in crate::web) fn count_or_dash(count: Option<u64>) -> Markup {
    count.map_or_else(dash, |count| html! { (grouped(count)) })
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_and_ages_are_coarse() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            [age(0), age(59_999), age(61_000), age(3_600_000), age(11_520_000), age(86_400_000), age(442_800_000)],
            ["<1m", "<1m", "1m", "1h", "3h 12m", "1d", "5d 3h"]
        );
        assert_eq!([lasting(999), lasting(59_999), lasting(60_000)], ["0s", "59s", "1m"]);
    }
}
