//! A client that writes any bytes to any subject, as a faulty or hostile program would.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::mpsc;

/// A bare connection, with what the bus complains about.
#[derive(Debug)]
pub struct Raw {
    pub client: Client,
    complaints: mpsc::UnboundedReceiver<String>,
}

impl Raw {
    /// Connects with the seed of one of the mesh's users.
    pub async fn connect(url: &str, seed_file: &Path) -> Self {
        let seed = std::fs::read_to_string(seed_file)
            .unwrap_or_else(|error| panic!("{} can be read: {error}", seed_file.display()));
        let (sender, complaints) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_nkey(seed.trim().to_owned()).event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = sender.send(error.to_string());
            }
            std::future::ready(())
        });
        let client =
            options.connect(url).await.unwrap_or_else(|error| panic!("a user of the bus may connect: {error}"));
        Self { client, complaints }
    }

    /// Sends these bytes; whether anybody takes them is not known.
    pub async fn send(&self, subject: &str, bytes: Vec<u8>) {
        self.client
            .publish(subject.to_owned(), bytes.into())
            .await
            .unwrap_or_else(|error| panic!("{subject} can be written to: {error}"));
        self.client.flush().await.unwrap_or_else(|error| panic!("the bus takes what is sent to {subject}: {error}"));
    }

    /// The bus's next complaint.
    pub async fn complaint(&mut self, what: &str) -> String {
        match tokio::time::timeout(Duration::from_secs(5), self.complaints.recv()).await {
            Ok(Some(complaint)) => complaint,
            Ok(None) | Err(_) => panic!("expected that the bus refuses {what}, and it said nothing"),
        }
    }
}

/// Whether a client without any key is let in.
pub async fn is_open_to_anybody(url: &str) -> bool {
    ConnectOptions::new().connection_timeout(Duration::from_secs(5)).connect(url).await.is_ok()
}
