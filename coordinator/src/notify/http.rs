//! One POST to a receiver: what every sink that speaks HTTP has in common.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};

use super::answer::{Answer, SinkError, Taken, chain, with_words};

/// Most bytes that are read of an answer.
const ANSWER_BYTES_MAX: usize = 4096;

/// Longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A client that follows no redirect: it would carry the notice to an address that nobody configured. `timeout` bounds one
/// attempt, from connecting to the answer's end.
pub(super) fn client(timeout: Duration) -> Result<reqwest::Client, SinkError> {
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout)
        .redirect(Policy::none())
        .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(1)
        .build()
        .map_err(|error| SinkError::last(chain(&error)))
}

/// Sends the request and judges the answer by its status.
pub(super) async fn post(request: RequestBuilder, body: String) -> Answer {
    let sent = request.header("Content-Type", "application/json").body(body).send().await;
    // The address may hold a token in its path, so it stays out of facts and logs.
    let mut answer = sent.map_err(|error| SinkError::passing(chain(&error.without_url())))?;
    let status = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut said = Vec::new();
    while said.len() < ANSWER_BYTES_MAX
        && let Ok(Some(piece)) = answer.chunk().await
    {
        said.extend_from_slice(&piece);
    }
    said.truncate(ANSWER_BYTES_MAX);
    let text = with_words(&status.to_string(), &String::from_utf8_lossy(&said));
    if status.is_success() {
        return Ok(Taken(text));
    }
    let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    Err(SinkError { message: text, is_final: !is_worth_a_retry(status), retry_after })
}

/// What the receiver says about itself may pass; what it says about the notice stays so.
fn is_worth_a_retry(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

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
