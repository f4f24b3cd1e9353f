//! What files of TLS libraries are called: the one list for the probes, their order, and `doctor`.
//!
//! *Not here*: whether a file has functions to probe; its symbols tell, whatever it is called.

/// A library that programs share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SharedLibrary {
    /// OpenSSL, and what stands in for it: LibreSSL, BoringSSL.
    OpenSsl,
    /// GnuTLS.
    GnuTls,
    /// NSS: the part of it that speaks TLS.
    Nss,
}

impl SharedLibrary {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenSsl, Self::GnuTls, Self::Nss];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenSsl => "OpenSSL",
            Self::GnuTls => "GnuTLS",
            Self::Nss => "NSS",
        }
    }

    /// The library whose name this file has, wherever it lies.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with("libssl3.so") {
            return Some(Self::Nss);
        }
        let known = [("libssl", Self::OpenSsl), ("libgnutls", Self::GnuTls)];
        let (rest, library) =
            known.into_iter().find_map(|(stem, library)| Some((name.strip_prefix(stem)?, library)))?;
        is_suffix(rest).then_some(library)
    }
}

/// `.so` and a version; before it the hash that Python's wheels give a library of their own.
fn is_suffix(rest: &str) -> bool {
    let without_hash = rest
        .strip_prefix('-')
        .map_or(rest, |hash| hash.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()));
    without_hash.strip_prefix(".so").is_some_and(|version| version.is_empty() || version.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_the_name_of_its_file() {
        use SharedLibrary::{GnuTls, Nss, OpenSsl};
        for (path, expected) in [
            ("/usr/lib/x86_64-linux-gnu/libssl.so.3", Some(OpenSsl)),
            ("libssl.so", Some(OpenSsl)),
            ("/opt/with space/libssl.so.1.1", Some(OpenSsl)),
            ("/srv/wheel.libs/libssl-81ffa89e.so.1.1", Some(OpenSsl)),
            ("/usr/lib/libgnutls.so.30.34.3", Some(GnuTls)),
            ("/srv/wheel.libs/libgnutls-7c2a1b90.so.30", Some(GnuTls)),
            ("/usr/lib/firefox/libssl3.so", Some(Nss)),
            ("/usr/lib/libgnutls-dane.so.0", None),
            ("/usr/lib/libgnutls-openssl.so.27", None),
            ("/usr/lib/libcrypto.so.3", None),
            ("/usr/share/doc/libssl.sources", None),
            ("/opt/libssl.so/bin/tool", None),
            ("libssl", None),
            ("", None),
        ] {
            assert_eq!(SharedLibrary::of(path), expected, "{path}");
        }
    }
}
