//! The door of every page: who asks, whether he may, and whether it was he who asked. What is not said to be open is closed.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Form;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequest as _, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::SignedCookieJar;
use landfall_proto::control::Problem;

use super::error::AccessError;
use super::role::Role;
use super::secret::{Secret, form_token, is_form_token};
use super::store::{Roll, Token};
use super::visit::VisitId;
use super::{Access, COOKIE, TOKEN_MARK};
use crate::edge::clock;
use crate::web::problem::Details;
use crate::web::server::{BODY_BYTES_MAX, Site, authority};

/// Where a script of our pages puts a form's token.
const FORM_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// What everybody may ask for: the way in, what it looks like, whether we live, and places with secrets of their own.
const OPEN: [&str; 5] = ["/login", "/assets", "/health", "/ping", "/heartbeat"];

/// Where a page of any site may send what it likes: the secret in the address is all that counts, and nothing is told.
const PINGS: [&str; 2] = ["/ping", "/heartbeat"];

/// The figures: open where the configuration says so.
const METRICS: &str = "/metrics";

/// What everybody who is in may do about himself.
const OWN: [&str; 2] = ["/logout", "/account"];

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Stands in the log beside what he did.
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// Who asks, and by which way he came in.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    pub(super) way: Way,
}

#[derive(Debug, Clone)]
pub(super) enum Way {
    Visit(VisitId),
    Token(String),
}

/// A token for one form of the page that is being made.
#[derive(Debug, Clone, Default)]
pub(crate) struct FormToken(pub(crate) String);

pub(in crate::web) async fn guard(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match admitted(&site, peer, request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => *refused,
    }
}

async fn admitted(site: &Site, peer: SocketAddr, mut request: Request) -> Result<Request, Box<Response>> {
    let is_act = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    if is_act && !has_token && is_from_elsewhere(site, &request) && !is_below(request.uri().path(), &PINGS) {
        let why = "the request was made by a page of another site";
        return Err(forbidden("foreign-site", why, "use the pages of this server itself").into());
    }
    let path = request.uri().path();
    if is_below(path, &OPEN) || (site.front.metrics_open && path == METRICS) {
        return Ok(request);
    }
    let caller = match who(&site.access, request.headers()) {
        Ok(Some(caller)) => caller,
        Ok(None) => return Err(Box::new(unknown(&request))),
        Err(error) => return Err(Box::new(unavailable(&error))),
    };
    let (name, key) = (&caller.actor.name, caller.key());
    site.access.rates.request(&key).map_err(|wait| Box::new(too_often(wait)))?;
    if is_act && caller.actor.role < Role::Operator && !is_below(request.uri().path(), &OWN) {
        tracing::warn!(audit = "refused", by = name, address = %peer.ip(), path = request.uri().path(), "a viewer wanted to act");
        let why = format!("{name} is a {}, and acts need an operator", caller.actor.role);
        return Err(forbidden("role", &why, "ask an admin: `landfall user role NAME operator`").into());
    }
    if is_act && let Way::Visit(visit) = &caller.way {
        request = with_form_token(site, visit, request).await?;
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Lets an act of a browser through that carries the token which we gave to this visitor.
async fn with_form_token(site: &Site, visit: &VisitId, request: Request) -> Result<Request, Box<Response>> {
    let holds = |token: &str| is_form_token(&site.access.form_key, visit.as_bytes(), token);
    let refused = || -> Box<Response> {
        forbidden(
            "form-token",
            "the form's token is missing, or not this visitor's",
            "open the page again and repeat it",
        )
        .into()
    };
    if let Some(token) = request.headers().get(&FORM_TOKEN) {
        return if token.to_str().is_ok_and(holds) { Ok(request) } else { Err(refused()) };
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_BYTES_MAX).await else { return Err(Box::new(too_large())) };
    let mut copy = Request::new(Body::from(bytes.clone()));
    *copy.method_mut() = Method::POST;
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        copy.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    let Ok(Form(fields)) = Form::<Vec<(String, String)>>::from_request(copy, &()).await else { return Err(refused()) };
    if fields.iter().any(|(name, value)| name == "csrf" && holds(value)) {
        Ok(Request::from_parts(parts, Body::from(bytes)))
    } else {
        Err(refused())
    }
}

/// By a token where one is given, else by a visit. Nobody where neither is good.
fn who(access: &Access, headers: &HeaderMap) -> Result<Option<Caller>, AccessError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        return token.map_or(Ok(None), |token| by_token(access, token));
    }
    let jar = SignedCookieJar::from_headers(headers, access.cookie_key.clone());
    let Some(cookie) = jar.get(COOKIE) else { return Ok(None) };
    let roll = access.store.roll()?;
    let found = access.visits.who(&Secret::given(cookie.value()), &roll);
    Ok(found
        .map(|(name, role, visit)| Caller { actor: Actor { name: name.to_string(), role }, way: Way::Visit(visit) }))
}

fn by_token(access: &Access, text: &str) -> Result<Option<Caller>, AccessError> {
    let Some((id, secret)) = text.strip_prefix(TOKEN_MARK).and_then(|rest| rest.split_once('_')) else {
        return Ok(None);
    };
    let (roll, secret) = (access.store.roll()?, Secret::given(secret));
    let found = holder(&roll, id, |token| secret.is_of(&token.hash));
    Ok(found.map(|actor| Caller { actor, way: Way::Token(id.to_owned()) }))
}

/// Whose token this is, while it is good.
fn holder(roll: &Roll, id: &str, is_right: impl Fn(&Token) -> bool) -> Option<Actor> {
    let now = clock::now();
    roll.users.iter().find_map(|(name, user)| {
        let token = user.tokens.iter().find(|token| token.id == id)?;
        let is_good = is_right(token) && token.expires_at.is_none_or(|end| end > now);
        let role = token.role.map_or(user.role, |role| role.min(user.role));
        is_good.then(|| Actor { name: name.to_string(), role })
    })
}

/// Who was let in to a stream, which outlives the request that began it.
#[derive(Debug, Clone)]
pub(in crate::web) struct Presence(Caller);

impl Presence {
    /// Who it is at this moment, in the role that he has. `None` once he has logged out, was removed, or his visit or token is over;
    /// also while nobody can say.
    pub(in crate::web) fn actor(&self, access: &Access) -> Option<Actor> {
        let roll = access.store.roll().ok()?;
        match &self.0.way {
            Way::Visit(id) => access.visits.still(id, &roll).map(|(name, role)| Actor { name: name.to_string(), role }),
            Way::Token(id) => holder(&roll, id, |_| true),
        }
    }
}

impl FromRequestParts<Site> for Presence {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        Caller::from_request_parts(parts, site).await.map(Self)
    }
}

impl Caller {
    fn key(&self) -> String {
        match &self.way {
            Way::Visit(id) => format!("visit {id}"),
            Way::Token(id) => format!("token {id}"),
        }
    }
}

/// Whether a browser says that another site's page made this request. Programs say nothing of the kind.
pub(super) fn is_from_elsewhere(site: &Site, request: &Request) -> bool {
    let headers = request.headers();
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        return !["same-origin", "none"].contains(&site);
    }
    let Some(origin) = text(&header::ORIGIN) else { return false };
    let here = authority(request.uri(), headers);
    let is_here = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == here);
    !is_here && site.front.public_url.as_ref().is_none_or(|url| url.origin != origin)
}

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// People are shown the way in, programs are told.
fn unknown(request: &Request) -> Response {
    let headers = request.headers();
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"));
    let is_page = !is_below(request.uri().path(), &["/api"]) && !headers.contains_key(header::AUTHORIZATION);
    if is_page && wants_page && !headers.contains_key("hx-request") {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let next = if *request.method() == Method::GET { path } else { "/" };
        return Redirect::to(&format!("/login?next={}", super::login::escaped(next))).into_response();
    }
    let problem = Problem {
        what: "this server does not know who asks".to_owned(),
        why: "there is no token and no visit, or the one that is given is wrong, revoked or over".to_owned(),
        fix: "log in at /login, or send `Authorization: Bearer TOKEN`; `landfall user token add NAME` makes one"
            .to_owned(),
        code: None,
    };
    let mut response = Details::new(StatusCode::UNAUTHORIZED, "unknown-caller", &problem).into_response();
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"landfall\""));
    if is_page {
        headers.insert("hx-redirect", HeaderValue::from_static("/login"));
    }
    response
}

fn forbidden(kind: &'static str, why: &str, fix: &str) -> Response {
    let problem =
        Problem { what: "this is not allowed".to_owned(), why: why.to_owned(), fix: fix.to_owned(), code: None };
    Details::new(StatusCode::FORBIDDEN, kind, &problem).into_response()
}

pub(super) fn unavailable(error: &AccessError) -> Response {
    tracing::error!(error = error as &dyn std::error::Error, "nobody can be let in");
    let problem = Problem {
        what: "nobody can be let in at this moment".to_owned(),
        why: "the users cannot be read or changed".to_owned(),
        fix: "the coordinator's journal says why".to_owned(),
        code: None,
    };
    Details::new(StatusCode::SERVICE_UNAVAILABLE, "no-access", &problem).into_response()
}

pub(in crate::web) fn too_large() -> Response {
    let problem = Problem {
        what: "this is too much".to_owned(),
        why: format!("a request has {BODY_BYTES_MAX} bytes at most, and this one has more or broke off"),
        fix: "send less".to_owned(),
        code: None,
    };
    Details::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", &problem).into_response()
}

pub(super) fn too_often(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let problem = Problem {
        what: "this is too often".to_owned(),
        why: "only so many requests are taken in a while".to_owned(),
        fix: format!("try again in {seconds} s"),
        code: None,
    };
    let mut response = Details::new(StatusCode::TOO_MANY_REQUESTS, "too-often", &problem).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The guard has let him in; where it has not seen him, nobody is.
impl FromRequestParts<Site> for Actor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>().map(|caller| caller.actor.clone());
        caller.ok_or_else(|| forbidden("unknown-caller", "nobody is logged in", "log in at /login"))
    }
}

impl Actor {
    /// Refuses whoever has a lesser role.
    pub(crate) fn must_be(&self, role: Role) -> Result<(), Box<Response>> {
        if self.role >= role {
            return Ok(());
        }
        let why = format!("{} is a {}, and this needs {role}", self.name, self.role);
        Err(forbidden("role", &why, &format!("ask an admin: `landfall user role {} {role}`", self.name)).into())
    }
}

impl FromRequestParts<Site> for FormToken {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Response> {
        match parts.extensions.get::<Caller>().map(|caller| &caller.way) {
            Some(Way::Visit(id)) => {
                form_token(&site.access.form_key, id.as_bytes()).map(Self).map_err(|error| unavailable(&error))
            }
            // Who has a token needs none for his forms.
            Some(Way::Token(_)) | None => Ok(Self::default()),
        }
    }
}

impl FromRequestParts<Site> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| forbidden("unknown-caller", "nobody is logged in", "log in at /login"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_a_place_and_not_a_beginning() {
        for open in ["/login", "/login/invite/x", "/assets/a.css", "/health/live", "/ping/x/y"] {
            assert!(is_below(open, &OPEN), "{open}");
        }
        for closed in ["/", "/loginx", "/api/v1/status", "/metrics", "/Login", "//login", "/healthz", "/events"] {
            assert!(!is_below(closed, &OPEN), "{closed}");
        }
    }
}
