//! Who is logged in: a random token in a cookie, of which the store keeps a hash.
//!
//! *Invariants*: the cookie is out of reach of scripts and of other sites. With TLS its name has the prefix
//! `__Host-`, so that no other host can set it.
//! *Limits*: a session ends after `WebSettings::session_hours`, used or not.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use cprvagt_report::Moment;
use data_encoding::BASE64URL_NOPAD;
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::refusal::Refused;
use super::{Web, WebSettings, login};

/// Bytes of a session's token.
const TOKEN_BYTES: usize = 32;

/// The account that asks, put beside every request that needs one.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its name.
    pub name: String,
}

/// Lets requests with a session pass; sends others to log in.
pub async fn require(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    match of(&web, request.headers()).await {
        Ok(Some(signed)) => {
            request.extensions_mut().insert(signed);
            next.run(request).await
        }
        Ok(None) => Redirect::to(login::PATH).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Whose session the request's cookie names, when it has not ended.
///
/// # Errors
/// When the store fails.
pub async fn of(web: &Web, headers: &HeaderMap) -> Result<Option<Signed>, Refused> {
    let Some(token) = token_in(headers, &web.settings) else { return Ok(None) };
    let session = web.store.session(&hash(&token), Moment::now()).await?;
    Ok(session.map(|session| Signed { name: session.account }))
}

/// Starts a session of `account` and returns the answer that carries it and leads to the first page.
///
/// # Errors
/// When the store fails.
pub async fn start(web: &Web, account: &str) -> Result<Response, Refused> {
    let mut token = Zeroizing::new([0; TOKEN_BYTES]);
    getrandom::fill(&mut *token).expect("the system has random bytes");
    let now = Moment::now();
    let ends = Moment(now.0 + SignedDuration::from_hours(web.settings.session_hours.into()));
    web.store.prune_sessions(now).await?;
    if !web.store.add_session(&hash(&token), account, now, ends).await? {
        return Ok(Redirect::to(login::PATH).into_response()); // Disabled a moment ago.
    }
    let text = Zeroizing::new(BASE64URL_NOPAD.encode(&*token));
    let seconds = u64::from(web.settings.session_hours) * 3600;
    let cookie = cookie(&web.settings, &text, seconds);
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// Ends the session that the request's cookie names, and takes the cookie away.
///
/// # Errors
/// When the store fails.
pub async fn end(web: &Web, headers: &HeaderMap) -> Result<Response, Refused> {
    if let Some(token) = token_in(headers, &web.settings) {
        web.store.end_session(&hash(&token)).await?;
    }
    let gone = cookie(&web.settings, "", 0);
    Ok(([(SET_COOKIE, gone)], Redirect::to(login::PATH)).into_response())
}

fn hash(token: &[u8; TOKEN_BYTES]) -> [u8; 32] {
    Sha256::digest(token).into()
}

const fn name(settings: &WebSettings) -> &'static str {
    if settings.tls { "__Host-session" } else { "session" }
}

fn cookie(settings: &WebSettings, value: &str, seconds: u64) -> String {
    let secure = if settings.tls { "; Secure" } else { "" };
    format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", name(settings))
}

fn token_in(headers: &HeaderMap, settings: &WebSettings) -> Option<[u8; TOKEN_BYTES]> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(own, _)| *own == name(settings))?;
    BASE64URL_NOPAD.decode(value.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: WebSettings = WebSettings { tls: false, session_hours: 8 };
    const TLS: WebSettings = WebSettings { tls: true, session_hours: 8 };

    #[test]
    fn a_cookie_is_bound_to_this_host_and_out_of_reach() {
        let plain = "session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(cookie(&PLAIN, "x", 60), plain);
        assert_eq!(cookie(&TLS, "x", 60), format!("__Host-{plain}; Secure"));
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let token = BASE64URL_NOPAD.encode(&[7; TOKEN_BYTES]);
        let cases = [
            (format!("session={token}"), PLAIN, true),
            (format!("a=b; session={token}; c"), PLAIN, true),
            (format!("session={token}"), TLS, false),
            (format!("__Host-session={token}"), TLS, true),
            (format!("xsession={token}"), PLAIN, false),
            (format!("session={token}A"), PLAIN, false),
            ("session=".to_owned(), PLAIN, false),
            (String::new(), PLAIN, false),
        ];
        for (text, settings, found) in cases {
            let headers = HeaderMap::from_iter([(COOKIE, text.parse().unwrap())]);
            assert_eq!(token_in(&headers, &settings), found.then_some([7; TOKEN_BYTES]), "{text}");
        }
    }
}
