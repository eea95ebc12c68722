//! What pings carry in their address: secrets, of which only a hash is kept, and slugs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::RoutineName;

const SLUG_BYTES_MAX: usize = 63;
const KEY_HASH_DIGITS: usize = 32;

/// Keeps these hashes apart from all others of the same secret.
const KEY_CONTEXT: &str = "landfall 2026-11 ping key";

/// What is kept of a secret that pings carry in their address. The secret is random, so that nobody finds it by trying.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash(String);

/// Why a text is not what is kept of a ping key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a key has {KEY_HASH_DIGITS} digits out of 0-9 and a-f")]
pub struct KeyHashError;

impl KeyHash {
    /// Of a monitor's UUID in its usual form, or of a ping key.
    pub fn of(secret: &str) -> Self {
        let digits = blake3::Hash::from(blake3::derive_key(KEY_CONTEXT, secret.as_bytes())).to_hex();
        Self(digits.chars().take(KEY_HASH_DIGITS).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyHash {
    type Error = KeyHashError;

    fn try_from(text: String) -> Result<Self, KeyHashError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == KEY_HASH_DIGITS && text.bytes().all(is_digit) { Ok(Self(text)) } else { Err(KeyHashError) }
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> String {
        hash.0
    }
}

/// The readable end of a monitor's address. Two monitors may share one; a ping to it is then refused as ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// Why a text is not a slug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a slug: use 1 to {SLUG_BYTES_MAX} characters out of a-z, 0-9, - and _")]
pub struct SlugError {
    text: String,
}

impl Slug {
    /// The slug that a name makes; a dot is none of its letters.
    pub fn of(name: &RoutineName) -> Self {
        Self(name.as_str().replace('.', "-"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = SlugError;

    fn from_str(text: &str) -> Result<Self, SlugError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if (1..=SLUG_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SlugError { text: text.chars().take(SLUG_BYTES_MAX * 2).collect() })
        }
    }
}

impl TryFrom<String> for Slug {
    type Error = SlugError;

    fn try_from(text: String) -> Result<Self, SlugError> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_secret_only_a_hash_is_kept() {
        let hash = KeyHash::of("f7c1d3a0-6f6b-4a7e-9a51-0f2d36b3a001");
        assert_eq!(KeyHash::try_from(hash.as_str().to_owned()), Ok(hash.clone()));
        assert_ne!(hash, KeyHash::of("f7c1d3a0-6f6b-4a7e-9a51-0f2d36b3a002"));
        for wrong in ["", "x", "ABCDEF0123456789ABCDEF0123456789"] {
            assert_eq!(KeyHash::try_from(wrong.to_owned()), Err(KeyHashError), "{wrong}");
        }
    }

    #[test]
    fn a_slug_is_what_its_pattern_says() {
        for good in ["a", "-", "db_daily-2", "0"] {
            assert_eq!(good.parse::<Slug>().map(|slug| slug.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "A", "a.b", "ä", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
        assert_eq!(Slug::of(&"db.daily".parse().unwrap()).as_str(), "db-daily");
    }
}
