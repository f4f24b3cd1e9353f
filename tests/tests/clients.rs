//! Programs that people run on application servers, unmodified, over TLS 1.2 and 1.3: what each sends is told once,
//! at its destination, and the account of its bytes is whole.
//!
//! *Not here*: curl, Node, Python's own `ssl` and `asyncio`, `openssl s_client` and wget, which other tests run; programs that
//! are servers themselves (`servers`).
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::scratch::{Scratch, unique_name};
use cprvagt_tests::writes::Library;
use cprvagt_tests::{Lab, Trial, binary, payload};

const SETTLE: Duration = Duration::from_secs(120);

/// How a program is asked for a URL; `{ca}`, `{host}`, `{version}` and `{input}` stand for the lab's authority, the
/// recipient, its version of TLS, and a file.
struct Client<'a> {
    /// The program, and what it needs beside itself.
    files: &'a [&'a str],
    arguments: &'a [&'a str],
    /// What it reads from standard input, or from the file `{input}`: never its arguments, which everybody can see.
    input: fn(host: &str, target: &str) -> String,
    /// What it ends with.
    status: i32,
    /// The beginning of the tap's name.
    tap: &'a str,
}

/// A line with the URL.
fn url(host: &str, target: &str) -> String {
    format!("https://{host}{target}\n")
}

/// A package from PyPI and what runs it.
fn check_package(name: &str, package: &str, script: &str) {
    let packages = binary::made_for_tests("CPRVAGT_PYTHON", "python");
    let file = packages.join(package).join("__init__.py");
    let script = format!("import sys; sys.path.insert(0, {:?})\n{script}", packages.display().to_string());
    let client = Client {
        files: &["/usr/bin/python3", &file.display().to_string()],
        arguments: &["-c", &script, "{ca}"],
        input: url,
        status: 0,
        tap: Library::Openssl.tap(),
    };
    check(name, &client);
}

fn check(name: &str, client: &Client<'_>) {
    let needs = client.files.iter().map(|file| Need::Program(file));
    if !can_run(name, &[Need::Root, Need::Agent].into_iter().chain(needs).collect::<Vec<_>>()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(48, recipients.len());
    for ((recipient, version), citizen) in recipients.iter().zip(&citizens) {
        let request = (client.input)(&recipient.host, &format!("/sag?cpr={citizen}"));
        let input = lab.scratch().write(&format!("request-{version}"), request).unwrap();
        let mut command = lab.command(client.files[0]).unwrap();
        let authority = lab.authority().file().display().to_string();
        let file = input.display().to_string();
        let filled = |text: &&str| {
            text.replace("{ca}", &authority)
                .replace("{host}", &recipient.host)
                .replace("{input}", &file)
                .replace("{version}", version)
        };
        // git's setting of this name goes before its configuration.
        command.env("GIT_SSL_CAINFO", &authority).args(client.arguments.iter().map(filled));
        let output = command.stdin(File::open(input).unwrap()).stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(client.status), "{version}: {said}");
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    seen.assert_each_told(&recipients, &citizens, client.tap);
}

#[test]
fn gnutls_cli() {
    let client = Client {
        files: &["gnutls-cli"],
        arguments: &["--x509cafile={ca}", "{host}"],
        input: |host, target| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        status: 0,
        tap: Library::Gnutls.tap(),
    };
    check("gnutls_cli", &client);
}

/// NSS's own client.
#[test]
fn tstclnt() {
    let client = Client {
        files: &["tstclnt"],
        // It knows no authority without a database of NSS's; "-o" goes on all the same.
        arguments: &["-D", "-o", "-V", "tls1.2:tls1.3", "-h", "{host}", "-p", "443"],
        input: |host, target| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        status: 0,
        tap: Library::Nss.tap(),
    };
    check("tstclnt", &client);
}

/// `openssl s_client` of another release of Debian, started as `start` says; `{folder}` stands for where it is.
fn check_release(name: &str, release: &str, start: &[&str]) {
    let folder = binary::made_for_tests("CPRVAGT_OPENSSL", "openssl").join(release).display().to_string();
    let start: Vec<String> = start.iter().map(|text| text.replace("{folder}", &folder)).collect();
    let s_client = ["s_client", "-quiet", "-verify_return_error", "-CAfile", "{ca}", "-servername", "{host}"];
    let arguments = start[1..].iter().map(String::as_str).chain(s_client).chain(["-connect", "{host}:443"]);
    let client = Client {
        files: &[&start[0], &format!("{folder}/usr/bin/openssl")],
        arguments: &arguments.collect::<Vec<_>>(),
        input: |host, target| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        status: 0,
        tap: Library::Openssl.tap(),
    };
    // One that runs for long, so that the agent finds its library when it starts.
    let mut waiting = Command::new(&start[0]);
    waiting.args(&start[1..]).args(["dgst", "-sha256"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let waiting = waiting.spawn();
    check(name, &client);
    if let Ok(mut waiting) = waiting {
        drop(waiting.stdin.take());
        waiting.wait().unwrap();
    }
}

/// Debian 11's.
#[test]
fn openssl_1_1() {
    let paths = "LD_LIBRARY_PATH={folder}/usr/lib/x86_64-linux-gnu";
    check_release("openssl_1_1", "1.1", &["/usr/bin/env", paths, "{folder}/usr/bin/openssl"]);
}

/// Debian 13's, with the C library that it needs.
#[test]
fn openssl_3_5() {
    let libraries = "{folder}/usr/lib/x86_64-linux-gnu";
    let loader = format!("{libraries}/ld-linux-x86-64.so.2");
    let start = [&loader, "--library-path", libraries, "{folder}/usr/bin/openssl"];
    check_release("openssl_3_5", "3.5", &start);
}

/// A program that calls `SSL_write_ex`, which is one call of `SSL_write_ex2` since OpenSSL 3.3.
#[test]
fn openssl_3_5_write_ex2() {
    let name = "openssl_3_5_write_ex2";
    if !can_run(name, &[Need::Program("cc"), Need::Program("/usr/include/openssl/ssl.h")]) {
        return;
    }
    let scratch = Scratch::new(&unique_name()).unwrap();
    let program = scratch.path().join("klient");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/openssl_client.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-o"]).arg(&program).args([source, "-lssl", "-lcrypto"]);
    assert!(compiler.status().unwrap().success());
    let folder = binary::made_for_tests("CPRVAGT_OPENSSL", "openssl").join("3.5/usr/lib/x86_64-linux-gnu");
    let (folder, program) = (folder.display().to_string(), program.display().to_string());
    let loader = format!("{folder}/ld-linux-x86-64.so.2");
    let client = Client {
        files: &[&loader, &program],
        arguments: &["--library-path", &folder, &program, "{host}", "443", "{ca}", "{version}"],
        input: |host, target| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        status: 0,
        tap: "openssl.SSL_write_ex2",
    };
    check(name, &client);
}

/// BoringSSL, linked into a larger file.
#[test]
fn curl_with_boringssl() {
    let script = "
import curl_cffi
curl_cffi.requests.get(sys.stdin.read().strip(), verify=sys.argv[1]).raise_for_status()
";
    check_package("curl_with_boringssl", "curl_cffi", script);
}

/// OpenSSL 4.0, likewise.
#[test]
fn python_pyopenssl() {
    let script = "
import socket, urllib.parse
from OpenSSL import SSL
url = urllib.parse.urlsplit(sys.stdin.read().strip())
context = SSL.Context(SSL.TLS_METHOD)
context.load_verify_locations(sys.argv[1])
context.set_verify(SSL.VERIFY_PEER)
stream = SSL.Connection(context, socket.create_connection((url.hostname, 443)))
stream.set_tlsext_host_name(url.hostname.encode())
stream.set_connect_state()
stream.do_handshake()
request = f'GET {url.path}?{url.query} HTTP/1.1\\r\\nHost: {url.hostname}\\r\\nConnection: close\\r\\n\\r\\n'
stream.sendall(request.encode())
assert stream.recv(65536).startswith(b'HTTP/1.1 200')
stream.shutdown()
";
    check_package("python_pyopenssl", "OpenSSL", script);
}

/// Debian's is built with GnuTLS. It asks for a repository, and says that there is none.
#[test]
fn git() {
    let client = Client {
        files: &["git"],
        arguments: &["-c", "include.path={input}", "ls-remote", "kilde"],
        input: |host, target| format!("[remote \"kilde\"]\nurl = \"https://{host}{target}\"\n"),
        status: 128,
        tap: Library::Gnutls.tap(),
    };
    check("git", &client);
}

#[test]
fn python_requests() {
    let script = "import requests, sys; \
                  requests.get(sys.stdin.read().strip(), verify=sys.argv[1]).raise_for_status()";
    let client = Client {
        files: &["/usr/bin/python3", "/usr/lib/python3/dist-packages/requests/__init__.py"],
        arguments: &["-c", script, "{ca}"],
        input: url,
        status: 0,
        tap: Library::Openssl.tap(),
    };
    check("python_requests", &client);
}

#[test]
fn python_aiohttp() {
    let script = "
import aiohttp, asyncio, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=sys.argv[1])
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(sys.stdin.read().strip(), ssl=context) as response:
            await response.read()
asyncio.run(main())
";
    let client = Client {
        files: &["/usr/bin/python3", "/usr/lib/python3/dist-packages/aiohttp/__init__.py"],
        arguments: &["-c", script, "{ca}"],
        input: url,
        status: 0,
        tap: Library::Openssl.tap(),
    };
    check("python_aiohttp", &client);
}

#[test]
fn perl() {
    let script = "chomp(my $url = <STDIN>); \
                  my $client = HTTP::Tiny->new(verify_SSL => 1, SSL_options => { SSL_ca_file => $ARGV[0] }); \
                  my $answer = $client->get($url); \
                  die $answer->{content} unless $answer->{success};";
    let client = Client {
        files: &["/usr/bin/perl", "/usr/share/perl5/IO/Socket/SSL.pm"],
        arguments: &["-MHTTP::Tiny", "-e", script, "{ca}"],
        input: url,
        status: 0,
        tap: Library::Openssl.tap(),
    };
    check("perl", &client);
}

#[test]
fn php() {
    let script = "$context = stream_context_create(['ssl' => ['cafile' => $argv[1]]]); \
                  exit(file_get_contents(trim(fgets(STDIN)), false, $context) === false ? 1 : 0);";
    let client = Client {
        files: &["php"],
        arguments: &["-r", script, "{ca}"],
        input: url,
        status: 0,
        tap: Library::Openssl.tap(),
    };
    check("php", &client);
}

#[test]
fn ruby() {
    let script = "url = URI(STDIN.gets.strip); \
                  client = Net::HTTP.new(url.host, url.port); \
                  client.use_ssl = true; \
                  client.ca_file = ARGV[0]; \
                  client.get(url.request_uri).value";
    let client = Client {
        files: &["ruby"],
        arguments: &["-rnet/http", "-e", script, "{ca}"],
        input: url,
        status: 0,
        tap: Library::Openssl.tap(),
    };
    check("ruby", &client);
}
