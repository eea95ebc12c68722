//! Facts: what the log holds. An agent says what happened, a coordinator says what it decided.

pub mod agent;
pub mod coordinator;

use crate::codec::{FACT_BYTES_MAX, Refusal, decode};

/// Ties each variant of a fact enum to its kind on the wire and to its body's type.
macro_rules! kinds {
    ($enum:ident { $( $variant:ident = $kind:literal ),* $(,)? }) => {
        impl $enum {
            /// Every kind this build knows.
            pub const KINDS: &[&str] = &[ $( $kind, )* ];

            /// The kind on the wire.
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$variant(_) => $kind, )* }
            }

            /// The body on the wire.
            pub fn encode(&self) -> Vec<u8> {
                match self { $( Self::$variant(body) => $crate::codec::encode(body), )* }
            }

            /// Decodes a body by its kind; `None` where a newer peer wrote a kind that this build does not know.
            pub fn decode(kind: &str, body: &[u8]) -> Result<Option<Self>, $crate::codec::Refusal> {
                match kind {
                    $( $kind => super::body(body).map(|body| Some(Self::$variant(body))), )*
                    _ => Ok(None),
                }
            }
        }

        impl serde::Serialize for $enum {
            /// The body alone; its kind stands in the envelope.
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $( Self::$variant(body) => body.serialize(serializer), )* }
            }
        }

        $(
            impl From<$variant> for $enum {
                fn from(body: $variant) -> Self {
                    Self::$variant(body)
                }
            }
        )*
    };
}
pub(crate) use kinds;

fn body<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    decode(bytes, FACT_BYTES_MAX)
}
