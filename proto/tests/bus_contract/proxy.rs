//! A wire between one client and one server that can swallow what the server says, and be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Every connection through it meets the same fate.
pub(crate) struct Proxy {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
    is_shut: Arc<AtomicBool>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = Arc::new(AtomicBool::new(false));
        let cuts = watch::Sender::new(0);
        let is_shut = Arc::new(AtomicBool::new(false));
        let (swallowing, cutting, shutting) = (Arc::clone(&swallows), cuts.subscribe(), Arc::clone(&is_shut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shutting.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                tokio::spawn(carry(client, server, Arc::clone(&swallowing), cutting.clone()));
            }
        });
        Self { address, swallows, is_shut, cuts }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// What the server says from now on is lost, while what the client says arrives.
    pub(crate) fn swallow(&self, swallows: bool) {
        self.swallows.store(swallows, Ordering::Relaxed);
    }

    /// Breaks every connection, and every new one, until it is open again.
    pub(crate) fn shut(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::Relaxed);
        self.cut();
    }

    /// Breaks every connection at once.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(client: TcpStream, server: TcpStream, swallows: Arc<AtomicBool>, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(|_| ()) };
    let back = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let count = from_server.read(&mut bytes).await?;
            if count == 0 {
                return Ok::<(), std::io::Error>(());
            }
            if !swallows.load(Ordering::Relaxed) {
                to_client.write_all(&bytes[..count]).await?;
            }
        }
    };
    tokio::select! {
        _ = there => {}
        _ = back => {}
        _ = cuts.changed() => {}
    }
}
