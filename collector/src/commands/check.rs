//! `cprvagt-collector check`: is the configuration valid, and what does it do?

use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Failure;
use crate::cli::Exit;
use crate::config::{Config, DEFAULT_PATH};
use crate::listener::{Certificate, Renewal, Source};
use crate::outlets;
use crate::serve::outlet_settings;

/// Checks the file named on the command line, else the default one, and tells what it says.
///
/// # Errors
/// The configuration, or a file that it names, is not valid.
pub(super) fn run(named: Option<&Path>, out: &mut impl Write) -> Result<(), Failure> {
    let (config, path) = Config::find(named)?;
    if let Some(files) = config.agents.certificate.clone() {
        Certificate::load(Source::FilesWithAuthority(files), Renewal::default())?;
    }
    if let Some(files) = config.web.certificate.clone() {
        Certificate::load(Source::Files(files), Renewal::default())?;
    }
    certificate_modes(&config)?;
    outlets::check(&outlet_settings(&config))?;
    match path {
        Some(path) => writeln!(out, "config: {}: ok", path.display())?,
        None => writeln!(out, "config: {DEFAULT_PATH}: no such file; the built-in defaults hold")?,
    }
    for line in told(&config) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Looks at who may read the keys and write the certificates that are given. A group may: certificates are often
/// renewed by one user and shown by several.
///
/// # Errors
/// A file that everybody may read or write, or that is not there.
pub(super) fn certificate_modes(config: &Config) -> Result<(), Failure> {
    for files in [&config.agents.certificate, &config.web.certificate].into_iter().flatten() {
        refuse_mode(&files.certificate, 0o002, "everybody may write to it", "o-w")?;
        refuse_mode(&files.key, 0o007, "everybody may read or write this private key", "o=")?;
    }
    Ok(())
}

fn refuse_mode(path: &Path, refused: u32, what: &str, remedy: &str) -> Result<(), Failure> {
    let failed = |text: String| Failure::new(Exit::Config, format!("{}: {text}", path.display()));
    let mode = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.mode() & 0o7777;
    match mode & refused {
        0 => Ok(()),
        _ => Err(failed(format!("mode {mode:04o}: {what}; run: chmod {remedy} {}", path.display()))),
    }
}

/// What the configuration means, a line each.
fn told(config: &Config) -> Vec<String> {
    let names: Vec<_> = config.agents.names.iter().map(|name| name.to_str()).collect();
    let shown = match &config.agents.certificate {
        Some(files) => format!("the certificate {}", files.certificate.display()),
        None => format!("a certificate of the embedded authority for {}", names.join(", ")),
    };
    let web = if config.web.certificate.is_some() { "https" } else { "http, loopback only" };
    let mut lines = vec![
        format!("data in {}", config.data_dir.display()),
        format!("agents at {}, with {shown}", config.agents.listen),
        format!("web at {} ({web})", config.web.listen),
    ];
    lines.extend(config.outlets.file.iter().map(|path| format!("outlet file: {}", path.display())));
    lines.extend(config.outlets.webhooks.iter().map(|webhook| format!("outlet {}: a webhook", webhook.name)));
    if lines.len() == 3 {
        lines.push("no outlets: incidents are shown on the pages and told to nobody".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collector.toml");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let told = run(Some(&path), &mut out).map(|()| String::from_utf8(out).unwrap());
        let plain = |text: String| text.replace(&path.display().to_string(), "FILE");
        told.map(plain).map_err(|failure| plain(failure.to_string()))
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let expected = "config: FILE: ok\n  data in /var/lib/cprvagt-collector\n  agents at 127.0.0.1:8443, with a \
            certificate of the embedded authority for localhost\n  web at 127.0.0.1:8080 (http, loopback only)\n  \
            no outlets: incidents are shown on the pages and told to nobody\n";
        assert_eq!(check("").unwrap(), expected);
    }

    #[test]
    fn what_it_names_is_looked_at() {
        let error = check("[web]\ncertificate='/nowhere/c'\nkey='/nowhere/k'\n").unwrap_err();
        assert!(error.starts_with("/nowhere/c: "), "{error}");
        let error = check("[web]\nlisten='0.0.0.0:1'\n").unwrap_err();
        assert!(error.starts_with("config: FILE:2:8: 0.0.0.0:1 is not loopback"), "{error}");
    }
}
