//! A receiver of notices: a few lines of HTTP that remember what was posted and answer as the story wants.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;

/// One POST.
#[derive(Debug, Clone)]
pub struct Post {
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// What it was answered.
    pub status: u16,
}

impl Post {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("expected that a notice is JSON ({error}): {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A listener on loopback that ends with the story.
#[derive(Debug)]
pub struct Receiver {
    pub url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Answers the first posts with these status codes, and every later one with 204.
    pub async fn start(first: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let posts = Arc::new(Mutex::new(Vec::new()));
        let (kept, first) = (Arc::clone(&posts), first.to_vec());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), first.clone()));
            }
        });
        Self { url: format!("http://{address}/notices"), posts, task }
    }

    /// A `[[sink]]` of the coordinator that posts here, signed with what this file holds.
    pub fn sink(&self, secret_file: &Path) -> String {
        format!("kind = \"webhook\"\nurl = {:?}\nsecret_file = {:?}\n", self.url, secret_file.display().to_string())
    }

    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, posts: Arc<Mutex<Vec<Post>>>, first: Vec<u16>) {
    let mut stream = BufReader::new(stream);
    while let Some((headers, body)) = read(&mut stream).await {
        let status = {
            let mut posts = posts.lock().unwrap_or_else(PoisonError::into_inner);
            let status = first.get(posts.len()).copied().unwrap_or(204);
            posts.push(Post { headers, body, status });
            status
        };
        let answer = format!("HTTP/1.1 {status} answer\r\ncontent-length: 0\r\n\r\n");
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<(BTreeMap<String, String>, String)> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        match line.trim().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length.min(BODY_BYTES_MAX)];
    stream.read_exact(&mut body).await.ok()?;
    Some((headers, String::from_utf8_lossy(&body).into_owned()))
}
