//! What differs between two texts, for people: lines that are missing and lines that are new, with a few around them.

use std::fmt::Write;

/// Unchanged lines that are shown around a change.
const AROUND: usize = 2;

/// One line of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Same(&'a str),
    Recorded(&'a str),
    Happened(&'a str),
}

/// What differs, or nothing: `-` before what was recorded, `+` before what happened.
pub fn difference(recorded: &str, happened: &str) -> Option<String> {
    if recorded == happened {
        return None;
    }
    let lines = compare(&recorded.lines().collect::<Vec<_>>(), &happened.lines().collect::<Vec<_>>());
    let is_near = |index: usize| {
        let from = index.saturating_sub(AROUND);
        lines.iter().skip(from).take(index - from + AROUND + 1).any(|line| !matches!(line, Line::Same(_)))
    };
    let mut text = String::new();
    let mut is_gap = false;
    for (index, line) in lines.iter().enumerate() {
        if !is_near(index) {
            is_gap = true;
            continue;
        }
        if std::mem::take(&mut is_gap) {
            text.push_str("  ...\n");
        }
        let (sign, line) = match line {
            Line::Same(line) => (' ', line),
            Line::Recorded(line) => ('-', line),
            Line::Happened(line) => ('+', line),
        };
        let _ = writeln!(text, "{sign} {line}");
    }
    Some(if text.is_empty() { "only the ends of lines differ\n".to_owned() } else { text })
}

/// The longest common lines stay; stories have a few hundred lines at most.
fn compare<'a>(recorded: &[&'a str], happened: &[&'a str]) -> Vec<Line<'a>> {
    let mut common = vec![vec![0_usize; happened.len() + 1]; recorded.len() + 1];
    for (i, left) in recorded.iter().enumerate().rev() {
        for (j, right) in happened.iter().enumerate().rev() {
            common[i][j] =
                if left == right { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < recorded.len() || j < happened.len() {
        if i < recorded.len() && j < happened.len() && recorded[i] == happened[j] {
            lines.push(Line::Same(recorded[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == happened.len() || (i < recorded.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(Line::Recorded(recorded[i]));
            i += 1;
        } else {
            lines.push(Line::Happened(happened[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_no_difference() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nb").as_deref(), Some("only the ends of lines differ\n"));
    }

    #[test]
    fn a_difference_shows_what_was_recorded_what_happened_and_what_is_near() {
        let text = difference("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nfive\n6\n").unwrap();
        assert_eq!(text, "  ...\n  3\n  4\n- 5\n+ five\n  6\n");
    }
}
