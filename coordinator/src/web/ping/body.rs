//! The body of a ping: read up to a bound, freed of what looks like a secret, and cut to its end.

use axum::body::Body;
use axum::http::StatusCode;
use futures::StreamExt as _;
use landfall_proto::monitor::{BODY_KEPT_BYTES_MAX, WORD_BYTES_MAX};

use super::Refused;

/// Bytes of a body that are taken; what follows is read and forgotten, as healthchecks does it.
pub(super) const BODY_BYTES_MAX: usize = 100_000;

/// Bytes that are read to be forgotten. Whoever sends more is cut off.
const READ_BYTES_MAX: usize = 4 << 20;

/// What stands in place of a secret.
const STRUCK: &str = "***";

/// What names a secret, in the letters of any case.
const NAMES: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key", "private_key"];

const BROKEN: Refused = Refused(StatusCode::BAD_REQUEST, "the body broke off");
const TOO_LONG: Refused = Refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");

pub(super) async fn read(body: Body) -> Result<Vec<u8>, Refused> {
    let mut stream = body.into_data_stream();
    let (mut taken, mut seen) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BROKEN)?;
        seen = seen.saturating_add(chunk.len());
        if seen > READ_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let room = BODY_BYTES_MAX - taken.len();
        taken.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(taken)
}

/// The end of a text that a program sent, without what is secret in it and without signs that a terminal obeys.
pub(super) fn kept(bytes: &[u8], secret: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect();
    // A cut may fall between a secret and its name, so that it comes last.
    let text = struck(&if secret.is_empty() { plain } else { plain.replace(secret, STRUCK) });
    let from = text.ceil_char_boundary(text.len().saturating_sub(BODY_KEPT_BYTES_MAX));
    text[from..].to_owned()
}

/// As [`kept`], and no longer than a word may be.
pub(super) fn word(text: &str, secret: &str) -> String {
    let mut text = kept(text.as_bytes(), secret);
    text.truncate(text.floor_char_boundary(WORD_BYTES_MAX));
    text
}

fn struck(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| named(&addressed(line))).collect();
    lines.join("\n")
}

/// Strikes the password out of `scheme://user:password@host`.
fn addressed(line: &str) -> String {
    let mut told = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        told.push_str(head);
        let end = tail.find(|sign: char| sign.is_whitespace() || "/\"'<>".contains(sign)).unwrap_or(tail.len());
        let (place, after) = tail.split_at(end);
        match place.rsplit_once('@').and_then(|(who, host)| Some((who.split_once(':')?.0, host))) {
            Some((user, host)) => told.push_str(&format!("{user}:{STRUCK}@{host}")),
            None => told.push_str(place),
        }
        rest = after;
    }
    told + rest
}

/// Strikes what follows the name of a secret: `password=…`, `"token": "…"`, `Authorization: …`.
fn named(line: &str) -> String {
    let low = line.to_ascii_lowercase();
    if let Some(at) = low.find("authorization:") {
        return format!("{}authorization: {STRUCK}", &line[..at]);
    }
    let mut names = Names::of(&low);
    let mut told = String::with_capacity(line.len());
    let mut from = 0;
    while let Some(end) = names.end_of_next(from) {
        // Whatever ends the name, then a sign that says what it is, then what stands around the value.
        let sign = names.end_of_run(end);
        if !line[sign..].starts_with(['=', ':']) {
            told.push_str(&line[from..end]);
            from = end;
            continue;
        }
        let after = &line[sign + 1..];
        let lead = after.len() - after.trim_start_matches([' ', '"', '\'', '=']).len();
        let quoted = after[..lead].ends_with(['"', '\'']);
        let is_end = |sign: char| {
            if quoted { matches!(sign, '"' | '\'') } else { sign.is_whitespace() || "&,;\"'".contains(sign) }
        };
        let length = after[lead..].find(is_end).unwrap_or(after.len() - lead);
        let start = sign + 1 + lead;
        told.push_str(&line[from..start]);
        if length > 0 {
            told.push_str(STRUCK);
        }
        from = start + length;
    }
    told + &line[from..]
}

/// The names of secrets in a line. What was looked through once is not looked through again: whoever sends a line needs no secret
/// for it, and a line may be as long as a body.
struct Names<'a> {
    low: &'a str,
    /// Where each name stands next; `None` where it does not stand any more.
    next: [Option<usize>; NAMES.len()],
    run_end: usize,
}

impl<'a> Names<'a> {
    fn of(low: &'a str) -> Self {
        Self { low, next: NAMES.map(|name| low.find(name)), run_end: 0 }
    }

    /// Where the name ends that ends first, of those that begin there or later.
    fn end_of_next(&mut self, from: usize) -> Option<usize> {
        for (at, name) in self.next.iter_mut().zip(NAMES) {
            if at.is_some_and(|at| at < from) {
                *at = self.low[from..].find(name).map(|found| from + found);
            }
        }
        self.next.iter().zip(NAMES).filter_map(|(at, name)| Some((*at)? + name.len())).min()
    }

    /// Where the first sign stands, there or later, that cannot be of a name. It is asked for from left to right.
    fn end_of_run(&mut self, from: usize) -> usize {
        if from > self.run_end {
            let run = self.low[from..].find(|sign| !is_of_name(sign));
            self.run_end = run.map_or(self.low.len(), |run| from + run);
        }
        self.run_end
    }
}

fn is_of_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || "_-\"' ".contains(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_looks_like_a_secret_is_struck() {
        for (said, kept_as) in [
            ("restic -r rest:https://joe:pa:ss@host/x failed", "restic -r rest:https://joe:***@host/x failed"),
            ("RESTIC_PASSWORD=hunter2 restic", "RESTIC_PASSWORD=*** restic"),
            ("{\"db_password\": \"hun ter2\", \"n\": 1}", "{\"db_password\": \"***\", \"n\": 1}"),
            ("token: abc, secret=def&x=1", "token: ***, secret=***&x=1"),
            ("curl -H 'Authorization: Bearer abc' x", "curl -H 'authorization: ***"),
            ("the password is wrong", "the password is wrong"),
            ("see https://host/ping/KEY/x", "see https://host/ping/***/x"),
            ("nothing, ünïcode", "nothing, ünïcode"),
        ] {
            assert_eq!(kept(said.as_bytes(), "KEY"), kept_as);
        }
    }

    #[test]
    fn a_line_as_long_as_a_body_is_read_once() {
        // Each of these made every name search the rest of the line, or its value run to the end of it.
        let names = "token password ".repeat(BODY_BYTES_MAX / 15);
        assert_eq!(named(&names), names);
        let values = "token=a ".repeat(BODY_BYTES_MAX / 8);
        assert_eq!(named(&values), "token=*** ".repeat(BODY_BYTES_MAX / 8));
        let late = format!("{names}: hunter2");
        assert_eq!(named(&late), format!("{names}: ***"));
        let signs = "secret/".repeat(BODY_BYTES_MAX / 8) + "=x";
        assert_eq!(named(&signs), signs);
    }

    #[test]
    fn the_end_is_kept_and_no_terminal_obeys_it() {
        let long = format!("begin {} end", "x".repeat(BODY_KEPT_BYTES_MAX));
        let told = kept(long.as_bytes(), "KEY");
        assert!(told.len() <= BODY_KEPT_BYTES_MAX && told.ends_with(" end") && !told.contains("begin"));
        assert_eq!(kept(b"\x1b[31mred\x07\xff\tx\n", "KEY"), "[31mred\u{fffd}\tx\n");
        // The name is cut away and its value is not.
        let secret = format!("password={}{}", "z".repeat(100), "\nx".repeat(BODY_KEPT_BYTES_MAX / 2 - 20));
        assert!(!kept(secret.as_bytes(), "KEY").contains('z'));
    }

    /// As [`named`], in the plainest way: each name is looked for again behind each name.
    fn named_slowly(line: &str) -> String {
        let low = line.to_ascii_lowercase();
        let mut told = String::new();
        let mut from = 0;
        while let Some(end) =
            NAMES.iter().filter_map(|name| low[from..].find(name).map(|at| from + at + name.len())).min()
        {
            let value = &line[end..];
            let begin = value.find(['=', ':']).filter(|at| value[..*at].chars().all(is_of_name));
            let Some(begin) = begin else {
                told.push_str(&line[from..end]);
                from = end;
                continue;
            };
            let after = &value[begin + 1..];
            let bare = after.trim_start_matches([' ', '"', '\'', '=']);
            let quoted = after[..after.len() - bare.len()].ends_with(['"', '\'']);
            let length = bare
                .find(|sign: char| match sign {
                    '"' | '\'' => true,
                    '&' | ',' | ';' => !quoted,
                    sign => !quoted && sign.is_whitespace(),
                })
                .unwrap_or(bare.len());
            told.push_str(&line[from..line.len() - bare.len()]);
            told.push_str(if length > 0 { STRUCK } else { "" });
            from = line.len() - bare.len() + length;
        }
        told + &line[from..]
    }

    proptest! {
        #[test]
        fn reading_once_strikes_what_reading_again_and_again_strikes(
            words in prop::collection::vec("password|TOKEN|secret|api_key|apikey|access_key|[ =:\"'/&x_-]|ü|\\PC", 0..24),
        ) {
            let line = words.concat();
            prop_assert_eq!(named(&line), named_slowly(&line));
        }

        #[test]
        fn no_text_makes_the_reader_fall_and_no_password_stays(before in "\\PC{0,30}", after in "\\PC{0,30}", value in "[a-zA-Z0-9]{6,20}") {
            let _ = kept(format!("{before}{after}").as_bytes(), "KEY");
            let told = kept(format!("{before}\npassword={value} {after}").as_bytes(), "KEY");
            prop_assert!(!told.contains(&format!("password={value}")), "{}", told);
        }
    }
}
