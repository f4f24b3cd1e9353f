//! Encoded words in header fields: `=?utf-8?B?...?=` (RFC 2047).

use crate::encoding::Coding;
use crate::plain::Plain;
use crate::window::Decoding;

/// Bytes of an encoded word that are made at a time.
const STEP_BYTES: usize = 256;

/// What a value reads as with its words decoded, and how the last of them was encoded; `None` if there are none.
pub(super) fn decoded(value: &[u8]) -> Option<(Plain, &'static [Decoding])> {
    let (mut plain, mut made_by, mut rest) = (Plain::new(), None, value);
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(start);
        let Some((coding, text, len)) = word_at(word) else {
            plain.append(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        };
        // White space between two encoded words stands for nothing.
        if made_by.is_none() || !before.trim_ascii().is_empty() {
            plain.append(before);
        }
        made_by = Some(decode(coding, text, &mut plain));
        rest = &word[len..];
    }
    plain.append(rest);
    made_by.map(|made_by| (plain, made_by))
}

/// The encoding and text of the word that `bytes` begin with, and its length.
fn word_at(bytes: &[u8]) -> Option<(Coding, &[u8], usize)> {
    let inner = bytes.strip_prefix(b"=?")?;
    let charset = memchr::memchr(b'?', inner)?;
    let coding = match inner.get(charset + 1..charset + 3)? {
        [b'B' | b'b', b'?'] => Coding::Base64,
        [b'Q' | b'q', b'?'] => Coding::Quoted,
        _ => return None,
    };
    let text = &inner[charset + 3..];
    let end = memchr::memmem::find(text, b"?=")?;
    Some((coding, &text[..end], 2 + charset + 3 + end + 2))
}

fn decode(coding: Coding, text: &[u8], into: &mut Plain) -> &'static [Decoding] {
    let is_quoted = coding == Coding::Quoted;
    let space = |byte: &u8| if is_quoted && *byte == b'_' { b' ' } else { *byte };
    let text = Plain::from(text.iter().map(space).collect::<Vec<u8>>());
    let Some(mut decoder) = coding.decoder() else { return &[] };
    let (mut rest, mut made) = (text.as_slice(), Plain::from(vec![0; STEP_BYTES]));
    loop {
        let step = decoder.step(rest, made.as_mut_slice());
        into.append(&made.as_slice()[..step.made]);
        rest = &rest[step.read..];
        if step.stop.is_some() || step.read == 0 && step.made == 0 {
            break;
        }
    }
    if is_quoted { &[Decoding::QuotedPrintable] } else { &[Decoding::Base64] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let cases: &[(&str, Option<&str>)] = &[
            ("plain", None),
            ("=?", None),
            ("=?utf-8?X?a?=", None),
            ("=?utf-8?Q?251248=2D9996?=", Some("251248-9996")),
            ("re: =?iso-8859-1?q?a_b?= and", Some("re: a b and")),
            ("=?utf-8?B?MjUxMjQ4?=\t =?utf-8?b?LTk5OTY=?=", Some("251248-9996")),
            ("=?utf-8?B?MjUxMjQ4?= x =?utf-8?b?LTk5OTY=?=", Some("251248 x -9996")),
            ("=?a =?utf-8?Q?b?=", Some("=?a b")),
        ];
        for (value, expected) in cases {
            let found = decoded(value.as_bytes());
            assert_eq!(found.as_ref().and_then(|(plain, _)| plain.as_str()), *expected, "{value}");
        }
    }
}
