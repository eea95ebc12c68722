//! Logging in and out, becoming a user by a link, and a fresh password: plain forms, without a script.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::SignedCookieJar;
use axum_extra::extract::cookie::{Cookie, Key, SameSite};
use maud::Markup;
use serde::Deserialize;

use super::error::AccessError;
use super::guard::{Caller, FormToken, Way, too_often, unavailable};
use super::role::UserName;
use super::secret::{Secret, form_token, is_form_token};
use super::store::{Invite, Roll, User};
use super::{COOKIE, forms};
use crate::edge::clock;
use crate::web::server::Site;

/// Binds a form to the browser that was given it, before anybody is known.
const FORM_COOKIE: &str = "landfall_form";

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Login {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Fresh {
    #[serde(default)]
    old: String,
    #[serde(default)]
    password: String,
}

pub(super) async fn show(
    State(site): State<Site>,
    jar: SignedCookieJar<Key>,
    Query(wanted): Query<Wanted>,
) -> Response {
    form(&site, jar, StatusCode::OK, |csrf| forms::login(csrf, local(wanted.next.as_deref()), None))
}

pub(super) async fn login(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    jar: SignedCookieJar<Key>,
    Form(login): Form<Login>,
) -> Response {
    let next = local(login.next.as_deref()).to_owned();
    let again = |jar, status, why: &str| form(&site, jar, status, |csrf| forms::login(csrf, &next, Some(why)));
    if !is_ours(&site, &jar, &login.csrf) {
        return again(jar, StatusCode::FORBIDDEN, "This form was not made for this browser, or is too old. Try again.");
    }
    if let Err(wait) = site.access.rates.login(peer.ip(), Some(&login.name)) {
        return too_often(wait);
    }
    let user = match site.access.store.roll() {
        Ok(roll) => {
            login.name.parse().ok().and_then(|name: UserName| Some((name.clone(), roll.users.get(&name)?.clone())))
        }
        Err(error) => return unavailable(&error),
    };
    let kept = user.as_ref().and_then(|(_, user)| user.password.clone());
    match site.access.hasher.is_right(kept, login.password).await {
        Ok(true) => {}
        Ok(false) => {
            let name: String = login.name.chars().filter(|letter| !letter.is_control()).take(60).collect();
            tracing::warn!(audit = "login_failed", by = name, address = %peer.ip(), "a login failed");
            return again(jar, StatusCode::UNAUTHORIZED, "Name or password is wrong.");
        }
        Err(AccessError::Busy) => {
            return again(jar, StatusCode::SERVICE_UNAVAILABLE, "Many log in just now. Try again in a moment.");
        }
        Err(error) => return unavailable(&error),
    }
    match user {
        Some((name, user)) => enter(&site, jar, peer, &name, &user, &next),
        None => again(jar, StatusCode::UNAUTHORIZED, "Name or password is wrong."),
    }
}

/// Begins a visit and sends the visitor on.
fn enter(
    site: &Site,
    jar: SignedCookieJar<Key>,
    peer: SocketAddr,
    name: &UserName,
    user: &User,
    next: &str,
) -> Response {
    match site.access.visits.begin(name, user) {
        Ok(secret) => {
            tracing::info!(audit = "login", by = %name, role = %user.role, address = %peer.ip(), "somebody logged in");
            let jar =
                jar.remove(Cookie::build(FORM_COOKIE).path("/login")).add(cookie(site, COOKIE, secret.expose(), "/"));
            (jar, Redirect::to(next)).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

pub(super) async fn logout(State(site): State<Site>, caller: Caller, jar: SignedCookieJar<Key>) -> Response {
    if let Way::Visit(id) = &caller.way {
        site.access.visits.end(id);
        tracing::info!(audit = "logout", by = caller.actor.name, "somebody logged out");
    }
    (jar.remove(Cookie::build(COOKIE).path("/")), Redirect::to("/login")).into_response()
}

pub(super) async fn invited(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    jar: SignedCookieJar<Key>,
    Path(secret): Path<String>,
) -> Response {
    if let Err(wait) = site.access.rates.login(peer.ip(), None) {
        return too_often(wait);
    }
    match site.access.store.roll().map(|roll| find(&roll, &Secret::given(&secret)).cloned()) {
        Ok(Some(invite)) => form(&site, jar, StatusCode::OK, |csrf| forms::invited(csrf, &invite, None)),
        Ok(None) => forms::nothing_here(&AccessError::NoInvite).into_response(),
        Err(error) => unavailable(&error),
    }
}

pub(super) async fn accept(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    jar: SignedCookieJar<Key>,
    Path(secret): Path<String>,
    Form(login): Form<Login>,
) -> Response {
    if let Err(wait) = site.access.rates.login(peer.ip(), None) {
        return too_often(wait);
    }
    let secret = Secret::given(&secret);
    let invite = match site.access.store.roll().map(|roll| find(&roll, &secret).cloned()) {
        Ok(Some(invite)) => invite,
        Ok(None) => return forms::nothing_here(&AccessError::NoInvite).into_response(),
        Err(error) => return unavailable(&error),
    };
    let again = |jar, status, why: &str| form(&site, jar, status, |csrf| forms::invited(csrf, &invite, Some(why)));
    if !is_ours(&site, &jar, &login.csrf) {
        return again(jar, StatusCode::FORBIDDEN, "This form was not made for this browser, or is too old. Try again.");
    }
    let name = match invite.name.clone().map_or_else(|| login.name.parse::<UserName>(), Ok) {
        Ok(name) => name,
        Err(error) => return again(jar, StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    let password = match site.access.hasher.hash(login.password).await {
        Ok(password) => password,
        Err(error @ (AccessError::Password(_) | AccessError::Busy)) => {
            return again(jar, StatusCode::UNPROCESSABLE_ENTITY, &error.problem().why);
        }
        Err(error) => return unavailable(&error),
    };
    let made = name.clone();
    match site.access.change(move |roll| become_user(roll, &secret, made, password)).await {
        Ok(user) => {
            tracing::info!(audit = "user_joined", by = %name, role = %user.role, address = %peer.ip(), "somebody took up a link");
            enter(&site, jar, peer, &name, &user, "/")
        }
        Err(error @ AccessError::Exists(_)) => again(jar, StatusCode::CONFLICT, &error.to_string()),
        Err(error @ AccessError::NoInvite) => forms::nothing_here(&error).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Uses the link up. Where it names a user who exists, he gets a fresh password and keeps his role.
fn become_user(roll: &mut Roll, secret: &Secret, name: UserName, password: String) -> Result<User, AccessError> {
    let invite = find(roll, secret).cloned().ok_or(AccessError::NoInvite)?;
    let is_known = roll.users.contains_key(&name);
    if is_known && invite.name.is_none() {
        return Err(AccessError::Exists(name));
    }
    let user = roll.users.entry(name).or_insert_with(|| User {
        role: invite.role,
        password: None,
        added_at: clock::now(),
        tokens: Vec::new(),
    });
    user.password = Some(password);
    let user = user.clone();
    roll.invites.retain(|other| other.hash != invite.hash);
    Ok(user)
}

fn find<'a>(roll: &'a Roll, secret: &Secret) -> Option<&'a Invite> {
    let now = clock::now();
    roll.invites.iter().find(|invite| secret.is_of(&invite.hash) && invite.expires_at > now)
}

pub(super) async fn account(caller: Caller, FormToken(csrf): FormToken) -> Markup {
    forms::account(&caller.actor, &csrf, None)
}

pub(super) async fn fresh_password(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    caller: Caller,
    FormToken(csrf): FormToken,
    jar: SignedCookieJar<Key>,
    Form(fresh): Form<Fresh>,
) -> Response {
    let again =
        |status: StatusCode, why: &str| (status, forms::account(&caller.actor, &csrf, Some(why))).into_response();
    if let Err(wait) = site.access.rates.login(peer.ip(), Some(&caller.actor.name)) {
        return too_often(wait);
    }
    let Ok(name) = caller.actor.name.parse::<UserName>() else {
        return again(StatusCode::FORBIDDEN, "Nobody is logged in.");
    };
    let kept = match site.access.store.roll() {
        Ok(roll) => roll.users.get(&name).and_then(|user| user.password.clone()),
        Err(error) => return unavailable(&error),
    };
    match site.access.hasher.is_right(kept, fresh.old).await {
        Ok(true) => {}
        Ok(false) => return again(StatusCode::FORBIDDEN, "The password in use is another one."),
        Err(error) => return again(StatusCode::SERVICE_UNAVAILABLE, &error.problem().why),
    }
    let password = match site.access.hasher.hash(fresh.password).await {
        Ok(password) => password,
        Err(error) => return again(StatusCode::UNPROCESSABLE_ENTITY, &error.problem().why),
    };
    let whose = name.clone();
    let changed = site.access.change(move |roll| {
        let user = roll.user(&whose)?;
        user.password = Some(password);
        Ok(user.clone())
    });
    match changed.await {
        Ok(user) => {
            tracing::info!(audit = "password_changed", by = %name, address = %peer.ip(), "a password was changed; that user's other visits are over");
            enter(&site, jar, peer, &name, &user, "/account")
        }
        Err(error) => unavailable(&error),
    }
}

/// A page with a form for a browser of which nothing is known yet but a cookie.
fn form(site: &Site, jar: SignedCookieJar<Key>, status: StatusCode, page: impl FnOnce(&str) -> Markup) -> Response {
    let made = Secret::draw().and_then(|browser| {
        let csrf = form_token(&site.access.form_key, browser.expose().as_bytes())?;
        Ok((browser, csrf))
    });
    match made {
        Ok((browser, csrf)) => {
            let jar = jar.add(cookie(site, FORM_COOKIE, browser.expose(), "/login"));
            (status, jar, page(&csrf)).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

fn is_ours(site: &Site, jar: &SignedCookieJar<Key>, csrf: &str) -> bool {
    jar.get(FORM_COOKIE).is_some_and(|browser| is_form_token(&site.access.form_key, browser.value().as_bytes(), csrf))
}

fn cookie(site: &Site, name: &'static str, value: &str, path: &'static str) -> Cookie<'static> {
    Cookie::build((name, value.to_owned()))
        .path(path)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(site.front.is_https())
        .build()
}

/// Where to go afterwards: a path of ours, or the first page.
fn local(next: Option<&str>) -> &str {
    let is_path = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= 500
            && !path.contains(|letter: char| letter == '\\' || letter.is_control() || !letter.is_ascii())
    };
    next.filter(is_path).unwrap_or("/")
}

/// A path as a part of a query.
pub(super) fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes()
        .take(500)
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for good in ["/", "/runs/7?x=1"] {
            assert_eq!(local(Some(good)), good);
        }
        for bad in ["https://evil", "//evil", "/\\evil", "evil", "/a\r\nSet-Cookie: x", "", "/é"] {
            assert_eq!(local(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(escaped("/a?b=c&d"), "/a%3Fb%3Dc%26d");
    }
}
