//! Notices to a real listener on loopback, to a file, and in the files below to the real receivers and to their documented forms.

mod alertmanager;
mod forms;
mod mail;

use std::sync::atomic::{AtomicUsize, Ordering};

use landfall_proto::alert::{Alert, AlertKey, Severity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use super::webhook::{IDEMPOTENCY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
use super::*;
use crate::core::record::Resolved;

const WITHIN: Duration = Duration::from_secs(10);

fn notice(sink: &str, resolved: bool) -> Notice {
    let alert = Alert {
        key: AlertKey("failed/nightly/a".to_owned()),
        id: Uuid::from_u128(7),
        severity: Severity::Critical,
        title: "nightly failed on a".to_owned(),
        routine: Some("nightly".parse().unwrap()),
        round: None,
        nodes: vec!["a".parse().unwrap()],
        reason: Some(landfall_proto::report::Reason::NoSpace),
        last_good_at: None,
        fix: "free space".to_owned(),
        runbook: None,
        stakes: None,
    };
    let resolved = resolved.then(|| Resolved { at: clock::now(), why: "good again".to_owned() });
    Notice { alert, raised_at: clock::now(), resolved, reminder: 0, sinks: vec![sink.to_owned()] }
}

/// A receiver that answers each request with the next of these, the last one for ever.
async fn receiver(answers: &[&'static str]) -> (String, mpsc::Receiver<String>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel(100);
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let answers = answers.to_vec();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let request = read_request(&mut stream).await;
            sender.send(request).await.unwrap();
            let status = answers[number.min(answers.len() - 1)];
            let answer =
                format!("HTTP/1.1 {status}\r\nRetry-After: 0\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwords");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, requests, count)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        text.extend_from_slice(&piece[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = header(head, "content-length").parse::<usize>().unwrap();
            if body.len() >= length {
                return whole;
            }
        }
        assert!(read > 0, "the request ended early: {whole}");
    }
}

fn header(head: &str, name: &str) -> String {
    let line =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).split_once(':').unwrap().1.trim().to_owned()
}

/// Attempts, and what the sink said or why it was given up.
fn end(attempts: u32, told: Result<&str, &str>) -> End {
    End { attempts, told: told.map(str::to_owned).map_err(str::to_owned) }
}

fn courier(kind: SinkKind) -> (Courier, tempfile::TempDir) {
    let (deliveries, _) = mpsc::channel(1);
    let folder = tempfile::tempdir().unwrap();
    let under_way = Arc::default();
    let courier =
        Courier { cluster: "home".parse().unwrap(), kind, delay_min: Duration::from_millis(1), deliveries, under_way };
    (courier, folder)
}

fn hook(url: &str, folder: &std::path::Path, attempts: u32) -> SinkKind {
    let secret_file = folder.join("secret");
    std::fs::write(&secret_file, "key\n").unwrap();
    let timeout = landfall_proto::time::Duration::from_secs(2);
    SinkKind::Webhook { url: url.to_owned(), secret_file, attempts, timeout }
}

fn letter() -> Letter {
    Letter::of(&notice("ops", false)).next().unwrap()
}

#[tokio::test]
async fn a_receiver_can_check_who_sent_a_notice_and_tell_repeats_apart() {
    let (url, mut requests, _) = receiver(&["204 No Content"]).await;
    let (mut courier, folder) = courier(SinkKind::Journal);
    courier.kind = hook(&url, folder.path(), 3);
    let told = timeout(WITHIN, courier.deliver(&letter())).await.unwrap();
    assert_eq!(told, end(1, Ok("204 No Content")));
    let request = requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, SIGNATURE_HEADER), signature(b"key", &header(head, TIMESTAMP_HEADER), body));
    assert_eq!(header(head, IDEMPOTENCY_HEADER), format!("{}/raised", Uuid::from_u128(7)));
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((json["status"].as_str(), json["reason"].as_str()), (Some("raised"), Some("no_space")));
    assert_eq!(json["nodes"], serde_json::json!(["a"]));
}

#[tokio::test]
async fn a_receiver_in_trouble_is_tried_again_and_each_attempt_is_counted() {
    let (url, _requests, count) = receiver(&["503 Busy", "500 Oops", "200 OK"]).await;
    let (mut courier, folder) = courier(SinkKind::Journal);
    courier.kind = hook(&url, folder.path(), 5);
    let told = timeout(WITHIN, courier.deliver(&letter())).await.unwrap();
    assert_eq!(told, end(3, Ok("200 OK: words")));
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_receiver_that_stays_in_trouble_is_given_up_with_its_own_words() {
    let (url, _requests, count) = receiver(&["503 Busy"]).await;
    let (mut courier, folder) = courier(SinkKind::Journal);
    courier.kind = hook(&url, folder.path(), 2);
    let told = timeout(WITHIN, courier.deliver(&letter())).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(told, end(2, Err("503 Service Unavailable: words")));
}

#[tokio::test]
async fn a_refusal_for_good_is_not_repeated() {
    let (url, _requests, count) = receiver(&["401 No"]).await;
    let (mut courier, folder) = courier(SinkKind::Journal);
    courier.kind = hook(&url, folder.path(), 9);
    let told = timeout(WITHIN, courier.deliver(&letter())).await.unwrap();
    assert_eq!((told.attempts, count.load(Ordering::SeqCst)), (1, 1));
    assert!(told.told.unwrap_err().starts_with("401"));
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_not_named_in_the_error() {
    let (mut courier, folder) = courier(SinkKind::Journal);
    courier.kind = hook("http://127.0.0.1:9/token-in-path", folder.path(), 1);
    let told = timeout(WITHIN, courier.deliver(&letter())).await.unwrap();
    assert_eq!(told.attempts, 1);
    assert!(!told.told.unwrap_err().contains("token-in-path"));
}

#[tokio::test]
async fn lines_are_appended_in_order_and_each_end_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let sinks = [SinkConfig { name: "file".to_owned(), kind: SinkKind::Jsonl { path: path.clone() } }];
    let (deliveries, mut told) = mpsc::channel(10);
    let notifier = Notifier::start(&"home".parse().unwrap(), &sinks, deliveries);
    notifier.send(&notice("file", false));
    notifier.send(&notice("file", false));
    notifier.send(&notice("file", true));
    let mut ends = Vec::new();
    for _ in 0..2 {
        let delivery = timeout(WITHIN, told.recv()).await.unwrap().unwrap();
        assert_eq!((delivery.attempts, delivery.error), (1, None));
        ends.push(delivery.resolved);
    }
    assert_eq!(ends, [false, true]);
    let text = std::fs::read_to_string(path).unwrap();
    let statuses: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        statuses.iter().map(|line| line["status"].as_str().unwrap()).collect::<Vec<_>>(),
        ["raised", "resolved"]
    );
}

#[tokio::test]
async fn a_notice_for_a_sink_that_is_not_configured_is_given_up_visibly() {
    let (deliveries, mut told) = mpsc::channel(10);
    let notifier = Notifier::start(&"home".parse().unwrap(), &[], deliveries);
    notifier.send(&notice("gone", false));
    let delivery = timeout(WITHIN, told.recv()).await.unwrap().unwrap();
    assert_eq!((delivery.attempts, delivery.sink.as_str()), (0, "gone"));
    assert!(delivery.error.unwrap().contains("no sink"));
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hang = hook(&format!("http://{}/", silent.local_addr().unwrap()), folder.path(), 50);
    let path = folder.path().join("alerts.jsonl");
    let sinks = [
        SinkConfig { name: "hangs".to_owned(), kind: hang },
        SinkConfig { name: "file".to_owned(), kind: SinkKind::Jsonl { path } },
    ];
    let (deliveries, mut told) = mpsc::channel(10);
    let notifier = Notifier::start(&"home".parse().unwrap(), &sinks, deliveries);
    notifier.send(&notice("hangs", false));
    notifier.send(&notice("file", false));
    let delivery = timeout(WITHIN, told.recv()).await.unwrap().unwrap();
    assert_eq!((delivery.sink.as_str(), delivery.answer.as_deref()), ("file", Some("written")));
}

#[test]
fn a_reminder_is_another_notice_than_the_first_telling() {
    let mut letter = letter();
    let key = |letter: &Letter| NoticeBody::new(&"home".parse().unwrap(), letter, clock::now()).idempotency_key();
    let first = key(&letter);
    letter.reminder = 2;
    assert_eq!(key(&letter), format!("{first}/2"));
    let body = NoticeBody::new(&"home".parse().unwrap(), &letter, clock::now());
    assert_eq!(body.sentence(), "still open: nightly failed on a — free space");
}
