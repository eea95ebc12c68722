//! Exact bodies of what Slack and PagerDuty document, and how their answers are taken.

use landfall_proto::alert::Risk;
use landfall_proto::card::Stakes;
use landfall_proto::time::{Duration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::config::{PagerdutyConfig, Patience, SlackConfig};
use crate::core::tell::CONVERGED;

const AT: &str = "2026-11-20T02:15:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn full() -> Letter {
    let mut letter = letter();
    letter.raised_at = at(AT);
    letter.alert.title = "nightly failed on a & b <!channel>".to_owned();
    letter.alert.last_good_at = Some(at("2026-11-19T02:03:04Z"));
    letter.alert.runbook = Some("https://wiki.example/nightly".to_owned());
    letter
}

fn over() -> Letter {
    Letter { resolved: Some(Resolved { at: at("2026-11-20T03:00:00Z"), why: "good again".to_owned() }), ..full() }
}

fn body(letter: &Letter) -> NoticeBody {
    NoticeBody::new(&"home".parse().unwrap(), letter, at(AT))
}

fn secret(folder: &std::path::Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("secret");
    std::fs::write(&path, text).unwrap();
    path
}

const PATIENCE: Patience = Patience { attempts: 3, timeout: landfall_proto::time::Duration::from_secs(2) };

async fn posted(kind: SinkKind, letter: &Letter, requests: &mut mpsc::Receiver<String>) -> (End, Value) {
    let (mut courier, _folder) = courier(SinkKind::Journal);
    courier.kind = kind;
    let told = timeout(WITHIN, courier.deliver(letter)).await.unwrap();
    let request = requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(header(head, "content-type"), "application/json");
    (told, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn slack_is_posted_blocks_and_nobody_can_call_a_channel_by_a_title() {
    let (url, mut requests, _) = receiver(&["200 OK"]).await;
    let folder = tempfile::tempdir().unwrap();
    let link = Some("https://landfall.example/alerts/{key}".to_owned());
    let kind = SinkKind::Slack(SlackConfig { url_file: secret(folder.path(), &url), link, patience: PATIENCE });
    let (told, message) = posted(kind, &full(), &mut requests).await;
    assert_eq!(told, end(1, Ok("200 OK: words")));
    let cause = landfall_proto::report::Reason::NoSpace.cause();
    let field = |text: &str| json!({ "type": "mrkdwn", "text": text });
    let expected = json!({
        "text": "Critical: nightly: nightly failed on a &amp; b &lt;!channel&gt;",
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": "Critical: nightly" } },
            { "type": "section", "text": field("nightly failed on a &amp; b &lt;!channel&gt;") },
            { "type": "section", "fields": [
                field("*Severity*\ncritical"),
                field("*Nodes*\na"),
                field("*Since*\n2026-11-20T02:15:00Z"),
                field("*Last good backup*\n2026-11-19T02:03:04Z"),
            ] },
            { "type": "section", "text": field(&format!("*Cause:* {cause}\n*Now:* free space")) },
            { "type": "context", "elements": [field(
                "Landfall, cluster home · <https://landfall.example/alerts/failed/nightly/a|alert> · <https://wiki.example/nightly|runbook>"
            )] },
        ],
    });
    assert_eq!(message, expected);
}

#[test]
fn slack_hears_of_an_end_and_never_more_than_it_takes() {
    let ended = slack::message(&body(&over()), None);
    assert_eq!(ended["blocks"][0]["text"]["text"], "Resolved: nightly");
    assert_eq!(ended["blocks"][3]["text"]["text"], "*Why:* good again");
    let mut long = full();
    long.alert.title = "ä".repeat(5000);
    long.alert.routine = Some("r".repeat(63).parse().unwrap());
    long.alert.nodes = (0..100).map(|number| format!("{number:060}").parse().unwrap()).collect();
    let message = slack::message(&body(&long), None);
    let chars = |value: &Value| value.as_str().unwrap().chars().count();
    assert!(chars(&message["blocks"][0]["text"]["text"]) <= 150);
    assert_eq!(chars(&message["blocks"][1]["text"]["text"]), 3000);
    assert!(chars(&message["blocks"][2]["fields"][1]["text"]) <= 2000);
}

#[test]
fn every_form_says_whose_data_it_is_and_who_is_called() {
    let mut letter = full();
    letter.alert.stakes = Some(Box::new(Stakes {
        owner: Some("Ann <b>".to_owned()),
        contact: Some("#orders".to_owned()),
        escalation: vec!["Bob".to_owned(), "Eve".to_owned()],
        rpo: Some(Duration::from_secs(93_600)),
        rto: Some(Duration::from_secs(14_400)),
        risk: Some(Risk::High),
    }));
    let body = body(&letter);
    assert!(body.sentence().ends_with("Call Ann <b> (#orders), then Bob, then Eve."), "{}", body.sentence());
    let flat: Value = serde_json::from_str(&body.to_json()).unwrap();
    assert_eq!((&flat["owner"], &flat["escalation"]), (&json!("Ann <b>"), &json!(["Bob", "Eve"])));
    assert_eq!((&flat["rpo"], &flat["rto"], &flat["risk"]), (&json!("1d 2h"), &json!("4h"), &json!("high")));
    let slack = crate::notify::slack::message(&body, None).to_string();
    assert!(slack.contains("*To be called:* Ann &lt;b&gt; (#orders), then Bob, then Eve"), "{slack}");
    assert!(slack.contains("several backups failed in a row, RPO 1d 2h, RTO 4h"), "{slack}");
    let event = crate::notify::pagerduty::event(&body, "R0UT1NG", None).unwrap();
    assert_eq!(event["payload"]["custom_details"]["owner"], json!("Ann <b>"));
    let alert = crate::notify::alertmanager::entry(&"home".parse().unwrap(), &letter.alert, at(AT), None, None);
    assert_eq!(alert["annotations"]["escalation"], json!("Bob, then Eve"));
    assert!(
        alert["annotations"]["description"]
            .as_str()
            .is_some_and(|text| text.contains("To be called: Ann <b> (#orders)"))
    );
    assert!(alert["labels"].get("owner").is_none(), "who is called is not what the alert is");
}

#[tokio::test]
async fn pagerduty_is_triggered_and_resolved_under_one_key() {
    let (url, mut requests, _) = receiver(&["202 Accepted"]).await;
    let folder = tempfile::tempdir().unwrap();
    let routing_key_file = secret(folder.path(), "R0UT1NG\n");
    let link = Some("https://landfall.example/alerts/{key}".to_owned());
    let kind = SinkKind::Pagerduty(PagerdutyConfig { url, routing_key_file, link, patience: PATIENCE });
    let (told, event) = posted(kind.clone(), &full(), &mut requests).await;
    assert_eq!(told, end(1, Ok("202 Accepted: words")));
    let expected = json!({
        "routing_key": "R0UT1NG",
        "event_action": "trigger",
        "dedup_key": "landfall/home/failed/nightly/a",
        "client": "Landfall",
        "client_url": "https://landfall.example/alerts/failed/nightly/a",
        "links": [{ "href": "https://wiki.example/nightly", "text": "Runbook" }],
        "payload": {
            "summary": "nightly failed on a & b <!channel>",
            "source": "a",
            "severity": "critical",
            "timestamp": "2026-11-20T02:15:00Z",
            "component": "nightly",
            "group": "home",
            "class": "failed",
            "custom_details": {
                "alert": "failed/nightly/a",
                "severity": "critical",
                "nodes": ["a"],
                "reason": "no_space",
                "cause": landfall_proto::report::Reason::NoSpace.cause(),
                "fix": "free space",
                "last_good_at": "2026-11-19T02:03:04Z",
                "round": null,
            },
        },
    });
    assert_eq!(event, expected);
    let (_, event) = posted(kind, &over(), &mut requests).await;
    let expected = json!({
        "routing_key": "R0UT1NG", "event_action": "resolve", "dedup_key": "landfall/home/failed/nightly/a",
    });
    assert_eq!(event, expected);
}

#[test]
fn pagerduty_knows_four_severities_and_keys_of_255_letters_and_no_successes() {
    let named = [Severity::Info, Severity::Warning, Severity::Critical, Severity::Emergency].map(pagerduty::severity);
    assert_eq!(named, ["info", "warning", "critical", "critical"]);
    let event = |key: String| {
        let mut letter = full();
        letter.alert.key = AlertKey(key);
        pagerduty::event(&body(&letter), "key", None)
    };
    let key = |text: &str| event(text.to_owned()).unwrap()["dedup_key"].as_str().unwrap().to_owned();
    let (one, two) = (key(&format!("failed/{}/a", "x".repeat(400))), key(&format!("failed/{}/b", "x".repeat(400))));
    assert_eq!(one.len(), 255);
    assert_ne!(one, two, "what is cut off still tells keys apart");
    assert_eq!(event(format!("{CONVERGED}/nightly")), None);
}

#[tokio::test]
async fn a_receiver_that_is_full_is_tried_again_and_a_wrong_form_is_not() {
    let (url, _requests, count) = receiver(&["429 Too Many Requests", "202 Accepted"]).await;
    let folder = tempfile::tempdir().unwrap();
    let pagerduty = |url: String| {
        let routing_key_file = secret(folder.path(), "key");
        SinkKind::Pagerduty(PagerdutyConfig { url, routing_key_file, link: None, patience: PATIENCE })
    };
    let (mut courier, _kept) = courier(SinkKind::Journal);
    courier.kind = pagerduty(url);
    assert_eq!(timeout(WITHIN, courier.deliver(&full())).await.unwrap().attempts, 2);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let (url, _requests, count) = receiver(&["400 Bad Request"]).await;
    courier.kind = pagerduty(url);
    let told = timeout(WITHIN, courier.deliver(&full())).await.unwrap();
    assert_eq!((told, count.load(Ordering::SeqCst)), (end(1, Err("400 Bad Request: words")), 1));
}

#[tokio::test]
async fn a_test_of_a_pager_begins_an_incident_and_ends_it() {
    let (url, mut requests, _) = receiver(&["202 Accepted"]).await;
    let folder = tempfile::tempdir().unwrap();
    let routing_key_file = secret(folder.path(), "key");
    let kind = SinkKind::Pagerduty(PagerdutyConfig { url, routing_key_file, link: None, patience: PATIENCE });
    let sink = SinkConfig { name: "pager".to_owned(), kind };
    let Taken(said) = timeout(WITHIN, test(&"home".parse().unwrap(), &sink)).await.unwrap().unwrap();
    assert_eq!(said, "202 Accepted: words; and for its end 202 Accepted: words");
    let mut actions = Vec::new();
    for _ in 0..2 {
        let request = requests.recv().await.unwrap();
        let event: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(event["dedup_key"], "landfall/home/test/pager");
        actions.push(event["event_action"].as_str().unwrap().to_owned());
    }
    assert_eq!(actions, ["trigger", "resolve"]);
}
