//! Where Debian's packages come from: the addresses that this machine's own apt uses.
//!
//! *Not here*: any address. A machine with a mirror of its own uses that for virtual machines too.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::refusal::{MISSING, refuse};

/// Keys of Debian's releases, where its packages put them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// The addresses of Debian's archive and of its security updates, and the keys that sign them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    main: String,
    security: String,
    keyring: String,
}

impl Archive {
    /// Reads this machine's own sources.
    ///
    /// # Errors
    /// With exit code 4 when they name no archive of Debian.
    pub fn of_this_machine() -> Result<Self> {
        let keyring = KEYRINGS.iter().find(|file| Path::new(file).exists());
        let (Some(keyring), Some((main, security))) = (keyring, addresses(&read_sources()?)) else {
            return refuse(
                MISSING,
                "vm: apt's sources name no Debian archive, or debian-archive-keyring is not installed; \
                 Debian 12 or later is needed",
            );
        };
        Ok(Self { main, security, keyring: (*keyring).to_owned() })
    }

    /// The line of sources.list for `suite`.
    #[must_use]
    pub fn line(&self, suite: &str) -> String {
        let address = if suite.ends_with("-security") { &self.security } else { &self.main };
        format!("deb [signed-by={}] {address} {suite} main", self.keyring)
    }
}

/// An address and the suites it is used for.
type Source = (String, Vec<String>);

fn read_sources() -> Result<Vec<Source>> {
    let mut sources = one_line(&fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
    let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") else { return Ok(sources) };
    let mut files: Vec<_> = parts.flatten().map(|part| part.path()).collect();
    files.sort();
    for file in files {
        let read = || fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()));
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line(&read()?)),
            Some("sources") => sources.extend(deb822(&read()?)),
            _ => {}
        }
    }
    Ok(sources)
}

/// The addresses of archive and security updates.
fn addresses(sources: &[Source]) -> Option<(String, String)> {
    const SUITES: [&str; 9] =
        ["bullseye", "bookworm", "trixie", "forky", "oldoldstable", "oldstable", "stable", "testing", "sid"];
    let with = |wanted: &dyn Fn(&str) -> bool| {
        let source = sources.iter().find(|(_, suites)| suites.iter().any(|suite| wanted(suite)))?;
        Some(source.0.trim_end_matches('/').to_owned())
    };
    let main = with(&|suite| SUITES.contains(&suite))?;
    let security = with(&|suite| suite.ends_with("-security")).unwrap_or_else(|| format!("{main}-security"));
    Some((main, security))
}

/// sources.list(5), one-line style: `deb [options] address suite component...`.
fn one_line(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = rest.strip_prefix('[').map_or(Some(rest), |it| Some(it.split_once(']')?.1))?;
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some((words.next()?, vec![words.next()?]))
    };
    text.lines().filter_map(source).collect()
}

/// sources.list(5), deb822 style: stanzas of `Field: value`, with continued lines indented.
fn deb822(text: &str) -> Vec<Source> {
    let mut stanzas: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let stanza = stanzas.last_mut().expect("there is always one");
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push_str(line);
            }
        } else if let Some((field, value)) = line.split_once(':') {
            stanza.push((field.to_ascii_lowercase(), value.to_owned()));
        }
    }
    stanzas.iter().flat_map(|stanza| of_stanza(stanza)).collect()
}

fn of_stanza(stanza: &[(String, String)]) -> Vec<Source> {
    let words = |name: &str| -> Vec<String> {
        let value = stanza.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
        value.split_whitespace().map(str::to_owned).collect()
    };
    let enabled = words("enabled").first().is_none_or(|value| value != "no");
    if !enabled || !words("types").contains(&"deb".to_owned()) {
        return Vec::new();
    }
    words("uris").into_iter().map(|address| (address, words("suites"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: Vec<Source>, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(main, security)| (main.to_owned(), security.to_owned()));
        assert_eq!(addresses(&sources), expected, "{sources:?}");
    }

    #[test]
    fn one_line_sources() {
        check(
            one_line(
                "# deb http://wrong.example/debian bookworm main\n\
                 deb-src http://wrong.example/debian bookworm main\n\
                 deb http://other.example/tools tools main\n\
                 deb [arch=amd64 signed-by=/k] http://mirror.example/debian/ bookworm main contrib\n\
                 deb http://mirror.example/safe bookworm-security main\n",
            ),
            Some(("http://mirror.example/debian", "http://mirror.example/safe")),
        );
        check(one_line("deb http://m.example/d trixie main\n"), {
            Some(("http://m.example/d", "http://m.example/d-security"))
        });
        check(one_line("deb http://ubuntu.example/ubuntu noble main\n"), None);
    }

    #[test]
    fn deb822_sources() {
        let text = "Types: deb deb-src\n# a remark\nURIs: http://m.example/debian\n\
                    Suites:\n bookworm\n bookworm-updates\nComponents: main\nSigned-By:\n -----BEGIN\n\n\
                    Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\n";
        check(deb822(text), Some(("http://m.example/debian", "http://s.example/debian-security")));
        let off = "Enabled: no\nTypes: deb\nURIs: http://m.example/debian\nSuites: bookworm\n";
        check(deb822(off), None);
        let sources_alone = "Types: deb-src\nURIs: http://m.example/debian\nSuites: bookworm\n";
        check(deb822(sources_alone), None);
    }

    #[test]
    fn security_suites_have_their_own_address() {
        let archive = Archive {
            main: "http://m.example/debian".into(),
            security: "http://s.example/debian".into(),
            keyring: "/k".into(),
        };
        assert_eq!(
            archive.line("trixie-backports"),
            "deb [signed-by=/k] http://m.example/debian trixie-backports main"
        );
        assert_eq!(
            archive.line("bookworm-security"),
            "deb [signed-by=/k] http://s.example/debian bookworm-security main"
        );
    }
}
