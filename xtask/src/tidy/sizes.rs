//! Sizes: functions, files, crate roots.

use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, Signature};

use super::finding::{Finding, Rule};
use super::source::{Source, line};

/// Lines from a function's signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of a crate root without its tests.
const ROOT_LINES_MAX: usize = 100;

const FUNCTION: Rule = Rule {
    name: "function-size",
    why: "A function is read as one thought; 6 to 10 lines are typical, 70 the most",
    fix: "give its steps names of their own",
};
const FILE: Rule = Rule {
    name: "file-size",
    why: "A file near 100 to 300 lines can be held in the head; 500 without tests is the most",
    fix: "split it by noun",
};
const ROOT: Rule = Rule {
    name: "root-size",
    why: "A crate root is a table of contents, at most 100 lines",
    fix: "move code into modules",
};

/// All size rules.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut functions = Functions { source, findings: Vec::new() };
    functions.visit_file(&source.ast);
    let mut findings = functions.findings;
    let lines = source.lines_without_tests();
    let mut at_most = |most, rule| {
        if lines > most {
            findings.push(Finding::new(&source.path, 1, rule, format!("{lines} lines without tests")));
        }
    };
    if source.is_crate_root() {
        at_most(ROOT_LINES_MAX, ROOT);
    } else if !source.is_test_file() {
        at_most(FILE_LINES_MAX, FILE);
    }
    findings
}

struct Functions<'source> {
    source: &'source Source,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &Signature, block: &Block) {
        let lines = block.brace_token.span.close().end().line - line(signature) + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("`{}` has {lines} lines", signature.ident);
            self.findings.push(Finding::new(&self.source.path, line(signature), FUNCTION, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rules(path: &str, text: &str, expected: &[&str]) {
        let source = Source::parse(path, text).unwrap();
        let rules: Vec<_> = check(&source).iter().map(Finding::rule).collect();
        assert_eq!(rules, expected, "{path}");
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn long_functions_are_found() {
        check_rules("a/src/b.rs", &function(70), &[]);
        check_rules("a/src/b.rs", &function(71), &["function-size"]);
        check_rules("a/src/b.rs", &format!("struct S;\nimpl S {{\n{}}}\n", function(71)), &["function-size"]);
    }

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let items = "struct S;\n".repeat(500);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const C: u8 = 0;\n".repeat(90));
        check_rules("a/src/b.rs", &items, &[]);
        check_rules("a/src/b.rs", &format!("{items}struct S;\n"), &["file-size"]);
        check_rules("a/src/b.rs", &format!("{items}{tests}"), &[]);
        check_rules("tests/tests/b.rs", &format!("{items}struct S;\n"), &[]);
        check_rules("a/src/lib.rs", &"struct S;\n".repeat(101), &["root-size"]);
        check_rules("a/src/lib.rs", &format!("{}{tests}", "struct S;\n".repeat(100)), &[]);
    }
}
