//! Signed commands: foreign bytes are not believed, and what a trusted key signed is read, whatever it is.

use landfall_proto::bus::{Seed, SignatureError, Signer, verify};
use landfall_proto::codec::MESSAGE_BYTES_MAX;
use landfall_proto::command::{Answer, Command, SignedCommand};

/// Belongs to nobody: a key for this place only, fixed so that an input does the same each time.
const SEED: &str = "SUAAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPSAIJCEMSCKJR2OM";

pub(crate) fn body(bytes: &[u8]) {
    let Ok(seed) = SEED.parse::<Seed>() else { panic!("the seed is one") };
    let signer = Signer::from_seed(&seed);
    let trusted = [signer.public_key().to_owned()];
    if let Some(signed) = super::settles::<SignedCommand>(bytes, MESSAGE_BYTES_MAX) {
        let told = verify(&signed, &trusted);
        let is_stranger = matches!(told, Err(SignatureError::Untrusted { .. }));
        assert_eq!(is_stranger, signed.signer != trusted[0], "only a known key's name is looked at further");
    }
    if let Some(command) = super::settles::<Command>(bytes, MESSAGE_BYTES_MAX) {
        let signed = signer.sign(&command);
        match verify(&signed, &trusted) {
            Ok(read) => assert_eq!(read, command),
            Err(SignatureError::Unreadable(_)) => {}
            Err(error) => panic!("its own signature is not believed: {error}"),
        }
        let mut changed = signed;
        if let Some(byte) = changed.command.last_mut() {
            *byte ^= 1;
            assert_eq!(verify(&changed, &trusted), Err(SignatureError::WrongSignature));
        }
    }
    let _ = super::settles::<Answer>(bytes, MESSAGE_BYTES_MAX);
}
