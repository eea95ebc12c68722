//! Who looks: the one place that knows the person before the page, for its frame and its forms.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::web::access::{Actor, FormToken};
use crate::web::server::Site;

tokio::task_local! {
    /// Whoever the page is made for. Kept beside the task and not handed through every function that draws a form.
    static ACTING: Acting;
}

/// A person, and what his forms prove themselves by.
#[derive(Debug, Clone, Default)]
pub(super) struct Acting {
    name: String,
    token: String,
}

/// Makes a page, or does what a form asks for, in the name of who was let in.
pub(super) async fn known(
    State(_): State<Site>,
    actor: Result<Actor, Response>,
    FormToken(token): FormToken,
    request: Request,
    next: Next,
) -> Response {
    let name = actor.map(|actor| actor.name).unwrap_or_default();
    carry(Acting { name, token }, next.run(request)).await
}

/// Whoever this task works for.
pub(super) fn present() -> Acting {
    ACTING.try_with(Acting::clone).unwrap_or_default()
}

/// Does something for the same person in another task.
pub(super) async fn carry<T>(acting: Acting, work: impl Future<Output = T>) -> T {
    ACTING.scope(acting, work).await
}

/// The name that the page's frame shows.
pub(super) fn name() -> String {
    present().name
}

/// What the form's hidden field holds, so that no other site's form acts in a person's name.
pub(super) fn token() -> String {
    present().token
}
