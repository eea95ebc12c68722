//! Programs that only ping, over real HTTP: every address of healthchecks, OneUptime's heartbeats, floods and foreign bodies.

use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{Expects, KeyHash, MonitorDetail, MonitorSpec, MonitorState, PingKind, Slug, Stage};
use reqwest::Method;

use super::*;

const UUID: &str = "f7c1d3a0-6f6b-4a7e-9a51-0f2d36b3a001";
const RID: &str = "123e4567-e89b-12d3-a456-426614174000";
const PING_KEY: &str = "fqOOd6-F4MMNuCEnzTU01w";

async fn served() -> (Story, Life, Served) {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let name: RoutineName = "db".parse().unwrap();
    let monitor = MonitorSpec {
        key: Some(KeyHash::of(UUID)),
        expects: Expects::Every { period: landfall_proto::time::Duration::from_secs(3600) },
        ..MonitorSpec::created(name.clone(), Slug::of(&name))
    };
    story.done(Request::SetMonitor { monitor, replaces: false, by: "ann".to_owned() }).await;
    let key = Some(KeyHash::of(PING_KEY));
    story.done(Request::SetPingKey { label: "scripts".to_owned(), key, creates: true, by: "ann".to_owned() }).await;
    let served = story.serve("one", &plain()).await;
    (story, life, served)
}

impl Story {
    async fn done(&self, request: Request) {
        self.until(request, |reply| matches!(reply, Reply::Done { .. }).then_some(())).await;
    }

    /// Everything that the log holds.
    async fn hub_text(&self) -> String {
        let batch = self.operator.read_log(0).next_batch(100_000, Duration::from_secs(1)).await.done().unwrap();
        batch.messages.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
    }

    async fn monitor(&self, name: &str) -> MonitorDetail {
        let request = Request::Monitor { name: name.parse().unwrap() };
        self.until(request, |reply| if let Reply::Monitor(one) = reply { Some(one) } else { None }).await
    }
}

impl Served {
    /// Status and words of the answer.
    async fn said(&self, request: RequestBuilder) -> (u16, String) {
        let told = request.send().await.unwrap();
        let status = told.status().as_u16();
        assert_eq!(told.headers()["ping-body-limit"], "100000");
        assert_eq!(told.headers()["access-control-allow-origin"], "*");
        (status, told.text().await.unwrap())
    }

    async fn pinged(&self, path: &str) -> (u16, String) {
        self.said(self.get(path)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_of_healthchecks_is_answered_as_there() {
    let (story, life, served) = served().await;
    let ok = || (200, "OK".to_owned());
    for end in ["", "/", "/start", "/log", "/0", "/fail", "/3"] {
        assert_eq!(served.pinged(&format!("/ping/{UUID}{end}")).await, ok(), "{end}");
        assert_eq!(served.pinged(&format!("/ping/{PING_KEY}/db{end}")).await, ok(), "{end}");
    }
    assert_eq!(served.said(served.post(&format!("/ping/{UUID}"))).await, ok());
    assert_eq!(served.said(served.client.head(served.url(&format!("/ping/{UUID}")))).await, (200, String::new()));
    let one = story.monitor("db").await;
    assert_eq!((one.monitor.state, one.monitor.pings, one.pings.len()), (MonitorState::Up, 16, 16));
    for (path, status, words) in [
        (format!("/ping/{RID}"), 404, "not found"),
        ("/ping/wrong-key/db".to_owned(), 404, "not found"),
        (format!("/ping/{PING_KEY}/nobody"), 404, "not found"),
        (format!("/ping/{PING_KEY}/db/stop"), 404, "not found"),
        (format!("/ping/{PING_KEY}/DB"), 400, "invalid url format"),
        (format!("/ping/{UUID}/256"), 400, "invalid url format"),
        (format!("/ping/{UUID}?rid=x"), 400, "invalid uuid format"),
        (format!("/ping/{PING_KEY}/fresh?create=1"), 201, "Created"),
        (format!("/ping/{PING_KEY}/fresh?create=1"), 200, "OK"),
    ] {
        assert_eq!(served.pinged(&path).await, (status, words.to_owned()), "{path}");
    }
    let put = served.client.request(Method::PUT, served.url(&format!("/ping/{UUID}")));
    assert_eq!(served.said(put).await.0, 405);
    let name: RoutineName = "other".parse().unwrap();
    let twin = MonitorSpec::created(name, "fresh".parse().unwrap());
    story.done(Request::SetMonitor { monitor: twin, replaces: false, by: "ann".to_owned() }).await;
    let ambiguous = served.pinged(&format!("/ping/{PING_KEY}/fresh")).await;
    assert_eq!(ambiguous, (409, "ambiguous slug".to_owned()));
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_paired_by_its_id_and_its_body_is_kept_without_secrets() {
    let (story, life, served) = served().await;
    served.pinged(&format!("/ping/{UUID}/start?rid={RID}")).await;
    assert!(story.monitor("db").await.monitor.running.is_some());
    let text = format!("<script>alert(1)</script>\npassword=hunter2\ncurl http://x/ping/{UUID}\n");
    let end = served.post(&format!("/ping/{UUID}/7?rid={RID}")).body(text).header("user-agent", "curl/8.5.0");
    assert_eq!(served.said(end).await.0, 200);
    let one = story.monitor("db").await;
    let last = &one.pings[0];
    assert_eq!((last.ping.kind, last.ping.agent.as_str()), (PingKind::Exit { status: 7 }, "curl/8.5.0"));
    assert!(last.duration_ms.is_some() && one.monitor.running.is_none());
    assert!(last.ping.body.contains("password=***") && last.ping.body.contains("/ping/***"), "{}", last.ping.body);
    assert_eq!((one.monitor.state, one.monitor.failures_since_good), (MonitorState::Failed, 1));
    let log = story.hub_text().await;
    assert!(!log.contains("hunter2") && !log.contains(UUID), "no secret reaches the log");
    let page = served.get("/monitors/db").bearer_auth(served.token("vera")).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("&lt;script&gt;alert") && !page.contains("<script>alert"), "{page}");
    for path in ["/", "/monitors", "/report", "/alerts"] {
        let page = served.get(path).bearer_auth(served.token("vera")).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("/monitors"), "{path}");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_of_the_guide_are_taken_and_a_wrong_key_is_not() {
    let (story, life, served) = served().await;
    let beat = |body: &'static str| served.post(&format!("/heartbeat/{UUID}")).body(body);
    for body in [r#"{"status":"preparing"}"#, r#"{"status":"started"}"#, r#"{"status":"progress","progress":40}"#] {
        assert_eq!(served.said(beat(body)).await.0, 200, "{body}");
    }
    let running = story.monitor("db").await.monitor.running.unwrap();
    assert_eq!((running.stage, running.percent), (Some(Stage::Progress), Some(40)));
    let done = r#"{"status":"completed","duration":61,"size":1048576,"total_files":12,"exit_code":0}"#;
    assert_eq!(served.said(beat(done)).await, (200, "OK".to_owned()));
    let one = story.monitor("db").await;
    assert_eq!((one.monitor.state, one.pings[0].ping.said.bytes), (MonitorState::Up, Some(1 << 20)));
    assert_eq!(served.said(beat(r#"{"status":"fine"}"#)).await.0, 400);
    assert_eq!(served.said(beat(r#"{"status":"verified","matches_expected":false}"#)).await.0, 200);
    assert_eq!(story.monitor("db").await.monitor.state, MonitorState::Failed);
    for key in [RID, "secret-key", "x/y"] {
        assert_eq!(served.said(served.post(&format!("/heartbeat/{key}"))).await.0, 404, "{key}");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_bounded_and_huge_bodies_are_cut() {
    let (story, life, served) = served().await;
    let huge = format!("{}the end of what is taken{}", "x".repeat(100_000 - 24), "y".repeat(200_000));
    assert_eq!(served.said(served.post(&format!("/ping/{UUID}/log")).body(huge)).await.0, 200);
    let one = story.monitor("db").await;
    assert_eq!(one.pings[0].ping.body_bytes, 100_000);
    assert!(one.pings[0].ping.body.ends_with("the end of what is taken"), "what follows is ignored");
    let mut taken = 0;
    for _ in 0..150 {
        let body = "z".repeat(30_000);
        let told = served.said(served.post(&format!("/ping/{UUID}/log")).body(body)).await;
        assert!([200, 429].contains(&told.0), "{told:?}");
        taken += u32::from(told.0 == 200);
    }
    assert!((40..75).contains(&taken), "{taken} of 150 pings in a row were taken");
    let log = story.hub_text().await;
    assert!(log.len() < 256 * 1024, "the flood costs {} bytes of the log", log.len());
    let too_long = served.post(&format!("/ping/{UUID}")).body("x".repeat(5 << 20)).send().await;
    assert!(too_long.is_err() || too_long.is_ok_and(|told| told.status().as_u16() == 413));
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tries_keys_is_stopped_and_a_page_of_another_site_may_ping() {
    let (_story, life, served) = served().await;
    assert_eq!(served.pinged(&format!("/ping/{UUID}")).await.0, 200);
    let mut refused = 0;
    for number in 0..60_u128 {
        let key = uuid::Uuid::from_u128(number);
        refused += u32::from(served.pinged(&format!("/ping/{key}")).await.0 == 429);
    }
    assert_eq!(refused, 30);
    let foreign = served.post(&format!("/ping/{UUID}")).header("sec-fetch-site", "cross-site");
    assert_eq!(served.said(foreign).await.0, 200, "a known address is heard, whoever sends it");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_hands_pings_to_the_leader_and_without_a_leader_the_client_shall_repeat() {
    let (story, life, served) = served().await;
    let second = story.live("two", &Arc::default());
    story
        .until(Request::Status, |reply| matches!(reply, Reply::Status(it) if it.standbys.len() == 1).then_some(()))
        .await;
    let standby = story.serve("two", &plain()).await;
    assert_eq!(standby.pinged(&format!("/ping/{UUID}")).await, (200, "OK".to_owned()));
    assert_eq!(story.monitor("db").await.monitor.pings, 1);
    drop(served);
    second.end().await;
    life.end().await;
    let told = standby.get(&format!("/ping/{UUID}")).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.headers().contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monitors_are_seen_by_programs_and_removed_by_admins_only() {
    let (story, life, served) = served().await;
    served.pinged(&format!("/ping/{UUID}/fail")).await;
    let (viewer, admin) = (served.token("vera"), served.token("ann"));
    let all: Value =
        served.get("/api/v1/monitors?state=failed").bearer_auth(&viewer).send().await.unwrap().json().await.unwrap();
    assert_eq!((&all["results"][0]["spec"]["name"], &all["results"][0]["state"]), (&"db".into(), &"failed".into()));
    assert!(all["results"][0]["spec"].get("key").is_none(), "what is kept of the key is shown to nobody");
    let status: Value = served.get("/api/v1/status").bearer_auth(&viewer).send().await.unwrap().json().await.unwrap();
    assert_eq!(status["monitors"], serde_json::json!({ "failed": 1 }), "{status}");
    let figures = served.get("/metrics").bearer_auth(&viewer).send().await.unwrap().text().await.unwrap();
    assert!(figures.contains("landfall_monitor_state{monitor=\"db\",state=\"failed\"} 1"), "{figures}");
    let remove = |token: &str| served.client.delete(served.url("/api/v1/monitors/db")).bearer_auth(token).send();
    problem(remove(&viewer).await.unwrap(), StatusCode::FORBIDDEN).await;
    assert_eq!(remove(&admin).await.unwrap().status(), StatusCode::OK);
    problem(remove(&admin).await.unwrap(), StatusCode::NOT_FOUND).await;
    assert_eq!(served.pinged(&format!("/ping/{UUID}")).await.0, 404);
    story
        .until(Request::Alerts { all: false, paging: landfall_proto::control::Paging::default() }, |reply| {
            matches!(reply, Reply::Alerts(page) if page.rows.is_empty()).then_some(())
        })
        .await;
    life.end().await;
}
