//! Who may look in and act: users with passwords, programs with tokens, and roles. Each coordinator keeps its own in its state folder.

mod act;
mod error;
mod forms;
mod guard;
mod keyed;
mod login;
pub(crate) mod password;
mod rates;
mod role;
pub(crate) mod secret;
pub(crate) mod store;
mod visit;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use axum_extra::extract::cookie::Key;
use landfall_proto::time::{Duration, Timestamp, after};

pub(in crate::web) use act::perform;
pub use error::AccessError;
pub(in crate::web) use guard::{Actor, FormToken, Presence, guard, too_large};
pub(in crate::web) use keyed::{Keyed, per};
pub(crate) use role::Role;
pub use role::UserName;

use super::server::{Front, Site};
use crate::edge::clock;
use password::Hasher;
use rates::Rates;
pub(in crate::web) use rates::place;
use secret::{Secret, random};
use store::{Invite, Store};
use visit::Visits;

/// Names a visit.
const COOKIE: &str = "landfall_visit";

/// What a token begins with, so that a scanner for leaked secrets knows one; then its id, an underscore and its secret.
pub(crate) const TOKEN_MARK: &str = "lf_";

/// How long a link to become a user is good.
pub(crate) const INVITE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Where a link leads, before its secret.
pub(crate) const INVITE_PATH: &str = "/login/invite/";

/// Everything that decides who may do what.
pub(super) struct Access {
    store: Arc<Store>,
    visits: Visits,
    hasher: Hasher,
    rates: Rates,
    /// Signs cookies; another one after each start, as visits end with the process.
    cookie_key: Key,
    form_key: [u8; 32],
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Access").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Access {
    /// Everybody that `folder` knows. A file that cannot be read is an error here and not a surprise later.
    pub(super) fn open(folder: &Path) -> Result<Self, AccessError> {
        let store = Arc::new(Store::new(folder));
        store.roll()?;
        Ok(Self {
            store,
            visits: Visits::default(),
            hasher: Hasher::default(),
            rates: Rates::default(),
            cookie_key: Key::from(&random::<64>()?),
            form_key: random()?,
        })
    }

    /// Changes the users' file beside the loop, because disks are slow.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut store::Roll) -> Result<T, AccessError> + Send + 'static,
    ) -> Result<T, AccessError> {
        let store = Arc::clone(&self.store);
        let changed = tokio::task::spawn_blocking(move || store.change(change)).await;
        changed.map_err(|error| AccessError::Hash(error.to_string()))?
    }
}

impl FromRef<Site> for Key {
    fn from_ref(site: &Site) -> Self {
        site.access.cookie_key.clone()
    }
}

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/login", get(login::show).post(login::login))
        .route("/login/invite/{secret}", get(login::invited).post(login::accept))
        .route("/logout", post(login::logout))
        .route("/account", get(login::account))
        .route("/account/password", post(login::fresh_password))
}

/// Where nobody may look in yet, shows a link with which the first admin makes himself.
pub(super) async fn invite_the_first(access: &Access, front: &Front) -> Result<(), AccessError> {
    if !access.store.roll()?.users.is_empty() {
        return Ok(());
    }
    let secret = Secret::draw()?;
    let invite = new_invite(&secret, Role::Admin, None, clock::now());
    let invite = Invite { is_first: true, ..invite };
    access
        .change(move |roll| {
            roll.drop_expired(clock::now());
            roll.invites.retain(|invite| !invite.is_first);
            roll.invites.push(invite);
            Ok(())
        })
        .await?;
    let link = front.link(&format!("{INVITE_PATH}{}", secret.expose()));
    tracing::warn!(
        audit = "first_link",
        link,
        "nobody may look in yet: this link makes the first admin, once, within a day"
    );
    Ok(())
}

pub(crate) fn new_invite(secret: &Secret, role: Role, name: Option<UserName>, now: Timestamp) -> Invite {
    Invite { hash: secret.hash(), role, name, expires_at: after(now, INVITE_LIFE), is_first: false }
}
