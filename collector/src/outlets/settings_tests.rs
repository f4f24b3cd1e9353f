//! Names, addresses and secrets that are taken and refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn webhook(name: &str, url: &str, secret_file: &Path) -> WebhookOutlet {
    WebhookOutlet {
        name: name.to_owned(),
        url: url.to_owned(),
        secret_file: secret_file.to_owned(),
        ca_file: None,
    }
}

fn settings(names: &[&str]) -> OutletSettings {
    let webhooks = names.iter().map(|name| webhook(name, "", Path::new(""))).collect();
    OutletSettings { file: None, webhooks, quiet: Duration::ZERO }
}

#[test]
fn names() {
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let cases: [(&[&str], bool); 9] = [
        (&[], true),
        (&["soc", "siem-2", "a_b"], true),
        (&["soc", "soc"], false),
        (&[""], false),
        (&[FILE_OUTLET], false),
        (&["SOC"], false),
        (&["a b"], false),
        (&["å"], false),
        (&[&long], false),
    ];
    for (names, fits) in cases {
        assert_eq!(settings(names).check().is_ok(), fits, "{names:?}");
    }
    let many: Vec<String> = (0..=OUTLETS_MAX).map(|number| format!("n{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(settings(&many[1..]).check().is_ok());
    assert!(matches!(settings(&many).check(), Err(OutletError::TooMany(17))));
}

#[test]
fn addresses() {
    let cases = [
        ("https://soc.example/hook?x=1", true),
        ("https://10.0.0.1:8443/", true),
        ("http://127.0.0.1:9000/hook", true),
        ("http://127.9.9.9/", true),
        ("http://[::1]:9000/", true),
        ("http://localhost:9000/", false),
        ("http://soc.example/", false),
        ("http://127.0.0.1.soc.example/", false),
        ("http://10.0.0.1/", false),
        ("ftp://127.0.0.1/", false),
        ("/hook", false),
        ("soc.example", false),
        ("https://user:word@soc.example/", false),
        ("", false),
    ];
    for (url, fits) in cases {
        assert_eq!(webhook("soc", url, Path::new("")).address().is_ok(), fits, "{url}");
    }
}

#[test]
fn secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let read = |content: &[u8], mode: u32| {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        webhook("soc", "", &path).secret()
    };
    assert_eq!(**read(b"0123456789abcdef\r\n", 0o600).as_ref().unwrap(), b"0123456789abcdef");
    assert_eq!(read(&[b'x'; SECRET_BYTES_MAX], 0o400).unwrap().len(), SECRET_BYTES_MAX);
    for mode in [0o640, 0o604, 0o660, 0o610] {
        let refused = read(b"0123456789abcdef", mode);
        assert!(matches!(refused, Err(OutletError::Exposed { mode: told, .. }) if told == mode), "{mode:o}");
    }
    for content in [&b""[..], b"0123456789abcde\n", &[b'x'; SECRET_BYTES_MAX + 1]] {
        assert!(matches!(read(content, 0o600), Err(OutletError::SecretLength { .. })));
    }
    let missing = webhook("soc", "", &dir.path().join("none")).secret();
    assert!(matches!(missing, Err(OutletError::Unreadable { .. })));
}

#[test]
fn an_address_is_not_printed() {
    let shown = format!("{:?}", webhook("soc", "https://soc.example/token-in-path", Path::new("s")));
    assert!(shown.contains("soc") && !shown.contains("token-in-path"), "{shown}");
}
