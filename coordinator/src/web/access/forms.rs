//! The pages before somebody is known, and his own: one form each.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use maud::{Markup, html};

use super::error::AccessError;
use super::guard::Actor;
use super::store::Invite;
use crate::web::markup::{self, Section};

pub(super) fn login(csrf: &str, next: &str, why: Option<&str>) -> Markup {
    let body = html! {
        (complaint(why))
        form method="post" action="/login" {
            input type="hidden" name="csrf" value=(csrf);
            input type="hidden" name="next" value=(next);
            label for="name" { "Name" }
            input id="name" name="name" autocomplete="username" autocapitalize="none" required maxlength="60" autofocus;
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024";
            button type="submit" { "Log in" }
        }
        p { "Nobody was added yet? The coordinator's journal shows a link for the first admin, and " code { "landfall user invite" } " makes another one." }
    };
    page("Log in", &body)
}

pub(super) fn invited(csrf: &str, invite: &Invite, why: Option<&str>) -> Markup {
    let body = html! {
        (complaint(why))
        p { "This link is good once, and makes its user " strong { (invite.role) } "." }
        form method="post" {
            input type="hidden" name="csrf" value=(csrf);
            label for="name" { "Name" }
            @if let Some(name) = &invite.name {
                input id="name" name="name" value=(name) readonly autocomplete="username";
            } @else {
                input id="name" name="name" autocomplete="username" autocapitalize="none" required maxlength="60" autofocus;
            }
            label for="password" { "Password, 10 characters or more" }
            input id="password" name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="1024";
            button type="submit" { "Go in" }
        }
    };
    page("Welcome", &body)
}

pub(super) fn account(actor: &Actor, csrf: &str, why: Option<&str>) -> Markup {
    let body = html! {
        (complaint(why))
        p { (actor.name) " is " strong { (actor.role) } "." }
        form method="post" action="/account/password" {
            input type="hidden" name="csrf" value=(csrf);
            input type="hidden" name="name" value=(actor.name) autocomplete="username";
            label for="old" { "Password in use" }
            input id="old" name="old" type="password" autocomplete="current-password" required maxlength="1024";
            label for="password" { "Fresh password, 10 characters or more" }
            input id="password" name="password" type="password" autocomplete="new-password" required minlength="10" maxlength="1024";
            button type="submit" { "Change it, and end all other visits" }
        }
        form method="post" action="/logout" {
            input type="hidden" name="csrf" value=(csrf);
            button type="submit" { "Log out" }
        }
    };
    page("Account", &body)
}

pub(super) fn nothing_here(error: &AccessError) -> impl IntoResponse + use<> {
    let problem = error.problem();
    let body = html! {
        p { (problem.what) ": " (problem.why) "." }
        p { (problem.fix) "." }
    };
    (StatusCode::NOT_FOUND, page("No such link", &body))
}

fn complaint(why: Option<&str>) -> Markup {
    html! { @if let Some(why) = why { p role="alert" { (why) } } }
}

fn page(title: &str, body: &Markup) -> Markup {
    markup::page(title, Section::Elsewhere, &html! { section.card.alone { h1 { (title) } (body) } })
}
