//! The server's side of HTTP/1.1: reads requests from any stream, answers each with a small 200.
//!
//! Keep-alive, pipelining, `Content-Length` and chunked bodies, `Expect: 100-continue` (RFC 9112).
//!
//! *Limits*: a head of [`HEAD_BYTES_MAX`] and [`HEADERS_MAX`] header lines.

use std::io::{self, Read, Write};

/// The longest request head that is read.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;
/// The most header lines in one head.
pub const HEADERS_MAX: usize = 128;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One request as the server got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The request target as sent: path and query.
    pub target: String,
    /// The `Host` header, empty when there was none.
    pub host: String,
    /// Header lines in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body, chunked coding removed.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads and answers requests until the peer ends the stream or asks to close; hands each to `seen`
/// before it is answered, so that a program that got its answer has been recorded.
///
/// # Errors
/// When the stream fails, or does not carry HTTP/1.1.
pub fn serve(stream: &mut (impl Read + Write), mut seen: impl FnMut(Request)) -> io::Result<()> {
    let mut input = Input { stream, buffer: Vec::new() };
    while let Some(mut request) = input.head()? {
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            input.stream.write_all(CONTINUE)?;
        }
        request.body = input.body(&request)?;
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        seen(request);
        input.stream.write_all(ANSWER)?;
        input.stream.flush()?;
        if close {
            break;
        }
    }
    Ok(())
}

/// The stream and what was read of it but not used yet.
struct Input<'stream, S> {
    stream: &'stream mut S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Input<'_, S> {
    /// The next head, or nothing when the peer ended the stream between two requests.
    fn head(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some((request, used)) = parse(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(Some(request));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("request head too long"));
            }
            if !self.fill()? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(invalid("ended inside a head")) };
            }
        }
    }

    fn body(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.chunked();
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse);
        self.exactly(length.map_err(|_| invalid("content-length"))?)
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("chunk size"))?;
            if size == 0 {
                while !self.line()?.is_empty() {} // trailers
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.line()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| invalid("chunk line"));
            }
            if !self.fill()? {
                return Err(invalid("ended inside a chunked body"));
            }
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill()? {
                return Err(invalid("ended inside a body"));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads once more; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.buffer.extend(&chunk[..count]);
                Ok(count > 0)
            }
            // Clients often drop a TLS connection without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn parse(buffer: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let used = match head.parse(buffer).map_err(|error| invalid(&error.to_string()))? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(used) => used,
    };
    let lines = head.headers.iter();
    let headers: Vec<(String, String)> =
        lines.map(|line| (line.name.to_owned(), String::from_utf8_lossy(line.value).into_owned())).collect();
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let mut request = Request {
        method: text(head.method),
        target: text(head.path),
        host: String::new(),
        headers,
        body: Vec::new(),
    };
    request.host = request.header("host").unwrap_or_default().to_owned();
    Ok(Some((request, used)))
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its input one byte at a time and keeps what is written.
    struct Dribble(Vec<u8>, Vec<u8>);

    impl Read for Dribble {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            out[0] = self.0.remove(0);
            Ok(1)
        }
    }

    impl Write for Dribble {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn check(input: &str, expected: &[(&str, &str, &str)]) {
        let mut stream = Dribble(input.into(), Vec::new());
        let mut seen = Vec::new();
        serve(&mut stream, |request| seen.push(request)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let got: Vec<_> = seen
            .iter()
            .map(|request| (request.target.clone(), request.host.clone(), text(&request.body)))
            .collect();
        let want: Vec<_> = expected
            .iter()
            .map(|(target, host, body)| (target.to_string(), host.to_string(), body.to_string()))
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn pipelined_sized_and_chunked_requests_are_read() {
        check(
            "GET /a?b HTTP/1.1\r\nHost: x.example\r\n\r\n\
             POST /c HTTP/1.1\r\nhost: y\r\nContent-Length: 4\r\n\r\nbody\
             POST /d HTTP/1.1\r\nHost: z\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            &[("/a?b", "x.example", ""), ("/c", "y", "body"), ("/d", "z", "abcde")],
        );
    }

    #[test]
    fn close_ends_the_connection() {
        check(
            "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            &[("/1", "a", "")],
        );
    }

    #[test]
    fn a_cut_request_is_an_error() {
        for input in ["GET / HT", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", "\0\0\0\0\r\n\r\n"] {
            let mut stream = Dribble(input.into(), Vec::new());
            assert!(serve(&mut stream, |_| ()).is_err(), "{input:?}");
        }
    }
}
