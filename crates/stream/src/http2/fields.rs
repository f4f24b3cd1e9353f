//! The windows of a header list: request target, header fields, cookies; and what it says of the content.

use std::ops::Range;

use crate::http::fields::{self, Target};
use crate::http2::hpack::FieldList;
use crate::plain::Plain;
use crate::said::Said;
use crate::token::{Value, Values};
use crate::window::{Decoding, Part, Place, Protocol, Sink};

/// Whether this begins a message: trailers have no pseudo-headers (RFC 9113, section 8.1).
pub(super) fn begins_message(list: &FieldList) -> bool {
    list.iter().any(|(name, _)| name.is_some_and(|name| name.starts_with(':')))
}

/// What the windows of a message have in common.
pub(super) fn place(list: &FieldList, message: u64) -> Place {
    let path = target(list).map(|target| target.path).filter(|path| !path.is_empty());
    let host = list.get(":authority").or_else(|| list.get("host"));
    Place {
        protocol: Protocol::Http2,
        message,
        path: path.map(|path| Plain::copy_of(path.as_bytes())),
        host: host.map(Plain::copy_of),
    }
}

/// What is said of the content.
pub(super) fn said(list: &FieldList) -> Said<'_> {
    let field = |name| list.get(name).unwrap_or_default();
    Said {
        content_type: field("content-type"),
        content_encoding: field("content-encoding"),
        message_encoding: field("grpc-encoding"),
        ..Said::default()
    }
}

fn target(list: &FieldList) -> Option<Target<'_>> {
    std::str::from_utf8(list.get(":path")?).ok().map(Target::split)
}

/// Hands out the values of a list, if there may be a number in one. It was packed in the `source` of the stream.
pub(super) fn show(list: &FieldList, source: &Range<u64>, place: &Place, out: &mut Sink<'_>) {
    if !fields::may_hold_number(list.lines()) {
        return;
    }
    let mut sink = |value: Value<'_>| value.show(place, &[Decoding::Hpack], source.clone(), out);
    for (name, value) in list.iter() {
        match name {
            Some(":path") => show_target(value, &mut sink),
            Some(":authority") => sink(Value::whole(Part::UrlHost, value, 0).named(name)),
            Some(":method" | ":scheme" | ":status") => {}
            Some(name) => fields::show_field(name, value, 0, &mut sink),
            None => sink(Value::whole(Part::Header, value, 0)),
        }
    }
}

fn show_target(value: &[u8], sink: &mut Values<'_>) {
    if let Ok(target) = std::str::from_utf8(value) {
        Target::split(target).show(value, sink);
    } else {
        sink(Value::whole(Part::UrlPath, value, 0));
    }
}
