//! Names: modules that say nothing, and kernel names that the kernel would cut.

use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ItemFn, ItemMod, ItemStatic};

use super::finding::{Finding, Rule};
use super::source::{Source, line};

const SAYS_NOTHING: [&str; 9] =
    ["common", "helper", "helpers", "manager", "misc", "shared", "types", "util", "utils"];

/// Attributes of aya-ebpf that make a function a program.
const PROGRAMS: [&str; 24] = [
    "btf_tracepoint",
    "cgroup_device",
    "cgroup_skb",
    "cgroup_sock",
    "cgroup_sock_addr",
    "cgroup_sockopt",
    "cgroup_sysctl",
    "classifier",
    "fentry",
    "fexit",
    "flow_dissector",
    "kprobe",
    "kretprobe",
    "lsm",
    "perf_event",
    "raw_tracepoint",
    "sk_lookup",
    "sk_msg",
    "sock_ops",
    "socket_filter",
    "tracepoint",
    "uprobe",
    "uretprobe",
    "xdp",
];

/// `BPF_OBJ_NAME_LEN` (include/uapi/linux/bpf.h) is 16 with its closing zero.
const KERNEL_NAME_BYTES_MAX: usize = 15;

const MODULE: Rule = Rule {
    name: "module-name",
    why: "A module is a noun of the domain; a name that fits everything collects everything",
    fix: "name it after what it holds",
};
const KERNEL: Rule = Rule {
    name: "kernel-name",
    why: "The kernel keeps 15 bytes of a program's or map's name, and tools show those",
    fix: "shorten it",
};

/// All rules on names.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut names = Names { source, findings: Vec::new() };
    let path = Path::new(&source.path);
    let file = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let name = if file == "mod" { folder } else { file };
    if SAYS_NOTHING.contains(&name) {
        names.findings.push(Finding::new(&source.path, 1, MODULE, format!("`{name}` is a banned name")));
    }
    names.visit_file(&source.ast);
    names.findings
}

struct Names<'source> {
    source: &'source Source,
    findings: Vec<Finding>,
}

impl Names<'_> {
    fn kernel_name(&mut self, ident: &Ident) {
        let name = ident.to_string();
        if name.len() > KERNEL_NAME_BYTES_MAX && self.source.is_in(&["ebpf/"]) {
            let what = format!("`{name}` has {} bytes", name.len());
            self.findings.push(Finding::new(&self.source.path, line(ident), KERNEL, what));
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // A file's module is judged where the file is; here only those written inline.
        if item.content.is_some() && SAYS_NOTHING.iter().any(|name| item.ident == name) {
            let what = format!("`{}` is a banned name", item.ident);
            self.findings.push(Finding::new(&self.source.path, line(item), MODULE, what));
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if item.attrs.iter().any(|attribute| PROGRAMS.iter().any(|name| attribute.path().is_ident(name))) {
            self.kernel_name(&item.sig.ident);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast ItemStatic) {
        let is_map = |attribute: &Attribute| attribute.path().is_ident("map");
        if item.attrs.iter().any(is_map) {
            self.kernel_name(&item.ident);
        }
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
    fn modules_that_say_nothing_are_found() {
        check_rules("a/src/flow.rs", "mod inner {}", &[]);
        check_rules("a/src/utils.rs", "", &["module-name"]);
        check_rules("a/src/common/mod.rs", "", &["module-name"]);
        check_rules("a/src/flow.rs", "mod helpers { fn f() {} }", &["module-name"]);
    }

    #[test]
    fn long_kernel_names_are_found() {
        check_rules("ebpf/src/a.rs", "#[map]\nstatic FIFTEEN_BYTES_X: u8 = 0;", &[]);
        check_rules("ebpf/src/a.rs", "#[map]\nstatic SIXTEEN_BYTES_XX: u8 = 0;", &["kernel-name"]);
        check_rules("ebpf/src/a.rs", "#[cgroup_skb]\npub fn sixteen_bytes_xx() {}", &["kernel-name"]);
        check_rules("ebpf/src/a.rs", "fn an_ordinary_function() {}", &[]);
        check_rules("agent/src/a.rs", "#[map]\nstatic SIXTEEN_BYTES_XX: u8 = 0;", &[]);
    }
}
