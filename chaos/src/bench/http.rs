//! Somebody who looks at pages over loopback as a browser does, and measures when the first byte is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Response};
use tokio::time::Instant;

/// Longest answer that is waited for.
const WITHIN: Duration = Duration::from_secs(30);

/// Longest piece of a stream that is kept while it is searched.
const KEPT_BYTES: usize = 4 << 20;

/// A client with tokens, which it shows in turn.
#[derive(Debug)]
pub(super) struct Visitor {
    client: Client,
    base: String,
    tokens: Vec<String>,
    next: AtomicUsize,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// Until the first byte of the content was there, in milliseconds; and until the last one was.
    pub(super) first_ms: f64,
    pub(super) whole_ms: f64,
    pub(super) bytes: usize,
}

impl Visitor {
    pub(super) fn new(address: &str, tokens: Vec<String>) -> anyhow::Result<Self> {
        let client = Client::builder().tcp_nodelay(true).build().context("a client of HTTP")?;
        Ok(Self { client, base: format!("http://{address}"), tokens, next: AtomicUsize::new(0) })
    }

    /// One page, compressed as browsers want it.
    pub(super) async fn look(&self, path: &str) -> anyhow::Result<Answer> {
        self.measured(path, "gzip").await.map(|(answer, _)| answer)
    }

    /// One page as text.
    pub(super) async fn read(&self, path: &str) -> anyhow::Result<(Answer, String)> {
        let (answer, content) = self.measured(path, "identity").await?;
        Ok((answer, String::from_utf8(content)?))
    }

    async fn measured(&self, path: &str, encoding: &str) -> anyhow::Result<(Answer, Vec<u8>)> {
        let begun = Instant::now();
        let mut response = tokio::time::timeout(WITHIN, self.ask(path, encoding)).await??;
        let mut content = Vec::new();
        let mut first = None;
        while let Some(part) = response.chunk().await.with_context(|| format!("the rest of {path}"))? {
            first.get_or_insert_with(|| begun.elapsed());
            content.extend_from_slice(&part);
        }
        let (whole, bytes) = (begun.elapsed(), content.len());
        let ms = |span: Duration| span.as_secs_f64() * 1000.0;
        Ok((Answer { first_ms: ms(first.unwrap_or(whole)), whole_ms: ms(whole), bytes }, content))
    }

    async fn ask(&self, path: &str, encoding: &str) -> anyhow::Result<Response> {
        let token = &self.tokens[self.next.fetch_add(1, Ordering::Relaxed) % self.tokens.len()];
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(token);
        let response = request.header("accept-encoding", encoding).send().await.with_context(|| path.to_owned())?;
        if !response.status().is_success() {
            bail!("{path} is answered with {}: {}", response.status(), response.text().await.unwrap_or_default());
        }
        Ok(response)
    }

    /// A stream of events.
    pub(super) async fn follow(&self, path: &str) -> anyhow::Result<Following> {
        let response = tokio::time::timeout(WITHIN, self.ask(path, "identity")).await??;
        Ok(Following { response, text: Vec::new() })
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Following {
    response: Response,
    text: Vec<u8>,
}

impl Following {
    /// When a frame that holds `word` was there as a whole.
    pub(super) async fn until(&mut self, word: &str, within: Duration) -> anyhow::Result<Instant> {
        let reading = async {
            loop {
                while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                    let frame: Vec<u8> = self.text.drain(..end + 2).collect();
                    if frame.windows(word.len()).any(|part| part == word.as_bytes()) {
                        return Ok(Instant::now());
                    }
                }
                if self.text.len() > KEPT_BYTES {
                    bail!("a frame has more than {KEPT_BYTES} bytes");
                }
                let part = self.response.chunk().await?.context("the stream has ended")?;
                self.text.extend_from_slice(&part);
            }
        };
        tokio::time::timeout(within, reading)
            .await
            .with_context(|| format!("no frame with {word:?} within {within:?}"))?
    }

    /// Takes what comes until the stream ends.
    pub(super) async fn drain(mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }
}
