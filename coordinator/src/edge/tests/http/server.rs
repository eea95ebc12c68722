//! What every answer has in common, whoever asks and however badly.

use reqwest::{Certificate, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::config::PublicUrl;

async fn served(web: &WebConfig) -> (Story, Life, Served) {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let served = story.serve("one", web).await;
    (story, life, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_confined_also_an_error() {
    let (_story, life, served) = served(&plain()).await;
    let token = served.token("ann");
    let asked = [
        (served.get("/health/live"), StatusCode::OK),
        (served.get("/login"), StatusCode::OK),
        (served.get("/nowhere"), StatusCode::UNAUTHORIZED),
        (served.get("/nowhere").bearer_auth(&token), StatusCode::NOT_FOUND),
        (served.get("/logout").bearer_auth(&token), StatusCode::METHOD_NOT_ALLOWED),
        (served.get("/").header("host", "evil.example"), StatusCode::MISDIRECTED_REQUEST),
    ];
    for (request, status) in asked {
        let told = request.send().await.unwrap();
        assert_eq!(told.status(), status);
        let header = |name: &str| told.headers()[name].to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy").starts_with("default-src 'none'; script-src 'self'; style-src 'self'")
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!((header("x-frame-options"), header("cache-control")), ("DENY".to_owned(), "no-store".to_owned()));
        assert!(!told.headers().contains_key("strict-transport-security") && !told.headers().contains_key("server"));
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_name_that_points_here_is_not_answered() {
    let public = PublicUrl {
        origin: "https://backup.example".to_owned(),
        authority: "backup.example".to_owned(),
        is_https: true,
    };
    let (_story, life, served) = served(&WebConfig { public_url: Some(public), ..plain() }).await;
    let ask = |host: &str| {
        let url = format!("http://{}/health/live", served.pages.address);
        served.client.get(url).header("host", host).send()
    };
    for foreign in ["rebound.example:8440", "127.0.0.1.evil.example", "backup.example.evil"] {
        let refused = problem(ask(foreign).await.unwrap(), StatusCode::MISDIRECTED_REQUEST).await;
        assert_eq!(refused["type"], "wrong-host");
    }
    for ours in ["backup.example", "localhost:1", "127.0.0.1"] {
        assert_eq!(ask(ours).await.unwrap().status(), StatusCode::OK, "{ours}");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_certificate_serves_both_versions_of_http_and_safe_cookies() {
    let web = WebConfig { tls: WebTls::SelfSigned, ..plain() };
    let (_story, life, mut served) = served(&web).await;
    let pem = std::fs::read(served.folder.path().join("web/certificate.pem")).unwrap();
    let trusted = || {
        let builder =
            Client::builder().redirect(Redirects::none()).tls_certs_only([Certificate::from_pem(&pem).unwrap()]);
        builder.https_only(true)
    };
    for (client, version) in [(trusted(), Version::HTTP_2), (trusted().http1_only(), Version::HTTP_11)] {
        served.client = client.build().unwrap();
        let told = served.get("/health/live").send().await.unwrap();
        assert_eq!((told.status(), told.version()), (StatusCode::OK, version));
    }
    let told = served.get("/login").send().await.unwrap();
    assert!(told.headers()["set-cookie"].to_str().unwrap().contains("Secure"));
    let without_trust = Client::new().get(served.url("/health/live")).send().await;
    assert!(without_trust.is_err());
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_and_broken_requests_are_refused_and_harm_nobody() {
    let (_story, life, served) = served(&plain()).await;
    let cookie = served.log_in("ann").await;
    let huge = "a".repeat(70 * 1024);
    let told = served.post("/logout").header("cookie", &cookie).form(&[("csrf", &huge)]).send().await.unwrap();
    problem(told, StatusCode::PAYLOAD_TOO_LARGE).await;
    let token = served.token("ann");
    let heads = [
        ("GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned() + &"a".repeat(80_000) + "\r\n\r\n", "431"),
        ("GET /health/live HTTP/1.1\r\n\r\n".to_owned(), "421"),
        ("BLA BLA BLA\r\n\r\n".to_owned(), "400"),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "401"),
        (
            format!(
                "GET /assets/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            ),
            "404",
        ),
        (
            format!(
                "GET /assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            ),
            "404",
        ),
        ("GET /login?next=/%0d%0aSet-Cookie:%20evil=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "200"),
    ];
    for (head, status) in heads {
        let mut raw = TcpStream::connect(served.pages.address).await.unwrap();
        let _ = raw.write_all(head.as_bytes()).await;
        let mut told = vec![0; 2048];
        let length = raw.read(&mut told).await.unwrap_or(0);
        let told = String::from_utf8_lossy(&told[..length]).into_owned();
        let shown: String = head.chars().take(60).collect();
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {told:?}");
        assert!(!told.contains("root:") && !told.to_lowercase().contains("\nset-cookie: evil"), "{told}");
    }
    assert_eq!(served.get("/health/ready").send().await.unwrap().status(), StatusCode::OK);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_and_does_not_go_on_is_cut_off() {
    let (_story, life, served) = served(&plain()).await;
    for said in ["", "GET /health/live HTTP/1.1\r\nHost: local", "PRI * HT"] {
        let mut raw = TcpStream::connect(served.pages.address).await.unwrap();
        raw.write_all(said.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        timeout(WITHIN, raw.read_to_end(&mut told)).await.expect("it is cut off").unwrap_or(0);
        assert!(!told.starts_with(b"HTTP/1.1 2"), "{told:?}");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_there_are_places_are_closed_and_the_rest_go_on() {
    let (_story, life, served) = served(&plain()).await;
    let told = served.get("/health/live").send().await.unwrap();
    assert_eq!(told.status(), StatusCode::OK);
    let mut held = Vec::new();
    for _ in 0..1023 {
        held.push(TcpStream::connect(served.pages.address).await.unwrap());
    }
    let mut refused = TcpStream::connect(served.pages.address).await.unwrap();
    let read = timeout(WITHIN, refused.read_u8()).await.expect("it is closed at once");
    assert!(read.is_err());
    assert_eq!(
        served.get("/health/live").send().await.unwrap().status(),
        StatusCode::OK,
        "a place that is held is good"
    );
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_ends_closes_its_pages() {
    let (_story, life, served) = served(&plain()).await;
    assert_eq!(served.get("/health/live").send().await.unwrap().status(), StatusCode::OK);
    let address = served.pages.address;
    timeout(WITHIN, served.pages.end()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    life.end().await;
}
