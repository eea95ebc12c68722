//! Stories of a browser before a real coordinator: pages without a script, forms, and the stream behind a page.

use landfall_proto::limit::LimitName;
use reqwest::header::{COOKIE, HeaderMap};
use reqwest::{Response, StatusCode, redirect};

use super::http::{Served, plain};
use super::*;

/// The browser of somebody who has logged in.
struct Browser {
    client: reqwest::Client,
    served: Served,
    csrf: String,
}

impl Browser {
    /// Ann's, who may do everything.
    async fn open(story: &Story, name: &str) -> Self {
        Self::of("ann", story.serve(name, &plain()).await).await
    }

    async fn of(person: &str, served: Served) -> Self {
        let cookie = served.log_in(person).await;
        let (_, csrf) = served.form("/account", Some(&cookie)).await;
        let headers = HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
        let client = reqwest::Client::builder().redirect(redirect::Policy::none()).default_headers(headers);
        Self { client: client.build().unwrap(), served, csrf }
    }

    fn url(&self, path: &str) -> String {
        self.served.url(path)
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    async fn post(&self, path: &str, fields: &str) -> (StatusCode, String) {
        let form = "application/x-www-form-urlencoded";
        let body = format!("csrf={}&{fields}", self.csrf);
        let request = self.client.post(self.url(path)).header("content-type", form).body(body);
        let answer = request.send().await.unwrap();
        let to = answer.headers().get("location").map_or_else(String::new, |to| to.to_str().unwrap().to_owned());
        (answer.status(), to)
    }

    /// Reads a stream until it has said this; all that was said until then.
    async fn heard(stream: &mut Response, wanted: &str) -> String {
        let mut said = String::new();
        let listen = async {
            while !said.contains(wanted) {
                let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
                said.push_str(&String::from_utf8_lossy(&chunk));
            }
        };
        timeout(WITHIN, listen).await.unwrap_or_else(|_| panic!("never heard {wanted:?}"));
        said
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_whole_without_a_script_and_allows_nothing_from_elsewhere() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _a = Agent::start(&story.hub, "a", Script::Lands).await;
    let _b = Agent::start(&story.hub, "b", Script::Fails).await;
    story.nodes_online(2).await;
    let round = story.start().await;
    story.verdict(round).await;
    let run = story.run_in(round, RunState::Failed).await;
    let browser = Browser::open(&story, "one").await;
    let (of_round, of_run) = (format!("/rounds/{round}"), format!("/runs/{run}"));
    let says = [
        ("/", "No: 1 of 2 is missing or too old"),
        ("/queue", "Average duration"),
        ("/rounds", "diverged"),
        (of_round.as_str(), "is <b>bad</b>"),
        (of_run.as_str(), "Suggested fix"),
        ("/nodes", "online"),
        ("/nodes/a", "Retire this node"),
        ("/routines", "nightly"),
        ("/routines/nightly", "Converges by"),
        ("/routines/nightly", "every snapshot is kept"),
        ("/alerts", "failed/nightly/b"),
        ("/trends", "Growth of the destination"),
        ("/report", "Compliance"),
    ];
    for (path, wanted) in says {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let page = answer.text().await.unwrap();
        assert!(page.contains(wanted), "{path} lacks {wanted:?}");
        for forbidden in [" style=", " onclick=", " onload=", "javascript:", "<style", "http://", "https://"] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/assets/").count(), "{path}");
    }
    for missing in ["/runs/018f0000-0000-7000-8000-000000000000", "/nodes/nobody", "/routines/none", "/rounds/x"] {
        assert_eq!(browser.get(missing).await.status(), StatusCode::NOT_FOUND, "{missing}");
    }
    let record = browser.text(&format!("{of_run}/incident.md")).await;
    assert!(record.starts_with("# Incident: backup of nightly on b, failed"), "{record}");
    assert!(record.contains("Not yet: no later run"), "{record}");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_act_once_and_lead_to_the_page_that_shows_it() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _a = Agent::start(&story.hub, "a", Script::Hangs).await;
    story.nodes_online(1).await;
    let browser = Browser::open(&story, "one").await;
    let page = browser.text("/routines/nightly").await;
    let (_, rest) = page.split_once("name=\"request\" value=\"").unwrap();
    let fields = format!("request={}&task=backup&node=", &rest[..36]);
    let first = browser.post("/routines/nightly/start", &fields).await;
    assert_eq!(first.0, StatusCode::SEE_OTHER);
    assert!(first.1.starts_with("/rounds/"), "{}", first.1);
    assert_eq!(
        browser.post("/routines/nightly/start", &fields).await.1,
        first.1,
        "a second click opens no second round"
    );
    let round: RoundId = first.1[8..44].parse().unwrap();
    let run = story.run_in(round, RunState::Running).await;
    let (status, to) = browser.post(&format!("/runs/{run}/cancel"), "csrf=").await;
    assert_eq!((status, to), (StatusCode::SEE_OTHER, format!("/runs/{run}?told=cancelling")));
    let page = browser.text(&format!("/runs/{run}?told=cancelling")).await;
    assert!(page.contains("cancelling until its process is gone"), "{page}");
    assert!(page.contains("ann asked to cancel it"), "the log says who asked: {page}");
    assert_eq!(browser.post("/limits", "name=cluster&value=7").await.0, StatusCode::SEE_OTHER);
    assert!(browser.text("/queue").await.contains("of 7 taken"));
    let nonsense = browser.post("/limits", "name=<b>&value=7").await;
    assert_eq!(nonsense.0, StatusCode::NOT_FOUND);
    assert_eq!(browser.get(&format!("/runs/{run}/cancel")).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_does_no_more_than_its_persons_role_allows() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _a = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let oscar = Browser::of("oscar", story.serve("one", &plain()).await).await;
    assert_eq!(oscar.post("/limits", "name=cluster&value=7").await.0, StatusCode::FORBIDDEN);
    assert_eq!(oscar.post("/nodes/a/retire", "").await.0, StatusCode::FORBIDDEN);
    let start = format!("request={}&task=backup&node=", Uuid::from_u128(7));
    assert_eq!(oscar.post("/routines/nightly/start", &start).await.0, StatusCode::SEE_OTHER);
    let vera = Browser::of("vera", story.serve("one", &plain()).await).await;
    assert_eq!(vera.post("/routines/nightly/start", &start).await.0, StatusCode::FORBIDDEN);
    assert!(vera.text("/queue").await.contains("of 4 taken"), "the limit is what it was");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_shown_a_button_that_his_role_would_refuse() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Hangs).await;
    let _b = Agent::start(&story.hub, "b", Script::Fails).await;
    story.nodes_online(2).await;
    let round = story.start().await;
    let running = story.run_in(round, RunState::Running).await;
    let failed = story.run_in(round, RunState::Failed).await;
    agent.started().await.unwrap();
    let served = |name: &'static str| async { Browser::of(name, story.serve("one", &plain()).await).await };
    let (ann, oscar, vera) = (served("ann").await, served("oscar").await, served("vera").await);
    let (of_round, of_running, of_failed) =
        (format!("/rounds/{round}"), format!("/runs/{running}"), format!("/runs/{failed}"));
    for (path, act, is_for_operators) in [
        (of_round.as_str(), format!("/rounds/{round}/cancel"), true),
        (of_running.as_str(), format!("/runs/{running}/cancel"), true),
        (of_failed.as_str(), format!("/runs/{failed}/retry"), true),
        ("/queue", format!("/runs/{running}/cancel"), true),
        ("/queue", "/limits".to_owned(), false),
        ("/routines/nightly", "/routines/nightly/start".to_owned(), true),
        ("/nodes/a", "/nodes/a/retire".to_owned(), false),
    ] {
        let form = format!("action=\"{act}\"");
        assert!(ann.text(path).await.contains(&form), "{path} lacks {form} for an admin");
        assert_eq!(oscar.text(path).await.contains(&form), is_for_operators, "{path} {form} for an operator");
        assert!(!vera.text(path).await.contains("method=\"post\""), "{path} has a form for a viewer");
        assert_eq!(vera.post(&act, "").await.0, StatusCode::FORBIDDEN, "{act}");
        let stream = format!("/events?page={path}");
        let first = Browser::heard(&mut vera.get(&stream).await, "\n\n").await;
        assert!(!first.contains("method=\"post\""), "{stream} has a form for a viewer");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_is_told_when_its_person_may_no_longer_look() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    story.status().await;
    let vera = Browser::of("vera", story.serve("one", &plain()).await).await;
    let oscar = vera.served.log_in("oscar").await;
    let mut open = vera.get("/events?page=/").await;
    let mut others = vera.client.get(vera.url("/events?page=/")).header(COOKIE, &oscar).send().await.unwrap();
    Browser::heard(&mut open, "event: parts").await;
    Browser::heard(&mut others, "event: parts").await;
    assert_eq!(vera.post("/logout", "").await.0, StatusCode::SEE_OTHER);
    Browser::heard(&mut open, "event: over").await;
    assert_eq!(timeout(WITHIN, open.chunk()).await.unwrap().unwrap(), None, "the stream ends with these words");
    assert_eq!(vera.get("/events?page=/").await.status(), StatusCode::UNAUTHORIZED);
    vera.served.remove("oscar");
    Browser::heard(&mut others, "event: over").await;
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_programs_share_their_places_and_the_mesh_goes_on_beside_them() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _a = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let browser = Browser::open(&story, "one").await;
    let mut pages = Vec::new();
    let full = loop {
        // Each request counts against the visit's rate.
        sleep(Duration::from_millis(20)).await;
        let path = if pages.len() % 2 == 0 { "/events?page=/queue" } else { "/api/v1/events" };
        let told = browser.get(path).await;
        if told.status() != StatusCode::OK {
            break told;
        }
        pages.push(told);
    };
    assert_eq!((pages.len(), full.status()), (512, StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(full.headers()["retry-after"], "5");
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    for page in pages.iter_mut().step_by(2) {
        Browser::heard(page, "✓ </span>ok").await;
    }
    drop(pages);
    let again = async {
        while browser.get("/events?page=/queue").await.status() != StatusCode::OK {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WITHIN, again).await.expect("a place becomes free");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_nothing_holds_up_nobody() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    story.status().await;
    let browser = Browser::open(&story, "one").await;
    let mut deaf = Vec::new();
    for path in ["/events?page=/queue", "/events?page=/", "/api/v1/events", "/api/v1/events?node=a"] {
        deaf.push(browser.get(path).await);
    }
    let mut quick = browser.get("/events?page=/queue").await;
    let limit = |value| Request::SetLimit { name: LimitName::Cluster, value, by: "ann".to_owned() };
    for value in (0..300).map(|turn| 5 + turn % 2).chain([77]) {
        let told = story.page("one", limit(value)).await;
        assert!(matches!(told, Reply::Done { .. }), "{told:?}");
    }
    Browser::heard(&mut quick, "of 77 taken").await;
    // What waited for its reader is the latest, and little.
    let late = Browser::heard(&mut deaf[0], "of 77 taken").await;
    assert!(late.matches("event: parts").count() < 60, "a page is rendered twice a second at most: {late}");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_with_every_part_and_then_sends_what_changes() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let _a = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let browser = Browser::open(&story, "one").await;
    let mut stream = browser.get("/events?page=%2F%3Fsearch%3DA").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = Browser::heard(&mut stream, "\n\n").await;
    for part in ["id=\"pulse\"", "id=\"answer\"", "id=\"board\"", "id=\"rounds\"", "event: parts", "id: "] {
        assert!(first.contains(part), "{part} is missing in\n{first}");
    }
    assert!(first.contains("first one pending"), "{first}");
    let round = story.start().await;
    story.verdict(round).await;
    let later = Browser::heard(&mut stream, "converged").await;
    assert!(!later.contains("<title>"), "the browser has the strips already: {later}");
    assert_eq!(browser.get("/events?page=/elsewhere").await.status(), StatusCode::NOT_FOUND);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_has_ended_is_said_to_be_silent() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    story.status().await;
    let browser = Browser::open(&story, "one").await;
    life.end().await;
    let answer = browser.get("/").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let page = answer.text().await.unwrap();
    assert!(page.contains("the coordinator does not answer") && page.contains("Now: "), "{page}");
}
