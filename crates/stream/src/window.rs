//! What a decoder hands out: plain content with its provenance.

use std::ops::Range;

use crate::plain::Plain;

/// Receives windows as they become known.
pub type Sink<'a> = dyn FnMut(Window<'_>) + 'a;

/// A piece of plain content and where it stood.
///
/// Windows with a specific [`Part`] come before the [`Part::Body`] or [`Part::Raw`] window over the same
/// bytes, except after `quiet` or where a message is larger than the buffer: then raw pieces of earlier
/// bytes may come before specific windows of later ones. A value that cannot hold a number, as it stands or encoded, may
/// have none of its own.
pub struct Window<'a> {
    /// Content after `decodings`.
    pub bytes: &'a [u8],
    /// The part of `bytes` that this window answers for: a hit counts only if it starts here.
    pub owned: Range<usize>,
    /// What was recognised.
    pub protocol: Protocol,
    /// Where in the message.
    pub part: Part,
    /// Header name, parameter, form key, cookie name or JSON key path (`persons[].cpr`), as sent.
    pub field: Option<&'a str>,
    /// URL path of the message, as sent, without the query.
    pub path: Option<&'a str>,
    /// Host of the message, as sent.
    pub host: Option<&'a str>,
    /// Number of the message in its stream, from 0: a request, a response, a datagram, 64 KiB of raw stream.
    pub message: u64,
    /// What was undone, outermost first.
    pub decodings: &'a [Decoding],
    /// Whether the content is text or a recognised protocol, such as compressed content that was decoded; false means
    /// opaque. See [`crate::is_text`].
    pub text: bool,
    /// Where opaque: the bound that kept it from being decoded, if it was one.
    pub beyond: Option<Bound>,
    /// Stream offsets (bytes since the start, gaps included) this window was made from. Exact, except that
    /// in a chunked body of many small chunks it is the closest known chunk border plus the distance.
    pub source: Range<u64>,
    /// Stream bytes that this window accounts for: the sum over all windows until `finish` is exactly the
    /// number of bytes pushed. 0 for windows that show bytes another window accounts for.
    pub counted: u64,
}

/// Why something was not decoded that could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// It looks further back than a decompressor keeps.
    Window,
    /// It becomes too much, or lies too deep.
    Limit,
}

/// What the bytes were recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http11,
    /// Nothing known.
    Raw,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// WebSocket (RFC 6455).
    WebSocket,
    /// SMTP (RFC 5321) and the mail in it.
    Smtp,
    /// DNS (RFC 1035).
    Dns,
    /// Syslog (RFC 5424, RFC 3164).
    Syslog,
    /// PostgreSQL's protocol, version 3.
    Postgres,
    /// LDAP.
    Ldap,
    /// Redis's protocol (RESP).
    Redis,
}

impl Protocol {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::Raw => "raw",
            Self::Http2 => "http/2",
            Self::WebSocket => "websocket",
            Self::Smtp => "smtp",
            Self::Dns => "dns",
            Self::Syslog => "syslog",
            Self::Postgres => "postgresql",
            Self::Ldap => "ldap",
            Self::Redis => "redis",
        }
    }

    /// Whether messages of one direction of a stream may overlap: the number of a later window is then not always
    /// the higher one.
    pub const fn interleaves(self) -> bool {
        matches!(self, Self::Http2)
    }
}

/// Where in a message content stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Path of the request target.
    UrlPath,
    /// A parameter of the request target.
    UrlQuery,
    /// Host header or authority of the request target.
    UrlHost,
    /// A header or trailer field.
    Header,
    /// A cookie.
    Cookie,
    /// The URL a request says it came from.
    Referer,
    /// A field of a urlencoded form.
    Form,
    /// A value or key of a JSON text.
    Json,
    /// Text or an attribute of an XML element.
    Xml,
    /// Text or an attribute of an HTML page.
    Html,
    /// A part of a multipart body.
    Multipart,
    /// The name of a file.
    Filename,
    /// The key of a record.
    Key,
    /// The value of a record.
    Value,
    /// Message content as such.
    Body,
    /// Stream bytes as such.
    Raw,
    /// The text of a database query.
    Sql,
    /// A name that is asked for.
    DnsName,
    /// Sender or recipient that a mail server is told.
    MailEnvelope,
    /// A header field of a mail or of a part of one.
    MailHeader,
    /// The text of a mail.
    MailBody,
    /// A log message, or an element of one.
    Log,
}

impl Part {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UrlPath => "url.path",
            Self::UrlQuery => "url.query",
            Self::UrlHost => "url.host",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Referer => "referer",
            Self::Form => "form",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Html => "html",
            Self::Multipart => "multipart",
            Self::Filename => "filename",
            Self::Key => "key",
            Self::Value => "value",
            Self::Body => "body",
            Self::Raw => "raw",
            Self::Sql => "sql",
            Self::DnsName => "dns.name",
            Self::MailEnvelope => "mail.envelope",
            Self::MailHeader => "mail.header",
            Self::MailBody => "mail.body",
            Self::Log => "log",
        }
    }

    /// Whether this names a place in a message, rather than just showing its bytes.
    pub const fn is_specific(self) -> bool {
        !matches!(self, Self::Body | Self::Raw)
    }

    /// Whether this is part of a body: its fields may be paths, such as `persons[].cpr`, and a text in a value is as good
    /// as a body of its own.
    pub const fn is_of_body(self) -> bool {
        matches!(
            self,
            Self::Body
                | Self::Raw
                | Self::Form
                | Self::Json
                | Self::Xml
                | Self::Html
                | Self::Multipart
                | Self::Value
        )
    }

    /// What a text of this part is whose values have places of their own.
    pub(crate) fn as_such(self, place: &Place) -> Self {
        match self.is_of_body() {
            true if place.is_raw() => Self::Raw,
            true => Self::Body,
            false => self,
        }
    }
}

/// A transformation that was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decoding {
    /// Chunked transfer coding (RFC 9112, section 7.1).
    Chunked,
    /// Percent-encoding (RFC 3986, section 2.1).
    Percent,
    /// `+` for a space, as in urlencoded forms.
    FormPlus,
    /// Escapes in JSON strings (RFC 8259, section 7).
    JsonEscape,
    /// gzip (RFC 1952).
    Gzip,
    /// deflate, with a zlib header or without (RFC 1950, RFC 1951).
    Deflate,
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Base64, in either alphabet (RFC 4648).
    Base64,
    /// Base 16.
    Hex,
    /// Quoted-printable (RFC 2045, section 6.7).
    QuotedPrintable,
    /// UTF-16 with a byte order mark.
    Utf16,
    /// Character references of HTML and XML.
    HtmlEntity,
    /// Escapes of JavaScript strings.
    JsEscape,
    /// A member of a zip archive.
    Zip,
    /// MessagePack.
    MessagePack,
    /// CBOR (RFC 8949).
    Cbor,
    /// A number that was sent as one: its digits, with zeroes before them where it has fewer than ten.
    Integer,
    /// Header compression (RFC 7541).
    Hpack,
    /// The frames of gRPC messages.
    Grpc,
    /// Protocol buffers.
    Protobuf,
    /// The mask over what a WebSocket client sends (RFC 6455, section 5.3).
    Mask,
}

impl Decoding {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chunked => "chunked",
            Self::Percent => "percent",
            Self::FormPlus => "form-plus",
            Self::JsonEscape => "json-escape",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
            Self::Zstd => "zstd",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::QuotedPrintable => "quoted-printable",
            Self::Utf16 => "utf-16",
            Self::HtmlEntity => "html-entity",
            Self::JsEscape => "js-escape",
            Self::Zip => "zip",
            Self::MessagePack => "msgpack",
            Self::Cbor => "cbor",
            Self::Integer => "integer",
            Self::Hpack => "hpack",
            Self::Grpc => "grpc",
            Self::Protobuf => "protobuf",
            Self::Mask => "mask",
        }
    }
}

/// What is common to the windows of one message.
pub(crate) struct Place {
    pub(crate) protocol: Protocol,
    pub(crate) message: u64,
    pub(crate) path: Option<Plain>,
    pub(crate) host: Option<Plain>,
}

impl Place {
    pub(crate) const fn raw(message: u64) -> Self {
        Self { protocol: Protocol::Raw, message, path: None, host: None }
    }

    /// Whether each piece of a stream is a message of its own.
    pub(crate) fn is_raw(&self) -> bool {
        self.protocol == Protocol::Raw
    }

    /// A window that owns all of `bytes`, for the rest to be filled in.
    pub(crate) fn window<'a>(&'a self, part: Part, bytes: &'a [u8]) -> Window<'a> {
        Window {
            bytes,
            owned: 0..bytes.len(),
            protocol: self.protocol,
            part,
            field: None,
            path: self.path.as_ref().and_then(Plain::as_str),
            host: self.host.as_ref().and_then(Plain::as_str),
            message: self.message,
            decodings: &[],
            text: true,
            beyond: None,
            source: 0..0,
            counted: 0,
        }
    }
}
