//! The lock file of restic's format: who uses a repository, as JSON sealed with the repository's master key.

use aes256ctr_poly1305aes::aead::{Aead, AeadInPlace};
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key};
use jiff::Timestamp;
use landfall_proto::report::Reason;
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::failure::Failure;

/// Longest content of a lock file that is understood, in bytes.
pub(super) const LOCK_BYTES_MAX: usize = 64 * 1024;

/// Bytes in front of the sealed text.
const NONCE_BYTES: usize = 16;

/// In front of a text that was compressed, which the second version of the format allows.
const COMPRESSED: u8 = 2;

/// What restic writes into `locks/`, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LockFile {
    /// When the lock was taken, or renewed last.
    pub(super) time: Timestamp,
    #[serde(default)]
    pub(super) exclusive: bool,
    #[serde(default)]
    pub(super) hostname: String,
    #[serde(default)]
    pub(super) username: String,
    #[serde(default)]
    pub(super) pid: u32,
    #[serde(default)]
    pub(super) uid: u32,
    #[serde(default)]
    pub(super) gid: u32,
}

/// A lock as it is stored: its name is the SHA-256 of its bytes, as of every file of a repository.
pub(super) struct Sealed {
    pub(super) id: String,
    pub(super) bytes: Vec<u8>,
}

/// The repository's master key, as the cipher wants it.
pub(super) struct Sealer(Key);

impl Sealer {
    /// `None` for a key of another length than the format's.
    pub(super) fn of(key: &MasterKey) -> Option<Self> {
        if (key.encrypt.len(), key.mac.k.len(), key.mac.r.len()) != (32, 16, 16) {
            return None;
        }
        let mut bytes = Key::default();
        bytes[..32].copy_from_slice(&key.encrypt);
        bytes[32..48].copy_from_slice(&key.mac.k);
        bytes[48..].copy_from_slice(&key.mac.r);
        Some(Self(bytes))
    }

    /// Restic accepts a text that is not compressed in both versions of the format.
    pub(super) fn seal(&self, lock: &LockFile) -> Result<Sealed, Failure> {
        let refuse = |cause: String| Failure::new(Reason::Internal, "The lock cannot be written.").because(cause);
        let text = serde_json::to_vec(lock).map_err(|error| refuse(error.to_string()))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| refuse(error.to_string()))?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&text);
        let tag = Aes256CtrPoly1305Aes::new(&self.0)
            .encrypt_in_place_detached(&nonce.into(), &[], &mut bytes[NONCE_BYTES..])
            .map_err(|error| refuse(error.to_string()))?;
        bytes.extend_from_slice(&tag);
        let id = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Sealed { id, bytes })
    }

    /// `None` where these bytes are no lock of this repository.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<LockFile> {
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let text = Aes256CtrPoly1305Aes::new(&self.0).decrypt(&nonce.into(), sealed).ok()?;
        match text.split_first()? {
            (&COMPRESSED, packed) => serde_json::from_slice(&zstd::bulk::decompress(packed, LOCK_BYTES_MAX).ok()?).ok(),
            _ => serde_json::from_slice(&text).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> LockFile {
        LockFile {
            time: "2026-11-21T17:39:00.5Z".parse().unwrap(),
            exclusive: true,
            hostname: "node-a".to_owned(),
            username: "root".to_owned(),
            pid: 7,
            uid: 0,
            gid: 0,
        }
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_only_and_only_whole() {
        let sealer = Sealer::of(&MasterKey::new()).unwrap();
        let sealed = sealer.seal(&lock()).unwrap();
        assert_eq!(sealer.open(&sealed.bytes), Some(lock()));
        assert_eq!(Sealer::of(&MasterKey::new()).unwrap().open(&sealed.bytes), None);
        for cut in [0, 10, 16, 31, sealed.bytes.len() - 1] {
            assert_eq!(sealer.open(&sealed.bytes[..cut]), None, "{cut} bytes");
        }
        let mut flipped = sealed.bytes.clone();
        flipped[20] ^= 1;
        assert_eq!(sealer.open(&flipped), None);
        assert_ne!(sealer.seal(&lock()).unwrap().id, sealed.id, "a renewed lock has another name");
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let short = MasterKey { encrypt: vec![0; 16], ..MasterKey::new() };
        assert!(Sealer::of(&short).is_none());
    }
}
