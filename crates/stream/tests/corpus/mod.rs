//! Streams that every way of cutting must leave alike.

/// Name and stream. `|` stands for a line end, `#` for MedCom's Nancy Ann Berggren.
const STREAMS: &[(&str, &str)] = &[
    ("get", "GET /person/#?cpr=251248-9996&x=%32512489996&flag HTTP/1.1|Host: a.example|Accept: */*||"),
    (
        "headers",
        "GET / HTTP/1.1|Host: #.b.example|X-Cpr: #|Cookie: a=b; cpr=#|Referer: http://c/?p=251248%2D9996||",
    ),
    (
        "pipelined",
        "GET /1 HTTP/1.1|Host: h||GET /2?n=# HTTP/1.1|Host: h||||POST /3 HTTP/1.1|Content-Length: 10||#",
    ),
    (
        "form",
        "POST /f HTTP/1.1|Host: h|Content-Type: application/x-www-form-urlencoded; charset=utf-8|\
         Content-Length: 62||name=Nancy+Ann&cpr=251248%2D9996&%63pr2=#&empty=&bare",
    ),
    (
        "json",
        "POST /j HTTP/1.1|Host: h|Content-Type: application/json|Content-Length: 112||\
         {\"persons\":[{\"cpr\":\"251248\\u002d9996\",\"n\":2512489996},{\"cpr\":\"#\"}],\"#\":{\"a\":[1,\"#\"]}}",
    ),
    ("json unannounced", "POST /j HTTP/1.1|Content-Length: 28|| [{\"cpr\":\"#\"}]\n    GET /next HTTP/1.1||"),
    ("json behind a mark", "POST /j HTTP/1.1|Content-Length: 23||\u{FEFF}{\"cpr\":\"#\"}"),
    (
        "chunked",
        "POST /c HTTP/1.1|Transfer-Encoding: chunked|Content-Type: application/json||\
         8;note=#|{\"cpr\":\"|4|2512|7|489996\"|1|}|0|X-Sum: #|X-More: y||GET /after HTTP/1.1||",
    ),
    ("chunked text", "POST /c HTTP/1.1|Transfer-Encoding: chunked||5|cpr: |5|25124|5|89996|0||"),
    ("chunked broken", "POST /c HTTP/1.1|Transfer-Encoding: chunked||5|abcdeXX#|GET / HTTP/1.1||"),
    ("chunked unfinished", "POST /c HTTP/1.1|Transfer-Encoding: chunked||ff|cpr #"),
    ("chunked, cut in a size", "POST / HTTP/1.1|Transfer-Encoding: chunked||5|abcde|1"),
    ("chunked, cut in a trailer", "POST / HTTP/1.1|Transfer-Encoding: chunked||0|X: #"),
    ("body like a broken head", "HTTP/1.1 200 OK|Content-Length: 70||HTTP/1.1 200 OK|a\u{0}b|# and more"),
    ("unfinished head", "GET /a?cpr=# HTTP/1.1|Host: h|X-Cpr: 251248-9996"),
    ("unfinished body", "POST / HTTP/1.1|Content-Length: 1000||{\"a\":{\"cpr\":\"#\",\"b\":\"251248-9996"),
    (
        "unfinished form",
        "POST / HTTP/1.1|Content-Type: application/x-www-form-urlencoded|Content-Length: 99||a=b&cpr=#",
    ),
    ("no length", "POST / HTTP/1.0|Content-Type: application/x-www-form-urlencoded||cpr=#&b=c"),
    ("no length, no body", "POST / HTTP/1.1|Host: h||GET /?cpr=# HTTP/1.1||"),
    ("no length, hardly a body", "POST / HTTP/1.1|Host: h||GE"),
    ("expect", "PUT / HTTP/1.1|Expect: 100-continue|Content-Length: 15||cpr=#!GET / HTTP/1.1||"),
    ("expect refused", "PUT / HTTP/1.1|Expect: 100-continue|Content-Length: 14||GET /?cpr=# HTTP/1.1||"),
    ("connect", "CONNECT #.example:443 HTTP/1.1|Host: p||\u{16}\u{3}\u{1} not http # and more"),
    (
        "upgrade",
        "GET /ws HTTP/1.1|Upgrade: websocket|Connection: Upgrade||\u{1}\u{5} frames 251248-9996 go here",
    ),
    ("absolute", "GET http://#.example:8080/p/251248-9996?q=# HTTP/1.1|Host: x||"),
    ("body only", "POST / HTTP/1.1|Content-Type: text/plain|Content-Length: 24||the number is #"),
    (
        "response",
        "HTTP/1.1 200 OK|Set-Cookie: id=#; Path=/|Content-Type: application/json|Content-Length: 20||{\"cpr\":\"#\"}HTTP/1.1 304 Not Modified||",
    ),
    (
        "response to head",
        "HTTP/1.1 200 OK|Content-Length: 500||HTTP/1.1 200 OK|X-Cpr: #|Content-Length: 2||ok",
    ),
    ("response to the end", "HTTP/1.0 200 OK||some text with # in it|"),
    ("interim response", "HTTP/1.1 100 Continue||HTTP/1.1 201 Created|Transfer-Encoding: chunked||a|#|0||"),
    ("twice encoded", "GET /?u=251248%252D9996&v=%2532512489996 HTTP/1.1||"),
    ("raw", "cpr 2512489996, and 251248-9996; not x#, and not #1|next line # |end 251248"),
    ("raw ends in number", "INSERT INTO t VALUES ('251248-9996', #"),
    ("nearly http", "GET 2512489996|POST|GETTING /|# HTTP/1.1||"),
    ("nearly http, broken head", "GET / HTTP/1.1|bad\u{0}header # : x||251248-9996"),
    ("nearly response", "HTTP/1.1 2x0 #||more # here"),
    ("blank lines first", "||GET /# HTTP/1.1||"),
    ("only blank lines", "||||||||||||||#"),
];

/// Every stream of the corpus.
pub fn streams() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    STREAMS.iter().map(|(name, text)| {
        (*name, text.replace('|', "\r\n").replace('#', crate::support::NANCY).into_bytes())
    })
}
