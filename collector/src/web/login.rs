//! Logging in and out.
//!
//! *Invariants*: an unknown name, a disabled account and a wrong password get the same answer at the same
//! cost. After logging in everybody lands on the first page: no address of the request is followed.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Extension, Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::frame::{Frame, Here, page};
use super::refusal::Refused;
use super::{Web, session};

/// Where to log in.
pub const PATH: &str = "/log-ind";

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    wrong: Option<&'static str>,
}

/// The form as it is sent. No Debug: it holds a password.
#[derive(Deserialize)]
pub struct LoginForm {
    navn: String,
    kode: String,
}

/// `GET /log-ind`.
pub async fn form(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Refused> {
    Ok(match session::of(&web, &headers).await? {
        Some(_) => Redirect::to("/").into_response(),
        None => page(&LoginPage { frame: Frame::new(None, Here::Elsewhere), wrong: None }),
    })
}

/// `POST /log-ind`.
pub async fn submit(
    State(web): State<Web>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Result<Response, Refused> {
    let Form(LoginForm { navn: name, kode: password }) = form.map_err(|_| Refused::BadForm)?;
    let address: Option<IpAddr> = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    web.attempts.begin(&name, address, Instant::now()).map_err(Refused::TooManyAttempts)?;
    let account = web.store.account(&name).await?.filter(|account| account.disabled_at.is_none());
    let hash = account.map(|account| account.password_hash);
    if web.comparer.matches(Zeroizing::new(password), hash).await {
        web.attempts.succeeded(&name, address);
        return session::start(&web, &name).await;
    }
    let wrong = Some("Brugernavnet eller adgangskoden er forkert.");
    let page = page(&LoginPage { frame: Frame::new(None, Here::Elsewhere), wrong });
    Ok((StatusCode::UNAUTHORIZED, page).into_response())
}

/// `POST /log-ud`.
pub async fn end(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Refused> {
    session::end(&web, &headers).await
}
