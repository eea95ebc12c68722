//! Who is let in, how, for how long, and who is not.

use super::*;

async fn served() -> (Story, Life, Served) {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let served = story.serve("one", &plain()).await;
    (story, life, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_anything_without_being_known() {
    let (_story, life, served) = served().await;
    for path in ["/", "/account", "/api/v1/status", "/events", "/metrics", "/nowhere"] {
        let told = served.get(path).send().await.unwrap();
        assert_eq!(told.headers()["www-authenticate"], "Bearer realm=\"landfall\"");
        problem(told, StatusCode::UNAUTHORIZED).await;
    }
    let told = served.get("/runs?node=a").header("accept", "text/html").send().await.unwrap();
    assert_eq!(told.status(), StatusCode::SEE_OTHER);
    assert_eq!(told.headers()[LOCATION], "/login?next=/runs%3Fnode%3Da");
    for path in ["/health/live", "/login"] {
        assert_eq!(served.get(path).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_acts_with_its_forms_token_and_logs_out() {
    let (_story, life, served) = served().await;
    let cookie = served.log_in("vera").await;
    let (_, csrf) = served.form("/account", Some(&cookie)).await;
    let post = |fields: &[(&str, &str)]| served.post("/logout").header("cookie", &cookie).form(fields).send();
    let foreign_visit = served.log_in("oscar").await;
    let (_, foreign) = served.form("/account", Some(&foreign_visit)).await;
    for wrong in ["", "x", foreign.as_str()] {
        let refused = problem(post(&[("csrf", wrong)]).await.unwrap(), StatusCode::FORBIDDEN).await;
        assert_eq!(refused["type"], "form-token");
    }
    problem(post(&[]).await.unwrap(), StatusCode::FORBIDDEN).await;
    assert_eq!(served.get("/account").header("cookie", &cookie).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(post(&[("csrf", &csrf)]).await.unwrap().status(), StatusCode::SEE_OTHER);
    problem(served.get("/account").header("cookie", &cookie).send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_is_kept_from_scripts_other_sites_and_forgers() {
    let (_story, life, served) = served().await;
    let (form_cookie, csrf) = served.form("/login", None).await;
    let fields = [("csrf", csrf.as_str()), ("name", "ann"), ("password", PASSWORD)];
    let told = served.post("/login").header("cookie", form_cookie).form(&fields).send().await.unwrap();
    let mut set = told.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let set = set.rfind(|cookie| cookie.starts_with("landfall_visit=")).unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    assert!(!set.contains("Secure"), "plain HTTP on this machine");
    let cookie = set.split(';').next().unwrap();
    let mut forged = cookie.to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == 'a' { 'b' } else { 'a' });
    for wrong in [forged.as_str(), "landfall_visit=", "landfall_visit=ann", "landfall_visit=%00"] {
        let told = served.get("/account").header("cookie", wrong).send().await.unwrap();
        problem(told, StatusCode::UNAUTHORIZED).await;
    }
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil"),
        ("origin", "null"),
    ] {
        let (_, csrf) = served.form("/account", Some(cookie)).await;
        let request = served.post("/logout").header("cookie", cookie).header(name, value).form(&[("csrf", csrf)]);
        let refused = problem(request.send().await.unwrap(), StatusCode::FORBIDDEN).await;
        assert_eq!(refused["type"], "foreign-site");
    }
    let (_, csrf) = served.form("/account", Some(cookie)).await;
    let own = format!("http://{}", served.pages.address);
    let request = served.post("/logout").header("cookie", cookie).header("origin", own).form(&[("csrf", csrf)]);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_and_foreign_forms_let_nobody_in_and_floods_are_stopped() {
    let (_story, life, served) = served().await;
    let (cookie, csrf) = served.form("/login", None).await;
    let log_in = |csrf: &str, name: &str, password: &str| {
        let fields = [("csrf", csrf), ("name", name), ("password", password)];
        served.post("/login").header("cookie", &cookie).form(&fields).send()
    };
    assert_eq!(log_in("x", "ann", PASSWORD).await.unwrap().status(), StatusCode::FORBIDDEN);
    for (name, password) in [("ann", "wrong"), ("nobody", PASSWORD), ("<script>", PASSWORD), ("", "")] {
        let told = log_in(&csrf, name, password).await.unwrap();
        assert_eq!(told.status(), StatusCode::UNAUTHORIZED);
        assert!(cookie_of(told.headers(), "landfall_visit").is_none());
        assert!(!told.text().await.unwrap().contains("<script>"));
    }
    let mut stopped = None;
    for _ in 0..20 {
        let told = log_in(&csrf, "ann", "wrong").await.unwrap();
        if told.status() == StatusCode::TOO_MANY_REQUESTS {
            stopped = Some(told);
            break;
        }
    }
    let told = stopped.expect("a flood is stopped");
    assert!(told.headers().contains_key("retry-after"));
    problem(told, StatusCode::TOO_MANY_REQUESTS).await;
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lets_a_program_in_until_it_is_revoked_or_expires() {
    let (_story, life, served) = served().await;
    let token = served.token("vera");
    let ask = |token: &str| served.get("/account").bearer_auth(token).send();
    assert_eq!(ask(&token).await.unwrap().status(), StatusCode::OK);
    let (head, _) = token.rsplit_once('_').unwrap();
    for wrong in ["", "x", "lf__", "lf_1_2", head, &format!("{head}_"), &format!("{token}0"), &token.to_uppercase()] {
        problem(ask(wrong).await.unwrap(), StatusCode::UNAUTHORIZED).await;
    }
    let basic = served.get("/account").basic_auth("ann", Some(PASSWORD)).send().await.unwrap();
    problem(basic, StatusCode::UNAUTHORIZED).await;
    let expire = |roll: &mut web_access::store::Roll| {
        roll.user(&"vera".parse().unwrap())?.tokens[0].expires_at = Some(clock::now());
        Ok(())
    };
    served.store().change(expire).unwrap();
    problem(ask(&token).await.unwrap(), StatusCode::UNAUTHORIZED).await;
    let token = served.token("oscar");
    assert_eq!(ask(&token).await.unwrap().status(), StatusCode::OK);
    let revoke = |roll: &mut web_access::store::Roll| {
        roll.user(&"oscar".parse().unwrap())?.tokens.clear();
        Ok(())
    };
    served.store().change(revoke).unwrap();
    problem(ask(&token).await.unwrap(), StatusCode::UNAUTHORIZED).await;
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_password_ends_all_other_visits() {
    let (_story, life, served) = served().await;
    let (one, two) = (served.log_in("oscar").await, served.log_in("oscar").await);
    let (_, csrf) = served.form("/account", Some(&one)).await;
    let change = |old: &str, password: &str| {
        let fields = [("csrf", csrf.as_str()), ("old", old), ("password", password)];
        served.post("/account/password").header("cookie", &one).form(&fields).send()
    };
    assert_eq!(change("wrong", "another long one").await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(change(PASSWORD, "short").await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    let told = change(PASSWORD, "another long one").await.unwrap();
    let fresh = cookie_of(told.headers(), "landfall_visit").unwrap();
    for over in [one.as_str(), two.as_str()] {
        let told = served.get("/account").header("cookie", over).send().await.unwrap();
        assert_eq!(told.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(served.get("/account").header("cookie", fresh).send().await.unwrap().status(), StatusCode::OK);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_makes_one_user_once() {
    let (_story, life, served) = served().await;
    let secret = Secret::draw().unwrap();
    let invite = web_access::new_invite(&secret, UserRole::Operator, None, clock::now());
    let invite = |roll: &mut web_access::store::Roll| {
        roll.invites.push(invite);
        Ok(())
    };
    served.store().change(invite).unwrap();
    let path = format!("/login/invite/{}", secret.expose());
    let (cookie, csrf) = served.form(&path, None).await;
    let join = |name: &str, password: &str| {
        let fields = [("csrf", csrf.as_str()), ("name", name), ("password", password)];
        served.post(&path).header("cookie", &cookie).form(&fields).send()
    };
    assert_eq!(join("zoe", "short").await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(join("<b>", PASSWORD).await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(join("ann", PASSWORD).await.unwrap().status(), StatusCode::CONFLICT, "a link takes over nobody");
    let told = join("zoe", PASSWORD).await.unwrap();
    assert_eq!(told.status(), StatusCode::SEE_OTHER);
    let visit = cookie_of(told.headers(), "landfall_visit").unwrap();
    let page = served.get("/account").header("cookie", visit).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("zoe") && page.contains("operator"), "{page}");
    assert_eq!(join("eve", PASSWORD).await.unwrap().status(), StatusCode::NOT_FOUND, "used up");
    assert_eq!(served.get(&path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    life.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_leaves_one_link_of_which_only_a_hash_is_kept() {
    let story = Story::new().await;
    let life = story.live("one", &Arc::default());
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(&folder.path().join("web"));
    for _ in 0..2 {
        let pages = story.pages("one", &plain(), &folder).await;
        let roll = store.roll().unwrap();
        assert_eq!((roll.users.len(), roll.invites.len(), roll.invites[0].role), (0, 1, UserRole::Admin));
        assert!(roll.invites[0].expires_at > clock::now());
        pages.end().await;
    }
    life.end().await;
}
