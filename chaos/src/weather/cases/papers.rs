//! Certificates: everybody shows one, a node's is no longer taken, and somebody else shows one in the bus's place.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use landfall_proto::bus::{ServerConfig, ServerProcess};
use landfall_proto::view::RunState;

use super::links::{NODES, drafted, receipt};
use crate::live::bus::cluster;
use crate::live::cluster::{HOLDER, OPERATOR};
use crate::live::process::outside;
use crate::live::tool::{self, Answer};
use crate::live::wait::{seconds, until, until_true};
use crate::live::{Authority, Place, Setup, Validity};
use crate::weather::case::{Case, Weather};
use crate::weather::judge::close;
use crate::weather::mesh::{Mesh, NIGHTLY, TASK};

/// How an alert about a silent node begins, and after how long it is raised here.
const SILENT: &str = "node_silent/";
const SILENT_AFTER: &str = "silent_alert_after = \"10s\"";

/// How long programs may take to notice what is wrong, and to say it.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// What a client says whose certificate is not taken.
const NOT_TAKEN: &str = "does not take this client's certificate";

/// What a client says to a server that shows another authority's certificate.
const NOT_TRUSTED: &str = "not of the authority that this client trusts";

/// Waiting for a word that must not come.
const HEARING: Duration = Duration::from_secs(5);

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("mutual-tls", "Whole rounds where everybody shows a certificate, and nobody is let in without.", |weather| {
            Box::pin(mutual(weather))
        }),
        Case::new(
            "certificate-lost",
            "In every round a node's certificate expires, is replaced by another authority's, or is taken away, and comes back.",
            |weather| Box::pin(lost(weather)),
        )
        .rounds(3),
        Case::new(
            "foreign-bus",
            "A server with another authority's certificate takes the bus's place for everybody in the middle of a round.",
            |weather| Box::pin(foreign(weather)),
        ),
    ]
}

/// What happens to a node's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Expires,
    IsReplaced,
    IsTakenAway,
}

const LOSSES: [Loss; 3] = [Loss::Expires, Loss::IsReplaced, Loss::IsTakenAway];

impl Loss {
    /// What the node itself says about it.
    const fn words(self) -> &'static str {
        match self {
            Self::Expires | Self::IsReplaced => NOT_TAKEN,
            Self::IsTakenAway => "tls/a.pem cannot be read",
        }
    }
}

async fn mutual(weather: Weather) {
    let mut mesh = weather.mesh(&NODES).with(Setup::mutual_tls).start().await;
    for _ in 0..mesh.weather.rounds {
        for routine in [TASK, NIGHTLY] {
            let round = mesh.open(routine).await;
            mesh.verdict(round, seconds(60)).await;
        }
    }
    mesh.cluster.tool(&["status"]).await.good();
    let looked = tool::agent(&mesh.cluster.agent_config("a"), &["doctor"]).await;
    assert!(looked.out.contains("answers, nats-server"), "expected that the node reaches the bus: {looked:?}");
    let file = mesh.cluster.place.path("operator.toml");
    let text = std::fs::read_to_string(&file).expect("the operator's file is written");
    let bare = text.lines().filter(|line| !line.starts_with("certificate") && !line.starts_with("key"));
    let bare = bare.map(|line| format!("{line}\n")).collect::<String>();
    let bare = mesh.cluster.place.file("operator-bare.toml", &bare);
    told(&tool::landfall(&bare, &["status"]).await, NOT_TAKEN);
    mesh.fault("an operator without a certificate is not let in");
    let place = &mesh.cluster.place;
    Authority::foreign(place).client(place, OPERATOR, Validity::Good);
    let foreign = place.file("operator-foreign.toml", &text.replace("tls/operator.", "tls-foreign/operator."));
    told(&tool::landfall(&foreign, &["doctor"]).await, NOT_TAKEN);
    mesh.fault("an operator with another authority's certificate is not let in");
    close(mesh).await;
}

/// The program ended badly and said these words.
fn told(answer: &Answer, words: &str) {
    let said = format!("{}{}", answer.out, answer.err);
    assert!(answer.code != 0 && said.contains(words), "expected that {words:?} is told: {answer:#?}");
}

async fn lost(weather: Weather) {
    let (draft, lines) = drafted(weather).await;
    let mut mesh = draft.with(Setup::mutual_tls).with(|setup| setup.policy(SILENT_AFTER)).start().await;
    let foreign = Authority::foreign(&mesh.cluster.place);
    for loss in LOSSES.into_iter().cycle().take(mesh.weather.rounds as usize) {
        mesh.hold();
        let round = mesh.open(TASK).await;
        mesh.begun(round).await;
        let said_before = journal(&mesh, "a").len();
        lose(&mesh, &foreign, loss);
        lines[0].cut();
        mesh.fault(&format!("the line of a breaks, and its certificate: {loss:?}"));
        mesh.release();
        receipt(&mesh, round, "a").await;
        let words = loss.words();
        until_true(&format!("the journal of a says {words:?}"), NOTICED_WITHIN, || {
            journal(&mesh, "a")[said_before..].contains(words)
        })
        .await;
        silent(&mesh, true).await;
        let view = mesh.cluster.operator.run(round, "a").await;
        assert_ne!(view.state, RunState::Failed, "expected that silence is no failure");
        if loss == Loss::IsTakenAway {
            let code = mesh.cluster.stop_agent("a").await;
            assert_eq!(code, Some(0), "expected that the agent of a ends well when it is asked to");
            mesh.cluster.start_agent("a");
            mesh.fault("a is started again without its certificate");
        }
        let papers = mesh.cluster.papers.as_ref().expect("this mesh has certificates");
        papers.client(&mesh.cluster.place, "a", Validity::Good);
        mesh.say("a has a good certificate again");
        mesh.verdict(round, seconds(90)).await;
        silent(&mesh, false).await;
    }
    close(mesh).await;
}

fn lose(mesh: &Mesh, foreign: &Authority, loss: Loss) {
    let place = &mesh.cluster.place;
    let own = |name: &str| place.path("tls").join(name);
    match loss {
        Loss::Expires => {
            let papers = mesh.cluster.papers.as_ref().expect("this mesh has certificates");
            papers.client(place, "a", Validity::Expired);
        }
        Loss::IsReplaced => {
            let (certificate, key) =
                foreign.client(place, "a", Validity::Good).client.expect("a client has a certificate");
            for (from, name) in [(certificate, "a.pem"), (key, "a.key")] {
                std::fs::copy(from, own(name)).expect("the story's folder can be written");
            }
        }
        Loss::IsTakenAway => std::fs::remove_file(own("a.pem")).expect("a has a certificate"),
    }
}

/// Waits until the mesh says that `a` is silent, and alarms somebody; or that it is not, and that all is well.
async fn silent(mesh: &Mesh, is_silent: bool) {
    until(&format!("a is known as silent, and somebody is told: {is_silent}"), NOTICED_WITHIN, async || {
        let status = mesh.cluster.operator.status().await?;
        let is_known = status.nodes_silent.iter().any(|name| name.as_str() == "a");
        let alerts = mesh.cluster.operator.open_alerts().await;
        let is_told = alerts.iter().any(|view| view.alert.key.0.starts_with(SILENT));
        ((is_known, is_told) == (is_silent, is_silent)).then_some(())
    })
    .await;
}

fn journal(mesh: &Mesh, process: &str) -> String {
    std::fs::read_to_string(mesh.cluster.place.log_of(process)).unwrap_or_default()
}

async fn foreign(weather: Weather) {
    let (draft, lines) = drafted(weather).await;
    let mut mesh = draft.with(Setup::mutual_tls).start().await;
    mesh.hold();
    let round = mesh.open(TASK).await;
    mesh.begun(round).await;
    let impostor = impostor(&mesh.cluster.place);
    let mut spy = spy(&mesh.cluster.place, &impostor).await;
    for line in &lines {
        line.aim((Ipv4Addr::LOCALHOST, impostor.port()).into());
        line.cut();
    }
    mesh.fault("a server with another authority's certificate takes the bus's place");
    mesh.release();
    for name in NODES {
        receipt(&mesh, round, name).await;
    }
    for process in NODES.into_iter().chain(["coordinator"]) {
        let says = || journal(&mesh, process).contains(NOT_TRUSTED);
        until_true(&format!("the journal of {process} says {NOT_TRUSTED:?}"), NOTICED_WITHIN, says).await;
    }
    told(&mesh.cluster.tool_over(&lines[0], &["doctor"]).await, NOT_TRUSTED);
    told(&tool::agent(&mesh.cluster.agent_config("a"), &["doctor"]).await, NOT_TRUSTED);
    let heard = tokio::time::timeout(HEARING, spy.next()).await;
    assert!(heard.is_err(), "expected that nobody says a word to the impostor: {heard:?}");
    for line in &lines {
        line.aim(mesh.cluster.bus.address());
        line.cut();
    }
    drop((spy, impostor));
    mesh.say("the impostor is gone");
    mesh.verdict(round, seconds(90)).await;
    close(mesh).await;
}

/// A server that takes whoever comes and lets them say whatever they like.
fn impostor(place: &Place) -> ServerProcess {
    let folder = place.folder("impostor");
    let tls = Authority::foreign(place).server(place);
    let config = ServerConfig {
        server_name: "impostor".to_owned(),
        cluster: cluster(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        monitor: None,
        store_dir: folder.join("store"),
        max_file_store_bytes: 1 << 20,
        users: Vec::new(),
        watch: None,
        tls: None,
    };
    let program = outside("LANDFALL_NATS_SERVER", "nats-server");
    let mut server = ServerProcess::new(&program, &folder, &config).expect("a port is free");
    let port = server.port();
    server.config = format!(
        "server_name: \"impostor-{port}\"\nlisten: \"127.0.0.1:{port}\"\ntls {{\n  cert_file: {:?}\n  key_file: {:?}\n}}\n",
        tls.certificate, tls.key
    );
    server.start().unwrap_or_else(|error| panic!("expected that the impostor starts: {error}"));
    server
}

/// Hears every word that is said to the impostor. It does hear: its own first word comes back.
async fn spy(place: &Place, impostor: &ServerProcess) -> async_nats::Subscriber {
    let options = async_nats::ConnectOptions::new().require_tls(true);
    let options = options.add_root_certificates(place.path("tls-foreign/ca.pem"));
    let client = options.connect(impostor.url()).await.expect("the impostor takes whoever comes");
    let mut heard = client.subscribe(">").await.expect("the impostor allows everything");
    client.publish("spy", HOLDER.into()).await.expect("the impostor allows everything");
    let own = tokio::time::timeout(HEARING, heard.next()).await;
    assert!(matches!(own, Ok(Some(_))), "expected that the spy hears what is said: {own:?}");
    heard
}
