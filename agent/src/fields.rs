//! The fields that ten-digit values stand in, and what these have shown.
//!
//! A field is a place in the messages of one program to one destination:
//!
//! | of a field | what tells it from others |
//! |---|---|
//! | program | executable and systemd unit, so that its processes share it; the command name where neither is known |
//! | destination | the name asked for in the ClientHello, else the host that the message names, else address and port; all together where this host is the server, since each client has an address of its own |
//! | place | protocol, part, name without indices, and the URL path with ids replaced; not the path of headers and cookies, which mean the same everywhere; the number of the segment within a path |
//!
//! *Invariants*: values and fields are known by hashes under a key of this run that nobody else has and that is never
//! written down. *Limits*: those of `cprvagt_cpr::Profiles`; all is forgotten when the process ends.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::ops::Range;

use cprvagt_cpr::{FieldId, Profiles, Sighting, Standing, Trial};
use cprvagt_report::Scrubbed;
use cprvagt_stream::{Part, Window};

use crate::{process::ProcessFacts, scrub::Scrubber};

/// Digits of a number that name the birth date.
const DATE_DIGITS: usize = 6;

/// Who sends a message to whom, as far as known.
#[derive(Clone, Copy, Default)]
pub struct Origin<'a> {
    /// The sender.
    pub process: Option<&'a ProcessFacts>,
    /// Its command name, as the kernel told it.
    pub comm: [u8; 16],
    /// Whether this host is the server.
    pub is_server: bool,
    /// The name that the ClientHello asked for.
    pub server_name: Option<&'a Scrubbed>,
    /// The far end.
    pub remote: Option<SocketAddr>,
}

/// What the fields of this host have shown.
#[derive(Default)]
pub struct Fields {
    key: RandomState,
    profiles: RefCell<Profiles>,
    /// Fields of which something was decided since they were asked for.
    decided: RefCell<Vec<FieldId>>,
    messages: Cell<u64>,
}

impl Fields {
    /// Takes the ten-digit value at `at` in a window; returns its field, and what that is now.
    pub fn take(
        &self,
        window: &Window<'_>,
        at: &Range<usize>,
        trial: Trial,
        origin: &Origin<'_>,
        now_unix: i64,
    ) -> (FieldId, Standing) {
        let id = self.id(window, at.start, origin, now_unix);
        let digits = &window.bytes[at.clone()];
        let (value, date) = (self.key.hash_one(digits), self.key.hash_one(&digits[..DATE_DIGITS]));
        let mut profiles = self.profiles.borrow_mut();
        let before = profiles.standing(id, now_unix);
        let now = profiles.take(id, Sighting { value, date, trial }, now_unix);
        if now != before && now != Standing::Open {
            self.decided.borrow_mut().push(id);
        }
        (id, now)
    }

    /// What a field is now.
    pub fn standing(&self, id: FieldId, now_unix: i64) -> Standing {
        self.profiles.borrow().standing(id, now_unix)
    }

    /// The fields that have come to be likely, certain or demoted since the last call, in that order.
    pub fn take_decided(&self) -> Vec<FieldId> {
        self.decided.take()
    }

    /// A number that no other message of this run has.
    pub fn number_message(&self) -> u64 {
        self.messages.replace(self.messages.get() + 1)
    }

    fn id(&self, window: &Window<'_>, start: usize, origin: &Origin<'_>, now_unix: i64) -> FieldId {
        let scrubber = Scrubber::at(now_unix);
        let name = window.field.map(|field| without_indices(scrubber.name(field).as_str()));
        let is_everywhere = matches!(window.part, Part::Header | Part::Cookie);
        let path = window.path.filter(|_| !is_everywhere).map(|path| scrubber.path(path));
        let path = path.as_ref().map(Scrubbed::as_str);
        let segment = match window.part {
            Part::UrlPath => window.bytes[..start].iter().filter(|byte| **byte == b'/').count(),
            _ => 0,
        };
        let place = (window.protocol, window.part, name, path, segment);
        FieldId {
            program: self.program(origin),
            field: self.key.hash_one((self.destination(window, origin), place)),
        }
    }

    fn program(&self, origin: &Origin<'_>) -> u64 {
        let known = origin.process.map(|process| (process.exe.as_deref(), process.unit.as_deref()));
        match known.filter(|known| *known != (None, None)) {
            Some(known) => self.key.hash_one(known),
            None => self.key.hash_one(origin.comm),
        }
    }

    fn destination(&self, window: &Window<'_>, origin: &Origin<'_>) -> u64 {
        let name = origin.server_name.map(Scrubbed::as_str).or(window.host);
        match (origin.is_server, name) {
            (true, _) => 0,
            (false, Some(name)) => self.key.hash_one(name.to_ascii_lowercase()),
            (false, None) => self.key.hash_one(origin.remote),
        }
    }
}

/// The words of a name that are no numbers: `items[3].id` and `items[4].id` are one field.
fn without_indices(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_alphanumeric());
    let named = words.filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
    named.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use cprvagt_stream::Decoder;

    use super::*;

    const NOW: i64 = 1_795_305_600;

    /// The fields of all ten-digit values in a request, each once in order.
    fn ids(fields: &Fields, request: &str, origin: &Origin<'_>) -> Vec<FieldId> {
        let mut found = Vec::new();
        let mut decoder = Decoder::stream();
        let mut look = |window: Window<'_>| {
            let whole = window.bytes.iter().position(u8::is_ascii_digit).map(|start| start..start + 10);
            if let Some(at) = whole.filter(|at| window.part.is_specific() && at.end <= window.bytes.len()) {
                found.push(fields.take(&window, &at, Trial::Fails, origin, NOW).0);
            }
        };
        decoder.push(request.as_bytes(), &mut look);
        decoder.finish(&mut look);
        found
    }

    fn json(path: &str, body: &str) -> String {
        let head = "HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json";
        format!("POST {path} {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn check(is_same: bool, one: &str, other: &str) {
        let (fields, origin) = (Fields::default(), Origin::default());
        let (one_id, other_id) = (ids(&fields, one, &origin), ids(&fields, other, &origin));
        assert_eq!((one_id.len(), other_id.len()), (1, 1), "{one} {other}");
        assert_eq!(one_id == other_id, is_same, "{one} {other}");
    }

    #[test]
    fn what_tells_fields_apart() {
        let of = |body: &str| json("/x", body);
        let list = of(r#"{"items":[{"id":"9999999999"}]}"#);
        check(true, &list, &of(r#"{"items":[{"id":"8888888888"}]}"#));
        check(true, &of(r#"{"p[0].id":"9999999999"}"#), &of(r#"{"p[7].id":"9999999999"}"#));
        check(false, &list, &of(r#"{"items":{"uid":"9999999999"}}"#));
        check(false, &list, &json("/y", r#"{"items":[{"id":"9999999999"}]}"#));
        let get =
            |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{more}\r\n");
        check(true, &get("/a/9999999999", ""), &get("/a/8888888888", ""));
        check(false, &get("/a/9999999999", ""), &get("/b/8888888888", ""));
        check(false, &get("/a/x/9999999999", ""), &get("/a/9999999999/x", ""));
        check(true, &get("/a?q=9999999999", ""), &get("/a?q=8888888888", ""));
        check(false, &get("/a?q=9999999999", ""), &get("/a?r=9999999999", ""));
        check(false, &get("/a?q=9999999999", ""), &get("/b?q=9999999999", ""));
        check(true, &get("/a", "X-Id: 9999999999\r\n"), &get("/b", "X-Id: 9999999999\r\n"));
        check(false, &get("/a", "X-Id: 9999999999\r\n"), &get("/a", "Cookie: X-Id=9999999999\r\n"));
        let elsewhere = "GET /a?q=9999999999 HTTP/1.1\r\nHost: b.example\r\n\r\n";
        check(false, &get("/a?q=9999999999", ""), elsewhere);
    }

    #[test]
    fn who_sends_and_who_receives() {
        let fields = Fields::default();
        let field = |origin: Origin<'_>| ids(&fields, "GET /?q=9999999999 HTTP/1.1\r\n\r\n", &origin)[0];
        let process = |pid, exe: &str| ProcessFacts { exe: Some(exe.into()), ..ProcessFacts::of_pid(pid) };
        let (worker, other_worker, program) =
            (process(1, "/bin/a"), process(2, "/bin/a"), process(1, "/bin/b"));
        let by = |process| Origin { process: Some(process), ..Origin::default() };
        assert_eq!(field(by(&worker)), field(by(&other_worker)));
        assert_ne!(field(by(&worker)).program, field(by(&program)).program);
        let nameless = |comm| Origin { comm: [comm; 16], ..Origin::default() };
        assert_ne!(field(nameless(1)), field(nameless(2)));
        let to = |remote: &str, is_server| Origin {
            remote: Some(remote.parse().unwrap()),
            is_server,
            ..Origin::default()
        };
        assert_ne!(field(to("192.0.2.1:80", false)), field(to("192.0.2.2:80", false)));
        assert_eq!(field(to("192.0.2.1:80", true)), field(to("192.0.2.2:90", true)));
        let scrubber = Scrubber::at(NOW);
        let (name, again) = (scrubber.name("a.example"), scrubber.name("A.example"));
        let named = |server_name, remote| Origin { server_name: Some(server_name), ..to(remote, false) };
        assert_eq!(field(named(&name, "192.0.2.1:443")), field(named(&again, "192.0.2.2:443")));
    }

    #[test]
    fn a_field_is_told_once_for_each_step_up() {
        let fields = Fields::default();
        let window = |digits: &str| format!("GET /?q={digits} HTTP/1.1\r\n\r\n");
        let mut steps = Vec::new();
        for digit in 1..=5 {
            let mut decoder = Decoder::stream();
            decoder.push(window(&digit.to_string().repeat(10)).as_bytes(), &mut |window| {
                if window.part == Part::UrlQuery {
                    fields.take(&window, &(0..10), Trial::Passes, &Origin::default(), NOW);
                }
            });
            steps.push(fields.take_decided().len());
        }
        assert_eq!(steps, [0, 1, 1, 0, 0], "likely with the second, certain with the third");
    }
}
