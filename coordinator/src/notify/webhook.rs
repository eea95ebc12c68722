//! A sink that posts each notice as JSON to an address, signed with a shared secret.

use std::time::Duration;

use hmac::{Hmac, Mac};
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use sha2::Sha256;

use super::SinkError;
use super::body::NoticeBody;
use crate::edge::clock;

/// `sha256=` and the hex HMAC-SHA256 over the timestamp header's text, a dot, and the body.
pub const SIGNATURE_HEADER: &str = "X-Landfall-Signature";
/// Seconds since 1970; a receiver refuses what is too old, so that a recorded notice cannot be played again.
pub const TIMESTAMP_HEADER: &str = "X-Landfall-Timestamp";
/// The same for every attempt of one notice to one sink.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// The most that is read of an answer, to quote it in an error.
const ANSWER_CHARS_MAX: usize = 200;

/// One address.
pub struct Webhook {
    client: reqwest::Client,
    url: String,
    secret: Vec<u8>,
}

impl Webhook {
    /// `timeout` bounds one attempt, from connecting to the answer's status.
    pub fn new(url: String, secret: Vec<u8>, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            // A redirect would carry the signed notice to an address that nobody configured.
            .redirect(Policy::none())
            .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(1)
            .build()?;
        Ok(Self { client, url, secret })
    }

    /// One attempt.
    pub async fn post(&self, body: &NoticeBody) -> Result<(), SinkError> {
        let text = body.to_json();
        let timestamp = clock::now().as_second().to_string();
        let answer = self
            .client
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header(TIMESTAMP_HEADER, &timestamp)
            .header(SIGNATURE_HEADER, signature(&self.secret, &timestamp, &text))
            .header(IDEMPOTENCY_HEADER, body.idempotency_key())
            .body(text)
            .send()
            .await
            // The address may hold a token in its path, so it stays out of facts and logs.
            .map_err(|error| SinkError { message: chain(&error.without_url()), is_final: false })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let said: String = answer.text().await.unwrap_or_default().chars().take(ANSWER_CHARS_MAX).collect();
        let message = if said.trim().is_empty() { status.to_string() } else { format!("{status}: {}", said.trim()) };
        Err(SinkError { message, is_final: !is_worth_a_retry(status) })
    }
}

/// The value of the signature header.
pub fn signature(secret: &[u8], timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let mut text = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

/// What the receiver says about itself may pass; what it says about the notice stays so.
fn is_worth_a_retry(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_known_one() {
        // Computed with openssl: printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        let signed = signature(b"key", "1700000000", "{}");
        assert_eq!(signed, "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae");
        assert_ne!(signed, signature(b"key", "1700000001", "{}"));
        assert_ne!(signed, signature(b"kex", "1700000000", "{}"));
    }

    #[test]
    fn only_the_receivers_own_trouble_is_tried_again() {
        for code in [500, 502, 503, 429, 408] {
            assert!(is_worth_a_retry(StatusCode::from_u16(code).unwrap()), "{code}");
        }
        for code in [301, 400, 401, 404, 410] {
            assert!(!is_worth_a_retry(StatusCode::from_u16(code).unwrap()), "{code}");
        }
    }
}
