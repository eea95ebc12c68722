//! Cuts what a tool prints into lines of bounded length, whatever it prints.

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

use super::{Line, Stream};

/// Bytes asked of a pipe at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Reads a pipe to its end and sends its lines. CR and LF both end a line, because tools draw progress with CR; empty
/// lines are left out. Of a line longer than `bytes_max` only the beginning is sent. Ends early when nobody listens.
pub(super) async fn forward(mut source: impl AsyncRead + Unpin, stream: Stream, bytes_max: usize, lines: Sender<Line>) {
    let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
    let mut cutter = Cutter::new(bytes_max);
    loop {
        let count = match source.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let mut rest = &chunk[..count];
        while let Some(place) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            cutter.push(&rest[..place]);
            rest = &rest[place + 1..];
            if let Some((text, cut)) = cutter.take()
                && lines.send(Line { stream, text, cut }).await.is_err()
            {
                return;
            }
        }
        cutter.push(rest);
    }
    if let Some((text, cut)) = cutter.take() {
        // Nobody may be listening any more; then the line has no reader either.
        let _ = lines.send(Line { stream, text, cut }).await;
    }
}

/// A line under construction.
struct Cutter {
    pending: Zeroizing<Vec<u8>>,
    bytes_max: usize,
    cut: bool,
}

impl Cutter {
    fn new(bytes_max: usize) -> Self {
        Self { pending: Zeroizing::new(Vec::new()), bytes_max, cut: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.pending.len());
        self.cut |= bytes.len() > room;
        self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line and whether its end was left out; `None` where it is empty.
    fn take(&mut self) -> Option<(Zeroizing<String>, bool)> {
        let cut = std::mem::take(&mut self.cut);
        if self.pending.is_empty() {
            return None;
        }
        let text = Zeroizing::new(String::from_utf8_lossy(&self.pending).into_owned());
        self.pending.clear();
        Some((text, cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(input: &'static [u8], bytes_max: usize) -> Vec<(String, bool)> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        let reader = tokio::spawn(forward(input, Stream::Out, bytes_max, sender));
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push((line.text.to_string(), line.cut));
        }
        reader.await.unwrap();
        lines
    }

    #[tokio::test]
    async fn carriage_returns_end_lines_and_rubbish_is_made_readable() {
        let lines = lines_of(b"1%\r2%\r\n\n\xff\xfe end\nlast", 100).await;
        let texts: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["1%", "2%", "\u{fffd}\u{fffd} end", "last"]);
    }

    #[tokio::test]
    async fn of_a_line_without_end_only_the_beginning_is_kept() {
        let lines = lines_of(b"0123456789abcdef\nshort\n", 10).await;
        assert_eq!(lines, [("0123456789".to_owned(), true), ("short".to_owned(), false)]);
    }
}
