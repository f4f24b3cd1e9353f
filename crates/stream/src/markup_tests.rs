//! Values of documents, whole and broken.

use super::*;

/// Field and content of each value, as it stands.
fn values(mut markup: Markup, text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut sink = |value: Value<'_>| {
        let content = String::from_utf8_lossy(&value.bytes[value.owned.clone()]).into_owned();
        if !content.is_empty() {
            found.push((value.field.unwrap_or("").to_owned(), content));
        }
    };
    let end = markup.run(text.as_bytes(), 0, (Mode::End, usize::MAX), &mut sink);
    assert_eq!(end, text.len());
    found
}

fn check(markup: Markup, text: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(field, value)| ((*field).into(), (*value).into())).collect();
    assert_eq!(values(markup, text), expected, "{text}");
}

#[test]
fn paths_of_xml() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("<a><b>1</b><c>2</c></a>", &[("a.b", "1"), ("a.c", "2")]),
        ("<a>x<b/>y</a>z", &[("a", "x"), ("a", "y"), ("", "z")]),
        ("<?xml version=\"1.0\"?>\n<p:a\n>\n 1 \n</p:a>", &[("p:a", "1")]),
        ("<a b=\"c\" d='e>f'><g h = \"i\"/></a>", &[("a.b", "c"), ("a.d", "e>f"), ("a.g.h", "i")]),
        ("<f name=\"cpr\" value=\"1\"/>", &[("f.name", "cpr"), ("f.cpr", "1")]),
        ("<a><![CDATA[<b>1 & 2</b>]]></a>", &[("a", "<b>1 & 2</b>")]),
        ("<a><!-- c <d> --></a>", &[("a", "c <d>")]),
        ("<!DOCTYPE a><a>1</a>", &[("a", "1")]),
    ];
    for (text, expected) in cases {
        check(Markup::xml(), text, expected);
    }
}

#[test]
fn html() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("<!doctype html><p>1<br>2<p title=t>3", &[("", "1"), ("", "2"), ("title", "t"), ("", "3")]),
        ("<input type=text name=\"cpr\" value=\"1\">", &[("type", "text"), ("name", "cpr"), ("cpr", "1")]),
        ("<input value=1 disabled>", &[("value", "1")]),
        (
            "<script src=\"s\">if (a<b && c>d) x()</SCRIPT><p>1",
            &[("src", "s"), ("", "if (a<b && c>d) x()"), ("", "1")],
        ),
        ("<script>\"</scr\" + \"ipt>\"", &[("", "\"</scr\" + \"ipt>\"")]),
        ("<a href=\"/p?a=1&amp;b=2\">it's</a>", &[("href", "/p?a=1&amp;b=2"), ("", "it's")]),
    ];
    for (text, expected) in cases {
        check(Markup::html(), text, expected);
    }
}

#[test]
fn tolerates_what_is_broken() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("<a>1 < 2 <3 <- 4</a>", &[("a", "1 < 2 <3 <- 4")]),
        ("<a>1", &[("a", "1")]),
        ("<a><b>1", &[("a.b", "1")]),
        ("</x></y><a>1", &[("a", "1")]),
        ("<a b=\"1", &[("a.b", "1")]),
        ("<a b=1", &[("a.b", "1")]),
        ("1<", &[("", "1")]),
        ("<!-- 1", &[("", "1")]),
        ("", &[]),
    ];
    for (text, expected) in cases {
        check(Markup::xml(), text, expected);
    }
}

#[test]
fn depth_is_bounded() {
    let text = format!("<o>{}deep{}<k>after</k></o>", "<k>".repeat(200), "</k>".repeat(200));
    let found = values(Markup::xml(), &text);
    assert_eq!(found[0].0.matches('k').count(), DEPTH_MAX - 1);
    assert_eq!(found[1], ("o.k".to_owned(), "after".to_owned()), "elements are counted to the end");
}
