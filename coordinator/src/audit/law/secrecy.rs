//! Secrets stay on their node.

use std::fmt::Write;

use crate::audit::{Case, Law, Violation};

pub(super) struct Secrecy;

const NAME: &str = "secrecy";

/// A shorter secret would be found by chance.
const SECRET_BYTES_MIN: usize = 6;

/// What stands in an address where a password was struck.
const STRUCK: &str = "***";

impl Law for Secrecy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "No secret, in whichever form, and no password in an address stands in a message, a receipt, a log or an argument."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let texts = case.history.nodes.values().any(|node| !node.texts.is_empty() || !node.receipts.is_empty());
        (case.reads().is_empty() && !texts).then_some("messages or texts of nodes")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let forms: Vec<(usize, Vec<u8>)> = case
            .history
            .secrets
            .iter()
            .enumerate()
            .filter(|(_, secret)| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(|(index, secret)| forms(secret).into_iter().map(move |form| (index, form)))
            .collect();
        let leak = |bytes: &[u8]| leak(&forms, bytes);
        let mut found = Vec::new();
        for read in case.reads() {
            let leaks = leak(&read.entry.envelope.body);
            found.extend(leaks.map(|what| Violation::new(NAME, format!("a message holds {what}")).seen(read)));
        }
        for (node, trace) in &case.history.nodes {
            for text in &trace.texts {
                let leaks = leak(text.as_bytes());
                found.extend(leaks.map(|what| Violation::new(NAME, format!("a text of {node} holds {what}"))));
            }
            for receipt in &trace.receipts {
                let report = &receipt.report;
                let texts = [&report.message, &report.tail].into_iter().chain(&report.findings);
                for what in texts.chain(&report.unread.names).filter_map(|text| leak(text.as_bytes())) {
                    let what = format!("the receipt of run {} on {node} holds {what}", receipt.about.run);
                    found.push(Violation::new(NAME, what));
                }
            }
        }
        found
    }
}

/// What is wrong with these bytes. The secret itself is not said again.
fn leak(forms: &[(usize, Vec<u8>)], bytes: &[u8]) -> Option<String> {
    let holds = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
    if let Some((index, _)) = forms.iter().find(|(_, form)| holds(form)) {
        return Some(format!("secret number {}", index + 1));
    }
    has_password(bytes).then(|| "an address with a password".to_owned())
}

/// The secret itself and as base64, as percent-encoded text and as hexadecimal digits.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let percent = bytes.iter().fold(String::new(), |mut text, byte| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let _ = if is_plain { write!(text, "{}", char::from(*byte)) } else { write!(text, "%{byte:02X}") };
        text
    });
    let mut forms = vec![bytes.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
    forms.extend([base64(bytes, b'+', b'/'), base64(bytes, b'-', b'_'), percent.into_bytes()]);
    forms.sort();
    forms.dedup();
    forms
}

/// Without the end that depends on what follows.
fn base64(bytes: &[u8], plus: u8, slash: u8) -> Vec<u8> {
    let letter = |value: u32| match u8::try_from(value & 63).unwrap_or(0) {
        value @ 0..=25 => b'A' + value,
        value @ 26..=51 => b'a' + value - 26,
        value @ 52..=61 => b'0' + value - 52,
        62 => plus,
        _ => slash,
    };
    let mut text = Vec::new();
    for three in bytes.chunks_exact(3) {
        let value = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        text.extend([letter(value >> 18), letter(value >> 12), letter(value >> 6), letter(value)]);
    }
    text
}

/// Whether the bytes hold `scheme://name:password@host`, with the password not struck out.
fn has_password(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(place) = rest.windows(3).position(|window| window == b"://") {
        rest = &rest[place + 3..];
        let end = rest.iter().position(|byte| !byte.is_ascii_graphic() || b"/\"'<>`".contains(byte));
        let address = &rest[..end.unwrap_or(rest.len())];
        let Some(at) = address.iter().rposition(|byte| *byte == b'@') else { continue };
        let Some(colon) = address[..at].iter().position(|byte| *byte == b':') else { continue };
        let password = &address[colon + 1..at];
        if !password.is_empty() && password != STRUCK.as_bytes() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::Story;

    #[test]
    fn a_secret_is_found_in_every_form() {
        for form in ["hunter2-canary", "68756e746572322d63616e617279", "aHVudGVyMi1jYW5hcn", "hunter2%2Dcanary"] {
            let mut story = Story::morning();
            story.history.secrets = vec!["hunter2-canary".to_owned()];
            story.keeps(&Secrecy);
            story.trace("a").texts = vec![format!("the tool said {form}.")];
            if form.contains('%') { story.keeps(&Secrecy) } else { story.breaks(&Secrecy, "secret number 1") }
        }
        assert!(forms("p@ss word").contains(&b"p%40ss%20word".to_vec()));
    }

    #[test]
    fn an_address_may_name_a_user_but_no_password() {
        for (text, is_bad) in [
            ("https://user:pass@host/x", true),
            ("https://user@host:8000/x", false),
            ("https://***@host/x", false),
            ("https://user:***@host/x", false),
            ("see http://host/a:b@c", false),
        ] {
            assert_eq!(has_password(text.as_bytes()), is_bad, "{text}");
        }
    }
}
