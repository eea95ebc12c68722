//! The API as programs use it, well and badly.

use serde_json::json;

use super::*;

/// A mesh of one node with one round that converged, its pages, and a token of each person.
struct Mesh {
    story: Story,
    life: Life,
    _agent: Arc<Agent>,
    served: Served,
    round: String,
}

impl Mesh {
    async fn new() -> Self {
        let story = Story::new().await;
        let life = story.live("one", &Arc::default());
        let agent = Agent::start(&story.hub, "a", Script::Lands).await;
        story.nodes_online(1).await;
        let round = story.start().await;
        assert_eq!(story.verdict(round).await, VerdictKind::Converged);
        let served = story.serve("one", &plain()).await;
        Self { story, life, _agent: agent, served, round: round.to_string() }
    }

    async fn get(&self, token: &str, path: &str) -> Response {
        self.served.get(&format!("/api/v1{path}")).bearer_auth(token).send().await.unwrap()
    }

    async fn json(&self, token: &str, path: &str) -> Value {
        let told = self.get(token, path).await;
        assert_eq!((told.status(), path), (StatusCode::OK, path));
        assert_eq!(told.headers()[CONTENT_TYPE], "application/json");
        told.json().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_reads_everything_and_may_not_act() {
    let mesh = Mesh::new().await;
    let token = mesh.served.token("vera");
    let status = mesh.json(&token, "/status").await;
    assert_eq!((&status["cluster"], &status["nodes_online"]), (&json!("home"), &json!(1)));
    let runs = mesh.json(&token, "/runs?node=a&state=ok&q=NIGHT").await;
    let run = runs["results"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((runs["results"].as_array().unwrap().len(), &runs["next"]), (1, &Value::Null));
    for (list, key, wanted) in [
        ("/rounds?verdict=converged", "id", mesh.round.as_str()),
        ("/routines", "name", "nightly"),
        ("/nodes?covered=true", "id", "a"),
        ("/snapshots", "run", run.as_str()),
        ("/limits?q=clus", "name", "cluster"),
    ] {
        let listing = mesh.json(&token, list).await;
        assert_eq!(listing["results"][0][key], wanted, "{list}: {listing}");
    }
    for none in [
        "/runs?state=failed",
        "/rounds?open=true",
        "/nodes?covered=false",
        "/alerts",
        "/runs?started_after=2999-01-01T00:00:00Z",
    ] {
        assert_eq!(mesh.json(&token, none).await["results"], json!([]), "{none}");
    }
    for detail in
        [format!("/rounds/{}", mesh.round), format!("/runs/{run}"), "/nodes/a".into(), "/routines/nightly".into()]
    {
        assert!(mesh.json(&token, &detail).await.is_object());
    }
    for act in ["/routines/nightly/start".to_owned(), format!("/runs/{run}/cancel"), "/nodes/a/retire".into()] {
        let told = mesh.served.post(&format!("/api/v1{act}")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(problem(told, StatusCode::FORBIDDEN).await["type"], "role");
    }
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_starts_once_however_often_he_says_so_with_one_key() {
    let mesh = Mesh::new().await;
    let (oscar, ann) = (mesh.served.token("oscar"), mesh.served.token("ann"));
    let start = |token: &str, key: &str| {
        let request =
            mesh.served.post("/api/v1/routines/nightly/start").bearer_auth(token).header("idempotency-key", key);
        request.json(&json!({ "nodes": ["a"], "task": "backup" })).send()
    };
    let told = start(&oscar, "one").await.unwrap();
    assert_eq!(told.status(), StatusCode::ACCEPTED);
    let place = told.headers()[LOCATION].to_str().unwrap().to_owned();
    let round: Value = told.json().await.unwrap();
    assert_eq!(place, format!("/api/v1/rounds/{}", round["round"].as_str().unwrap()));
    assert_eq!(start(&oscar, "one").await.unwrap().json::<Value>().await.unwrap(), round);
    for (token, key) in [(&oscar, "two"), (&ann, "one")] {
        assert_ne!(start(token, key).await.unwrap().json::<Value>().await.unwrap(), round);
    }
    problem(start(&oscar, &"k".repeat(300)).await.unwrap(), StatusCode::BAD_REQUEST).await;
    let id: RoundId = round["round"].as_str().unwrap().parse().unwrap();
    assert_eq!(mesh.story.verdict(id).await, VerdictKind::Converged);
    let retry = mesh.served.post(&format!("/api/v1/rounds/{id}/retry")).bearer_auth(&oscar).send().await.unwrap();
    assert_eq!(problem(retry, StatusCode::CONFLICT).await["detail"], "it is good");
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sets_limits_and_retires_nodes_and_an_operator_does_not() {
    let mesh = Mesh::new().await;
    let (oscar, ann) = (mesh.served.token("oscar"), mesh.served.token("ann"));
    let put = |token: &str, name: &str, body: Value| {
        mesh.served.client.put(mesh.served.url(&format!("/api/v1/limits/{name}"))).bearer_auth(token).json(&body).send()
    };
    problem(put(&oscar, "cluster", json!({ "size": 9 })).await.unwrap(), StatusCode::FORBIDDEN).await;
    assert_eq!(put(&ann, "cluster", json!({ "size": 9 })).await.unwrap().status(), StatusCode::OK);
    for (name, body) in [
        ("cluster", json!({})),
        ("cluster", json!({ "size": -1 })),
        ("cluster", json!({ "more": 1 })),
        ("nothing", json!({ "size": 1 })),
    ] {
        let told = put(&ann, name, body).await.unwrap();
        assert!([StatusCode::BAD_REQUEST].contains(&told.status()), "{name}: {}", told.status());
        problem(told, StatusCode::BAD_REQUEST).await;
    }
    let wait = async {
        while mesh.json(&ann, "/limits?q=cluster").await["results"][0]["size"] != 9 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, wait).await.unwrap();
    let retire =
        |token: &str, node: &str| mesh.served.post(&format!("/api/v1/nodes/{node}/retire")).bearer_auth(token).send();
    problem(retire(&oscar, "a").await.unwrap(), StatusCode::FORBIDDEN).await;
    problem(retire(&ann, "z").await.unwrap(), StatusCode::NOT_FOUND).await;
    assert_eq!(retire(&ann, "a").await.unwrap().status(), StatusCode::OK);
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_what_would() {
    let mesh = Mesh::new().await;
    let token = mesh.served.token("ann");
    for (path, hint) in [
        ("/runs?colour=red", "expected one of"),
        ("/runs?state=blue", "expected one of"),
        ("/runs?node=%3Cb%3E", "node id"),
        ("/runs?limit=0", "1 to 100"),
        ("/runs?limit=101", "1 to 100"),
        ("/runs?after=xyz", "no place"),
        ("/runs?ordering=bytes", "-queued_at"),
        ("/rounds?opened_after=yesterday", "year"),
        ("/nodes?after=%00", "no place"),
        ("/runs/not-an-id", "invalid character"),
        ("/events?colour=red", "expected"),
    ] {
        let told = problem(mesh.get(&token, path).await, StatusCode::BAD_REQUEST).await;
        assert!(told["detail"].as_str().unwrap().contains(hint), "{path}: {told}");
    }
    for path in [
        format!("/runs/{}", Uuid::nil()),
        format!("/rounds/{}", Uuid::nil()),
        "/nodes/z".into(),
        "/routines/z".into(),
        "/alerts/%3Cscript%3E".into(),
        "/nothing".into(),
    ] {
        let told = problem(mesh.get(&token, &path).await, StatusCode::NOT_FOUND).await;
        assert!(!told.to_string().is_empty());
    }
    let post = |body: &'static str, kind: &'static str| {
        let request = mesh.served.post("/api/v1/routines/nightly/start").bearer_auth(&token).header(CONTENT_TYPE, kind);
        request.body(body).send()
    };
    for (body, kind) in [
        ("{", "application/json"),
        ("7", "application/json"),
        ("{\"nodes\":[\"<b>\"]}", "application/json"),
        ("{\"more\":1}", "application/json"),
        ("{}", "text/plain"),
    ] {
        problem(post(body, kind).await.unwrap(), StatusCode::BAD_REQUEST).await;
    }
    let huge =
        mesh.served.post("/api/v1/routines/nightly/start").bearer_auth(&token).header(CONTENT_TYPE, "application/json");
    problem(huge.body(" ".repeat(70_000)).send().await.unwrap(), StatusCode::PAYLOAD_TOO_LARGE).await;
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_changed_is_not_sent_again() {
    let mesh = Mesh::new().await;
    let token = mesh.served.token("vera");
    let told = mesh.get(&token, "/routines/nightly").await;
    let tag = told.headers()["etag"].clone();
    let again = |tag: reqwest::header::HeaderValue| {
        mesh.served.get("/api/v1/routines/nightly").bearer_auth(&token).header("if-none-match", tag).send()
    };
    let told = again(tag).await.unwrap();
    assert_eq!(told.status(), StatusCode::NOT_MODIFIED);
    assert!(told.text().await.unwrap().is_empty());
    assert_eq!(again("\"other\"".parse().unwrap()).await.unwrap().status(), StatusCode::OK);
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_is_read_to_its_end_and_every_row_comes_once() {
    let mesh = Mesh::new().await;
    let token = mesh.served.token("oscar");
    for number in 0..6 {
        let request = mesh.served.post("/api/v1/routines/nightly/start").bearer_auth(&token);
        let told = request.header("idempotency-key", number.to_string()).send().await.unwrap();
        assert_eq!(told.status(), StatusCode::ACCEPTED);
    }
    let (mut seen, mut path) = (Vec::new(), "/rounds?limit=2&routine=nightly".to_owned());
    loop {
        let page = mesh.json(&token, &path).await;
        let rows = page["results"].as_array().unwrap();
        assert!(rows.len() <= 2);
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = next.strip_prefix("/api/v1").unwrap().to_owned();
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((count, seen.len()), (7, 7));
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_in_pieces_or_as_a_file() {
    let mesh = Mesh::new().await;
    let token = mesh.served.token("vera");
    let run = mesh.json(&token, "/runs").await["results"][0]["id"].as_str().unwrap().to_owned();
    let piece = mesh.get(&token, &format!("/runs/{run}/log?offset=4")).await;
    assert_eq!(piece.headers()["landfall-ended"], "true");
    assert_eq!(piece.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(piece.text().await.unwrap(), "one line\n");
    let whole = mesh.get(&token, &format!("/runs/{run}/log?whole=true")).await;
    assert_eq!(whole.headers()["content-disposition"], format!("attachment; filename=\"{run}.log\""));
    let whole = whole.text().await.unwrap();
    assert!(whole.contains("one line\n"));
    let file = mesh.served.get(&format!("/runs/{run}/log.txt")).bearer_auth(&token).header("accept-encoding", "gzip");
    assert!(!file.send().await.unwrap().bytes().await.unwrap().is_empty(), "a page's download comes to its end");
    problem(mesh.get(&token, &format!("/runs/{}/log", Uuid::nil())).await, StatusCode::NOT_FOUND).await;
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_acts_through_the_api_with_its_forms_token_only() {
    let mesh = Mesh::new().await;
    let cookie = mesh.served.log_in("oscar").await;
    let (_, csrf) = mesh.served.form("/account", Some(&cookie)).await;
    let start = || mesh.served.post("/api/v1/routines/nightly/start").header("cookie", &cookie);
    problem(start().send().await.unwrap(), StatusCode::FORBIDDEN).await;
    problem(start().header("x-csrf-token", "x").send().await.unwrap(), StatusCode::FORBIDDEN).await;
    let told = start().header("x-csrf-token", &csrf).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::ACCEPTED);
    mesh.life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_has_every_address_with_its_problems_and_each_answers() {
    let mesh = Mesh::new().await;
    let token = mesh.served.token("ann");
    let document = mesh.json(&token, "/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    let wanted = [
        "/status",
        "/routines",
        "/routines/{name}",
        "/routines/{name}/start",
        "/rounds",
        "/rounds/{id}",
        "/rounds/{id}/cancel",
        "/rounds/{id}/retry",
        "/runs",
        "/runs/{id}",
        "/runs/{id}/cancel",
        "/runs/{id}/retry",
        "/runs/{id}/log",
        "/snapshots",
        "/storages",
        "/nodes",
        "/nodes/{id}",
        "/nodes/{id}/retire",
        "/alerts",
        "/alerts/{key}",
        "/limits",
        "/limits/{name}",
        "/monitors",
        "/monitors/{name}",
        "/events",
    ];
    let found: Vec<&str> = paths.keys().map(|path| path.strip_prefix("/api/v1").unwrap()).collect();
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for path in wanted {
        let item = paths[&format!("/api/v1{path}")].as_object().unwrap();
        for (method, operation) in item {
            for status in ["400", "401", "403", "404", "409", "429", "503"] {
                assert!(operation["responses"].get(status).is_some(), "{method} {path} {status}");
            }
            let url = mesh
                .served
                .url(&format!("/api/v1{}", path.replace("{id}", "a").replace("{name}", "zz").replace("{key}", "k")));
            let told = mesh.served.client.request(method.to_uppercase().parse().unwrap(), url).send().await.unwrap();
            problem(told, StatusCode::UNAUTHORIZED).await;
        }
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document["components"]["schemas"].get(reference).is_some(), "{reference} is described nowhere");
    }
    mesh.life.end().await;
}
