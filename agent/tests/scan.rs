//! `cprvagt scan` as a script sees it: what it finds, what it says it did not read, how it ends; and that no number
//! shows in any of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cprvagt_cpr::citizens::Citizens;
use serde_json::Value;
use tempfile::TempDir;

/// The number of one fictitious citizen, as ten digits.
fn digits(seed: u64) -> String {
    let number = Citizens::new(seed).next().unwrap();
    std::str::from_utf8(number.digits()).unwrap().to_owned()
}

/// The same in the official form.
fn number(seed: u64) -> String {
    let digits = digits(seed);
    format!("{}-{}", &digits[..6], &digits[6..])
}

/// How a scan ended and what it said.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// The objects of `--json`.
    fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Path, offset and part of each object, folders left out.
    fn places(&self) -> Vec<String> {
        let place = |it: &Value| {
            let path = it["source"]["path"].as_str().unwrap();
            let name = path.rsplit('/').next().unwrap();
            format!("{name}:{} {}", it["source"]["offset"], it["location"]["part"].as_str().unwrap())
        };
        self.objects().iter().map(place).collect()
    }
}

/// A folder with files, and scans of it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(
            folder.path().join("agent.toml"),
            format!("[pseudonym]\nkey_file = \"{}/key\"\n", folder.path().display()),
        )
        .unwrap();
        fs::write(folder.path().join("key"), "ab".repeat(32)).unwrap();
        fs::set_permissions(folder.path().join("key"), fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cprvagt"));
        command.arg("scan").arg("--config").arg(self.folder.path().join("agent.toml"));
        command.args(arguments).current_dir(self.path(""));
        command
    }

    fn scan<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ended {
        ended(self.command(arguments), b"")
    }

    /// What a scan of one file finds, in JSON.
    fn found(&self, content: impl AsRef<[u8]>) -> Vec<String> {
        let path = self.write("file", content);
        let ended = self.scan(&[OsStr::new("--json"), path.as_os_str()]);
        assert_eq!(ended.code, i32::from(!ended.out.is_empty()), "{}", ended.err);
        ended.places()
    }
}

/// Runs it to its end; what is said must hold no number.
fn ended(mut command: Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ended =
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    for seed in 1..20 {
        for said in [&ended.out, &ended.err] {
            assert!(
                !said.contains(&number(seed)) && !said.contains(&digits(seed)),
                "citizen {seed} is readable"
            );
        }
    }
    ended
}

#[test]
fn nothing_found_is_0_found_is_1_unread_is_2_and_the_rest_is_still_read() {
    let place = Place::new();
    place.write("none", "no number");
    place.write("some", format!("cpr {}", number(1)));
    let code = |arguments: &[&str]| place.scan(arguments).code;
    assert_eq!(code(&["none"]), 0);
    assert_eq!(code(&["none", "some"]), 1);
    let ended = place.scan(&["missing", "some"]);
    assert_eq!((ended.code, ended.out.lines().count()), (2, 1));
    assert!(
        ended.err.contains("scan: missing: No such file or directory (os error 2); is the name right?"),
        "{}",
        ended.err
    );
    assert!(ended.err.ends_with("1 found in 1 file, 15 B; 1 not read\n"), "{}", ended.err);
}

#[test]
fn a_line_tells_where_how_sure_and_which_citizen() {
    let place = Place::new();
    place.write("some", format!("navn;cpr\nx;{}\n", number(1)));
    let ended = place.scan(&["some"]);
    let (line, citizen) = ended.out.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(line, "some:11: medium xxxxxx-xxxx in raw, citizen");
    assert!(citizen.len() == 8 && citizen.bytes().all(|byte| byte.is_ascii_hexdigit()), "{citizen}");
    assert!(ended.err.ends_with("1 found in 1 file, 23 B\n"), "{}", ended.err);
}

#[test]
fn an_object_has_what_the_contract_promises_and_nothing_of_a_flow() {
    let place = Place::new();
    place.write("some", format!("cpr {}", number(1)));
    let object = &place.scan(&["--json", "some"]).objects()[0];
    let expected = [
        ("schema", "cprvagt.leak/1"),
        ("rule", "found"),
        ("severity", "medium"),
        ("confidence", "high"),
        ("class", "cpr"),
        ("checksum", "mod11"),
        ("masked", "xxxxxx-xxxx"),
    ];
    for (field, value) in expected {
        assert_eq!(object[field], value, "{field}");
    }
    assert_eq!(object["score"], 31.9);
    assert_eq!(object["location"], serde_json::json!({"protocol": "raw", "part": "raw"}));
    assert_eq!(object["source"], serde_json::json!({"path": "some", "offset": 4}));
    assert!(object["id"].is_string() && object["observed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(object["pseudonym"].as_str().unwrap().len(), 32);
    for field in
        ["direction", "outcome", "host", "process", "destination", "transport", "tap", "explain", "sealed"]
    {
        assert!(object.get(field).is_none(), "{field}");
    }
}

#[test]
fn one_key_gives_one_pseudonym_in_every_run() {
    let place = Place::new();
    place.write("a", format!("cpr {}", number(1)));
    place.write("b", format!("cpr {}", digits(1)));
    let pseudonyms: Vec<Value> = ["a", "b"]
        .iter()
        .map(|name| place.scan(&["--json", name]).objects()[0]["pseudonym"].clone())
        .collect();
    assert_eq!(pseudonyms[0], pseudonyms[1]);
}

#[test]
fn decoders_say_where_in_a_message() {
    let place = Place::new();
    let (one, two, three) = (number(1), number(2), number(3));
    let body = format!("{{\"borger\":{{\"cpr\":\"{two}\"}}}}");
    let head = format!(
        "POST /sag/{one}?cpr={three} HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n"
    );
    let message = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let at = |number: &str| message.find(number).unwrap();
    let expected = [
        format!("file:{} url.path", at(&one)),
        format!("file:{} url.query", at(&three)),
        format!("file:{} json", at(&two)),
    ];
    assert_eq!(place.found(&message), expected);
    let objects = place.scan(&["--json", "file"]).objects();
    assert_eq!(objects[2]["location"]["field"], "borger.cpr");
    assert_eq!(objects[2]["location"]["path"], "/sag/{}");
    let html = format!("<tr><td>CPR</td><td>{one}</td></tr>");
    assert_eq!(place.found(&html), [format!("file:{} xml", html.find(&one).unwrap())]);
    let json = format!("[{{\"cpr\": \"{}\"}}]", digits(1));
    assert_eq!(place.found(&json), ["file:10 json"]);
}

#[test]
fn an_undone_value_is_told_where_it_begins() {
    let place = Place::new();
    let encoded: String = digits(1).bytes().map(|byte| format!("%{byte:02x}")).collect();
    let message = format!("GET /?cpr={encoded} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(place.found(&message), ["file:10 url.query"]);
}

#[test]
fn numbers_at_the_borders_of_what_is_read_are_found_once() {
    let place = Place::new();
    for (border, back) in (0..16).map(|back| (64 << 10, back)).chain([(128 << 10, 5), (192 << 10, 9)]) {
        let mut content = vec![b'.'; border + 4000];
        let at = border - back;
        content[at - 5..at + 12].copy_from_slice(format!("cpr: {}\n", number(1)).as_bytes());
        assert_eq!(place.found(&content), [format!("file:{at} raw")], "{back} bytes before {border}");
    }
}

#[test]
fn text_in_utf16_is_found_also_at_borders_and_is_text() {
    let place = Place::new();
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let text = format!("\u{feff}Navn;CPR-nr.: {}\r\n", number(1));
    assert_eq!(place.found(little(&text)), ["file:30 raw"]);
    assert_eq!(place.found(big(&text)), ["file:31 raw"]);
    assert!(place.scan(&["file"]).err.ends_with("1 found in 1 file, 56 B\n"));
    for back in 0..30 {
        let mut content = little(&".".repeat(40_000));
        let at = (64 << 10) - back - back % 2;
        content[at - 10..at + 22].copy_from_slice(&little(&format!("cpr: {}", number(2))));
        content[at + 22..at + 26].copy_from_slice(&little("\r\n"));
        assert_eq!(place.found(&content), [format!("file:{at} raw")], "{back} bytes before the border");
    }
}

#[test]
fn empty_files_huge_lines_and_binary_files_end_well() {
    let place = Place::new();
    assert!(place.found("").is_empty());
    let mut line = vec![b'x'; 20 << 20];
    let at = line.len() - 20;
    line[at - 5..at + 11].copy_from_slice(format!("cpr: {}", number(1)).as_bytes());
    line[at + 11] = b' ';
    assert_eq!(place.found(&line), [format!("file:{at} raw")]);
    let mut state = 7_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(300_000)
    .collect();
    place.write("noise", noise);
    let ended = place.scan(&["noise"]);
    assert!(
        ended.code == 0 && ended.err.contains("nothing found in 1 file, 293.0 KiB, 293.0 KiB of it no text"),
        "{}",
        ended.err
    );
}

#[test]
fn memory_is_bounded_whatever_the_length() {
    let place = Place::new();
    let line = format!("cpr: {}, and more of the same line without an end ", number(1));
    place.write("long", line.repeat(2 << 20).as_bytes().get(..100 << 20).unwrap());
    let command = place.command(&["--json", "--min", "high", "long"]);
    // What the program can hold is bounded by its address space.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 200000; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args()).current_dir(place.path(""));
    let ended = ended(limited, b"");
    assert_eq!((ended.code, ended.out.lines().count()), (1, 1600), "{}", ended.err);
}

#[test]
fn folders_are_read_in_order_and_links_and_pipes_in_them_are_not() {
    let place = Place::new();
    for (name, seed) in [("b/2", 1), ("b/10", 2), ("a", 3), ("c", 4)] {
        place.write(name, format!("cpr {}", number(seed)));
    }
    let outside = place.folder.path().join("outside");
    fs::write(&outside, format!("cpr {}", number(5))).unwrap();
    symlink(&outside, place.path("b/link")).unwrap();
    symlink("..", place.path("b/loop")).unwrap();
    nix::unistd::mkfifo(&place.path("b/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ended = place.scan(&["--json", "."]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert_eq!(ended.places(), ["a:4 raw", "10:4 raw", "2:4 raw", "c:4 raw"]);
    assert!(ended.err.contains("scan: ./b/link: a symbolic link, not followed\n"), "{}", ended.err);
    assert!(ended.err.contains("scan: ./b/pipe: a named pipe, left out"), "{}", ended.err);
    assert_eq!(
        place.scan(&["--json", "b/link", "b/loop/c"]).places(),
        ["link:4 raw", "c:4 raw"],
        "named, they are followed"
    );
}

#[test]
fn standard_input_is_a_file_called_minus() {
    let place = Place::new();
    let text = format!("{}cpr {}", "-".repeat(100_000), number(1));
    let ended = ended(place.command(&["--json", "-"]), text.as_bytes());
    assert_eq!((ended.code, ended.places()), (1, vec!["-:100004 raw".to_owned()]));
}

#[test]
fn a_file_is_read_to_the_length_that_it_had() {
    let place = Place::new();
    let path = place.write("grows", format!("cpr {} ", number(1)).repeat(1000));
    let ended = {
        // The scan's own answers go into the file that it reads.
        let mut command = place.command(&["--json", "--min", "high", "grows"]);
        let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        command.stdout(file).stderr(Stdio::piped());
        command.spawn().unwrap().wait_with_output().unwrap()
    };
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.contains("scan: grows: it grew meanwhile: what came behind byte 16000 was not searched"),
        "{said}"
    );
}

#[test]
fn names_are_scrubbed_wherever_they_show() {
    let place = Place::new();
    let name = format!("sag {}.txt", number(2));
    place.write(&name, format!("cpr {}", number(1)));
    let ended = place.scan(&["--json", &name]);
    assert_eq!(ended.places(), ["sag {}.txt:4 raw"]);
    let missing = place.scan(&[format!("{}.csv", digits(3))]);
    assert!(missing.err.contains("scan: {}.csv: No such file"), "{}", missing.err);
    let odd = place.write(OsStr::from_bytes(b"br\xF8d\x1b[31m"), format!("cpr {}", number(1)));
    let ended = place.scan(&[OsStr::new("--json"), odd.as_os_str()]);
    assert_eq!((ended.code, ended.places()), (1, vec!["br\u{fffd}d:4 raw".to_owned()]));
    let field =
        format!("GET /?{}=x&a{}=cpr+{} HTTP/1.1\r\nHost: a.example\r\n\r\n", digits(4), number(5), number(6));
    place.write("request", field);
    assert!(place.scan(&["--explain", "--min", "any", "request"]).out.contains("in url.query a{} of /"));
}

/// Root may read everything, so that root scans as somebody else here.
#[test]
fn what_may_not_be_read_is_told() {
    const NOBODY: u32 = 65_534;
    let place = Place::new();
    for (name, mode) in [("shut/file", 0o644), ("secret", 0o000)] {
        fs::set_permissions(place.write(name, "x"), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(place.path("shut"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(place.folder.path().join("agent.toml"), "[collector]\nenrolment = \"/nowhere\"\n").unwrap();
    let mut command = place.command(&["."]);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
        if command.output().is_err() {
            println!("skipped: what_may_not_be_read_is_told: only root may start the program here");
            return;
        }
    }
    let ended = ended(command, b"");
    assert_eq!(ended.code, 2, "{}", ended.err);
    for name in ["secret", "shut"] {
        let says = format!("scan: ./{name}: Permission denied (os error 13); scan as a user who may read it");
        assert!(ended.err.contains(&says), "{}", ended.err);
    }
    assert!(ended.err.ends_with("nothing found in 0 files, 0 B; 2 not read\n"), "{}", ended.err);
}

#[test]
fn captures_are_an_error_and_compressed_files_are_told() {
    let place = Place::new();
    let cpr = format!("cpr {}", number(1));
    place.write("a.pcap", [b"\xD4\xC3\xB2\xA1\x02\x00\x04\x00".as_slice(), cpr.as_bytes()].concat());
    place
        .write("a.pcapng", [b"\n\r\r\n\x1C\x00\x00\x00\x4D\x3C\x2B\x1A".as_slice(), cpr.as_bytes()].concat());
    place.write("a.xz", [b"\xFD7zXZ\x00".as_slice(), b"\x8F\x1C\xD3\x02\x9A\xEE\x07\x10"].concat());
    place.write("a.txt", &cpr);
    let ended = place.scan(&["--json", "."]);
    assert_eq!((ended.code, ended.places()), (2, vec!["a.txt:4 raw".to_owned()]));
    let says = |text: &str| assert!(ended.err.contains(text), "{text}: {}", ended.err);
    says("scan: ./a.pcap: a network capture (pcap), which this version does not read");
    says("scan: ./a.pcapng: a network capture (pcapng), which this version does not read");
    says("scan: ./a.xz: compressed (xz), which this version does not undo: what it holds was not searched");
    assert_eq!(place.scan(&["a.xz"]).code, 0);
    assert_eq!(self::ended(place.command(&["-"]), b"\xD4\xC3\xB2\xA1\x02\x00\x04\x00").code, 2);
}

#[test]
fn what_gzip_packed_is_searched() {
    let place = Place::new();
    let file = place.write("a.json", format!("{{\"person\":{{\"cpr\":\"{}\"}}}}", digits(1)));
    assert!(Command::new("gzip").arg(&file).status().unwrap().success());
    let ended = place.scan(&["--json", "."]);
    assert_eq!((ended.code, ended.places()), (1, vec!["a.json.gz:0 json".to_owned()]), "{}", ended.err);
    let [leak] = &ended.objects()[..] else { panic!("one number") };
    assert_eq!(leak["location"]["field"], "person.cpr");
    assert_eq!(leak["decodings"], serde_json::json!(["gzip"]));
}

#[test]
fn levels_and_the_clock_decide_what_is_told() {
    let place = Place::new();
    place.write("bare", digits(1));
    let found = |arguments: &[&str]| place.scan(arguments).out.lines().count();
    assert_eq!(
        [found(&["bare"]), found(&["--min", "low", "bare"]), found(&["--min", "any", "bare"])],
        [0, 1, 1]
    );
    place.write("named", format!("cpr {}", number(1)));
    assert_eq!(found(&["named"]), 1);
    assert_eq!(found(&["--now", "1860-01-01T00:00:00Z", "named"]), 0, "nobody is born yet");
}

#[test]
fn reasons_add_up_in_words_and_in_json() {
    let place = Place::new();
    place.write("some", format!("cpr: {}\nordre {}\n{}", digits(1), digits(2), number(3)));
    let ended = place.scan(&["--explain", "--min", "any", "some"]);
    let first: Vec<&str> = ended.out.lines().skip(1).take(6).collect();
    let expected = [
        "     -30.0  where every ten digits begin: most are something else",
        "     +16.5  the first six are a birth date of the last 110 years",
        "     +10.4  the check digit (modulus 11) is right",
        "      +0.0  ten digits in a row, as many other numbers are",
        "     +25.0  its field is called a CPR number",
        "   = +21.9  decibans: high",
    ];
    assert_eq!(first, expected);
    assert!(ended.out.contains("     -20.0  its field is called something else"), "{}", ended.out);
    assert!(
        ended.out.contains("raised to medium: hyphen and check digit together are enough"),
        "{}",
        ended.out
    );
    for object in place.scan(&["--json", "--explain", "--min", "any", "some"]).objects() {
        let steps = object["explain"].as_array().unwrap();
        let sum: f64 = steps.iter().map(|step| step["decibans"].as_f64().unwrap()).sum();
        assert!((sum - object["score"].as_f64().unwrap()).abs() < 0.01, "{object}");
        assert!(steps.iter().all(|step| step["clue"].is_string() && step["meaning"].is_string()));
    }
}
