//! Random secrets, and what is kept of them: only a hash, which is of no use to whoever reads it.

use rustls::crypto::aws_lc_rs;
use subtle::ConstantTimeEq as _;

use super::error::AccessError;

/// Random bytes in a token, a link and a visit: nobody guesses one.
const BYTES: usize = 32;

/// A secret that is shown once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn draw() -> Result<Self, AccessError> {
        Ok(Self(hex(&random::<BYTES>()?)))
    }

    pub(crate) fn given(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself, to be shown to its owner.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it. The secret is random, so that a fast hash is as good as a slow one.
    pub(crate) fn hash(&self) -> String {
        blake3::hash(self.0.as_bytes()).to_hex().to_string()
    }

    /// Whether this secret was the one of which `hash` was kept; takes equally long either way.
    pub(crate) fn is_of(&self, hash: &str) -> bool {
        self.hash().as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Bytes that nobody can foresee.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).map_err(|_| AccessError::Random)?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text for one form of one visitor, different each time, so that a compressed page gives nothing of it away.
pub(crate) fn form_token(key: &[u8; 32], visitor: &[u8]) -> Result<String, AccessError> {
    let nonce = hex(&random::<16>()?);
    let seal = seal(key, &nonce, visitor);
    Ok(format!("{nonce}{seal}"))
}

/// Whether `text` is a token that this server made for a form of this visitor.
pub(crate) fn is_form_token(key: &[u8; 32], visitor: &[u8], text: &str) -> bool {
    let Some((nonce, found)) = text.split_at_checked(32) else { return false };
    seal(key, nonce, visitor).as_bytes().ct_eq(found.as_bytes()).into()
}

fn seal(key: &[u8; 32], nonce: &str, visitor: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(nonce.as_bytes()).update(visitor);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_hash_and_never_printed() {
        let secret = Secret::draw().unwrap();
        assert!(secret.is_of(&secret.hash()) && !Secret::draw().unwrap().is_of(&secret.hash()));
        assert!(!secret.is_of("") && !format!("{secret:?}").contains(secret.expose()));
    }

    #[test]
    fn a_forms_token_is_good_for_one_visitor_and_one_server() {
        let (key, other) = ([1; 32], [2; 32]);
        let token = form_token(&key, b"ann").unwrap();
        assert_ne!(token, form_token(&key, b"ann").unwrap());
        assert!(is_form_token(&key, b"ann", &token));
        assert!(!is_form_token(&key, b"bob", &token) && !is_form_token(&other, b"ann", &token));
        for wrong in ["", "x", "ü", &token[1..], &format!("{token}0"), &"é".repeat(40)] {
            assert!(!is_form_token(&key, b"ann", wrong), "{wrong:?}");
        }
    }
}
