//! Schemas of the words that are written as texts; all others have theirs from their shape.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::id::{ClusterName, Holder, NodeId, RepositoryId, RoutineName, TargetName};
use crate::limit::LimitName;
use crate::monitor::{KeyHash, Slug};
use crate::report::Reason;
use crate::time::Duration;
use crate::verdict::Rule;

macro_rules! texts {
    ($( $name:ident = $pattern:literal, $example:literal; )*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).pattern(Some($pattern));
                    text.examples([$example]).build().into()
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

texts! {
    ClusterName = "^[a-z0-9][a-z0-9-]{0,62}$", "home";
    NodeId = "^[a-z0-9][a-z0-9-]{0,62}$", "web-1";
    Holder = "^[a-z0-9][a-z0-9-]{0,62}$", "main";
    RoutineName = "^[a-z0-9][a-z0-9._-]{0,62}$", "nightly";
    TargetName = "^[a-z0-9][a-z0-9._-]{0,62}$", "main";
    RepositoryId = "^[!-~]{1,128}$", "3f2a1b";
    LimitName = "^(cluster|node|repository|storage:.{1,100}|label:[^=]{1,50}=.{0,50}|task:(backup|check))$", "cluster";
    Slug = "^[a-z0-9_-]{1,63}$", "nightly";
    KeyHash = "^[0-9a-f]{32}$", "00112233445566778899aabbccddeeff";
    Duration = "^[0-9a-z ]{1,40}$", "1h 30m";
    Rule = "^(all|quorum\\([1-9][0-9]{0,8}\\)|coverage\\([!-~]{1,63}\\))$", "all";
}

/// Its names come from a table, which a derived schema does not see.
impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|reason| reason.as_str());
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names)).build().into()
    }
}

impl ToSchema for Reason {}
