//! Edges inside the code: who may use aya, serde, unsafe and unwrap.

use syn::visit::{self, Visit};
use syn::{
    Attribute, ExprMethodCall, ExprUnsafe, Ident, ItemExternCrate, ItemForeignMod, ItemImpl, Meta, Path,
    Safety, Signature, UseTree,
};

use super::finding::{Finding, Rule};
use super::source::{Source, line};

const AYA: Rule = Rule {
    name: "aya-edge",
    why: "Only `ebpf` and `agent::capture` know aya; everything after them runs without root",
    fix: "move this into agent/src/capture, or pass plain data out of it",
};
const SERDE: Rule = Rule {
    name: "serde-edge",
    why: "Serialisation lives at the edges (report, config modules), so that plaintext cannot be serialised",
    fix: "move the serialised form to `report` or a config module",
};
const UNSAFE: Rule = Rule {
    name: "unsafe-edge",
    why: "Unsafe code is confined to the kernel programs, agent/src/capture, agent/src/privacy.rs, the vector \
          operations of cpr, and what speaks to engines of other languages in bench",
    fix: "use a safe wrapper (nix, zerocopy)",
};
const FORBID: Rule = Rule {
    name: "forbid-unsafe",
    why: "A crate without unsafe code says so, and the compiler keeps it so",
    fix: "add `#![forbid(unsafe_code)]` to the crate root",
};
const NO_STD: Rule = Rule {
    name: "no-std",
    why: "`abi` runs in the kernel, and `cpr` asks for memory and nothing else: neither has a standard library",
    fix: "add `#![no_std]` to the crate root; `extern crate std` is for tests, under `#[cfg(test)]`",
};
const UNWRAP: Rule = Rule {
    name: "unwrap",
    why: "`unwrap` outside tests does not say why it cannot fail",
    fix: "return the error, or `expect` the invariant",
};

/// Where aya may be used; tests ask the kernel what is left of the agent.
const AYA_PLACES: [&str; 4] = ["ebpf/", "agent/src/capture", "agent/build.rs", "tests/tests/"];
/// Where serde may be used, beside files and folders named `config`: what crosses an edge of the agent, or goes
/// from one of its processes to another.
const SERDE_PLACES: [&str; 10] = [
    "crates/report/",
    "tests/",
    "xtask/",
    "collector/",
    "agent/src/bundle.rs",
    "agent/src/channel.rs",
    "agent/src/enrol/record.rs",
    "agent/src/process.rs",
    "agent/src/run/",
    "agent/src/send/protocol.rs",
];
/// Where unsafe code may be.
const UNSAFE_PLACES: [&str; 8] = [
    "ebpf/",
    "agent/src/capture",
    "agent/src/privacy.rs",
    "bench/src/rival/",
    "crates/cpr/src/find/avx2.rs",
    "crates/cpr/src/find/avx512.rs",
    "crates/cpr/src/find/neon.rs",
    "crates/cpr/tests/guard_page.rs",
];
/// Crates with unsafe code, which cannot forbid it.
const UNSAFE_CRATES: [&str; 4] = ["ebpf/", "agent/", "bench/", "crates/cpr/"];

/// Crates that work without the standard library.
const NO_STD_CRATES: [&str; 2] = ["crates/abi/src/", "crates/cpr/src/"];

/// All rules on edges.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut edges = Edges { source, findings: Vec::new() };
    edges.visit_file(&source.ast);
    let forbids = source.ast.attrs.iter().any(is_forbid_unsafe);
    if source.is_crate_root() && !source.is_in(&UNSAFE_CRATES) && !forbids {
        edges.find(1, FORBID, "the crate root does not forbid unsafe code");
    }
    let is_no_std = |attribute: &Attribute| attribute.path().is_ident("no_std");
    if source.is_crate_root() && source.is_in(&NO_STD_CRATES) && !source.ast.attrs.iter().any(is_no_std) {
        edges.find(1, NO_STD, "the crate root asks for the standard library");
    }
    edges.findings
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

fn is_forbid_unsafe(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("forbid") && list.tokens.to_string().contains("unsafe_code")
}

struct Edges<'source> {
    source: &'source Source,
    findings: Vec<Finding>,
}

impl Edges<'_> {
    fn find(&mut self, line: usize, rule: Rule, what: impl Into<String>) {
        self.findings.push(Finding::new(&self.source.path, line, rule, what));
    }

    /// The first name of a path or `use`.
    fn library(&mut self, ident: &Ident) {
        let name = ident.to_string();
        let is_aya = name == "aya" || name.starts_with("aya_");
        if is_aya && !self.source.is_in(&AYA_PLACES) {
            self.find(line(ident), AYA, format!("`{name}` is used"));
        }
        let is_config = self.source.path.contains("config");
        if name == "serde"
            && !is_config
            && !self.source.is_in(&SERDE_PLACES)
            && !self.source.in_tests(ident.span())
        {
            self.find(line(ident), SERDE, "`serde` is used");
        }
    }

    fn unsafe_at(&mut self, line: usize) {
        if !self.source.is_in(&UNSAFE_PLACES) {
            self.find(line, UNSAFE, "unsafe code");
        }
    }

    fn use_roots(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.library(&path.ident),
            UseTree::Name(name) => self.library(&name.ident),
            UseTree::Rename(rename) => self.library(&rename.ident),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_roots(tree)),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Edges<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_roots(&item.tree);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        // `serde(...)` alone is the derive macro's own attribute: it needs the derive, which is found.
        if path.segments.len() > 1 {
            self.library(&path.segments[0].ident);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_unsafe(&mut self, expression: &'ast ExprUnsafe) {
        self.unsafe_at(line(expression));
        visit::visit_expr_unsafe(self, expression);
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        if matches!(signature.safety, Safety::Unsafe(_)) {
            self.unsafe_at(line(signature));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if item.unsafety.is_some() {
            self.unsafe_at(line(item));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast ItemForeignMod) {
        self.unsafe_at(line(item));
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let is_std = item.ident == "std" && !item.attrs.iter().any(is_for_tests);
        if is_std && self.source.is_in(&NO_STD_CRATES) {
            self.find(line(item), NO_STD, "`std` outside tests");
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "unwrap" && !self.source.in_tests(call.method.span()) {
            self.find(line(&call.method), UNWRAP, "`.unwrap()` outside tests");
        }
        visit::visit_expr_method_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rules(path: &str, text: &str, expected: &[&str]) {
        let source = Source::parse(path, text).unwrap();
        let rules: Vec<_> = check(&source).iter().map(Finding::rule).collect();
        assert_eq!(rules, expected, "{path} {text}");
    }

    #[test]
    fn aya_and_serde_stay_at_their_edges() {
        check_rules("agent/src/capture/load.rs", "use aya::Ebpf;", &[]);
        check_rules("agent/src/judge.rs", "use aya::Ebpf;", &["aya-edge"]);
        check_rules("agent/src/judge.rs", "use {std::fs, aya_log::EbpfLogger};", &["aya-edge"]);
        check_rules("agent/src/judge.rs", "fn f() { aya::load(); }", &["aya-edge"]);
        check_rules("agent/src/config/allow.rs", "use serde::Deserialize;", &[]);
        check_rules("crates/report/src/leak.rs", "use serde::Serialize;", &[]);
        check_rules("agent/src/judge.rs", "#[derive(serde::Serialize)] struct S;", &[]);
        check_rules("agent/src/judge.rs", "use serde::Serialize;", &["serde-edge"]);
        check_rules("agent/src/judge.rs", "use serde_json::Value;", &[]);
    }

    #[test]
    fn unsafe_is_confined() {
        let unsafe_code = "fn f() { unsafe { g() } }";
        check_rules("ebpf/src/ring.rs", unsafe_code, &[]);
        check_rules("agent/src/privacy.rs", unsafe_code, &[]);
        check_rules("agent/src/judge.rs", unsafe_code, &["unsafe-edge"]);
        check_rules("crates/cpr/src/find/avx2.rs", unsafe_code, &[]);
        check_rules("crates/cpr/src/find/queue.rs", unsafe_code, &["unsafe-edge"]);
        check_rules("crates/abi/src/flow.rs", "unsafe impl Pod for Flow {}", &["unsafe-edge"]);
        check_rules("crates/stream/src/lib.rs", "mod flow;", &["forbid-unsafe"]);
        check_rules("crates/stream/src/lib.rs", "#![forbid(unsafe_code)]\nmod flow;", &[]);
        check_rules("agent/src/main.rs", "fn main() {}", &[]);
    }

    #[test]
    fn kernel_and_matcher_have_no_standard_library() {
        let std = "extern crate std;";
        check_rules("crates/cpr/src/lib.rs", "mod find;", &["no-std"]);
        check_rules("crates/cpr/src/lib.rs", "#![no_std]\nextern crate alloc;", &[]);
        check_rules("crates/cpr/src/lib.rs", &format!("#![no_std]\n#[cfg(test)]\n{std}"), &[]);
        check_rules("crates/cpr/src/lib.rs", &format!("#![no_std]\n#[cfg(unix)]\n{std}"), &["no-std"]);
        check_rules("crates/cpr/src/scan.rs", std, &["no-std"]);
        check_rules("crates/stream/src/a.rs", std, &[]);
    }

    #[test]
    fn unwrap_is_for_tests() {
        check_rules("agent/src/a.rs", "fn f() { g().unwrap(); }", &["unwrap"]);
        check_rules("agent/src/a.rs", "fn f() { g().expect(\"why\").unwrap_or(1); }", &[]);
        check_rules("agent/src/a.rs", "#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }", &[]);
        check_rules("tests/tests/a.rs", "fn f() { g().unwrap(); }", &[]);
    }
}
