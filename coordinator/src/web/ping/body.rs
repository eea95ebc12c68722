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
    let mut told = String::with_capacity(line.len());
    let mut from = 0;
    while let Some(end) = NAMES.iter().filter_map(|name| low[from..].find(name).map(|at| from + at + name.len())).min()
    {
        let value = &line[end..];
        // Whatever ends the name, then a sign that says what it is, then what stands around the value.
        let begin = value.find(['=', ':']).filter(|at| value[..*at].chars().all(is_of_name));
        let Some(begin) = begin else {
            told.push_str(&line[from..end]);
            from = end;
            continue;
        };
        let after = &value[begin + 1..];
        let lead = after.len() - after.trim_start_matches([' ', '"', '\'', '=']).len();
        let quoted = after[..lead].ends_with(['"', '\'']);
        let is_end = |sign: char| {
            if quoted { matches!(sign, '"' | '\'') } else { sign.is_whitespace() || "&,;\"'".contains(sign) }
        };
        let length = after[lead..].find(is_end).unwrap_or(after.len() - lead);
        let start = end + begin + 1 + lead;
        told.push_str(&line[from..start]);
        if length > 0 {
            told.push_str(STRUCK);
        }
        from = start + length;
    }
    told + &line[from..]
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
    fn the_end_is_kept_and_no_terminal_obeys_it() {
        let long = format!("begin {} end", "x".repeat(BODY_KEPT_BYTES_MAX));
        let told = kept(long.as_bytes(), "KEY");
        assert!(told.len() <= BODY_KEPT_BYTES_MAX && told.ends_with(" end") && !told.contains("begin"));
        assert_eq!(kept(b"\x1b[31mred\x07\xff\tx\n", "KEY"), "[31mred\u{fffd}\tx\n");
        // The name is cut away and its value is not.
        let secret = format!("password={}{}", "z".repeat(100), "\nx".repeat(BODY_KEPT_BYTES_MAX / 2 - 20));
        assert!(!kept(secret.as_bytes(), "KEY").contains('z'));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fall_and_no_password_stays(before in "\\PC{0,30}", after in "\\PC{0,30}", value in "[a-zA-Z0-9]{6,20}") {
            let _ = kept(format!("{before}{after}").as_bytes(), "KEY");
            let told = kept(format!("{before}\npassword={value} {after}").as_bytes(), "KEY");
            prop_assert!(!told.contains(&format!("password={value}")), "{}", told);
        }
    }
}
