//! Golden bytes of every message, one file a message and protocol. Files are only ever added: a changed byte
//! means that a peer of yesterday reads something else tomorrow.
//!
//! A message without a file fails; `LANDFALL_GOLDEN=write` writes the missing ones.

#![allow(clippy::unwrap_used)]

mod samples;

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use landfall_proto::codec::{FACT_BYTES_MAX, MESSAGE_BYTES_MAX, decode, decode_fact, encode};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::version::PROTOCOL;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/golden", &format!("v{PROTOCOL}"), &format!("{name}.hex")].iter().collect();
    if !path.exists() {
        assert!(
            std::env::var("LANDFALL_GOLDEN").is_ok_and(|value| value == "write"),
            "{} is missing: run the test once with LANDFALL_GOLDEN=write and commit the file",
            path.display()
        );
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<&str> = hex.as_bytes().chunks(96).map(|line| std::str::from_utf8(line).unwrap()).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let hex: String = fs::read_to_string(&path).unwrap().split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let bytes = golden(name, &encode(value));
    assert_eq!(&decode::<T>(&bytes, MESSAGE_BYTES_MAX).unwrap(), value, "{name} is read as something else");
    assert_eq!(encode(value), bytes, "{name} is written differently");
}

#[test]
fn every_fact_of_an_agent_keeps_its_bytes() {
    let samples = samples::agent_facts();
    let kinds: Vec<&str> = samples.iter().map(AgentFact::kind).collect();
    assert_eq!(kinds, AgentFact::KINDS, "every kind has one sample, in order");
    for fact in samples {
        let bytes = golden(&format!("agent.{}", fact.kind()), &fact.encode());
        assert_eq!(AgentFact::decode(fact.kind(), &bytes).unwrap(), Some(fact.clone()));
        assert_eq!(fact.encode(), bytes, "{} is written differently", fact.kind());
    }
}

#[test]
fn every_decision_of_a_coordinator_keeps_its_bytes() {
    let samples = samples::coordinator_facts();
    let kinds: Vec<&str> = samples.iter().map(CoordinatorFact::kind).collect();
    assert_eq!(kinds, CoordinatorFact::KINDS, "every kind has one sample, in order");
    for fact in samples {
        let bytes = golden(&format!("coordinator.{}", fact.kind()), &fact.encode());
        assert_eq!(CoordinatorFact::decode(fact.kind(), &bytes).unwrap(), Some(fact.clone()));
        assert_eq!(fact.encode(), bytes, "{} is written differently", fact.kind());
    }
}

#[test]
fn every_other_message_keeps_its_bytes() {
    for (name, command) in samples::commands() {
        same(&format!("command.{name}"), &command);
    }
    for (name, answer) in samples::answers() {
        same(&format!("answer.{name}"), &answer);
    }
    for request in samples::requests() {
        same(&format!("request.{}", request.verb()), &request);
    }
    same("signed_command", &samples::signed_command());
    same("beat", &samples::beat());
    same("beat.targets", &samples::far_sighted_beat());
    same("beacon", &samples::beacon());
    same("presence", &samples::presence());
    same("coordinator.leader_claimed.era", &samples::era_claim());
    same("agent.plans_announced.card", &samples::announced_with_a_card());
    same("agent.plans_announced.builds_on", &samples::announced_on_a_base());
    same("coordinator.alert_raised.stakes", &samples::raised_with_stakes());
    same("coordinator.round_opened.by", &samples::opened_by_name());
    same("sync", &samples::sync());
    same("progress", &samples::progress());
    same("output", &samples::output());
    let envelope = Envelope::fact(
        Identity { writer: "a".to_owned(), incarnation: samples::incarnation(), seq: 7 },
        "run_phase",
        samples::at("2026-11-20T02:00:00Z"),
        vec![1, 2, 3],
    );
    same("envelope", &envelope);
}

#[test]
fn a_field_from_a_newer_peer_is_skipped_and_a_missing_one_is_filled() {
    #[derive(Serialize)]
    struct NewerOutput {
        run: landfall_proto::id::RunId,
        phase: landfall_proto::report::Phase,
        added_later: Vec<String>,
    }
    #[derive(Serialize)]
    struct OlderStarted {
        version: String,
        cause: &'static str,
        host: String,
    }

    let newer = encode(&NewerOutput {
        run: samples::run(),
        phase: landfall_proto::report::Phase::Opening,
        added_later: vec!["x".to_owned()],
    });
    let Some(AgentFact::RunPhase(body)) = AgentFact::decode("run_phase", &newer).unwrap() else {
        panic!("another kind")
    };
    assert_eq!(body.run, samples::run());

    let older = encode(&OlderStarted { version: "0.0.9".to_owned(), cause: "first", host: "h".to_owned() });
    let Some(AgentFact::AgentStarted(body)) = AgentFact::decode("agent_started", &older).unwrap() else {
        panic!("another kind")
    };
    assert!(body.labels.is_empty());

    assert_eq!(AgentFact::decode("kind_from_the_future", &[0xc1]), Ok(None));
}

#[test]
fn a_bad_message_is_refused_by_name() {
    let fact = &samples::agent_facts()[3];
    let identity = Identity { writer: "a".to_owned(), incarnation: samples::incarnation(), seq: 0 };
    let envelope = Envelope::fact(identity, fact.kind(), samples::at("2026-11-20T02:00:00Z"), fact.encode());
    let refused = |bytes: &[u8], writer: &str| decode_fact(bytes, writer).map(|_| ()).map_err(|refusal| refusal.name());

    assert_eq!(refused(&encode(&envelope), "a"), Ok(()));
    assert_eq!(refused(&encode(&envelope), "b"), Err("wrong_writer"));
    assert_eq!(refused(&encode(&Envelope { id: uuid::Uuid::nil(), ..envelope.clone() }), "a"), Err("wrong_id"));
    assert_eq!(refused(&encode(&Envelope { protocol: 0, ..envelope.clone() }), "a"), Err("protocol"));
    assert_eq!(refused(&[encode(&envelope), vec![0]].concat(), "a"), Err("left_over"));
    assert_eq!(refused(&encode(&Envelope { body: vec![0; FACT_BYTES_MAX], ..envelope }), "a"), Err("too_long"));
    assert_eq!(refused(b"not a message", "a"), Err("malformed"));
    assert_eq!(refused(&[0x91; 20_000], "a"), Err("malformed"), "twenty thousand nested arrays");
    assert_eq!(refused(&[], "a"), Err("malformed"));
}
