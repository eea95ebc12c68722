//! As much of a restic REST server as one client needs, for tests.
#![allow(clippy::expect_used, reason = "a test that panics has done its work")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// As much of a restic REST server as one client needs.
pub(crate) struct RestServer {
    pub(crate) url: String,
    pub(crate) files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Methods that are refused, each for what begins with this path.
    pub(crate) refused: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

impl RestServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/repo/", listener.local_addr().expect("it has one"));
        let files = Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default();
        let refused = Arc::<Mutex<Vec<(&'static str, &'static str)>>>::default();
        let (shared, rules) = (Arc::clone(&files), Arc::clone(&refused));
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (files, rules) = (Arc::clone(&shared), Arc::clone(&rules));
                std::thread::spawn(move || answer(connection, &files, &rules));
            }
        });
        Self { url, files, refused }
    }
}

fn answer(
    mut connection: TcpStream,
    files: &Mutex<BTreeMap<String, Vec<u8>>>,
    rules: &Mutex<Vec<(&'static str, &'static str)>>,
) {
    let mut input = BufReader::new(connection.try_clone().expect("cloned"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some(first) = lines.first() else { return };
    let field = |name: &str| {
        lines.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(|rest| rest.trim().to_owned()))
    };
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut body = Vec::new();
    if let Some(length) = field("content-length:") {
        body.resize(length.parse().expect("a number"), 0);
        input.read_exact(&mut body).expect("the whole body");
    } else if field("transfer-encoding:").is_some() {
        body = chunks(&mut input);
    }
    let mut files = files.lock().expect("no test panicked with it");
    let rules = rules.lock().expect("no test panicked with it");
    let is_refused = rules.iter().any(|(verb, place)| *verb == method && path.starts_with(place));
    drop(rules);
    let (status, content) = match method {
        _ if is_refused => (403, Vec::new()),
        "POST" if path.contains("?create=true") => {
            files.insert("/repo/created".into(), Vec::new());
            (200, Vec::new())
        }
        "POST" if files.contains_key(&path) => (403, Vec::new()),
        "POST" => {
            files.insert(path, body);
            (200, Vec::new())
        }
        "GET" | "HEAD" if path.ends_with('/') && files.is_empty() => (404, Vec::new()),
        "GET" if path.ends_with('/') => {
            let found = files.iter().filter_map(|(name, content)| Some((name.strip_prefix(&path)?, content.len())));
            let list: Vec<Value> = found.map(|(name, size)| json!({"name": name, "size": size})).collect();
            (200, Value::from(list).to_string().into_bytes())
        }
        "DELETE" => (files.remove(&path).map_or(404, |_| 200), Vec::new()),
        _ => match (files.get(&path), field("range:")) {
            (None, _) => (404, Vec::new()),
            (Some(content), None) => (200, content.clone()),
            (Some(content), Some(range)) => {
                let (from, to) = range.trim_start_matches("bytes=").split_once('-').expect("a range");
                let (from, to): (usize, usize) = (from.parse().expect("a number"), to.parse().expect("a number"));
                (206, content[from..=to].to_vec())
            }
        },
    };
    drop(files);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    let _ = connection.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = connection.write_all(&content);
    }
}

fn chunks(input: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).expect("a chunk's length");
        let length = usize::from_str_radix(line.trim(), 16).expect("a number");
        let mut chunk = vec![0; length + 2];
        input.read_exact(&mut chunk).expect("the whole chunk");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..length]);
    }
}
