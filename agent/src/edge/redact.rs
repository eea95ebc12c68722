//! Strikes secrets out of every text before it is kept or sent.

use zeroize::Zeroizing;

/// What stands where a secret stood.
const STRUCK: &str = "***";

/// The secrets of one run. Beside them, names and passwords inside URLs are struck.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// Longest first, so that a secret inside another does not leave the rest of it behind.
    secrets: Vec<Zeroizing<String>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redactor({} secrets)", self.secrets.len())
    }
}

impl Redactor {
    /// From here on no text contains this, neither as it is nor as JSON writes it.
    pub(crate) fn hide(&mut self, secret: &str) {
        let escaped = serde_json::to_string(secret).map(Zeroizing::new).unwrap_or_default();
        let plain = Zeroizing::new(without_controls(secret));
        for form in [secret, escaped.trim_matches('"'), &plain] {
            if !form.is_empty() && !self.secrets.iter().any(|known| known.as_str() == form) {
                self.secrets.push(Zeroizing::new(form.to_owned()));
            }
        }
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without secrets, and without control characters, which could steer the terminal of whoever reads it.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = without_controls(text);
        let text = self.secrets.iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), STRUCK) } else { text }
        });
        strike_user_info(text)
    }

    /// As [`Self::redact`], for a text whose end was left out: a secret may have been cut in two there.
    pub(crate) fn redact_cut(&self, text: &str) -> String {
        let text = self.redact(text);
        let longest = self.secrets.first().map_or(0, |secret| secret.len());
        let end = text.floor_char_boundary(text.len().saturating_sub(longest));
        format!("{}…", &text[..end])
    }
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect()
}

/// `scheme://user:password@host` becomes `scheme://***@host`.
fn strike_user_info(text: String) -> String {
    if !text.contains("://") || !text.contains('@') {
        return text;
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(place) = rest.find("://") {
        let (before, after) = rest.split_at(place + 3);
        result.push_str(before);
        let end = after
            .find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '"' | '\'' | '<' | '>' | '`'))
            .unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                result.push_str(STRUCK);
                &after[at..]
            }
            None => after,
        };
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_secret_stays() {
        let mut redactor = Redactor::default();
        redactor.hide("pa\"ss");
        redactor.hide("pa\"ssword");
        redactor.hide("");
        assert_eq!(redactor.redact(r#"with pa"ssword, {"p":"pa\"ssword"}, pa"ss"#), r#"with ***, {"p":"***"}, ***"#);
        assert!(!format!("{redactor:?}").contains("pa"));
    }

    #[test]
    fn a_text_cannot_steer_a_terminal_nor_hide_a_secret_that_way() {
        let mut redactor = Redactor::default();
        redactor.hide("secret");
        assert_eq!(redactor.redact("a\tb \u{1b}[31mse\u{7}cret\u{9b}"), "a\tb [31m***");
    }

    #[test]
    fn a_secret_cut_in_two_leaves_nothing() {
        let mut redactor = Redactor::default();
        redactor.hide("correct horse");
        assert_eq!(redactor.redact_cut("and then came correct ho"), "and then ca…");
    }

    #[test]
    fn urls_keep_their_host_and_lose_their_user() {
        let redactor = Redactor::default();
        assert_eq!(
            redactor.redact("rest:https://a:b@c/d?x=@y and ftp://u@h, http://plain/x@y"),
            "rest:https://***@c/d?x=@y and ftp://***@h, http://plain/x@y"
        );
    }
}
