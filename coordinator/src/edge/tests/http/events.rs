//! Streams of changes: complete, resumed, narrowed, bounded, and a burden to nobody.

use super::*;

/// One stream as a client reads it.
struct Watching {
    told: Response,
    text: String,
}

/// One event: its id, its kind and its data.
type Heard = (String, String, Value);

impl Watching {
    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                        .unwrap_or_default()
                        .trim()
                        .to_owned()
                };
                let heard = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                if heard.1.is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&heard.2).unwrap();
                return Some((heard.0, heard.1, data));
            }
            let chunk = timeout(WITHIN, self.told.chunk()).await.expect("something is told").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads on until this kind of event comes.
    async fn until(&mut self, kind: &str) -> Heard {
        loop {
            let heard = self.next().await.unwrap();
            if heard.1 == kind {
                return heard;
            }
        }
    }
}

impl Served {
    async fn watch(&self, token: &str, query: &str, last: Option<&str>) -> Response {
        let request = self.get(&format!("/api/v1/events{query}")).bearer_auth(token);
        let request = last.iter().fold(request, |request, last| request.header("last-event-id", *last));
        request.send().await.unwrap()
    }

    async fn stream(&self, token: &str, query: &str, last: Option<&str>) -> Watching {
        let told = self.watch(token, query, last).await;
        assert_eq!(
            (told.status(), &told.headers()[CONTENT_TYPE]),
            (StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
        Watching { told, text: String::new() }
    }
}

async fn mesh() -> (Story, Life, Arc<Agent>, Served, String) {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let agent = Agent::start(&story.hub, "a", Script::Lands).await;
    story.nodes_online(1).await;
    let served = story.serve("one", &plain()).await;
    let token = served.token("vera");
    (story, life, agent, served, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_of_a_round_from_its_opening_to_its_verdict() {
    let (story, life, _agent, served, token) = mesh().await;
    let mut watching = served.stream(&token, "", None).await;
    let (_, kind, data) = watching.next().await.unwrap();
    assert_eq!((kind.as_str(), &data["cluster"], &data["resumed"]), ("hello", &"home".into(), &false.into()));
    let round = story.start().await;
    let (_, _, data) = watching.until("round").await;
    assert_eq!((&data["id"], &data["routine"]), (&round.to_string().into(), &"nightly".into()));
    let (_, _, data) = watching.until("run").await;
    assert_eq!((&data["node"], &data["routine"]), (&"a".into(), &"nightly".into()));
    watching.until("node").await;
    story.verdict(round).await;
    watching.until("round").await;
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_misses_nothing_or_is_told_so() {
    let (story, life, _agent, served, token) = mesh().await;
    let mut watching = served.stream(&token, "", None).await;
    let round = story.start().await;
    let (last, ..) = watching.until("round").await;
    drop(watching);
    story.verdict(round).await;
    let mut watching = served.stream(&token, "", Some(&last)).await;
    let (_, kind, data) = watching.next().await.unwrap();
    assert_eq!((kind.as_str(), &data["resumed"]), ("hello", &true.into()));
    let mut before = last.clone();
    for _ in 0..3 {
        let (id, kind, _) = watching.next().await.unwrap();
        let place = |id: &str| id.split('-').take(3).map(|part| part.parse::<u64>().unwrap()).collect::<Vec<_>>();
        assert!(place(&id) > place(&before) && kind != "reset", "{before} before {id}");
        before = id;
    }
    for foreign in ["1-1-1-00000000", "nonsense", "", "9999-1-1-0"] {
        let mut watching = served.stream(&token, "", Some(foreign)).await;
        let (_, kind, data) = watching.next().await.unwrap();
        assert_eq!((kind.as_str(), &data["resumed"]), ("hello", &false.into()));
        assert_eq!(watching.next().await.unwrap().1, "reset", "{foreign:?}");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrowed_stream_tells_of_its_own_only() {
    let (story, life, _agent, served, token) = mesh().await;
    let _other = Agent::start(&story.hub, "b", Script::Lands).await;
    story.nodes_online(2).await;
    let mut watching = served.stream(&token, "?node=b&routine=nightly", None).await;
    assert_eq!(watching.next().await.unwrap().1, "hello");
    let round = story.start().await;
    story.verdict(round).await;
    for _ in 0..2 {
        let (_, kind, data) = watching.next().await.unwrap();
        assert_eq!((kind.as_str(), &data["node"]), ("run", &"b".into()));
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_streams_hear_everything_and_the_mesh_goes_on_beside_them() {
    let (story, life, _agent, served, token) = mesh().await;
    let mut streams = Vec::new();
    for _ in 0..500 {
        // Each request counts against the token's rate.
        sleep(Duration::from_millis(20)).await;
        let mut watching = served.stream(&token, "", None).await;
        assert_eq!(watching.next().await.unwrap().1, "hello");
        streams.push(watching);
    }
    let round = story.start().await;
    assert_eq!(story.verdict(round).await, VerdictKind::Converged);
    for watching in &mut streams {
        let (_, _, data) = watching.until("round").await;
        assert_eq!(data["id"], round.to_string());
    }
    let mut more = Vec::new();
    let full = loop {
        let told = served.watch(&token, "", None).await;
        if told.status() != StatusCode::OK {
            break told;
        }
        more.push(told);
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((more.len(), &full.headers()["retry-after"]), (12, &"5".parse().unwrap()));
    problem(full, StatusCode::SERVICE_UNAVAILABLE).await;
    drop(more);
    let again = async {
        while served.watch(&token, "", None).await.status() != StatusCode::OK {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(WITHIN, again).await.expect("a place becomes free");
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_wait_for_each_other_and_not_for_streams_of_programs() {
    let (_story, life, _agent, served, token) = mesh().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(served.stream(&token, "", None).await);
    }
    assert_eq!(served.pages.open_for_test(), 0);
    let page = || served.get("/events?page=/queue").bearer_auth(&token).send();
    let (one, other) = (page().await.unwrap(), page().await.unwrap());
    assert_eq!((one.status(), other.status(), served.pages.open_for_test()), (StatusCode::OK, StatusCode::OK, 2));
    drop(other);
    let until_closed = async {
        while served.pages.open_for_test() > 1 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, until_closed).await.expect("a page that was closed is counted no more");
    drop((one, streams));
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_pages() {
    let (_story, life, _agent, served, token) = mesh().await;
    let mut watching = served.stream(&token, "", None).await;
    assert_eq!(watching.next().await.unwrap().1, "hello");
    timeout(WITHIN, served.pages.end()).await.unwrap();
    while watching.next().await.is_some() {}
    life.end().await;
}
