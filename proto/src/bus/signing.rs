//! Key pairs, and signatures under commands: the bus carries authority but has none.

use std::fmt;
use std::str::FromStr;

use nkeys::KeyPair;

use crate::codec::{self, MESSAGE_BYTES_MAX, Refusal};
use crate::command::{Command, SignedCommand};

/// Longest accepted encoded command, in bytes.
const COMMAND_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// A secret seed (`S…`), for the bus or for signing. Never shown: not in `Debug`, and there is no `Display`.
#[derive(Clone)]
pub struct Seed(String);

/// Why a text is not a seed. The text itself is a secret and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a seed: one line of 58 characters beginning with S is expected")]
pub struct SeedError;

impl Seed {
    /// Draws a fresh seed of the kind that users of the bus have (`SU…`).
    pub fn generate() -> Self {
        Self(KeyPair::new_user().seed().expect("a pair that was just made knows its seed"))
    }

    /// The public half: what the bus and the agents are told.
    pub fn public_key(&self) -> String {
        self.pair().public_key()
    }

    /// The secret itself, for writing it to its file.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn pair(&self) -> KeyPair {
        KeyPair::from_seed(&self.0).expect("a seed is checked when it is read")
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let text = text.trim();
        if text.len() > 128 {
            return Err(SeedError);
        }
        KeyPair::from_seed(text).map_err(|_| SeedError)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed(hidden)")
    }
}

/// Signs commands.
pub struct Signer {
    pair: KeyPair,
    public: String,
}

impl Signer {
    pub fn from_seed(seed: &Seed) -> Self {
        let pair = seed.pair();
        let public = pair.public_key();
        Self { pair, public }
    }

    pub fn public_key(&self) -> &str {
        &self.public
    }

    pub fn sign(&self, command: &Command) -> SignedCommand {
        let bytes = codec::encode(command);
        let signature = self.pair.sign(&bytes).expect("a signer is made from a seed, so it can sign");
        SignedCommand { command: bytes, signature, signer: self.public.clone() }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Why a signed command is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the command is signed by {signer}, which is not one of this node's trusted keys")]
    Untrusted { signer: String },
    #[error("the signature does not fit the command")]
    WrongSignature,
    #[error("the command is signed, but cannot be read")]
    Unreadable(#[source] Refusal),
}

/// Reads a command that one of `trusted` (public keys) has signed. The signature is checked before a byte is decoded.
pub fn verify(signed: &SignedCommand, trusted: &[String]) -> Result<Command, SignatureError> {
    if !trusted.contains(&signed.signer) {
        return Err(SignatureError::Untrusted { signer: signed.signer.chars().take(80).collect() });
    }
    if signed.command.len() > COMMAND_BYTES_MAX {
        let refusal = Refusal::TooLong { bytes: signed.command.len(), max: COMMAND_BYTES_MAX };
        return Err(SignatureError::Unreadable(refusal));
    }
    let pair = KeyPair::from_public_key(&signed.signer).map_err(|_| SignatureError::WrongSignature)?;
    pair.verify(&signed.command, &signed.signature).map_err(|_| SignatureError::WrongSignature)?;
    codec::decode(&signed.command, COMMAND_BYTES_MAX).map_err(SignatureError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Action;
    use crate::envelope::Epoch;
    use crate::id::{CommandId, RunId};
    use crate::time::Timestamp;
    use uuid::Uuid;

    fn command() -> Command {
        Command {
            id: CommandId(Uuid::from_u128(1)),
            audience: "a".parse().unwrap(),
            holder: "main".parse().unwrap(),
            epoch: Epoch { era: 0, term: 3 },
            issued_at: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            action: Action::Cancel { run: RunId(Uuid::from_u128(2)) },
        }
    }

    #[test]
    fn a_command_is_believed_when_a_trusted_key_signed_it_and_not_otherwise() {
        let signer = Signer::from_seed(&Seed::generate());
        let stranger = Signer::from_seed(&Seed::generate());
        let trusted = vec![signer.public_key().to_owned()];
        assert_eq!(verify(&signer.sign(&command()), &trusted), Ok(command()));
        assert!(matches!(verify(&stranger.sign(&command()), &trusted), Err(SignatureError::Untrusted { .. })));

        let mut borrowed = stranger.sign(&command());
        borrowed.signer = signer.public_key().to_owned();
        assert_eq!(verify(&borrowed, &trusted), Err(SignatureError::WrongSignature));

        let mut changed = signer.sign(&command());
        let last = changed.command.len() - 1;
        changed.command[last] ^= 1;
        assert_eq!(verify(&changed, &trusted), Err(SignatureError::WrongSignature));

        let mut short = signer.sign(&command());
        short.signature.truncate(10);
        assert_eq!(verify(&short, &trusted), Err(SignatureError::WrongSignature));
    }

    #[test]
    fn a_seed_is_read_back_and_never_shown() {
        let seed = Seed::generate();
        let again: Seed = format!("  {}\n", seed.expose()).parse().unwrap();
        assert_eq!(again.public_key(), seed.public_key());
        assert!(!format!("{seed:?}").contains(seed.expose()));
        assert!(!format!("{:?}", Signer::from_seed(&seed)).contains(seed.expose()));
        for bad in ["", "SUX", "UAYW3JJWAX76EK4LWBI66IGAZER76ORMNR5LFHULJR5U3MMZ4ZG6FVAU"] {
            assert_eq!(bad.parse::<Seed>().err(), Some(SeedError));
        }
    }
}
