//! Connections: how many at most, and none that only takes up a place.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at the same time; the next one is closed as soon as it is made.
const CONNECTIONS_MAX: usize = 1024;

/// Who takes nothing of what is sent to him for so long is cut off.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A connection is closed on which nobody has begun to speak within this time.
const OPENING_MAX: Duration = Duration::from_secs(10);

/// How HTTP/2 begins. What begins otherwise is HTTP/1, whose own deadline counts from then on.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Lets a connection in while there is a place.
#[derive(Debug, Clone)]
pub(super) struct Gate<A> {
    inner: A,
    places: Arc<Semaphore>,
}

impl<A> Gate<A> {
    pub(super) fn new(inner: A) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl<A, S> Accept<TcpStream, S> for Gate<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = Connection<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, A::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Box::pin(async { Err(io::Error::new(io::ErrorKind::ConnectionRefused, "too many connections")) });
        };
        // Answers are small and wanted at once; where the system refuses this they come a little later.
        let _ = stream.set_nodelay(true);
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Connection::new(stream, place), service))
        })
    }
}

/// One connection, with its place.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    /// Runs until the first words are there; and how many bytes of HTTP/2's were.
    opening: Option<(Pin<Box<Sleep>>, usize)>,
    /// Runs while the other side takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    fn new(stream: S, place: OwnedSemaphorePermit) -> Self {
        Self { stream, opening: Some((Box::pin(sleep(OPENING_MAX)), 0)), stalled: None, _place: place }
    }

    /// Looks at the first bytes until they say in which way the other side speaks.
    fn opened(&mut self, context: &mut Context<'_>, read: &Poll<io::Result<()>>, bytes: &[u8]) -> io::Result<()> {
        let Some((patience, seen)) = &mut self.opening else { return Ok(()) };
        if read.is_ready() {
            *seen += bytes.len();
            let begun = PREFACE.get(seen.saturating_sub(bytes.len())..*seen);
            if *seen == PREFACE.len() || bytes.is_empty() || begun != Some(bytes) {
                self.opening = None;
            }
            return Ok(());
        }
        match patience.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the other side says nothing")),
            Poll::Pending => Ok(()),
        }
    }

    /// Passes on how a write went, and ends one that has waited for too long.
    fn watched<T>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match self.opened(context, &read, buffer.filled().get(before..).unwrap_or_default()) {
            Ok(()) => read,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, wrote)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    fn connected() -> (Connection<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(16);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (Connection::new(near, place), far)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off() {
        let (mut connection, _far) = connected();
        connection.write_all(&[0; 16]).await.unwrap();
        let error = connection.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_only_half_a_greeting_is_cut_off() {
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0"] {
            let (mut connection, mut far) = connected();
            far.write_all(said).await.unwrap();
            let mut heard = vec![0; said.len()];
            connection.read_exact(&mut heard).await.unwrap();
            assert_eq!(connection.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_to_speak_may_pause() {
        for said in [&b"G"[..], b"PO", PREFACE] {
            let (mut connection, mut far) = connected();
            let pause = async {
                far.write_all(said).await.unwrap();
                sleep(OPENING_MAX * 3).await;
                far.write_u8(7).await.unwrap();
            };
            let mut heard = vec![0; said.len()];
            let listen = async {
                connection.read_exact(&mut heard).await.unwrap();
                connection.read_u8().await.unwrap()
            };
            assert_eq!(tokio::join!(pause, listen).1, 7);
        }
    }
}
