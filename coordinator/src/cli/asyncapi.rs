//! `landfall asyncapi`: what travels on the bus, as an AsyncAPI 3.0 document made from the words themselves.

use std::collections::BTreeMap;
use std::process::ExitCode;

use landfall_proto::command::{ANSWER_KIND, Answer, COMMAND_KIND, Command, SignedCommand};
use landfall_proto::control::{REPLY_KIND, REQUEST_KIND, Reply, Request};
use landfall_proto::envelope::Envelope;
use landfall_proto::fact::{agent, coordinator};
use landfall_proto::id::{ClusterName, Holder, NameError, NodeId, RunId};
use landfall_proto::live;
use landfall_proto::subject::{Subject, Topic};
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::failure::Failure;
use super::screen::Screen;

/// Stand for what differs from mesh to mesh while a subject is spelled.
const CLUSTER: &str = "the-cluster";
const NODE: &str = "the-node";
const HOLDER: &str = "the-coordinator";
const VERB: &str = "the_verb";

/// The words of the bus with their shapes.
#[derive(Default)]
struct Words {
    schemas: BTreeMap<String, RefOr<Schema>>,
    messages: Map<String, Value>,
}

impl Words {
    /// A kind of message, with the body `T`.
    fn word<T: ToSchema + PartialSchema>(&mut self, kind: &str) {
        self.shape::<T>();
        let message = json!({
            "name": kind,
            "contentType": "application/msgpack",
            "summary": format!("An envelope of the kind `{kind}` with this body."),
            "payload": { "$ref": format!("#/components/schemas/{}", T::name()) },
        });
        self.messages.insert(kind.to_owned(), message);
    }

    fn shape<T: ToSchema + PartialSchema>(&mut self) {
        let mut below = Vec::new();
        T::schemas(&mut below);
        self.schemas.extend(below);
        self.schemas.insert(T::name().into_owned(), T::schema());
    }
}

macro_rules! facts {
    ($( $module:ident: $( $kind:literal $body:ident ),* $(,)? ; )*) => {
        fn facts(words: &mut Words) {
            $( $( words.word::<$module::$body>($kind); )* )*
        }
    };
}

facts! {
    agent: "agent_started" AgentStarted, "plans_announced" PlansAnnounced, "run_started" RunStarted, "run_phase" RunPhase,
        "run_milestone" RunMilestone, "run_retried" RunRetried, "run_finished" RunFinished, "slot_missed" SlotMissed, "witnessed" Witnessed;
    coordinator: "leader_claimed" LeaderClaimed, "round_opened" RoundOpened, "dispatched" Dispatched, "answered" Answered,
        "cancel_asked" CancelAsked, "run_lost" RunLost, "witness_asked" WitnessAsked, "round_concluded" RoundConcluded,
        "alert_raised" AlertRaised, "alert_resolved" AlertResolved, "alert_delivered" AlertDelivered, "limit_set" LimitSet,
        "node_retired" NodeRetired, "monitor_set" MonitorSet, "monitor_removed" MonitorRemoved, "ping_key_set" PingKeySet, "pinged" Pinged,
        "space_sampled" SpaceSampled;
}

pub(super) fn run(screen: &Screen) -> Result<ExitCode, Failure> {
    let document = document().map_err(|error| Failure::internal("the document cannot be made", &error))?;
    screen.json_answer(&document);
    Ok(ExitCode::SUCCESS)
}

fn document() -> Result<Value, NameError> {
    let mut words = Words::default();
    facts(&mut words);
    words.word::<SignedCommand>(COMMAND_KIND);
    words.word::<Answer>(ANSWER_KIND);
    words.word::<Request>(REQUEST_KIND);
    words.word::<Reply>(REPLY_KIND);
    words.word::<live::Beat>(live::BEAT_KIND);
    words.word::<live::Beacon>(live::BEACON_KIND);
    words.word::<live::Presence>(live::PRESENCE_KIND);
    words.word::<live::Sync>(live::SYNC_KIND);
    words.word::<landfall_proto::report::Progress>(live::PROGRESS_KIND);
    words.word::<live::Output>(live::OUTPUT_KIND);
    words.shape::<Command>();
    words.shape::<Envelope>();
    let (channels, operations) = places()?;
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Landfall's bus",
            "version": "1",
            "description": "Every message is an Envelope in MessagePack with named fields; its `kind` names the body, which is MessagePack too. \
                Facts stand in the log and count; everything else may be lost and repeats. Who may publish and subscribe where is decided by the bus's permissions.",
        },
        "defaultContentType": "application/msgpack",
        "channels": channels,
        "operations": operations,
        "components": { "messages": words.messages, "schemas": words.schemas },
    }))
}

/// Channels by their name, and operations by theirs.
type Places = (Map<String, Value>, Map<String, Value>);

/// Every place of the bus, and what an operator's program does there.
fn places() -> Result<Places, NameError> {
    let node: NodeId = NODE.parse()?;
    let holder: Holder = HOLDER.parse()?;
    let run = RunId(Uuid::nil());
    let places: [(&str, Topic, &str, &[&str]); 9] = [
        ("nodeFacts", Topic::NodeFact(node.clone()), "receive", agent::AgentFact::KINDS),
        ("coordinatorFacts", Topic::CoordinatorFact(holder), "receive", coordinator::CoordinatorFact::KINDS),
        ("commands", Topic::Command(node.clone()), "", &[COMMAND_KIND, ANSWER_KIND]),
        ("synchronisation", Topic::Sync(node.clone()), "", &[live::SYNC_KIND]),
        ("beacon", Topic::Beacon, "receive", &[live::BEACON_KIND, live::PRESENCE_KIND]),
        ("beats", Topic::Beat(node.clone()), "receive", &[live::BEAT_KIND]),
        ("progress", Topic::Live(node.clone(), run), "receive", &[live::PROGRESS_KIND]),
        ("output", Topic::Out(node, run), "receive", &[live::OUTPUT_KIND]),
        ("control", Topic::Control(VERB.to_owned()), "send", &[REQUEST_KIND, REPLY_KIND]),
    ];
    let cluster: ClusterName = CLUSTER.parse()?;
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for (name, topic, action, kinds) in places {
        let (address, parameters) = address(&Subject::new(&cluster, topic));
        let messages: Map<String, Value> = kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({ "$ref": format!("#/components/messages/{kind}") })))
            .collect();
        channels.insert(name.to_owned(), json!({ "address": address, "parameters": parameters, "messages": messages }));
        if !action.is_empty() {
            operations.insert(
                format!("{action}{}", name[..1].to_uppercase() + &name[1..]),
                json!({ "action": action, "channel": { "$ref": format!("#/channels/{name}") } }),
            );
        }
    }
    Ok((channels, operations))
}

/// The subject with its parameters in braces.
fn address(subject: &Subject) -> (String, Map<String, Value>) {
    let (mut address, mut parameters) = (subject.to_string(), Map::new());
    let nobody = Uuid::nil().to_string();
    let all = [
        (CLUSTER, "cluster", "The mesh's name."),
        (NODE, "node", "The node's id."),
        (HOLDER, "coordinator", "The coordinator's name."),
        (nobody.as_str(), "run", "The run's id."),
        (VERB, "verb", "What is asked; the request's own name."),
    ];
    for (stands, name, description) in all {
        if address.contains(stands) {
            address = address.replace(stands, &format!("{{{name}}}"));
            parameters.insert(name.to_owned(), json!({ "description": description }));
        }
    }
    (address, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fact_is_described_and_nothing_points_nowhere() {
        let document = document().unwrap();
        let messages = document["components"]["messages"].as_object().unwrap();
        for kind in agent::AgentFact::KINDS.iter().chain(coordinator::CoordinatorFact::KINDS) {
            assert!(messages.contains_key(*kind), "{kind}");
        }
        let text = document.to_string();
        for reference in text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(&format!("/{reference}")).is_some(), "#/{reference} is nowhere");
        }
    }

    /// The specification's own schema; `coordinator/tests/asyncapi/README.md` says whose it is.
    #[test]
    fn the_document_is_one_by_the_specifications_own_schema_and_a_wrong_one_is_not() {
        let schema = include_str!("../../tests/asyncapi/3.0.0.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
        let document = document().unwrap();
        let wrong: Vec<String> =
            schema.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(wrong, Vec::<String>::new());
        for (place, value) in [
            ("/operations/receiveBeacon/action", json!("listen")),
            ("/channels/beacon/messages", json!([])),
            ("/components/messages/beat/payload", json!(7)),
            ("/info/version", Value::Null),
        ] {
            let mut spoilt = document.clone();
            *spoilt.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = value;
            assert!(!schema.is_valid(&spoilt), "a document with a wrong {place} passes");
        }
    }

    #[test]
    fn addresses_are_the_subjects_themselves() {
        let document = document().unwrap();
        let channel = &document["channels"]["progress"];
        let address = channel["address"].as_str().unwrap();
        let parameters: Vec<&String> = channel["parameters"].as_object().unwrap().keys().collect();
        assert_eq!(parameters, ["cluster", "node", "run"]);
        let spelled =
            address.replace("{cluster}", "home").replace("{node}", "a").replace("{run}", &Uuid::nil().to_string());
        let expected = Subject::new(&"home".parse().unwrap(), Topic::Live("a".parse().unwrap(), RunId(Uuid::nil())));
        assert_eq!(spelled, expected.to_string());
    }
}
