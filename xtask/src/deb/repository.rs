//! A flat apt repository (sources.list(5)): packages, their list, and a signed list of lists, in one folder.
//!
//! *Invariants*: older packages that lie there stay and are listed. The lists are renamed into place when they are
//! whole and signed, so that a server can offer the folder meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// What apt shows of where a package is from, and what it is pinned by.
const ABOUT: [(&str, &str); 4] = [
    ("Origin", "cprvagt"),
    ("Label", "cprvagt"),
    ("Suite", "stable"),
    ("Description", "cprvagt: the agent and the collector"),
];

/// What the public key is called in the repository.
const PUBLIC_KEY: &str = "cprvagt.gpg";

/// Who signs.
pub struct Signer {
    /// The key: fingerprint or address.
    pub key: String,
    /// The folder in which gpg finds it; gpg's own when none.
    pub home: Option<PathBuf>,
}

impl Signer {
    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--yes"]);
        if let Some(home) = &self.home {
            gpg.arg("--homedir").arg(home);
        }
        gpg
    }
}

/// Adds the packages to the repository in `folder` and signs it.
///
/// # Errors
/// When a program is missing or fails, or gpg does not have the key.
pub fn publish(packages: &[PathBuf], folder: &Path, signer: &Signer) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for package in packages {
        let name = package.file_name().context("a package has a name")?;
        fs::copy(package, folder.join(name)).with_context(|| format!("copying {}", package.display()))?;
    }
    // Lists are made beside the packages, and looked at by nobody there.
    let lists = tempfile::tempdir_in(folder).context("making a folder for the lists")?;
    let list = said(Command::new("apt-ftparchive").args(["packages", "."]).current_dir(folder))?;
    ensure!(!list.is_empty(), "apt-ftparchive found no package");
    fs::write(lists.path().join("Packages"), &list)?;
    shell::run(Command::new("gzip").args(["-9", "--no-name", "--keep"]).arg(lists.path().join("Packages")))?;
    let mut release = Command::new("apt-ftparchive");
    release.args(ABOUT.map(|(name, value)| format!("-oAPT::FTPArchive::Release::{name}={value}")));
    release.arg("-oAPT::FTPArchive::Release::Architectures=amd64");
    let release = said(release.args(["release", "."]).current_dir(lists.path()))?;
    fs::write(lists.path().join("Release"), release)?;
    sign(lists.path(), signer)?;
    // InRelease last: it names the others by their hashes.
    for name in [PUBLIC_KEY, "Packages", "Packages.gz", "Release", "Release.gpg", "InRelease"] {
        fs::rename(lists.path().join(name), folder.join(name)).with_context(|| format!("placing {name}"))?;
    }
    Ok(())
}

/// Both ways that apt takes a signature, and the public key, for `signed-by` of who uses the repository.
fn sign(folder: &Path, signer: &Signer) -> Result<()> {
    for (way, file) in [("--clear-sign", "InRelease"), ("--detach-sign", "Release.gpg")] {
        let mut gpg = signer.gpg();
        gpg.args(["--local-user", &signer.key, "--armor", "--output", file, way, "Release"]);
        shell::run(gpg.current_dir(folder)).context("signing")?;
    }
    let mut gpg = signer.gpg();
    shell::run(gpg.args(["--output", PUBLIC_KEY, "--export", &signer.key]).current_dir(folder))
}

fn said(command: &mut Command) -> Result<Vec<u8>> {
    shell::announce(command);
    let output = command.output().context("starting it")?;
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use cprvagt_tests::live::{Need, can_run};
    use tempfile::TempDir;

    use super::*;

    const NEEDS: [Need<'static>; 4] = [
        Need::Program("apt-ftparchive"),
        Need::Program("apt-get"),
        Need::Program("dpkg-deb"),
        Need::Program("gpg"),
    ];
    const ADDRESS: &str = "packages@cprvagt.invalid";

    /// A key that is thrown away, and its agent with it.
    struct Keys(TempDir);

    impl Keys {
        fn new() -> Self {
            let keys = Self(tempfile::tempdir().unwrap());
            let mut gpg = keys.signer().gpg();
            gpg.args([
                "--quiet",
                "--passphrase",
                "",
                "--quick-generate-key",
                ADDRESS,
                "default",
                "sign",
                "1d",
            ]);
            shell::run(&mut gpg).unwrap();
            keys
        }

        fn signer(&self) -> Signer {
            Signer { key: ADDRESS.to_owned(), home: Some(self.0.path().to_owned()) }
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            let mut end = Command::new("gpgconf");
            let _ended_already =
                end.arg("--homedir").arg(self.0.path()).args(["--kill", "gpg-agent"]).status();
        }
    }

    fn package(folder: &Path, version: &str) -> PathBuf {
        let tree = folder.join(version);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: cprvagt-agent\nVersion: {version}\nArchitecture: amd64\n\
             Maintainer: Nobody <{ADDRESS}>\nDescription: nothing\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let file = folder.join(format!("cprvagt-agent_{version}_amd64.deb"));
        shell::run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).args([&tree, &file]))
            .unwrap();
        file
    }

    /// An apt that knows nothing but the repository.
    struct Apt(TempDir);

    impl Apt {
        fn of(repository: &Path) -> Self {
            let apt = Self(tempfile::tempdir().unwrap());
            for folder in ["lists/partial", "cache/archives/partial"] {
                fs::create_dir_all(apt.0.path().join(folder)).unwrap();
            }
            fs::write(apt.0.path().join("status"), "").unwrap();
            let line = format!("deb [signed-by={0}/{PUBLIC_KEY}] copy:{0} ./\n", repository.display());
            fs::write(apt.0.path().join("sources.list"), line).unwrap();
            apt
        }

        fn says(&self, arguments: &[&str]) -> Result<String> {
            let mut apt = Command::new("apt-get");
            for (key, name) in [
                ("Dir::State::Lists", "lists"),
                ("Dir::State::status", "status"),
                ("Dir::Cache", "cache"),
                ("Dir::Etc::SourceList", "sources.list"),
                ("Dir::Etc::SourceParts", "none"),
            ] {
                apt.arg("-o").arg(format!("{key}={}", self.0.path().join(name).display()));
            }
            // Not by apt's own user, who may not look into folders of ours.
            apt.args(["-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User=root"]);
            Ok(String::from_utf8(said(apt.args(arguments).current_dir(self.0.path()))?)?)
        }
    }

    #[test]
    fn apt_takes_what_was_signed_and_nothing_else() {
        if !can_run("apt_takes_what_was_signed_and_nothing_else", &NEEDS) {
            return;
        }
        let (keys, work) = (Keys::new(), tempfile::tempdir().unwrap());
        let folder = work.path().join("repository");
        publish(&[package(work.path(), "0.1.0-1")], &folder, &keys.signer()).unwrap();
        publish(&[package(work.path(), "0.2.0-1")], &folder, &keys.signer()).unwrap();
        let apt = Apt::of(&folder);
        apt.says(&["--error-on=any", "update"]).unwrap();
        for (wanted, version) in [("cprvagt-agent", "0.2.0-1"), ("cprvagt-agent=0.1.0-1", "0.1.0-1")] {
            apt.says(&["download", wanted]).unwrap();
            assert!(apt.0.path().join(format!("cprvagt-agent_{version}_amd64.deb")).is_file(), "{wanted}");
        }

        let list = folder.join("Packages");
        let changed = fs::read_to_string(&list).unwrap().replace("nothing", "another");
        fs::write(&list, changed).unwrap();
        fs::remove_file(folder.join("Packages.gz")).unwrap();
        let error = Apt::of(&folder).says(&["--error-on=any", "update"]).unwrap_err().to_string();
        assert!(error.contains("Hash Sum mismatch") || error.contains("unexpected size"), "{error}");
        let other = Keys::new();
        sign(&folder, &other.signer()).unwrap();
        let signed_by_other = Apt::of(&folder);
        fs::copy(apt_key(&keys, work.path()), folder.join(PUBLIC_KEY)).unwrap();
        signed_by_other.says(&["--error-on=any", "update"]).unwrap_err();
    }

    fn apt_key(keys: &Keys, folder: &Path) -> PathBuf {
        let file = folder.join("first.gpg");
        shell::run(keys.signer().gpg().arg("--output").arg(&file).args(["--export", ADDRESS])).unwrap();
        file
    }
}
