//! What the address of a ping says: which monitor, what became of the program, and of which run it speaks.

use axum::http::StatusCode;
use landfall_proto::monitor::{KeyHash, PingKind, PingTo, Slug};
use uuid::Uuid;

use super::Refused;

pub(super) const NOT_FOUND: Refused = Refused(StatusCode::NOT_FOUND, "not found");
const BAD_URL: Refused = Refused(StatusCode::BAD_REQUEST, "invalid url format");
const BAD_RID: Refused = Refused(StatusCode::BAD_REQUEST, "invalid uuid format");

/// Longest ping key, in bytes.
const KEY_BYTES_MAX: usize = 100;

/// A ping's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) to: PingTo,
    /// What is secret in it.
    pub(super) secret: String,
    pub(super) kind: PingKind,
    pub(super) rid: Option<Uuid>,
}

/// Reads what stands behind `/ping/`: `UUID[/ACTION]` or `KEY/SLUG[/ACTION]`, where an action is `start`, `fail`, `log` or an exit
/// status.
pub(super) fn read(path: &str, query: &str) -> Result<Address, Refused> {
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let rid = rid(query)?;
    let by_uuid = |secret: String, kind| {
        let to = PingTo::Key { key: KeyHash::of(&secret) };
        Ok(Address { to, secret, kind, rid })
    };
    let by_slug = |key: &str, slug: &str, kind| {
        // A slug that is none is said to be one, so that its script can be corrected.
        let slug: Slug = slug.parse().map_err(|_| BAD_URL)?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(NOT_FOUND);
        }
        let to = PingTo::Slug { key: KeyHash::of(key), slug, create: creates(query) };
        Ok(Address { to, secret: key.to_owned(), kind, rid })
    };
    match (parts.as_slice(), parts.first().and_then(|first| uuid(first))) {
        ([_], Some(secret)) => by_uuid(secret, PingKind::Success),
        ([_, action], Some(secret)) => match kind(action)? {
            Some(kind) => by_uuid(secret, kind),
            None => by_slug(parts[0], action, PingKind::Success),
        },
        ([key, slug], None) => by_slug(key, slug, PingKind::Success),
        ([key, slug, action], _) => by_slug(key, slug, kind(action)?.ok_or(NOT_FOUND)?),
        _ => Err(NOT_FOUND),
    }
}

/// A UUID in its usual form, whatever the case of its letters.
pub(super) fn uuid(text: &str) -> Option<String> {
    let known = Uuid::try_parse(text).ok()?.hyphenated().to_string();
    (known == text.to_ascii_lowercase()).then_some(known)
}

/// The run's own id; absent where none is given.
pub(super) fn rid(query: &str) -> Result<Option<Uuid>, Refused> {
    let given = query.split('&').find_map(|field| field.strip_prefix("rid="));
    given.map(|text| Uuid::try_parse(text).map_err(|_| BAD_RID)).transpose()
}

fn creates(query: &str) -> bool {
    query.split('&').any(|field| field == "create=1")
}

/// What the last part of an address says; `None` where it is no action.
fn kind(action: &str) -> Result<Option<PingKind>, Refused> {
    Ok(match action {
        "start" => Some(PingKind::Start),
        "fail" => Some(PingKind::Fail),
        "log" => Some(PingKind::Log),
        number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(PingKind::Exit { status: number.parse().map_err(|_| BAD_URL)? })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "f7c1d3a0-6f6b-4a7e-9a51-0f2d36b3a001";
    const RID: &str = "123e4567-e89b-12d3-a456-426614174000";

    fn read_kind(path: &str) -> Result<PingKind, Refused> {
        read(path, "").map(|address| address.kind)
    }

    #[test]
    fn every_address_of_healthchecks_is_read() {
        for (end, kind) in [
            ("", PingKind::Success),
            ("/", PingKind::Success),
            ("/start", PingKind::Start),
            ("/fail", PingKind::Fail),
            ("/log", PingKind::Log),
            ("/0", PingKind::Exit { status: 0 }),
            ("/255", PingKind::Exit { status: 255 }),
        ] {
            let by_uuid = read(&format!("{UUID}{end}"), "").unwrap();
            assert_eq!((by_uuid.kind, by_uuid.to), (kind, PingTo::Key { key: KeyHash::of(UUID) }), "{end}");
            let by_slug = read(&format!("fqOOd6-F4MMNuCEnzTU01w/db-backups{end}"), "").unwrap();
            let key = KeyHash::of("fqOOd6-F4MMNuCEnzTU01w");
            let to = PingTo::Slug { key, slug: "db-backups".parse().unwrap(), create: false };
            assert_eq!((by_slug.kind, by_slug.to), (kind, to), "{end}");
        }
        assert_eq!(read(&UUID.to_uppercase(), "").unwrap().secret, UUID);
    }

    #[test]
    fn what_is_wrong_is_said_as_healthchecks_says_it() {
        assert_eq!(read_kind(&format!("{UUID}/256")), Err(BAD_URL));
        assert_eq!(read_kind("key/DB"), Err(BAD_URL));
        assert_eq!(read_kind("key/db/stop"), Err(NOT_FOUND));
        assert_eq!(read_kind("key"), Err(NOT_FOUND));
        assert_eq!(read_kind(&format!("{UUID}/a/start/b")), Err(NOT_FOUND));
        assert_eq!(read(UUID, "rid=x"), Err(BAD_RID));
        assert_eq!(read(UUID, &format!("rid={RID}")).unwrap().rid, Some(RID.parse().unwrap()));
        let PingTo::Slug { create, .. } = read("key/db", &format!("create=1&rid={RID}")).unwrap().to else { panic!() };
        assert!(create);
    }

    proptest! {
        #[test]
        fn no_address_makes_the_reader_fall(path in "\\PC{0,80}", query in "\\PC{0,40}") {
            let _ = read(&path, &query);
        }
    }
}
