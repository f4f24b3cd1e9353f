//! `tidy`: the rules of the house that a program can check.
//!
//! Each rule is a function from parsed sources or manifests to findings, with good and bad snippets as
//! its tests.  A finding says where, which rule, why the rule is there, and what to do.

mod arrows;
mod edges;
mod finding;
mod names;
mod reach;
mod sizes;
mod source;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;
use finding::Finding;
use source::Source;

/// Checks the whole workspace.
pub fn run() -> Result<()> {
    let tree = Tree::read(shell::root())?;
    let mut findings = tree.check()?;
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    println!("tidy: {} files are in order", tree.files.len());
    Ok(())
}

/// Every file of the workspace that people wrote: path from its root, and text.
struct Tree {
    files: Vec<(String, String)>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut waiting = vec![root.to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                let path = entry?.path();
                if path.is_dir() && !is_built_or_git(&path) {
                    waiting.push(path);
                } else if let Some(file) = text_file(root, &path) {
                    files.push(file);
                }
            }
        }
        Ok(Self { files })
    }

    fn check(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let mut sources = Vec::new();
        for (path, text) in &self.files {
            findings.extend(text::check(path, text));
            if path.ends_with(".rs") {
                sources.push(Source::parse(path, text).with_context(|| path.clone())?);
            }
        }
        for source in &sources {
            findings.extend(sizes::check(source));
            findings.extend(names::check(source));
            findings.extend(edges::check(source));
        }
        let manifests = self.files.iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
        for (path, text) in manifests {
            findings.extend(arrows::check(path, text)?);
        }
        findings.extend(reach::check(&sources));
        Ok(findings)
    }
}

/// Cargo marks its target folders with this file.
fn is_built_or_git(folder: &Path) -> bool {
    folder.join("CACHEDIR.TAG").exists() || folder.file_name().is_some_and(|name| name == ".git")
}

/// Files that are no text, and the lock file, which nobody writes, are left out.
fn text_file(root: &Path, path: &Path) -> Option<(String, String)> {
    let relative: PathBuf = path.strip_prefix(root).ok()?.to_owned();
    let name = relative.to_str()?.to_owned();
    if !path.is_file() || name == "Cargo.lock" {
        return None;
    }
    Some((name, fs::read_to_string(path).ok()?))
}
