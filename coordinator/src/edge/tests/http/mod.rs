//! Stories over real HTTP: a coordinator on the bus in memory, its pages on a free port, and clients of every kind.

mod access;
mod api;
mod events;
mod pings;
mod properties;
mod server;

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::redirect::Policy as Redirects;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::config::{WebConfig, WebTls};
use crate::web::access::secret::Secret;
use crate::web::access::store::{Store, Token, User};
use crate::web::access::{self as web_access, Role as UserRole};
use crate::web::{self, Door, Home, Pages};

const PASSWORD: &str = "correct horse battery";

/// The pages of one coordinator, and a client that follows no redirects.
pub(super) struct Served {
    pages: Pages,
    folder: TempDir,
    client: Client,
}

pub(super) fn plain() -> WebConfig {
    WebConfig { listen: "127.0.0.1:0".parse().unwrap(), public_url: None, tls: WebTls::Plain, metrics_open: false }
}

impl Story {
    /// Serves the pages of the coordinator `name`, for ann the admin, oscar the operator and vera the viewer.
    pub(super) async fn serve(&self, name: &str, web: &WebConfig) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("web"));
        let password = web_access::password::hash(PASSWORD).unwrap();
        let people = [("ann", UserRole::Admin), ("oscar", UserRole::Operator), ("vera", UserRole::Viewer)];
        store
            .change(|roll| {
                for (name, role) in people {
                    let user =
                        User { role, password: Some(password.clone()), added_at: clock::now(), tokens: Vec::new() };
                    roll.users.insert(name.parse().unwrap(), user);
                }
                Ok(())
            })
            .unwrap();
        let pages = self.pages(name, web, &folder).await;
        let client = Client::builder().redirect(Redirects::none()).build().unwrap();
        Served { pages, folder, client }
    }

    async fn pages(&self, name: &str, web: &WebConfig, folder: &TempDir) -> Pages {
        let door = Door::new(self.asking.lock().unwrap()[name].clone(), self.feed.clone());
        let home = Home { cluster: "home".parse().unwrap(), state_dir: folder.path().to_owned() };
        web::start(web, home, door).await.unwrap()
    }
}

impl Served {
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.pages.url)
    }

    fn store(&self) -> Store {
        Store::new(&self.folder.path().join("web"))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Removes one of the people, as the tool does: in the file.
    pub(super) fn remove(&self, name: &str) {
        self.store().change(|roll| Ok(roll.users.remove(&name.parse().unwrap()))).unwrap();
    }

    /// A token of one of the people.
    fn token(&self, name: &str) -> String {
        let secret = Secret::draw().unwrap();
        let id = secret.hash()[..8].to_owned();
        let token = Token {
            id: id.clone(),
            label: "test".to_owned(),
            role: None,
            hash: secret.hash(),
            made_at: clock::now(),
            expires_at: None,
        };
        let add = |roll: &mut web_access::store::Roll| {
            roll.user(&name.parse().unwrap())?.tokens.push(token);
            Ok(())
        };
        self.store().change(add).unwrap();
        format!("lf_{id}_{}", secret.expose())
    }

    /// Logs in as a browser does, and returns the cookie.
    pub(super) async fn log_in(&self, name: &str) -> String {
        let (cookie, csrf) = self.form("/login", None).await;
        let fields = [("csrf", csrf.as_str()), ("name", name), ("password", PASSWORD), ("next", "/account")];
        let told = self.post("/login").header("cookie", cookie).form(&fields).send().await.unwrap();
        assert_eq!((told.status(), &told.headers()[LOCATION]), (StatusCode::SEE_OTHER, &"/account".parse().unwrap()));
        cookie_of(told.headers(), "landfall_visit").unwrap()
    }

    /// The cookie of a page with a form, and the form's token.
    pub(super) async fn form(&self, path: &str, cookie: Option<&str>) -> (String, String) {
        let request = self.get(path);
        let request = cookie.iter().fold(request, |request, cookie| request.header("cookie", *cookie));
        let told = request.send().await.unwrap();
        assert_eq!(told.status(), StatusCode::OK, "{path}");
        let given = cookie_of(told.headers(), "landfall_form").unwrap_or_default();
        let page = told.text().await.unwrap();
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        (given, csrf.to_owned())
    }
}

/// `name=value` of a cookie that was set; its attributes are looked at where they matter.
fn cookie_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut set = headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let found = set.rfind(|cookie| cookie.starts_with(&format!("{name}=")))?;
    found.split(';').next().map(str::to_owned)
}

/// An answer that is an error in the form of RFC 9457.
async fn problem(told: Response, status: StatusCode) -> Value {
    assert_eq!(told.status(), status);
    assert_eq!(told.headers()[CONTENT_TYPE], "application/problem+json");
    let problem: Value = told.json().await.unwrap();
    assert_eq!(problem["status"], status.as_u16());
    for field in ["type", "title", "detail", "fix"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
    }
    problem
}
