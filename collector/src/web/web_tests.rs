//! The pages from outside: requests go in, answers come out, over a real store.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{LOCATION, ORIGIN, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use cprvagt_report::{AgentId, Host, Moment, Report};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::citizen::CitizenKey;
use crate::occurrence::Opened;
use crate::store::{AgentRecord, Arrival, Content, IncidentQuery, Role};

const PASSWORD: &str = "korrekt hest batteri";
const PSEUDONYM: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}";

/// A site over a store of its own.
struct Site {
    store: Store,
    service: TowerToHyperService<Router>,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Site {
    async fn new(tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let service = TowerToHyperService::new(router(store.clone(), WebSettings { tls, session_hours: 8 }));
        Self { store, service, _folder: folder }
    }

    /// With the account `anna`.
    async fn with_account() -> Self {
        let site = Self::new(false).await;
        let hash = password::hash(PASSWORD).unwrap();
        site.store.add_account("anna", &hash, Role::Analyst, Moment::now()).await.unwrap();
        site
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Answer {
        self.log_in_from(name, password, 1).await
    }

    async fn log_in_from(&self, name: &str, password: &str, last: u8) -> Answer {
        let form = format!("navn={name}&kode={}", password.replace(' ', "+"));
        let mut request = own_post("/log-ind", form);
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, last], 999))));
        self.send(request).await
    }

    /// A session of `anna` without the cost of a password; ends after `seconds`.
    async fn session(&self, seconds: i64) -> String {
        let token = [9; 32];
        let (now, ends) = (Timestamp::now(), SignedDuration::from_secs(seconds));
        let hash: [u8; 32] = Sha256::digest(token).into();
        let began = Moment(now - SignedDuration::from_hours(8));
        assert!(self.store.add_session(&hash, "anna", began, Moment(now + ends)).await.unwrap());
        format!("session={}", BASE64URL_NOPAD.encode(&token))
    }

    /// Takes in a report with these entries from a host of that name.
    async fn report(&self, host: &str, entries: Vec<Value>) {
        let agent = AgentId(Uuid::now_v7());
        let host: Host = serde_json::from_value(json!({ "name": host, "id": "0".repeat(32) })).unwrap();
        let now = Moment::now();
        let hash: [u8; 32] = Sha256::digest(agent.0).into();
        let later = Moment(now.0 + SignedDuration::from_hours(1));
        self.store.add_token(&hash, now, later, None).await.unwrap();
        let record = AgentRecord { agent, host: host.clone(), enrolled_at: now };
        self.store.use_token(&hash, &hash, &record).await.unwrap();
        let report =
            json!({ "schema": "cprvagt.report/1", "host": host, "made_at": now, "entries": entries });
        let report: Report = serde_json::from_value(report).unwrap();
        let key = CitizenKey::random().unwrap();
        let content = Content::Report(Box::new(Opened::of(agent, report, &key)));
        let arrival = Arrival { agent, epoch: Uuid::now_v7(), sequence: 1, content };
        self.store.take(&[arrival]).await.unwrap();
    }

    /// The addresses of all pages of this store.
    async fn pages(&self) -> Vec<String> {
        let query = IncidentQuery { limit: 1000, ..IncidentQuery::default() };
        let incidents = self.store.incidents(&query).await.unwrap();
        let fixed = ["/", "/agenter", "/log-ind", "/nothing"].map(str::to_owned);
        let each = incidents.iter().map(|row| format!("/haendelser/{}", row.id));
        fixed.into_iter().chain(each).collect()
    }
}

fn own_post(path: &str, form: String) -> Request<Body> {
    let request = Request::post(path).header("host", "site").header(ORIGIN, "http://site");
    request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(form)).unwrap()
}

/// A leak whose every name is `name`, to `site`, under `rule`.
fn leak(name: &str, site: &str, rule: &str) -> Value {
    json!({ "leak": {
        "schema": "cprvagt.leak/1", "id": Uuid::now_v7(), "observed_at": "2026-07-01T22:30:00.000000000Z",
        "rule": rule, "also_breaks": ["cleartext"], "severity": "high", "confidence": "medium", "score": 30.0,
        "class": "test", "checksum": "mod11", "masked": "xxxxxx-xxxx", "pseudonym": PSEUDONYM,
        "direction": "egress", "outcome": "unknown", "host": { "name": name, "id": "0".repeat(32) },
        "process": { "pid": 1, "comm": name, "exe": name, "unit": name, "container": name, "package": name,
            "package_version": name },
        "system": { "name": name, "vendor": name, "controller": name },
        "destination": { "ip": "192.0.2.1", "port": 443, "host": site, "recipient": name, "via": name,
            "proof": "likely" },
        "transport": { "protocol": "tcp", "encrypted": true, "tls_version": name }, "tap": name,
        "location": { "protocol": name, "part": "url.query", "field": name, "path": name },
        "decodings": [name], "also_present": [name, "ip"],
    } })
}

fn gap(reason: &str) -> Value {
    json!({ "gap": { "from": "2026-07-01T22:00:00Z", "to": "2026-07-01T23:00:00Z", "reason": reason,
        "bytes_min": 5, "leaks_lost": 3 } })
}

fn ledger(name: &str, lost: u64) -> Value {
    let unread = |bytes| {
        json!([{ "reason": name, "bytes": bytes, "process": { "exe": name },
            "destination": { "ip": "192.0.2.1", "port": 443, "host": name } }])
    };
    json!({ "ledger": { "schema": "cprvagt.ledger/1", "wire_bytes": 100 + lost, "inspected_bytes": 60,
        "protocol_bytes": 20, "lost": if lost > 0 { unread(lost) } else { json!([]) }, "blind": unread(20),
        "unexplained_bytes": 0, "flows": 1, "leaks": 1, "gaps": [], "since": "2026-07-01T20:00:00Z",
        "until": "2026-07-02T20:00:00Z" } })
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    for tls in [false, true] {
        let site = Site::new(tls).await;
        let style = assets::STYLE.path.as_str();
        let mut requests: Vec<Request<Body>> =
            ["/", "/log-ind", style, "/nothing", "/haendelser/x", "/haendelser/%FF", "/log-ud"]
                .map(|path| Request::get(path).body(Body::empty()).unwrap())
                .into();
        requests.push(Request::post("/log-ind").body(Body::empty()).unwrap());
        requests.push(Request::builder().method(Method::TRACE).uri("/").body(Body::empty()).unwrap());
        requests.push(own_post("/log-ind", "x".repeat(FORM_BYTES_MAX + 1)));
        for request in requests {
            let what = format!("{} {}", request.method(), request.uri());
            let is_asset = request.uri().path() == style;
            let headers = site.send(request).await.headers;
            let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
            assert_eq!(
                header("content-security-policy"),
                "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                 frame-ancestors 'none'; base-uri 'none'",
                "{what}"
            );
            assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
            assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
            assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{what}");
            assert!(header("permissions-policy").contains("camera=()"), "{what}");
            assert_eq!(header("cache-control") == "no-store", !is_asset, "{what}");
            assert_eq!(header("strict-transport-security").is_empty(), !tls, "{what}");
        }
    }
}

#[tokio::test]
async fn changes_are_refused_unless_our_own_page_asks() {
    let site = Site::with_account().await;
    let cookie = site.session(60).await;
    for (name, value) in [("x", "y"), ("origin", "http://evil"), ("sec-fetch-site", "cross-site")] {
        for path in ["/log-ind", "/log-ud", "/nothing"] {
            let request = Request::post(path).header("host", "site").header("cookie", &cookie);
            let answer = site.send(request.header(name, value).body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {name}: {value}");
            assert!(answer.text.contains("Afvist"));
        }
    }
    assert_eq!(site.get("/", &cookie).await.status, StatusCode::OK, "the session is still there");
}

#[tokio::test]
async fn logging_in_and_out() {
    let site = Site::with_account().await;
    let answer = site.log_in("anna", PASSWORD).await;
    assert_eq!((answer.status, &answer.headers[LOCATION]), (StatusCode::SEE_OTHER, &"/".parse().unwrap()));
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = site.get("/", &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("anna") && page.text.contains("Log ud"));
    assert_eq!(site.get("/log-ind", &cookie).await.headers[LOCATION], "/");
    let mut out = own_post("/log-ud", String::new());
    out.headers_mut().insert("cookie", cookie.parse().unwrap());
    let answer = site.send(out).await;
    assert!(answer.headers[SET_COOKIE].to_str().unwrap().starts_with("session=; Path=/; Max-Age=0"));
    assert_eq!(site.get("/", &cookie).await.headers[LOCATION], "/log-ind");
}

#[tokio::test]
async fn every_wrong_log_in_gets_the_same_answer() {
    let site = Site::with_account().await;
    let hash = password::hash(PASSWORD).unwrap();
    site.store.add_account("bo", &hash, Role::Admin, Moment::now()).await.unwrap();
    site.store.disable_account("bo", Moment::now()).await.unwrap();
    let wrong = site.log_in("anna", "forkert kodeord").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    for (name, password) in [("nobody", PASSWORD), ("bo", PASSWORD), ("", ""), ("ANNA", PASSWORD)] {
        let answer = site.log_in(name, password).await;
        assert_eq!((answer.status, &answer.text), (wrong.status, &wrong.text), "{name}");
        assert!(!answer.headers.contains_key(SET_COOKIE));
    }
}

#[tokio::test]
async fn nothing_in_a_request_chooses_where_to_go_next() {
    let site = Site::with_account().await;
    for query in ["?next=https://evil", "?retur=//evil", "?modtager=evil"] {
        let form = format!("navn=anna&kode={}&next=https://evil", PASSWORD.replace(' ', "+"));
        let answer = site.send(own_post(&format!("/log-ind{query}"), form)).await;
        assert_eq!(answer.headers[LOCATION], "/");
    }
    assert_eq!(site.get("//evil/", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_ends() {
    let site = Site::with_account().await;
    let ended = site.session(-1).await;
    for path in ["/", "/agenter", "/haendelser/00000000000000000000000000000000"] {
        assert_eq!(site.get(path, &ended).await.headers[LOCATION], "/log-ind", "{path}");
    }
    let site = Site::with_account().await;
    let cookie = site.session(60).await;
    assert_eq!(site.get("/", &cookie).await.status, StatusCode::OK);
    site.store.disable_account("anna", Moment::now()).await.unwrap();
    assert_eq!(site.get("/", &cookie).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn too_many_wrong_passwords_must_wait() {
    let site = Site::with_account().await;
    for from in 0..attempts::OF_ACCOUNT_MAX {
        assert_eq!(site.log_in_from("anna", "forkert", from as u8).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = site.log_in_from("anna", PASSWORD, 200).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.text.contains("Prøv igen om 15 minutter"), "{}", answer.text);
    let wait: u64 = answer.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    assert_eq!(site.log_in_from("bo", "forkert", 200).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn hostile_names_stay_text_on_every_page() {
    let site = Site::with_account().await;
    site.store.add_account(HOSTILE, "x", Role::Analyst, Moment::now()).await.unwrap();
    let (leak, gap, ledger) = (leak(HOSTILE, HOSTILE, "cpr-in-url"), gap(HOSTILE), ledger(HOSTILE, 7));
    site.report(HOSTILE, vec![leak, gap, ledger]).await;
    let cookie = site.session(60).await;
    let mut pages = site.pages().await;
    assert_eq!(pages.len(), 5);
    pages.push("/?modtager=%3Cscript%3E&dataansvarlig=%22%3E%3Cscript%3E&regel=%22%3E&side=%3C".to_owned());
    for path in pages {
        let text = site.get(&path, &cookie).await.text;
        check_markup(&path, &text);
    }
    let incident = &site.pages().await[4];
    let text = site.get(incident, &cookie).await.text;
    assert!(text.matches("&#60;script&#62;").count() >= 15, "the names are on the page: {text}");
}

/// Nothing but the elements and attributes of the templates, and no address that leaves the site.
fn check_markup(path: &str, text: &str) {
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let tag = rest[start + 1..].split('>').next().unwrap();
        rest = &rest[start + 1..];
        let name = tag.split_whitespace().next().unwrap_or_default().trim_matches('/');
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '!'),
            "{path}: <{tag}>"
        );
        assert!(!["script", "style", "iframe", "object", "embed", "img"].contains(&name), "{path}: <{tag}>");
        let outside: String = tag.split('"').step_by(2).collect();
        assert!(![" on", " style=", " srcdoc="].iter().any(|it| outside.contains(it)), "{path}: <{tag}>");
        for link in ["href=\"", "src=\"", "action=\""] {
            let Some((_, target)) = tag.split_once(link) else { continue };
            let stays = target.starts_with('#') || (target.starts_with('/') && !target.starts_with("//"));
            assert!(stays, "{path}: <{tag}>");
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{path}: <{tag}>");
    }
}

#[tokio::test]
async fn pages_count_citizens_and_never_show_them() {
    let site = Site::with_account().await;
    site.report("host", vec![leak("navn", "a.example", "cpr-in-url")]).await;
    let cookie = site.session(60).await;
    for path in site.pages().await {
        let text = site.get(&path, &cookie).await.text;
        assert!(!text.contains(PSEUDONYM) && !text.contains("xxxxxx"), "{path}");
    }
    let text = site.get("/", &cookie).await.text;
    assert!(text.contains("Berørte borgere i alt</dt><dd class=\"large\">1</dd>"), "{text}");
}

#[tokio::test]
async fn an_incident_is_told_in_plain_words() {
    let site = Site::with_account().await;
    site.report("host", vec![leak("navn", "www.a.example", "cpr-in-url"), ledger("no-tap", 0)]).await;
    let cookie = site.session(60).await;
    let text = site.get(&site.pages().await[4], &cookie).await.text;
    let expected = [
        "Systemet navn, som navn er dataansvarlig for, har sendt et personnummer vedrørende 1 borger til \
         a.example den 2.7.2026 kl. 00.30. Personnummeret stod i webadressens forespørgsel (feltet navn); \
         forbindelsen var krypteret.",
        "<time datetime=\"2026-07-01T22:30:00Z\">2.7.2026 kl. 00.30</time>",
        "Personnummer i webadresse (URL): a.example</h1>",
        "Sandsynlig",
        "IP-adresse",
        "Hvem der faktisk modtog 1 forekomst. Modtageren er ikke bevist.",
        "Om 1 forekomst nåede ud på netværket.",
        "Om 1 forekomst vedrører en person: nummeret er et kendt testnummer.",
        "Hvad der stod i 20 byte trafik fra de samme værter, som ikke kan læses.",
        "Krypteret af et program, der ikke kan aflæses",
    ];
    for words in expected {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("nedre grænse"));
}

#[tokio::test]
async fn what_was_lost_makes_counts_a_lower_bound() {
    for (entry, why) in [
        (gap("unclean-start"), "overvågning har 1 hul, og 3 fund gik tabt"),
        (ledger("ring-full", 7), "7 byte trafik kunne ikke nå at blive læst"),
    ] {
        let site = Site::with_account().await;
        site.report("host", vec![leak("navn", "a.example", "cleartext"), entry]).await;
        let cookie = site.session(60).await;
        let text = site.get(&site.pages().await[4], &cookie).await.text;
        assert!(text.contains("Tallet er en nedre grænse.") && text.contains(why), "{why}\n{text}");
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let site = Site::with_account().await;
    let mut entries: Vec<Value> =
        (0..60).map(|n| leak(&format!("navn{}", char::from(b'A' + n)), "a.example", "cpr-in-url")).collect();
    entries.push(leak("anden myndighed", "b.example", "cleartext"));
    site.report("host", entries).await;
    let cookie = site.session(60).await;
    let rows = async |query: &str| {
        let text = site.get(query, &cookie).await.text;
        (text.matches("href=\"/haendelser/").count(), text.contains("rel=\"next\""), text)
    };
    for (query, count, more) in [
        ("/", 50, true),
        ("/?side=2", 11, false),
        ("/?side=3", 0, false),
        ("/?modtager=b.example", 1, false),
        ("/?modtager=a.example&side=2", 10, false),
        ("/?dataansvarlig=anden+myndighed", 1, false),
        ("/?regel=cleartext", 1, false),
        ("/?regel=nonsense&side=nonsense", 50, true),
        ("/?modtager=c.example", 0, false),
    ] {
        let (rows, next, text) = rows(query).await;
        assert_eq!((rows, next), (count, more), "{query}");
        assert_eq!(text.contains("Ingen hændelser passer til filteret"), query == "/?modtager=c.example");
    }
}

#[tokio::test]
async fn empty_and_failing_pages_speak_danish() {
    let site = Site::with_account().await;
    let cookie = site.session(60).await;
    assert!(site.get("/", &cookie).await.text.contains("Ingen hændelser endnu"));
    assert!(site.get("/agenter", &cookie).await.text.contains("Ingen agenter endnu"));
    for path in ["/haendelser/x", "/haendelser/00000000000000000000000000000000", "/nothing", "/assets/x"] {
        let answer = site.get(path, &cookie).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text.contains("Siden findes ikke"), "{path}");
    }
    assert_eq!(site.get("/log-ud", &cookie).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = site.send(own_post("/log-ind", "navn=anna".to_owned())).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    site.store.close().await;
    let answer = site.get("/", &cookie).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text.contains("Der skete en fejl") && !answer.text.contains("database"));
}

#[tokio::test]
async fn the_style_sheet_may_be_kept_and_needs_no_session() {
    let site = Site::new(false).await;
    let answer = site.get(&assets::STYLE.path, "").await;
    assert_eq!(answer.headers["content-type"], "text/css; charset=utf-8");
    assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(!answer.text.contains("@import") && !answer.text.contains("url("));
}
