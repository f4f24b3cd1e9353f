//! A real Chromium without a window, driven over WebDriver (w3.org/TR/webdriver2) by a chromedriver of its own.
//!
//! *Invariants*: driver and browser end with their owner; the driver listens on loopback, on a free port.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How long the driver may take for one command.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How long a page may take to come.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);
/// Under this key WebDriver returns an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Most headers of an answer.
const HEADERS_MAX: usize = 32;

/// A browser with one window; ends on drop.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    // Kept open: the driver would fail writing to a closed pipe.
    _output: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts driver and browser.
    ///
    /// # Errors
    /// When either does not start.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().context("starting chromedriver")?;
        let mut output = BufReader::new(driver.stdout.take().expect("piped"));
        let port = announced_port(&mut output);
        let mut browser =
            Self { driver, port: *port.as_ref().unwrap_or(&0), session: String::new(), _output: output };
        port?;
        let options = json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu"] });
        let wanted = json!({
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" },
        });
        let made = browser.post("/session", &json!({ "capabilities": { "alwaysMatch": wanted } }))?;
        let id = made["sessionId"].as_str().context("the driver names no session")?;
        browser.session = format!("/session/{id}");
        Ok(browser)
    }

    /// Loads `url`, and waits until it is there.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn open(&self, url: &str) -> Result<()> {
        self.ask("/url", &json!({ "url": url })).map(drop)
    }

    /// The address of the page.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn url(&self) -> Result<String> {
        string(self.send("GET", &format!("{}/url", self.session), None)?)
    }

    /// Waits until the page's address is `url`: a click returns before a slow answer comes.
    ///
    /// # Errors
    /// When it is not within half a minute; with the address it has instead.
    pub fn wait_for_url(&self, url: &str) -> Result<()> {
        wait(|| Ok(self.url()? == url)).with_context(|| format!("waiting for {url} at {:?}", self.url()))
    }

    /// Waits until `css` selects something.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub fn wait_for(&self, css: &str) -> Result<()> {
        wait(|| Ok(self.find(css).is_ok())).with_context(|| format!("waiting for {css} at {:?}", self.url()))
    }

    /// The title of the page.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn title(&self) -> Result<String> {
        string(self.send("GET", &format!("{}/title", self.session), None)?)
    }

    /// The page as it came, after the browser's parser.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn source(&self) -> Result<String> {
        string(self.send("GET", &format!("{}/source", self.session), None)?)
    }

    /// The text that people see in the first element that `css` selects.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, css: &str) -> Result<String> {
        let element = self.find(css)?;
        string(self.send("GET", &format!("{}/element/{element}/text", self.session), None)?)
    }

    /// Clicks the first element that `css` selects, and waits for the page that it leads to.
    ///
    /// # Errors
    /// When there is none, or it cannot be clicked where it is.
    pub fn click(&self, css: &str) -> Result<()> {
        let element = self.find(css)?;
        self.ask(&format!("/element/{element}/click"), &json!({})).map(drop)
    }

    /// Types into the first element that `css` selects.
    ///
    /// # Errors
    /// When there is none, or it takes no text.
    pub fn type_into(&self, css: &str, text: &str) -> Result<()> {
        let element = self.find(css)?;
        self.ask(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// Makes the page so wide, in CSS pixels.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn set_width(&self, width: u32) -> Result<()> {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
    }

    /// Light or dark, as the person's system would ask for.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn set_dark(&self, dark: bool) -> Result<()> {
        let value = if dark { "dark" } else { "light" };
        let feature = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": feature }))
    }

    /// From now on pages may run no script. What [`Self::evaluate`] runs is not theirs.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn forbid_scripts(&self) -> Result<()> {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true }))
    }

    /// What the function body `script` returns in the page.
    ///
    /// # Errors
    /// When it throws.
    pub fn evaluate(&self, script: &str) -> Result<Value> {
        self.ask("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What the browser has told in its console since the last call: failed loads, policy violations.
    ///
    /// # Errors
    /// When the browser has ended.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.ask("/se/log", &json!({ "type": "browser" }))?;
        let entries = entries.as_array().context("the log is a list")?;
        Ok(entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    fn find(&self, css: &str) -> Result<String> {
        let found = self.ask("/element", &json!({ "using": "css selector", "value": css }))?;
        string(found[ELEMENT].clone())
    }

    fn devtools(&self, command: &str, parameters: Value) -> Result<()> {
        self.ask("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).map(drop)
    }

    fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        self.post(&format!("{}{path}", self.session), body)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, Some(body))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).context("chromedriver is away")?;
        stream.set_read_timeout(Some(COMMAND_LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let (status, answer) = read_answer(&mut stream).with_context(|| format!("{method} {path}"))?;
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(status == 200, "{method} {path}: {}", answer["value"]["message"]);
        Ok(answer["value"].clone())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _gone_already = self.send("DELETE", &self.session, None);
        }
        let _ended_already = self.driver.kill();
        let _reaped_already = self.driver.wait();
    }
}

fn wait(mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !done()? {
        ensure!(started.elapsed() < ARRIVAL_LIMIT, "it did not come within {ARRIVAL_LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The driver tells its port on a line such as `ChromeDriver was started successfully on port 40001.`
fn announced_port(output: &mut impl std::io::BufRead) -> Result<u16> {
    for line in output.lines() {
        let line = line?;
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().context("the driver's port");
        }
    }
    bail!("chromedriver ended before it listened")
}

fn read_answer(stream: &mut TcpStream) -> Result<(u16, Vec<u8>)> {
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some((status, start, length)) = parse_head(&answer)?
            && answer.len() >= start + length
        {
            return Ok((status, answer[start..start + length].to_vec()));
        }
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "the driver ended its answer early");
        answer.extend_from_slice(&chunk[..count]);
    }
}

/// Status, start of the body, length of the body; nothing while the head is not complete.
fn parse_head(answer: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = response.parse(answer)? else { return Ok(None) };
    let status = response.code.context("a complete head has a status")?;
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = std::str::from_utf8(length.context("the driver gives no length")?.value)?.parse()?;
    Ok(Some((status, start, length)))
}

fn string(value: Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_what_the_driver_says() {
        let said = "Starting ChromeDriver\nChromeDriver was started successfully on port 40001.\n";
        assert_eq!(announced_port(&mut said.as_bytes()).unwrap(), 40001);
        assert!(announced_port(&mut "Starting\n".as_bytes()).is_err());
    }

    #[test]
    fn answers_are_read_head_first() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234";
        assert_eq!(parse_head(answer).unwrap(), Some((200, 38, 4)));
        assert_eq!(parse_head(&answer[..20]).unwrap(), None);
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
