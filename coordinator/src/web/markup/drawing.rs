//! Drawings that need no script: the strip of days, columns and lines, as SVG with a text for each value.

use landfall_proto::overview::{DayMark, DayView};
use maud::{Markup, html};

/// Width of one day, its gap included, and the height of the strip.
const DAY_WIDTH: usize = 5;
const STRIP_HEIGHT: u32 = 16;

/// One mark a day. Height says the same as colour: a failed day stands out, an empty one is a dot.
pub(in crate::web) fn strip(id: &str, days: &[DayView]) -> Markup {
    let bad = days.iter().filter(|day| day.mark == DayMark::Failed).count();
    let good = days.iter().filter(|day| matches!(day.mark, DayMark::Good | DayMark::Mended)).count();
    let width = days.len() * DAY_WIDTH;
    html! {
        svg.strip id=(id) width=(width) height=(STRIP_HEIGHT) viewBox={ "0 0 " (width) " " (STRIP_HEIGHT) } role="img"
            aria-label={ "last " (days.len()) " days: " (good) " with a good backup, " (bad) " failed" } {
            @for (place, day) in days.iter().enumerate() {
                @let (class, height) = look(day.mark);
                rect class=[class] x=(place * DAY_WIDTH) y=(STRIP_HEIGHT - height) width=(DAY_WIDTH - 1) height=(height) {
                    title { (day.date) ": " (day.mark.as_str()) @if day.runs > 1 { " (" (day.runs) " runs)" } }
                }
            }
        }
    }
}

/// Stands for a strip that the browser has already.
pub(in crate::web) fn strip_unchanged(id: &str) -> Markup {
    html! { svg.strip id=(id) data-keep="" width=(90 * DAY_WIDTH) height=(STRIP_HEIGHT) {} }
}

const fn look(mark: DayMark) -> (Option<&'static str>, u32) {
    match mark {
        DayMark::Nothing => (None, 3),
        DayMark::Good => (Some("g"), 10),
        DayMark::Mended => (Some("w"), 13),
        DayMark::Failed => (Some("f"), 16),
        DayMark::Unknown => (Some("u"), 8),
        DayMark::Skipped => (None, 7),
    }
}

/// The plane that charts are drawn on.
const WIDTH: u32 = 560;
const HEIGHT: u32 = 120;
const TOP: u32 = 14;
const BOTTOM: u32 = 104;

/// One column a value, stacked parts from the bottom; `tell` is the text of each column.
pub(in crate::web) fn bars(label: &str, columns: &[(String, Vec<u64>)], scale: &str) -> Markup {
    let top = columns.iter().map(|(_, parts)| parts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let step = f64::from(WIDTH) / f64::from(u32::try_from(columns.len().max(1)).unwrap_or(1));
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            (axis(scale))
            @for (place, (text, parts)) in columns.iter().enumerate() {
                g {
                    title { (text) }
                    @for (class, y, height) in stacked(parts, top) {
                        rect class={ "c" (class) } x=(tenth(at(place, step))) y=(tenth(y)) width=(tenth((step - 1.0).max(1.0))) height=(tenth(height)) {}
                    }
                }
            }
        }
    }
}

/// A line through the values that are known; a gap where one is not.
pub(in crate::web) fn line(label: &str, points: &[(String, Option<u64>)], scale: &str) -> Markup {
    let top = points.iter().filter_map(|(_, value)| *value).max().unwrap_or(0).max(1);
    let step = f64::from(WIDTH) / f64::from(u32::try_from(points.len().max(1)).unwrap_or(1));
    let mut path = String::new();
    let mut is_drawn = false;
    let mut dots = Vec::new();
    for (place, (text, value)) in points.iter().enumerate() {
        let Some(value) = value else {
            is_drawn = false;
            continue;
        };
        let (x, y) = (at(place, step) + step / 2.0, height_of(*value, top));
        path.push_str(&format!("{}{} {}", if is_drawn { "L" } else { "M" }, tenth(x), tenth(y)));
        is_drawn = true;
        dots.push((tenth(x), tenth(y), text));
    }
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            (axis(scale))
            path d=(path) {}
            @for (x, y, text) in dots { circle cx=(x) cy=(y) r="2.6" { title { (text) } } }
        }
    }
}

/// The ground, and what the highest point means.
fn axis(scale: &str) -> Markup {
    html! {
        line.axis x1="0" y1=(BOTTOM) x2=(WIDTH) y2=(BOTTOM) {}
        line.axis x1="0" y1=(TOP) x2=(WIDTH) y2=(TOP) {}
        text x="0" y=(TOP - 4) { (scale) }
    }
}

fn at(place: usize, step: f64) -> f64 {
    f64::from(u32::try_from(place).unwrap_or(0)) * step
}

/// Where a value lies between ground and top.
fn height_of(value: u64, top: u64) -> f64 {
    f64::from(BOTTOM) - share(value, top) * f64::from(BOTTOM - TOP)
}

fn stacked(parts: &[u64], top: u64) -> Vec<(usize, f64, f64)> {
    let mut y = f64::from(BOTTOM);
    let mut drawn = Vec::new();
    for (class, part) in parts.iter().enumerate().filter(|(_, part)| **part > 0) {
        let height = share(*part, top) * f64::from(BOTTOM - TOP);
        y -= height;
        drawn.push((class, y, height));
    }
    drawn
}

/// `part` of `whole`, in thousandths exact enough for a drawing.
fn share(part: u64, whole: u64) -> f64 {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    f64::from(u32::try_from(thousandths.min(1000)).unwrap_or(1000)) / 1000.0
}

fn tenth(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_own_text_and_a_failed_one_stands_out() {
        let day = |date: &str, mark| DayView { date: date.to_owned(), mark, runs: 2 };
        let drawn = strip("s", &[day("2026-11-19", DayMark::Good), day("2026-11-20", DayMark::Failed)]).into_string();
        assert!(drawn.contains("<title>2026-11-19: good (2 runs)</title>"), "{drawn}");
        assert!(drawn.contains(r#"class="f" x="5" y="0" width="4" height="16""#), "{drawn}");
        assert!(drawn.contains("1 with a good backup, 1 failed"));
    }

    #[test]
    fn what_is_not_known_is_a_gap_and_never_zero() {
        let points = [("a".to_owned(), Some(5)), ("b".to_owned(), None), ("c".to_owned(), Some(10))];
        let drawn = line("l", &points, "10").into_string();
        assert_eq!(drawn.matches("<circle").count(), 2);
        assert_eq!(drawn.matches('M').count() - drawn.matches("aria-label=\"M").count(), 2, "two strokes: {drawn}");
    }

    #[test]
    fn the_largest_column_reaches_the_top_and_huge_figures_do_not_overflow() {
        let drawn = bars("b", &[("x".to_owned(), vec![u64::MAX / 2, u64::MAX / 2])], "max").into_string();
        assert!(drawn.contains("height=\"45.0\""), "{drawn}");
    }
}
