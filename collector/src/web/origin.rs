//! Who may change something: only a page of this site, asked by its own form.
//!
//! *Invariants*: every request that is not GET or HEAD proves where it comes from, by `Sec-Fetch-Site` or by
//! `Origin`. Browsers set both and pages cannot forge them. The session cookie's SameSite stands beside this.

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::WebSettings;
use super::refusal::Refused;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets reading pass, and changes that this site's own pages ask for.
pub async fn check(State(settings): State<WebSettings>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // HTTP/2 has no Host header; its authority stands in the URI.
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if reads || is_own(request.headers(), authority.as_deref(), settings.tls) {
        next.run(request).await
    } else {
        Refused::ForeignOrigin.into_response()
    }
}

fn is_own(headers: &HeaderMap, authority: Option<&str>, tls: bool) -> bool {
    let origin = headers.get(ORIGIN);
    match headers.get(SEC_FETCH_SITE) {
        // A page with the policy `no-referrer` sends its origin as `null`.
        Some(site) if site == "same-origin" => {
            origin.is_none_or(|origin| origin == "null") || names_us(headers, authority, tls)
        }
        Some(_) => false,
        None => names_us(headers, authority, tls),
    }
}

fn names_us(headers: &HeaderMap, authority: Option<&str>, tls: bool) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if tls { "https://" } else { "http://" };
    let host = authority.or_else(|| text(HOST));
    text(ORIGIN).and_then(|origin| origin.strip_prefix(scheme)).is_some_and(|origin| Some(origin) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_site_may_change_something() {
        let cases: [(&[(&str, &str)], bool); 13] = [
            (&[], false),
            (&[("origin", "http://a:1")], true),
            (&[("origin", "https://a:1")], false),
            (&[("origin", "http://a")], false),
            (&[("origin", "http://b:1")], false),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://b:1")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a:1")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://a:1")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "")], false),
        ];
        for (headers, own) in cases {
            let mut map = HeaderMap::new();
            map.insert(HOST, "a:1".parse().unwrap());
            for (name, value) in headers {
                map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            assert_eq!(is_own(&map, None, false), own, "{headers:?}");
        }
    }

    #[test]
    fn http2_names_the_host_in_its_authority() {
        let mut map = HeaderMap::new();
        map.insert(ORIGIN, "https://a".parse().unwrap());
        assert!(is_own(&map, Some("a"), true));
        assert!(!is_own(&map, Some("b"), true) && !is_own(&map, None, true));
    }
}
