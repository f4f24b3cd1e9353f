//! The collector's pages in a real browser: logging in, reading, narrow windows, no script, logging out.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use cprvagt_collector::citizen::CitizenKey;
use cprvagt_collector::occurrence::Opened;
use cprvagt_collector::store::{Arrival, Content, Store};
use cprvagt_report::{AgentId, Report};
use cprvagt_tests::browser::Browser;
use cprvagt_tests::collector::{self, Collector};
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::scratch::{Scratch, unique_name};
use serde_json::{Value, json};
use uuid::Uuid;

const NEEDS: &[Need<'_>] = &[Need::Collector, Need::Program("chromedriver"), Need::Program("chromium")];
const PASSWORD: &str = "korrekt hest batteri";
const CITIZENS: u64 = 1234;

/// A collector with incidents and an account, and a browser.
struct Stage {
    browser: Browser,
    collector: Collector,
    _scratch: Scratch,
}

impl Stage {
    fn new() -> Self {
        let scratch = Scratch::new(&unique_name()).unwrap();
        let folder = scratch.path().join("collector");
        let collector = Collector::start(&collector::binary().unwrap(), &folder, "").unwrap();
        collector.add_account("anna", PASSWORD).unwrap();
        fill(&collector);
        Self { browser: Browser::start().unwrap(), collector, _scratch: scratch }
    }

    fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.collector.web_url())).unwrap();
    }

    fn log_in(&self) {
        self.open("/");
        assert_eq!(self.path(), "/log-ind");
        self.browser.type_into("#navn", "anna").unwrap();
        self.browser.type_into("#kode", PASSWORD).unwrap();
        self.follow("main button", "/");
    }

    fn log_out(&self) {
        self.follow(".session button", "/log-ind");
    }

    /// Clicks what `css` selects, and waits for the page at `path`.
    fn follow(&self, css: &str, path: &str) {
        self.browser.click(css).unwrap();
        self.browser.wait_for_url(&format!("{}{path}", self.collector.web_url())).unwrap();
    }

    /// Clicks the first incident's link, and waits for its page.
    fn follow_incident(&self) -> String {
        let link = "tbody a[href^='/haendelser/']";
        let find = format!("return document.querySelector(\"{link}\").pathname");
        let path = self.browser.evaluate(&find).unwrap().as_str().unwrap().to_owned();
        self.follow(link, &path);
        path
    }

    fn path(&self) -> String {
        let url = self.browser.url().unwrap();
        url.strip_prefix(self.collector.web_url()).unwrap_or(&url).to_owned()
    }
}

/// Incidents whose names are as long as agents send them, written beside the running collector.
fn fill(collector: &Collector) {
    let sequence: Vec<Report> = ["www.analyse.example".to_owned(), format!("{}.example", "x".repeat(200))]
        .iter()
        .flat_map(|host| {
            (0..CITIZENS).step_by(200).map(|from| report(host, from..(from + 200).min(CITIZENS)))
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&collector.data()).await.unwrap();
        let key = CitizenKey::of(&collector.data()).unwrap();
        let (agent, epoch) = (AgentId(Uuid::now_v7()), Uuid::now_v7());
        let arrivals = (1..).zip(sequence).map(|(sequence, report)| {
            let content = Content::Report(Box::new(Opened::of(agent, report, &key)));
            Arrival { agent, epoch, sequence, content }
        });
        store.take(&arrivals.collect::<Vec<_>>()).await.unwrap();
    });
}

fn report(host: &str, citizens: std::ops::Range<u64>) -> Report {
    let long = "mappe/".repeat(30);
    let leak = |citizen: u64| {
        json!({ "leak": {
            "schema": "cprvagt.leak/1", "id": Uuid::now_v7(), "observed_at": "2026-07-01T22:30:00.000000000Z",
            "rule": "cpr-in-url", "severity": "high", "confidence": "high", "score": 30.0, "class": "cpr",
            "checksum": "mod11", "masked": "xxxxxx-xxxx", "pseudonym": format!("{citizen:032x}"),
            "direction": "egress", "outcome": "sent", "host": sender(),
            "process": { "exe": format!("/opt/{long}program"), "unit": "tastselv.service" },
            "system": { "name": "TastSelv", "controller": "Myndighed X" },
            "destination": { "ip": "192.0.2.1", "port": 443, "host": host, "proof": "proven" },
            "transport": { "protocol": "tcp", "encrypted": true, "tls_version": "1.3" },
            "location": { "protocol": "http/1.1", "part": "url.query", "field": "dl", "path": format!("/{long}") },
        } })
    };
    let gap = json!({ "gap": { "from": "2026-07-01T22:00:00Z", "to": "2026-07-01T23:00:00Z",
        "reason": "unclean-start", "bytes_min": 0, "leaks_lost": 0 } });
    let entries: Vec<Value> = citizens.map(leak).chain([gap]).take(200).collect();
    let report = json!({ "schema": "cprvagt.report/1", "host": sender(),
        "made_at": "2026-07-01T22:30:00.000000000Z", "entries": entries });
    serde_json::from_value(report).unwrap()
}

fn sender() -> Value {
    json!({ "name": "web01.tastselv.example", "id": "0".repeat(32) })
}

#[test]
fn an_analyst_logs_in_reads_an_incident_and_logs_out() {
    if !can_run("an_analyst_logs_in_reads_an_incident_and_logs_out", NEEDS) {
        return;
    }
    let stage = Stage::new();
    let browser = &stage.browser;
    stage.open("/log-ind");
    browser.type_into("#navn", "anna").unwrap();
    browser.type_into("#kode", "forkert kodeord").unwrap();
    browser.click("main button").unwrap();
    browser.wait_for("[role=alert]").unwrap();
    assert!(browser.text("[role=alert]").unwrap().contains("forkert"));
    stage.log_in();
    assert_eq!(browser.text(".figures .large").unwrap(), "1.234");
    stage.follow("a[href*='modtager=analyse']", "/?modtager=analyse%2Eexample");
    let incident = stage.follow_incident();
    assert_eq!(browser.text("h1").unwrap(), "Personnummer i webadresse (URL): analyse.example");
    assert!(browser.text(".lead").unwrap().contains("har sendt personnumre vedrørende 1.234 borgere"));
    stage.follow("nav a[href='/agenter']", "/agenter");
    assert_eq!(browser.text("h1").unwrap(), "Agenter");
    stage.log_out();
    stage.open(&incident);
    assert_eq!(stage.path(), "/log-ind", "the session has ended");
}

#[test]
fn pages_fit_narrow_windows_in_light_and_dark() {
    if !can_run("pages_fit_narrow_windows_in_light_and_dark", NEEDS) {
        return;
    }
    let stage = Stage::new();
    let browser = &stage.browser;
    stage.log_in();
    let find = "return [...document.querySelectorAll('a[href^=\"/haendelser/\"]')].map(a => a.pathname)";
    let incidents = browser.evaluate(find).unwrap();
    let incidents = incidents.as_array().unwrap().iter().map(|path| path.as_str().unwrap());
    let pages: Vec<&str> = ["/", "/agenter", "/nothing"].into_iter().chain(incidents).collect();
    assert_eq!(pages.len(), 5);
    for page in pages {
        stage.open(page);
        for (width, dark) in
            [(320, false), (360, true), (768, false), (1024, false), (1200, false), (1280, true)]
        {
            browser.set_width(width).unwrap();
            browser.set_dark(dark).unwrap();
            let wide = browser.evaluate("return document.documentElement.scrollWidth").unwrap();
            assert!(wide.as_u64().unwrap() <= width.into(), "{page} is {wide} wide in a window of {width}");
            assert_eq!(faint(browser), json!([]), "{page}, dark: {dark}");
        }
    }
    let spoil = "const h1 = document.querySelector('h1').style; h1.color = h1.backgroundColor = 'gray'";
    browser.evaluate(spoil).unwrap();
    assert_eq!(faint(browser).as_array().unwrap().len(), 1, "what is faint is found");
}

/// Elements whose text has a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3) to the nearest ground that is not
/// transparent.
fn faint(browser: &Browser) -> Value {
    browser
        .evaluate(
            "const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
             const parts = color => color.match(/[\\d.]+/g).map(Number);
             const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
             const ground = element => {
                 for (; element; element = element.parentElement) {
                     const color = parts(getComputedStyle(element).backgroundColor);
                     if (color.length < 4 || color[3] === 1) return color;
                 }
             };
             const ownText = element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
             return [...document.body.querySelectorAll('*')].filter(ownText).map(element => {
                 const pair = [parts(getComputedStyle(element).color), ground(element)].map(light);
                 return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), element.outerHTML];
             }).filter(([ratio]) => !(ratio >= 4.5)).map(([ratio, html]) => ratio + ' ' + html.slice(0, 120));",
        )
        .unwrap()
}

#[test]
fn the_policy_is_kept_and_no_script_is_needed() {
    if !can_run("the_policy_is_kept_and_no_script_is_needed", NEEDS) {
        return;
    }
    let stage = Stage::new();
    let browser = &stage.browser;
    browser.forbid_scripts().unwrap();
    browser.open("data:text/html,<title>before</title><script>document.title='after'</script>").unwrap();
    assert_eq!(browser.title().unwrap(), "before", "scripts are forbidden");
    stage.log_in();
    stage.follow_incident();
    stage.follow("nav a[href='/agenter']", "/agenter");
    assert!(!browser.source().unwrap().contains("<script"));
    assert_eq!(browser.console().unwrap(), Vec::<String>::new());
    let break_it =
        "document.body.appendChild(document.createElement('img')).src = 'http://127.0.0.1:9/x.png'";
    browser.evaluate(break_it).unwrap();
    let told = browser.console().unwrap();
    assert!(told.iter().any(|line| line.contains("Content Security Policy")), "{told:?}");
    stage.log_out();
}
