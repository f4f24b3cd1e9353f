//! What a sender says of a body: what kind of content it is, and what it is encoded with.
//!
//! *Limits*: [`CODINGS_MAX`] encodings on each other; with more, the content counts as encoded with something unknown.

use crate::encoding::Coding;
use crate::plain::Plain;

/// Encodings on each other that are undone.
const CODINGS_MAX: usize = 4;

/// Longest boundary of a multipart content (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Values of header fields, as sent; empty where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    /// Content-Type.
    pub(crate) content_type: &'a [u8],
    /// Content-Encoding: a list, the innermost first.
    pub(crate) content_encoding: &'a [u8],
    /// Transfer-Encoding or Content-Transfer-Encoding: a list of what was done after that.
    pub(crate) transfer_encoding: &'a [u8],
    /// Grpc-Encoding: what messages within are compressed with.
    pub(crate) message_encoding: &'a [u8],
}

/// How values are found in content.
pub(crate) enum Syntax {
    Form,
    Json,
    Xml,
    Html,
    /// With its boundary.
    Multipart(Plain),
    MessagePack,
    Cbor,
    /// With what compressed messages are compressed with.
    Grpc(Option<Coding>),
    Protobuf,
}

impl Said<'_> {
    /// The encodings, the outermost first.
    pub(crate) fn codings(&self) -> Vec<Coding> {
        let names = [self.transfer_encoding, self.content_encoding];
        let names = names.into_iter().flat_map(|list| list.rsplit(|byte| *byte == b','));
        let codings: Vec<Coding> = names.filter_map(Coding::named).take(CODINGS_MAX + 1).collect();
        if codings.len() > CODINGS_MAX { vec![Coding::Unknown] } else { codings }
    }

    /// What kind of content is announced, where it is one with values.
    pub(crate) fn syntax(&self) -> Option<Syntax> {
        let media_type = self.content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        let media_type = Plain::from(media_type.trim_ascii().to_ascii_lowercase());
        Some(match media_type.as_slice() {
            b"application/x-www-form-urlencoded" => Syntax::Form,
            b"application/json" | b"text/json" | b"application/x-ndjson" => Syntax::Json,
            b"application/xml" | b"text/xml" => Syntax::Xml,
            b"text/html" => Syntax::Html,
            b"application/cbor" => Syntax::Cbor,
            b"application/msgpack" | b"application/x-msgpack" | b"application/vnd.msgpack" => {
                Syntax::MessagePack
            }
            b"application/protobuf" | b"application/x-protobuf" | b"application/proto" => Syntax::Protobuf,
            b"application/vnd.google.protobuf" => Syntax::Protobuf,
            other if is_grpc(other) => Syntax::Grpc(Coding::named(self.message_encoding)),
            other if other.starts_with(b"multipart/") => Syntax::Multipart(self.boundary()?),
            other if other.ends_with(b"+json") => Syntax::Json,
            other if other.ends_with(b"+xml") => Syntax::Xml,
            other if other.ends_with(b"+cbor") => Syntax::Cbor,
            _ => return None,
        })
    }

    fn boundary(&self) -> Option<Plain> {
        let boundary = parameter(self.content_type, "boundary")?;
        ((1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())).then(|| Plain::copy_of(boundary))
    }
}

/// Whether messages are framed as gRPC frames them, and are protocol buffers.
fn is_grpc(media_type: &[u8]) -> bool {
    matches!(
        media_type,
        b"application/grpc"
            | b"application/grpc+proto"
            | b"application/grpc-web"
            | b"application/grpc-web+proto"
    )
}

/// The value of a parameter behind the first semicolon, without quotes (RFC 2045, section 5.1). A semicolon in quotes
/// ends nothing.
pub(crate) fn parameter<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = field;
    loop {
        let (_, behind) = split_unquoted(rest, b';')?;
        rest = behind;
        let (parameter, _) = split_unquoted(rest, b';').unwrap_or((rest, &[]));
        let (key, value) = parameter.split_at(parameter.iter().position(|byte| *byte == b'=').unwrap_or(0));
        if key.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
            return Some(unquoted(value.get(1..).unwrap_or_default().trim_ascii()));
        }
    }
}

/// What stands before and behind the first `border` that is not in quotes.
fn split_unquoted(bytes: &[u8], border: u8) -> Option<(&[u8], &[u8])> {
    let (mut in_quotes, mut escaped) = (false, false);
    let at = bytes.iter().position(|byte| {
        let is_border = *byte == border && !in_quotes;
        in_quotes ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_border
    })?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").map_or(value, |inner| inner.strip_suffix(b"\"").unwrap_or(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("multipart/form-data; boundary=abc", "boundary", Some("abc")),
            ("multipart/form-data;charset=x ; Boundary=\"a b;c\" ; d=e", "boundary", Some("a b;c")),
            ("form-data; name=\"a\"; filename=\"b; name=c.txt\"", "name", Some("a")),
            ("form-data; filename=\"b; name=c.txt\"", "name", None),
            ("form-data; filename=\"b\\\"; x=\"; name=d", "name", Some("d")),
            ("text/plain", "boundary", None),
            ("text/plain; boundary", "boundary", None),
            ("boundary=x", "boundary", None),
        ];
        for (field, name, expected) in cases {
            let found = parameter(field.as_bytes(), name).map(|value| String::from_utf8_lossy(value));
            assert_eq!(found.as_deref(), *expected, "{field}");
        }
    }

    #[test]
    fn codings_are_undone_in_the_order_against_that_they_were_done_in() {
        let said = |content: &'static str, transfer: &'static str| Said {
            content_encoding: content.as_bytes(),
            transfer_encoding: transfer.as_bytes(),
            ..Said::default()
        };
        let cases: [(Said<'_>, &[Coding]); 6] = [
            (said("", "chunked"), &[]),
            (said("identity", ""), &[]),
            (said("gzip, BR", ""), &[Coding::Brotli, Coding::Gzip]),
            (said("zstd", "x-gzip, chunked"), &[Coding::Gzip, Coding::Zstd]),
            (said("compress", ""), &[Coding::Unknown]),
            (said("gzip,gzip,gzip,gzip,gzip", ""), &[Coding::Unknown]),
        ];
        for (said, expected) in cases {
            assert_eq!(said.codings(), expected, "{said:?}");
        }
    }
}
