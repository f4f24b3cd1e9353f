//! The guests' root: a small Debian with the programs that tests run, as one read-only file.
//!
//! Its release is this machine's, where that is a Debian we know, because test programs built here run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use super::archive::Archive;
use super::cache::{Cache, Recipe};
use crate::refusal::{MISSING, refuse};
use crate::{setup, shell};

/// What a guest has beside Debian's essential packages and the programs of the tests: a library that tests load
/// themselves is among it.
const PACKAGES: [&str; 9] = [
    "busybox",
    "ca-certificates",
    "dbus",
    "kmod",
    "libcap2-bin",
    "libnss3",
    "procps",
    "systemd",
    "systemd-sysv",
];
/// What nobody reads in a guest.
const LEFT_OUT: [&str; 4] =
    ["/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*"];
/// Releases whose libc is the one that test programs are linked with.
const RELEASES: [&str; 2] = ["bookworm", "trixie"];

/// Builds the image, or takes the one that is there. `anew`: with the archive's packages of today.
///
/// # Errors
/// When a program fails, or with exit code 4 without root.
pub fn build(cache: &Cache, archive: &Archive, anew: bool) -> Result<PathBuf> {
    let release = release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let packages: Vec<&str> = PACKAGES.into_iter().chain(setup::program_packages()).collect();
    let recipe = Recipe::default().with("one").with(release).with(packages.join(","));
    let recipe = LEFT_OUT.iter().fold(recipe, |recipe, path| recipe.with(path));
    let make = |place: &Path| make(place, archive, release, &packages.join(","));
    let item = if anew { cache.renewed("root", recipe, make)? } else { cache.item("root", recipe, make)? };
    Ok(item.join("root.erofs"))
}

/// `VERSION_CODENAME` of os-release(5), when it is a release that we know.
fn release(about: &str) -> &'static str {
    let codename = about.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
    RELEASES.into_iter().find(|known| *known == codename).unwrap_or(RELEASES[0])
}

fn make(place: &Path, archive: &Archive, release: &str, packages: &str) -> Result<()> {
    if !geteuid().is_root() {
        return refuse(
            MISSING,
            "vm: making the guests' root image needs root; once it is there, running does not",
        );
    }
    eprintln!("vm: making the guests' root image of {release}; this takes about a minute");
    let root = place.join("root");
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap.args(["--quiet", "--variant=minbase", "--mode=root", "--format=directory"]);
    mmdebstrap.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    mmdebstrap.arg(format!("--include={packages}")).arg(release).arg(&root);
    mmdebstrap.args([archive.line(release), archive.line(&format!("{release}-security"))]);
    shell::run(&mut mmdebstrap)?;
    note_versions(&root, &place.join("packages.txt"))?;
    let mut pack = Command::new("mkfs.erofs");
    shell::run(pack.args(["-zlz4", "--quiet"]).arg(place.join("root.erofs")).arg(&root))?;
    fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))
}

/// Writes which version of each package the image holds.
fn note_versions(root: &Path, file: &Path) -> Result<()> {
    let output =
        Command::new("dpkg-query").arg("--show").arg("--admindir").arg(root.join("var/lib/dpkg")).output();
    fs::write(file, output.context("starting dpkg-query")?.stdout)
        .with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_this_machines_where_it_is_known() {
        for (about, expected) in [
            ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"),
            ("VERSION_CODENAME=bookworm", "bookworm"),
            ("VERSION_CODENAME=noble\n", "bookworm"),
            ("", "bookworm"),
        ] {
            assert_eq!(release(about), expected, "{about}");
        }
    }
}
