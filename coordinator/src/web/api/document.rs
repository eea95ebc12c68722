//! The OpenAPI document: made from the handlers themselves, with what they have in common added once.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr, ResponseBuilder};

use crate::web::problem::Details;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Landfall",
        version = "1",
        description = "Did the backup land everywhere, could we restore it, and was somebody told if not?\n\n\
            Lists: `limit` rows (50, at most 100), then the reference in `next` leads on; a page may have fewer rows than asked for, even none, \
            and still have a `next`, because a page looks at a bounded number of records. Lists are read forwards only: `previous` is always null, \
            and `count` is given where it is known without reading everything. `q` searches names and ids. A filter that is not listed is an error.\n\n\
            Errors are problem details (RFC 9457) with `detail` (why) and `fix` (what to do now). Reads carry an `ETag` and answer \
            `If-None-Match` with 304. Acts that open a round take an `Idempotency-Key`: the same caller's same key on the same address is done once. \
            Unknown is never failed: a silent node's run has the state `unknown`."
    ),
    components(schemas(Details))
)]
struct Head;

pub(super) fn head() -> utoipa::openapi::OpenApi {
    Head::openapi()
}

/// Problems that every operation may answer with.
const PROBLEMS: [(&str, &str); 10] = [
    ("400", "The request makes no sense: a filter or a value that is not allowed."),
    ("401", "Nobody is known by this token or visit."),
    ("403", "The caller's role does not allow it."),
    ("404", "There is nothing of this name."),
    ("408", "The request or its answer took too long."),
    ("409", "The mesh refuses the act as things stand."),
    ("413", "The body is too long."),
    ("421", "The server has another name."),
    ("429", "Too many requests; `Retry-After` says when to come again."),
    ("503", "The coordinator cannot answer now; an act may have been done all the same."),
];

/// The whole document as JSON.
pub(super) fn finished(mut document: utoipa::openapi::OpenApi) -> String {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`landfall user token add NAME` makes one"))
        .build();
    document.components.get_or_insert_with(Components::new).add_security_scheme("token", SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            add_problems(operation);
        }
    }
    document.to_json().unwrap_or_default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

fn add_problems(operation: &mut Operation) {
    for (status, why) in PROBLEMS {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Details"))).build();
        let response = ResponseBuilder::new().description(why).content("application/problem+json", content).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}
