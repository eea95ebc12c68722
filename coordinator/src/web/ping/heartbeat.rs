//! Heartbeats as OneUptime's guide to backup monitoring sends them: JSON with a status and what is known of the run.

use axum::http::StatusCode;
use landfall_proto::monitor::{PingKind, Said, Stage};
use landfall_proto::report::Reason;
use serde_json::Value;
use uuid::Uuid;

use super::Refused;

const NO_JSON: Refused = Refused(StatusCode::BAD_REQUEST, "the body is no JSON object");
const NO_STATUS: Refused = Refused(
    StatusCode::BAD_REQUEST,
    "unknown status: use preparing, started, progress, verifying, verified, completed or failed",
);

/// What a heartbeat says. Without a body it says what a bare ping does.
pub(super) fn read(body: &[u8], rid: Option<Uuid>) -> Result<(PingKind, Option<Uuid>, Said), Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok((PingKind::Success, rid, Said::default()));
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| NO_JSON)?;
    if !value.is_object() {
        return Err(NO_JSON);
    }
    let stage = match value.get("status") {
        None => None,
        Some(status) => Some(status.as_str().and_then(stage).ok_or(NO_STATUS)?),
    };
    let mut said = Said {
        stage,
        percent: number(&value, &["progress", "percent", "percentage"]).and_then(percent),
        duration_ms: number(&value, &["duration", "duration_seconds"]).and_then(|seconds| whole(seconds * 1000.0)),
        bytes: number(&value, &["size", "total_size", "backup_size", "bytes"]).and_then(whole),
        files: number(&value, &["total_files", "files"]).and_then(whole),
        error: text(&value, &["error", "error_message", "message"]),
        reason: None,
    };
    let named = text(&value, &["rid", "run_id"]).and_then(|text| Uuid::try_parse(&text).ok());
    let exit = number(&value, &["exit_code"]).and_then(whole);
    let is_other = value.get("matches_expected").and_then(Value::as_bool) == Some(false);
    let kind = match stage {
        // Whatever else it says: what it has written is not what it should be.
        _ if is_other => {
            said.reason = Some(Reason::Integrity);
            PingKind::Fail
        }
        Some(Stage::Preparing | Stage::Started) => PingKind::Start,
        Some(Stage::Progress | Stage::Verifying | Stage::Verified) => PingKind::Log,
        Some(Stage::Failed) => PingKind::Fail,
        Some(Stage::Completed) | None => match exit {
            Some(0) | None => PingKind::Success,
            Some(status) => PingKind::Exit { status: u8::try_from(status).unwrap_or(u8::MAX) },
        },
    };
    Ok((kind, rid.or(named), said))
}

fn stage(text: &str) -> Option<Stage> {
    Some(match text.to_ascii_lowercase().as_str() {
        "preparing" => Stage::Preparing,
        "started" | "running" => Stage::Started,
        "progress" | "in_progress" => Stage::Progress,
        "verifying" => Stage::Verifying,
        "verified" => Stage::Verified,
        "completed" | "success" | "ok" => Stage::Completed,
        "failed" | "failure" | "error" => Stage::Failed,
        _ => return None,
    })
}

/// The first of these fields that is a number, or a text that reads as one.
fn number(value: &Value, names: &[&str]) -> Option<f64> {
    let read =
        |field: &Value| field.as_f64().or_else(|| field.as_str()?.trim_end_matches(['%', 's']).trim().parse().ok());
    names.iter().find_map(|name| value.get(name).and_then(read)).filter(|number| number.is_finite())
}

fn text(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| value.get(name)?.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn percent(number: f64) -> Option<u8> {
    u8::try_from(whole(number)?).ok().filter(|percent| *percent <= 100)
}

/// A count, where the number is one that a count can be.
fn whole(number: f64) -> Option<u64> {
    // Through text, because a plain conversion would make something of anything.
    (0.0..1e18).contains(&number).then(|| format!("{number:.0}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(body: &str) -> Result<PingKind, Refused> {
        read(body.as_bytes(), None).map(|(kind, _, _)| kind)
    }

    #[test]
    fn every_status_of_the_guide_is_understood() {
        for (status, expected) in [
            ("preparing", PingKind::Start),
            ("started", PingKind::Start),
            ("progress", PingKind::Log),
            ("verifying", PingKind::Log),
            ("verified", PingKind::Log),
            ("completed", PingKind::Success),
            ("failed", PingKind::Fail),
        ] {
            assert_eq!(
                kind(&format!("{{\"status\":\"{status}\",\"timestamp\":\"2026-11-21T02:00:00Z\"}}")),
                Ok(expected)
            );
            assert_eq!(stage(status).map(Stage::as_str), Some(status));
        }
        assert_eq!(kind(""), Ok(PingKind::Success));
        assert_eq!(kind("{}"), Ok(PingKind::Success));
        assert_eq!(kind("{\"status\":\"fine\"}"), Err(NO_STATUS), "what is unknown is no success");
        assert_eq!((kind("[1]"), kind("hello")), (Err(NO_JSON), Err(NO_JSON)));
    }

    #[test]
    fn figures_are_read_and_an_end_is_believed_only_where_nothing_speaks_against_it() {
        let body = r#"{"status":"completed","duration":61.5,"size":"1048576","total_files":12,"exit_code":0,"run_id":"123e4567-e89b-12d3-a456-426614174000"}"#;
        let (kind_of, rid, said) = read(body.as_bytes(), None).unwrap();
        assert_eq!((kind_of, rid.is_some()), (PingKind::Success, true));
        assert_eq!((said.duration_ms, said.bytes, said.files), (Some(61_500), Some(1 << 20), Some(12)));
        assert_eq!(kind(r#"{"status":"completed","exit_code":3}"#), Ok(PingKind::Exit { status: 3 }));
        let (kind_of, _, said) = read(br#"{"status":"verified","matches_expected":false}"#, None).unwrap();
        assert_eq!((kind_of, said.reason), (PingKind::Fail, Some(Reason::Integrity)));
        let (_, _, said) = read(br#"{"status":"failed","error":"no space"}"#, None).unwrap();
        assert_eq!(said.error.as_deref(), Some("no space"));
        let (_, _, said) = read(br#"{"status":"progress","progress":"40%","size":-1,"duration":1e300}"#, None).unwrap();
        assert_eq!((said.percent, said.bytes, said.duration_ms), (Some(40), None, None));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_fall(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, None);
        }
    }
}
