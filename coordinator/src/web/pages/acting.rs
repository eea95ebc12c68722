//! Who looks: the one place that knows the person before the page, for its frame and its forms.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::web::access::{Actor, FormToken, Role};
use crate::web::server::Site;

tokio::task_local! {
    /// Whoever the page is made for. Kept beside the task and not handed through every function that draws a form.
    static ACTING: Acting;
}

/// A person, and what his forms prove themselves by.
#[derive(Debug, Clone, Default)]
pub(super) struct Acting {
    name: String,
    role: Option<Role>,
    token: String,
}

impl Acting {
    /// The same person, as he is known at this moment.
    pub(super) fn known_as(&self, actor: &Actor) -> Self {
        Self { name: actor.name.clone(), role: Some(actor.role), token: self.token.clone() }
    }
}

/// Makes a page, or does what a form asks for, in the name of who was let in.
pub(super) async fn known(
    State(_): State<Site>,
    actor: Result<Actor, Response>,
    FormToken(token): FormToken,
    request: Request,
    next: Next,
) -> Response {
    let (name, role) = actor.map(|actor| (actor.name, actor.role)).ok().unzip();
    carry(Acting { name: name.unwrap_or_default(), role, token }, next.run(request)).await
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

/// Whether the person may do what takes this role; a button that would only be refused is not shown.
pub(super) fn may(role: Role) -> bool {
    present().role.is_some_and(|has| has >= role)
}

/// What the form's hidden field holds, so that no other site's form acts in a person's name.
pub(super) fn token() -> String {
    present().token
}

/// Makes something as it is shown to somebody in this role.
#[cfg(test)]
pub(super) fn shown_to<T>(role: Role, make: impl FnOnce() -> T) -> T {
    ACTING.sync_scope(Acting { role: Some(role), ..Acting::default() }, make)
}
