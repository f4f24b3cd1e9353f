//! Bodies with a number, and bodies like them without one.

use crate::support::encode::*;

/// A body and what is to be found in it.
pub struct Case {
    pub name: &'static str,
    /// Header fields; `|` stands for a line end.
    pub head: &'static str,
    pub body: Vec<u8>,
    /// Part, field and decodings of each leak.
    pub expected: &'static [(&'static str, &'static str, &'static str)],
}

/// The numbers that the cases are made with.
pub struct Numbers {
    /// Ten digits.
    pub plain: String,
    /// With a hyphen.
    pub hyphen: String,
    /// One that lost a zero as an integer.
    pub short: u64,
}

type Expected = &'static [(&'static str, &'static str, &'static str)];

fn case(name: &'static str, head: &'static str, body: impl AsRef<[u8]>, expected: Expected) -> Case {
    Case { name, head, body: body.as_ref().to_vec(), expected }
}

const JSON: &str = "Content-Type: application/json";
const XML: &str = "Content-Type: application/xml";
const HTML: &str = "Content-Type: text/html; charset=utf-8";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const PARTS: &str = "Content-Type: multipart/form-data; boundary=\"cut\"";
const CBOR: &str = "Content-Type: application/cbor";
const PACK: &str = "Content-Type: application/msgpack";
const TEXT: &str = "Content-Type: text/plain";

/// Cases with a number.
pub fn positive(numbers: &Numbers) -> Vec<Case> {
    [
        encoded(numbers),
        documents(numbers),
        parts(numbers),
        records(numbers),
        within(numbers),
        within_words(numbers),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn encoded(Numbers { plain, hyphen, .. }: &Numbers) -> Vec<Case> {
    let json = format!("{{\"person\":{{\"cpr\":\"{plain}\"}}}}");
    let form = format!("navn=Nancy&cpr={hyphen}");
    vec![
        case(
            "gzip json",
            "Content-Encoding: gzip|Content-Type: application/json",
            gzip(&json),
            &[("json", "person.cpr", "gzip")],
        ),
        case(
            "gzip form",
            "Content-Encoding: x-gzip|Content-Type: application/x-www-form-urlencoded",
            gzip(&form),
            &[("form", "cpr", "gzip")],
        ),
        case(
            "gzip text",
            "Content-Encoding: gzip",
            gzip(format!("cpr: {hyphen}, and so on")),
            &[("body", "", "gzip")],
        ),
        case("gzip unannounced", "", gzip(&json), &[("json", "person.cpr", "gzip")]),
        case(
            "two members",
            "Content-Encoding: gzip",
            [gzip(&json[..20]), gzip(&json[20..])].concat(),
            &[("json", "person.cpr", "gzip")],
        ),
        case(
            "gzip in gzip",
            "Content-Encoding: gzip, gzip",
            gzip(gzip(&json)),
            &[("json", "person.cpr", "gzip,gzip")],
        ),
        case(
            "gzip cut off",
            "Content-Encoding: gzip",
            &gzip(format!("{json}{}", "x".repeat(99)))[..40],
            &[("json", "person.cpr", "gzip")],
        ),
        case("zlib", "Content-Encoding: deflate", zlib(&json), &[("json", "person.cpr", "deflate")]),
        case(
            "raw deflate",
            "Content-Encoding: deflate",
            deflate(&json),
            &[("json", "person.cpr", "deflate")],
        ),
        case("brotli", "Content-Encoding: br", brotli(&json), &[("json", "person.cpr", "brotli")]),
        case("zstd", "Content-Encoding: zstd", zstd(&json), &[("json", "person.cpr", "zstd")]),
        case("zstd unannounced", "", zstd(&json), &[("json", "person.cpr", "zstd")]),
        case(
            "brotli over gzip",
            "Content-Encoding: gzip, br",
            brotli(gzip(&json)),
            &[("json", "person.cpr", "brotli,gzip")],
        ),
        case("gzip that is none", "Content-Encoding: gzip", &json, &[("body", "", "")]),
        case("unknown encoding", "Content-Encoding: aes128gcm", &json, &[("body", "", "")]),
        case("utf-16 json", JSON, utf16(&json), &[("json", "person.cpr", "utf-16")]),
        case(
            "utf-16 xml",
            XML,
            utf16_big(&format!("<a><cpr>{plain}</cpr></a>")),
            &[("xml", "a.cpr", "utf-16")],
        ),
    ]
}

fn documents(Numbers { plain, hyphen, .. }: &Numbers) -> Vec<Case> {
    vec![
        case(
            "xml element",
            XML,
            format!("<?xml version=\"1.0\"?><p><cpr>{plain}</cpr></p>"),
            &[("xml", "p.cpr", "")],
        ),
        case("xml attribute", XML, format!("<p cpr=\"{plain}\"/>"), &[("xml", "p.cpr", "")]),
        case(
            "xml named attribute",
            XML,
            format!("<f name=\"cpr\" value=\"{plain}\"/>"),
            &[("xml", "f.cpr", "")],
        ),
        case(
            "xml references",
            XML,
            format!("<cpr>{}</cpr>", hyphen.replace('-', "&#45;")),
            &[("xml", "cpr", "html-entity")],
        ),
        case(
            "xml digits by number",
            XML,
            format!("<cpr>{}</cpr>", entities(plain)),
            &[("xml", "cpr", "html-entity")],
        ),
        case("xml cdata", XML, format!("<a><cpr><![CDATA[{plain}]]></cpr></a>"), &[("xml", "a.cpr", "")]),
        case(
            "xml unannounced",
            "",
            format!("<person><cpr>{plain}</cpr></person>"),
            &[("xml", "person.cpr", "")],
        ),
        case(
            "soap",
            "Content-Type: application/soap+xml",
            format!(
                "<e:Env><e:Body><PersonCivilRegistrationIdentifier>{plain}</PersonCivilRegistrationIdentifier></e:Body></e:Env>"
            ),
            &[("xml", "e:Env.e:Body.PersonCivilRegistrationIdentifier", "")],
        ),
        case("xml comment", XML, format!("<a><!-- cpr {hyphen} --></a>"), &[("xml", "a", "")]),
        case("html text", HTML, format!("<!doctype html><p>CPR-nummer {hyphen}</p>"), &[("html", "", "")]),
        case("html input", HTML, format!("<input name=cpr value='{plain}'>"), &[("html", "cpr", "")]),
        case(
            "html link",
            HTML,
            format!("<a href=\"/p?a=b&amp;cpr={plain}\">x</a>"),
            &[("html", "href", "html-entity")],
        ),
        case(
            "html references",
            HTML,
            format!("<td>cpr {}</td>", hyphen.replace('-', "&hyphen;")),
            &[("html", "", "html-entity")],
        ),
        case(
            "html script",
            HTML,
            format!("<script>var cpr = \"{}\";</script>", escaped("\\x", plain)),
            &[("html", "", "js-escape")],
        ),
        case("html unannounced", "", format!("<html><body>cpr: {plain}</body></html>"), &[("html", "", "")]),
    ]
}

fn parts(Numbers { plain, hyphen, .. }: &Numbers) -> Vec<Case> {
    let json = format!("{{\"cpr\":\"{plain}\"}}");
    vec![
        case("part", PARTS, multipart(&[("Content-Disposition: form-data; name=\"a\"", b"b"), ("Content-Disposition: form-data; name=\"cpr\"", plain.as_bytes())]), &[("multipart", "cpr", "")]),
        case("json part", PARTS, multipart(&[("Content-Disposition: form-data; name=\"doc\"|Content-Type: application/json", json.as_bytes())]), &[("json", "doc.cpr", "")]),
        case("file name", PARTS, multipart(&[(&format!("Content-Disposition: form-data; name=\"f\"; filename=\"cpr {hyphen} a.pdf\"; x=y"), b"")]), &[("filename", "f", "")]),
        case("base64 part", PARTS, multipart(&[("Content-Disposition: form-data; name=\"cpr\"|Content-Transfer-Encoding: base64", base64(plain).as_bytes())]), &[("multipart", "cpr", "base64")]),
        case("quoted part", PARTS, multipart(&[("Content-Disposition: form-data; name=\"cpr\"|Content-Transfer-Encoding: quoted-printable", hyphen.replace('-', "=2D").as_bytes())]), &[("multipart", "cpr", "quoted-printable")]),
        case("gzip part", PARTS, multipart(&[("Content-Disposition: form-data; name=\"f\"; filename=\"a.json.gz\"", &gzip(&json))]), &[("json", "f.cpr", "gzip")]),
        case("part cut off", PARTS, format!("--cut\r\nContent-Disposition: form-data; name=\"cpr\"\r\n\r\n{plain}"), &[("multipart", "cpr", "")]),
        case("multipart gzip", "Content-Encoding: gzip|Content-Type: multipart/form-data; boundary=cut", gzip(multipart(&[("Content-Disposition: form-data; name=\"cpr\"", plain.as_bytes())])), &[("multipart", "cpr", "gzip")]),
        case("zip member", "", zip(&[("a.json", Member::Deflated, json.as_bytes())]), &[("json", "cpr", "zip,deflate")]),
        case("zip piped", "", zip(&[("x", Member::Piped, b"some text"), ("a.json", Member::Piped, json.as_bytes())]), &[("json", "cpr", "zip,deflate")]),
        case("zip stored", "", zip(&[("a.json", Member::Stored, json.as_bytes())]), &[("json", "cpr", "zip")]),
        case("zip name", "", zip(&[(&format!("cpr {hyphen}, a.txt"), Member::Stored, b"")]), &[("filename", "", "")]),
        case("docx", "Content-Type: application/vnd.openxmlformats-officedocument.wordprocessingml.document", zip(&[("[Content_Types].xml", Member::Deflated, b"<?xml version=\"1.0\"?><Types/>"), ("word/document.xml", Member::Deflated, format!("<?xml version=\"1.0\"?><w:document><w:body><w:t>cpr {hyphen}</w:t></w:body></w:document>").as_bytes())]), &[("xml", "w:document.w:body.w:t", "zip,deflate")]),
        case("xlsx", "", zip(&[("xl/sharedStrings.xml", Member::Piped, format!("<sst><si><t>CPR-nr. {hyphen}</t></si></sst>").as_bytes())]), &[("xml", "sst.si.t", "zip,deflate")]),
    ]
}

fn records(Numbers { plain, hyphen, short }: &Numbers) -> Vec<Case> {
    let value: u64 = plain.parse().expect("digits");
    vec![
        case(
            "cbor text",
            CBOR,
            cbor(&[("id", cbor_text("x")), ("cpr", cbor_text(hyphen))]),
            &[("value", "cpr", "cbor")],
        ),
        case(
            "cbor integer",
            CBOR,
            cbor(&[("cpr", cbor_integer(value))]),
            &[("value", "cpr", "cbor,integer")],
        ),
        case(
            "cbor lost zero",
            CBOR,
            cbor(&[("person", cbor(&[("cpr", cbor_integer(*short))]))]),
            &[("value", "person.cpr", "cbor,integer")],
        ),
        case("msgpack text", PACK, msgpack(&[("cpr", msgpack_text(hyphen))]), &[("value", "cpr", "msgpack")]),
        case(
            "msgpack integer",
            PACK,
            msgpack(&[("a", vec![0xC0]), ("cpr", msgpack_integer(value))]),
            &[("value", "cpr", "msgpack,integer")],
        ),
        case(
            "msgpack lost zero",
            PACK,
            msgpack(&[("cprNr", msgpack_integer(*short))]),
            &[("value", "cprNr", "msgpack,integer")],
        ),
        case("msgpack key", PACK, msgpack(&[(hyphen, vec![0xC3])]), &[("key", "", "msgpack")]),
        case(
            "gzip cbor",
            "Content-Encoding: gzip|Content-Type: application/cbor",
            gzip(cbor(&[("cpr", cbor_text(plain))])),
            &[("value", "cpr", "gzip,cbor")],
        ),
    ]
}

fn within(Numbers { plain, hyphen, .. }: &Numbers) -> Vec<Case> {
    let json = format!("{{\"cpr\":\"{plain}\"}}");
    let shifted = |text: &str| format!("{{\"token\":\"xyz{text}\"}}");
    let token = |before: &str| base64url(format!("{before}cpr={hyphen};"));
    vec![
        case(
            "json in json",
            JSON,
            format!("{{\"payload\":{}}}", quoted(&json)),
            &[("json", "payload.cpr", "json-escape")],
        ),
        case(
            "json in json in json",
            JSON,
            format!("{{\"a\":{}}}", quoted(&format!("{{\"b\":{}}}", quoted(&json)))),
            &[("json", "a.b.cpr", "json-escape,json-escape")],
        ),
        case(
            "json in a form",
            FORM,
            format!("data={}", escaped("%", &json)),
            &[("json", "data.cpr", "percent")],
        ),
        case(
            "form in json",
            JSON,
            format!("{{\"body\":\"a=b&cpr={}\"}}", hyphen.replace('-', "%2D")),
            &[("form", "body.cpr", "percent")],
        ),
        case(
            "percent in json",
            JSON,
            format!("{{\"cpr\":\"{}\"}}", escaped("%", plain)),
            &[("json", "cpr", "percent")],
        ),
        case(
            "percent twice",
            FORM,
            format!("cpr={}", escaped("%25", plain)),
            &[("form", "cpr", "percent,percent")],
        ),
        case(
            "xml in json",
            JSON,
            format!("{{\"doc\":\"<p><cpr>{plain}</cpr></p>\"}}"),
            &[("xml", "doc.p.cpr", "")],
        ),
        case(
            "json in xml",
            XML,
            format!("<a><b>{}</b></a>", json.replace('"', "&quot;")),
            &[("json", "a.b.cpr", "html-entity")],
        ),
        case(
            "base64 in json",
            JSON,
            format!("{{\"cpr\":\"{}\"}}", base64(plain)),
            &[("json", "cpr", "base64")],
        ),
        case(
            "base64 json in json",
            JSON,
            format!("{{\"doc\":\"{}\"}}", base64(&json)),
            &[("json", "doc.cpr", "base64")],
        ),
        case("base64 behind 1", JSON, shifted(&token("")), &[("json", "token", "base64")]),
        case("base64 behind 2", JSON, shifted(&format!("w{}", token("a"))), &[("json", "token", "base64")]),
    ]
}

fn within_words(Numbers { plain, hyphen, .. }: &Numbers) -> Vec<Case> {
    let json = format!("{{\"cpr\":\"{plain}\"}}");
    let shifted = |text: &str| format!("{{\"token\":\"xyz{text}\"}}");
    let token = |before: &str| base64url(format!("{before}cpr={hyphen};"));
    vec![
        case("base64 behind 3", JSON, shifted(&format!("vw{}", token("ab"))), &[("json", "token", "base64")]),
        case(
            "token in a text",
            TEXT,
            format!("token: {}.{}.sig", base64url("{\"alg\":\"none\"}"), base64url(&json)),
            &[("json", "cpr", "base64")],
        ),
        case(
            "data url",
            HTML,
            format!("<img src=\"data:text/plain;base64,{}\">", base64(format!("cpr {hyphen} and more"))),
            &[("html", "src", "base64")],
        ),
        case(
            "gzip in base64 in json",
            JSON,
            format!("{{\"z\":\"{}\"}}", base64(gzip(&json))),
            &[("json", "z.cpr", "base64,gzip")],
        ),
        case(
            "base64 twice",
            JSON,
            format!("{{\"cpr\":\"{}\"}}", base64(base64(format!("{{\"cpr\":\"{hyphen}\"}}")))),
            &[("json", "cpr.cpr", "base64,base64")],
        ),
        case("hex", JSON, format!("{{\"cpr\":\"{}\"}}", hex(plain)), &[("json", "cpr", "hex")]),
        case(
            "hex behind one digit",
            JSON,
            format!("{{\"cpr\":\"f{}\"}}", hex(plain)),
            &[("json", "cpr", "hex")],
        ),
        case(
            "quoted-printable in json",
            JSON,
            format!("{{\"cpr\":\"{}\"}}", escaped("=", plain)),
            &[("json", "cpr", "quoted-printable")],
        ),
        case(
            "references in json",
            JSON,
            format!("{{\"cpr\":\"{}\"}}", entities(plain)),
            &[("json", "cpr", "html-entity")],
        ),
        case(
            "javascript",
            "Content-Type: text/javascript",
            format!("var cpr=\"{}\";", escaped("\\x", plain)),
            &[("body", "", "js-escape")],
        ),
        case(
            "javascript braces",
            JSON,
            format!("{{\"cpr\":\"{}\"}}", hyphen.replace('-', "\\\\u{2d}")),
            &[("json", "cpr", "json-escape,js-escape")],
        ),
        case("percent in a text", TEXT, format!("cpr={}", escaped("%", hyphen)), &[("body", "", "percent")]),
    ]
}

/// Cases like those, without a number.
pub fn negative(numbers: &Numbers) -> Vec<Case> {
    let all = [negative_documents(numbers), negative_parts(numbers), negative_within(numbers)];
    all.into_iter().flatten().collect()
}

fn negative_documents(Numbers { plain, .. }: &Numbers) -> Vec<Case> {
    // The 45th is no day; a longer run of digits is no number; reversed, the digits are those of nobody.
    let no_date = format!("45{}", &plain[2..]);
    let longer = format!("{plain}7");
    let json = |value: &str| format!("{{\"cpr\":\"{value}\"}}");
    let image = noise(7, 700);
    let silent = |name, head, body: Vec<u8>| Case { name, head, body, expected: &[] };
    vec![
        silent("gzip no date", "Content-Encoding: gzip", gzip(json(&no_date))),
        silent("gzip longer", "Content-Encoding: gzip", gzip(json(&longer))),
        silent("gzip damaged at its start", "Content-Encoding: gzip", damaged(gzip(json(plain)), 2)),
        silent("gzip of noise", "Content-Encoding: gzip", gzip(&image)),
        silent("gzip head only", "", gzip(json(plain))[..10].to_vec()),
        silent("noise like gzip", "", [b"\x1F\x8B\x08\x00", &image[..]].concat()),
        silent("zlib no date", "Content-Encoding: deflate", zlib(json(&no_date))),
        silent("brotli no date", "Content-Encoding: br", brotli(json(&no_date))),
        silent("brotli of noise", "Content-Encoding: br", image.clone()),
        silent("zstd no date", "Content-Encoding: zstd", zstd(json(&no_date))),
        silent(
            "zstd of another kind",
            "Content-Encoding: zstd",
            b"\x28\xB5\x2F\xFD\xFF\xFF\xFF\xFF".to_vec(),
        ),
        silent(
            "five encodings",
            "Content-Encoding: gzip,gzip,gzip,gzip,gzip",
            gzip(gzip(gzip(gzip(gzip(json(plain)))))),
        ),
        silent("encoding unknown", "Content-Encoding: aes128gcm", image.clone()),
        silent("utf-16 no date", JSON, utf16(&json(&no_date))),
        silent("xml order number", XML, format!("<order><id>{plain}</id></order>").into_bytes()),
        silent("xml no date", XML, format!("<p><cpr>{no_date}</cpr></p>").into_bytes()),
        silent(
            "xml over two elements",
            XML,
            format!("<p><a>{}</a><b>{}</b></p>", &plain[..6], &plain[6..]).into_bytes(),
        ),
        silent(
            "xml reference in it",
            XML,
            format!("<cpr>{}&#48;{}</cpr>", &plain[..6], &plain[6..]).into_bytes(),
        ),
        silent("html price", HTML, format!("<p>Bel\u{F8}b: {longer}</p>").into_bytes()),
        silent("html telephone", HTML, format!("<a href=\"tel:{}\">ring</a>", &plain[..8]).into_bytes()),
        silent(
            "html script with a time",
            HTML,
            format!("<script>var ts = {plain}123;</script>").into_bytes(),
        ),
        silent("html entity value", HTML, "<p>&#2512489996;</p>".as_bytes().to_vec()),
    ]
}

fn negative_parts(Numbers { plain, .. }: &Numbers) -> Vec<Case> {
    // The 45th is no day; a longer run of digits is no number; reversed, the digits are those of nobody.
    let no_date = format!("45{}", &plain[2..]);
    let json = |value: &str| format!("{{\"cpr\":\"{value}\"}}");
    let image = noise(7, 700);
    let silent = |name, head, body: Vec<u8>| Case { name, head, body, expected: &[] };
    vec![
        silent(
            "part no date",
            PARTS,
            multipart(&[("Content-Disposition: form-data; name=\"cpr\"", no_date.as_bytes())]),
        ),
        silent(
            "part order",
            PARTS,
            multipart(&[("Content-Disposition: form-data; name=\"order\"", plain.as_bytes())]),
        ),
        silent(
            "file name with a time",
            PARTS,
            multipart(&[(
                "Content-Disposition: form-data; name=\"f\"; filename=\"IMG_20261128_120000.jpg\"",
                &image,
            )]),
        ),
        silent(
            "base64 image part",
            PARTS,
            multipart(&[(
                "Content-Disposition: form-data; name=\"f\"|Content-Transfer-Encoding: base64",
                base64(&image).as_bytes(),
            )]),
        ),
        silent("zip no date", "", zip(&[("a.json", Member::Deflated, json(&no_date).as_bytes())])),
    ]
}

fn negative_within(Numbers { plain, hyphen, .. }: &Numbers) -> Vec<Case> {
    // The 45th is no day; a longer run of digits is no number; reversed, the digits are those of nobody.
    let no_date = format!("45{}", &plain[2..]);
    let longer = format!("{plain}7");
    let json = |value: &str| format!("{{\"cpr\":\"{value}\"}}");
    let value: u64 = longer.parse().expect("digits");
    let image = noise(7, 700);
    let silent = |name, head, body: Vec<u8>| Case { name, head, body, expected: &[] };
    vec![
        silent("zip encrypted", "", zip(&[("a.json", Member::Encrypted, json(plain).as_bytes())])),
        silent("zip image", "", zip(&[("a.png", Member::Stored, &image), ("b.png", Member::Piped, &image)])),
        silent("cbor longer", CBOR, cbor(&[("cpr", cbor_integer(value))])),
        silent("cbor order number", CBOR, cbor(&[("orderId", cbor_integer(plain.parse().expect("digits")))])),
        silent("cbor no date", CBOR, cbor(&[("cpr", cbor_text(&no_date))])),
        silent("cbor bytes of a float", CBOR, [b"\xA1\x63cpr\xFB".to_vec(), noise(3, 8)].concat()),
        silent(
            "msgpack order number",
            PACK,
            msgpack(&[("orderId", msgpack_integer(plain.parse().expect("digits")))]),
        ),
        silent("msgpack time", PACK, msgpack(&[("ts", msgpack_integer(1_795_862_400))])),
        silent("msgpack of noise", PACK, image.clone()),
        silent("json order number", JSON, format!("{{\"orderId\":\"{plain}\"}}").into_bytes()),
        silent("base64 image", JSON, format!("{{\"img\":\"{}\"}}", base64(&image)).into_bytes()),
        silent("base64 no date", JSON, json(&base64(&no_date)).into_bytes()),
        silent("base64 longer", JSON, json(&base64(&longer)).into_bytes()),
        silent("base64 of another text", JSON, json(&base64("the quick brown fox jumps")).into_bytes()),
        silent("hex digest", JSON, format!("{{\"sha\":\"{}\"}}", hex(&image[..32])).into_bytes()),
        silent("hex no date", JSON, json(&hex(&no_date)).into_bytes()),
        silent("hex of digits only", JSON, "{\"id\":\"31323334353637383930313233\"}".as_bytes().to_vec()),
        silent("uuid", JSON, "{\"id\":\"123e4567-e89b-12d3-a456-426614174000\"}".as_bytes().to_vec()),
        silent("percent no date", FORM, format!("cpr={}", escaped("%", &no_date)).into_bytes()),
        silent("percent order", FORM, format!("order={}", escaped("%25", plain)).into_bytes()),
        silent(
            "percent broken",
            FORM,
            format!("cpr={}", escaped("%", hyphen).replace("%3", "%z")).into_bytes(),
        ),
        silent("equals that escape nothing", TEXT, "x=20&y=31&z=2026 a=b".as_bytes().to_vec()),
        silent(
            "javascript no date",
            "Content-Type: text/javascript",
            format!("cpr=\"{}\"", escaped("\\x", &no_date)).into_bytes(),
        ),
        silent("entities no date", JSON, json(&entities(&no_date)).into_bytes()),
        silent("json in json no date", JSON, format!("{{\"p\":{}}}", quoted(&json(&no_date))).into_bytes()),
        silent("deep json", JSON, format!("{}{}{}", "[".repeat(300), "1", "]".repeat(300)).into_bytes()),
        silent("log line", "", b"[2026-11-28 12:00:00,123] INFO 10.0.0.1:8080 took 12 ms".to_vec()),
        silent("image unannounced", "", image),
    ]
}

fn damaged(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 0xFF;
    bytes
}
