//! Dead files: a Rust file that no module declaration leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use syn::{Expr, Item, ItemMod, Lit, Meta};

use super::finding::{Finding, Rule};
use super::source::Source;

const DEAD: Rule = Rule {
    name: "dead-file",
    why: "A file that no `mod` leads to is not compiled, and is read in vain",
    fix: "declare it or delete it",
};

/// Follows all module declarations from all crate roots.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let by_path: BTreeMap<PathBuf, &Source> =
        sources.iter().map(|source| (PathBuf::from(&source.path), source)).collect();
    let mut reached = BTreeSet::new();
    for (path, source) in by_path.iter().filter(|(path, _)| is_root(path)) {
        let folder = path.parent().unwrap_or(Path::new(""));
        reached.insert(path.clone());
        follow(&source.ast.items, folder, folder, &by_path, &mut reached);
    }
    let dead = by_path.keys().filter(|path| !reached.contains(*path));
    dead.map(|path| Finding::new(&path.display().to_string(), 1, DEAD, "no `mod` leads here")).collect()
}

/// What cargo compiles by itself: src/lib.rs, src/main.rs, src/bin/*.rs, tests/*.rs, benches, examples, build.rs,
/// and the targets of a fuzz folder.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folders: Vec<&str> = path.iter().rev().skip(1).filter_map(|part| part.to_str()).collect();
    match folders.first().copied() {
        Some("src") => name == "lib.rs" || name == "main.rs",
        Some("bin") => folders.get(1) == Some(&"src"),
        Some("tests" | "benches" | "examples") => !folders.contains(&"src"),
        Some("fuzz_targets") => true,
        _ => name == "build.rs",
    }
}

/// `folder` is where this file's modules lie, `beside` where the file itself lies.
fn follow(
    items: &[Item],
    folder: &Path,
    beside: &Path,
    by_path: &BTreeMap<PathBuf, &Source>,
    reached: &mut BTreeSet<PathBuf>,
) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let name = module.ident.to_string();
        if let Some((_, inner)) = &module.content {
            follow(inner, &folder.join(&name), beside, by_path, reached);
            continue;
        }
        let candidates = match explicit_path(module) {
            Some(path) => vec![normal(&beside.join(path))],
            None => vec![folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")],
        };
        for candidate in candidates {
            let Some(source) = by_path.get(&candidate) else { continue };
            let own = candidate.parent().unwrap_or(Path::new("")).to_owned();
            let is_folder_file = candidate.file_name().is_some_and(|file| file == "mod.rs");
            let inner = if is_folder_file {
                own.clone()
            } else {
                own.join(candidate.file_stem().unwrap_or_default())
            };
            if reached.insert(candidate) {
                follow(&source.ast.items, &inner, &own, by_path, reached);
            }
        }
    }
}

/// The value of `#[path = "..."]`.
fn explicit_path(module: &ItemMod) -> Option<String> {
    module.attrs.iter().find_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(literal) = &pair.value else { return None };
        match &literal.lit {
            Lit::Str(text) if pair.path.is_ident("path") => Some(text.value()),
            _ => None,
        }
    })
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_dead(files: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::parse(path, text).unwrap()).collect();
        let found: Vec<String> = check(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (finding, path) in found.iter().zip(expected) {
            assert!(finding.starts_with(path), "{finding}");
        }
    }

    #[test]
    fn files_that_nothing_declares_are_found() {
        check_dead(
            &[
                (
                    "a/src/lib.rs",
                    "mod one;\nmod two;\n#[path = \"../odd.rs\"]\nmod odd;\nmod in_line { mod deep; }",
                ),
                ("a/src/one.rs", "mod inner;"),
                ("a/src/one/inner.rs", ""),
                ("a/src/two/mod.rs", "mod inner;"),
                ("a/src/two/inner.rs", ""),
                ("a/src/in_line/deep.rs", ""),
                ("a/odd.rs", ""),
                ("a/build.rs", ""),
                ("a/tests/live.rs", ""),
                ("a/src/dead.rs", ""),
                ("a/src/one/dead.rs", ""),
            ],
            &["a/src/dead.rs", "a/src/one/dead.rs"],
        );
    }
}
