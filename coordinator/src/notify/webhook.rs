//! A sink that posts each notice as JSON to an address, signed with a shared secret.

use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::answer::{Answer, SinkError};
use super::body::NoticeBody;
use super::http;
use crate::edge::clock;

/// `sha256=` and the hex HMAC-SHA256 over the timestamp header's text, a dot, and the body.
pub const SIGNATURE_HEADER: &str = "X-Landfall-Signature";
/// Seconds since 1970; a receiver refuses what is too old, so that a recorded notice cannot be played again.
pub const TIMESTAMP_HEADER: &str = "X-Landfall-Timestamp";
/// The same for every attempt of one notice to one sink.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// One address.
pub struct Webhook {
    client: reqwest::Client,
    url: String,
    secret: Vec<u8>,
}

impl Webhook {
    /// `timeout` bounds one attempt.
    pub fn new(url: String, secret: Vec<u8>, timeout: Duration) -> Result<Self, SinkError> {
        Ok(Self { client: http::client(timeout)?, url, secret })
    }

    /// One attempt.
    pub async fn post(&self, body: &NoticeBody) -> Answer {
        let text = body.to_json();
        let timestamp = clock::now().as_second().to_string();
        let request = self
            .client
            .post(&self.url)
            .header(TIMESTAMP_HEADER, &timestamp)
            .header(SIGNATURE_HEADER, signature(&self.secret, &timestamp, &text))
            .header(IDEMPOTENCY_HEADER, body.idempotency_key());
        http::post(request, text).await
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
}
