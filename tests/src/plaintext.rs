//! Searches what a program wrote for numbers in readable form.
//!
//! Forms: ten digits, six-four with a hyphen, and of both the hexadecimal form in either case and the
//! base64 form at each of the three alignments, in the standard and the URL alphabet.
//!
//! *Not here*: hashes and encryption. A keyed pseudonym is not readable.

use std::fs;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// A readable number. It says where, in which form and which of the numbers, never the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of the haystack.
    pub place: String,
    /// Byte offset of its first character.
    pub offset: usize,
    /// Index into the numbers that were searched for.
    pub number: usize,
    /// `digits`, `hyphen`, `hex`, or `base64`.
    pub form: &'static str,
}

/// Every place in the named `haystacks` where one of `numbers` (ten digits each) can be read.
///
/// # Panics
/// Never for fewer than a million numbers: the search automaton has room.
#[must_use]
pub fn search<'text>(
    haystacks: impl IntoIterator<Item = (&'text str, &'text [u8])>,
    numbers: &[String],
) -> Vec<Finding> {
    let forms: Vec<(usize, &'static str, Vec<u8>)> = numbers
        .iter()
        .enumerate()
        .flat_map(|(index, digits)| forms(digits).into_iter().map(move |(form, text)| (index, form, text)))
        .collect();
    let automaton = AhoCorasick::new(forms.iter().map(|(_, _, text)| text)).expect("the automaton has room");
    let mut findings = Vec::new();
    for (place, haystack) in haystacks {
        for found in automaton.find_overlapping_iter(haystack) {
            let (number, form, _) = forms[found.pattern().as_usize()];
            findings.push(Finding { place: place.to_owned(), offset: found.start(), number, form });
        }
    }
    findings
}

/// Reads every file below `folders`, to be searched.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn files_below(folders: &[&Path]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        let about = || format!("reading {}", path.display());
        if path.is_dir() {
            for entry in fs::read_dir(&path).with_context(about)? {
                waiting.push(entry?.path());
            }
        } else if path.is_file() {
            files.push((path.display().to_string(), fs::read(&path).with_context(about)?));
        }
    }
    Ok(files)
}

fn forms(digits: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hyphen = format!("{}-{}", &digits[..6], &digits[6..]);
    let mut forms = vec![("digits", digits.into()), ("hyphen", hyphen.clone().into())];
    for text in [digits, &hyphen] {
        forms.push(("hex", HEXLOWER.encode(text.as_bytes()).into()));
        forms.push(("hex", HEXUPPER.encode(text.as_bytes()).into()));
        for phase in 0..3 {
            forms.push(("base64", inner_base64(&BASE64_NOPAD, text, phase)));
            forms.push(("base64", inner_base64(&BASE64URL_NOPAD, text, phase)));
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The base64 characters that `text` alone decides when `phase` bytes stand before it in its group.
fn inner_base64(alphabet: &data_encoding::Encoding, text: &str, phase: usize) -> Vec<u8> {
    let mut bytes = vec![0; phase];
    bytes.extend(text.as_bytes());
    let first = (phase * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    alphabet.encode(&bytes).as_bytes()[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MedCom's test person.
    const NUMBER: &str = "2512489996";

    fn check(haystack: &str, expected: &[&str]) {
        let found = search([("here", haystack.as_bytes())], &["0101010000".to_owned(), NUMBER.to_owned()]);
        let forms: Vec<&str> = found.iter().map(|finding| finding.form).collect();
        assert_eq!(forms, expected, "{haystack}");
        assert!(found.iter().all(|finding| finding.number == 1));
    }

    #[test]
    fn each_form_is_found_and_nothing_else() {
        check("x2512489996y", &["digits"]);
        check("251248-9996", &["hyphen"]);
        check(&HEXUPPER.encode(b"a251248-9996"), &["hex"]);
        check(&HEXLOWER.encode(NUMBER.as_bytes()), &["hex"]);
        check("251248 9996 xxxxxx-xxxx 2512489995", &[]);
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        for before in ["", "a", "ab", "abc", "abcd"] {
            for after in ["", "z", "zz"] {
                check(&BASE64_NOPAD.encode(format!("{before}{NUMBER}{after}").as_bytes()), &["base64"]);
                check(&BASE64_NOPAD.encode(format!("{before}251248-9996{after}").as_bytes()), &["base64"]);
            }
        }
    }
}
