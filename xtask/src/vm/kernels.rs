//! Debian's cloud kernels, chosen by the beginning of their version.
//!
//! Versions vanish from Debian's suites as newer ones come. So nothing here names one: the newest with the prefix is
//! taken, and every result says exactly which it was.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::apt::Packages;
use super::archive::Archive;
use super::cache::{Cache, Recipe};
use crate::shell;

/// The prefixes that are run when none is named.
pub const MATRIX: [&str; 4] = ["5.10", "6.1", "6.12", NEWEST];
/// The prefix of whatever is newest.
pub const NEWEST: &str = "newest";

/// Where kernels of a prefix come from.
const SUITES: [(&str, &str); 3] =
    [("5.10", "bullseye-security"), ("6.1", "bookworm-security"), ("6.12", "bookworm-security")];
/// Where all others come from.
const SUITE_OF_OTHERS: &str = "trixie-backports";
/// The flavour for virtual machines: small, and with the drivers that these have.
const FLAVOUR: &str = "-cloud-amd64";
const ABOUT: &str = "kernel.json";

/// A kernel, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What it was chosen by.
    pub prefix: String,
    /// Which it is.
    pub package: Package,
    /// Holds `vmlinuz` and `lib/modules/RELEASE`.
    pub folder: PathBuf,
}

/// The package that a kernel comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Debian's suite.
    pub suite: String,
    /// The package's name.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// What `uname -r` says in the guest.
    pub release: String,
}

impl Kernel {
    /// The newest with that prefix; when the archive does not give it, the one that was used last.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(cache: &Cache, archive: &Archive, prefix: &str, update: bool) -> Result<Self> {
        Self::newest(cache, archive, prefix, update).or_else(|error| {
            let last = cache.items(&kind(prefix))?.into_iter().next();
            let Some(folder) = last else { return Err(error) };
            let kernel = Self::unpacked(prefix, folder)?;
            eprintln!("{error:#}");
            eprintln!("vm: kernel {prefix}: {} is used, which is there from before", kernel.package.version);
            Ok(kernel)
        })
    }

    fn newest(cache: &Cache, archive: &Archive, prefix: &str, update: bool) -> Result<Self> {
        let suite = suite_of(prefix);
        let packages = Packages::of(cache, archive, &[suite], update)?;
        let names = packages.names("linux-image-")?;
        let name = choose(&names, prefix)
            .with_context(|| format!("vm: {suite} has no cloud kernel whose version begins with {prefix}"))?;
        let version = packages.version(name)?;
        let recipe = Recipe::default().with("three").with(name).with(&version);
        let folder = cache.item(&kind(prefix), recipe, |place| {
            eprintln!("vm: kernel {prefix} is {name} {version}");
            packages.unpack(&parts(&packages, name)?, place)?;
            let package = |release| Package {
                suite: suite.to_owned(),
                name: name.to_owned(),
                version: version.clone(),
                release,
            };
            arrange(place, package)
        })?;
        Self::unpacked(prefix, folder)
    }

    fn unpacked(prefix: &str, folder: PathBuf) -> Result<Self> {
        let about = folder.join(ABOUT);
        let reading = || format!("reading {}", about.display());
        let package =
            serde_json::from_slice(&fs::read(&about).with_context(reading)?).with_context(reading)?;
        Ok(Self { prefix: prefix.to_owned(), package, folder })
    }

    /// The kernel itself.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }
}

fn kind(prefix: &str) -> String {
    format!("kernel-{prefix}")
}

fn suite_of(prefix: &str) -> &'static str {
    SUITES.iter().find(|(own, _)| *own == prefix).map_or(SUITE_OF_OTHERS, |(_, suite)| suite)
}

/// The name with the highest version that begins with `prefix`.
fn choose<'names>(names: &'names [String], prefix: &str) -> Option<&'names str> {
    let fits = |name: &&str| version_in(name).is_some_and(|version| begins_with(version, prefix));
    names.iter().map(String::as_str).filter(fits).max_by_key(|name| version_in(name).map(numbers))
}

/// `linux-image-VERSION-cloud-amd64`: the version. Release candidates are none.
fn version_in(name: &str) -> Option<&str> {
    let version = name.strip_prefix("linux-image-")?.strip_suffix(FLAVOUR)?;
    let is_version = version.starts_with(|first: char| first.is_ascii_digit()) && !version.contains("rc");
    is_version.then_some(version)
}

/// Whole numbers are compared: 6.12 does not begin with 6.1.
fn begins_with(version: &str, prefix: &str) -> bool {
    let rest = if prefix == NEWEST { Some("") } else { version.strip_prefix(prefix) };
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(|other: char| !other.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The packages that hold the kernel, its modules and their lists. From Debian's 7.x on linux-image is empty.
fn parts(packages: &Packages, image: &str) -> Result<Vec<String>> {
    let version = image.strip_prefix("linux-image-").expect("it was chosen by that");
    let split = ["linux-binary-", "linux-modules-", "linux-base-"].map(|part| format!("{part}{version}"));
    let there = packages.names(&split[0])?.contains(&split[0]);
    Ok(if there { split.to_vec() } else { vec![image.to_owned()] })
}

/// Makes of unpacked packages what [`Kernel`] promises.
fn arrange(place: &Path, package: impl FnOnce(String) -> Package) -> Result<()> {
    if !place.join("lib/modules").is_dir() && place.join("usr/lib/modules").is_dir() {
        symlink("usr/lib", place.join("lib")).context("pointing lib to usr/lib")?;
    }
    let modules = place.join("lib/modules");
    let mut releases = fs::read_dir(&modules).with_context(|| format!("reading {}", modules.display()))?;
    let release = releases.next().context("the package holds no modules")??;
    let release = release.file_name().to_string_lossy().into_owned();
    let images = [place.join(format!("boot/vmlinuz-{release}")), modules.join(&release).join("vmlinuz")];
    let image = images.iter().find(|file| file.is_file()).context("the package holds no kernel")?;
    fs::rename(image, place.join("vmlinuz")).context("naming the kernel")?;
    shell::run(Command::new("depmod").arg("--basedir").arg(place).arg(&release))?;
    let package = package(release);
    ensure!(!package.version.is_empty(), "the package has no version");
    fs::write(place.join(ABOUT), serde_json::to_vec_pretty(&package)?).context("writing what it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &str, expected: Option<&str>) {
        let names = [
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64",
            "linux-image-5.10.0-46-amd64",
            "linux-image-5.10.0-47-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-image-7.4~rc7-cloud-amd64",
            "linux-image-cloud-amd64",
            "linux-image-6.18.15+deb13-cloud-arm64",
        ];
        assert_eq!(choose(&names.map(str::to_owned), prefix), expected, "{prefix}");
    }

    #[test]
    fn the_newest_with_the_prefix_is_chosen() {
        check("5.10", Some("linux-image-5.10.0-46-cloud-amd64"));
        check("6.1", Some("linux-image-6.1.0-56-cloud-amd64"));
        check("6.12", Some("linux-image-6.12.117+deb12-cloud-amd64"));
        check("6", Some("linux-image-6.12.117+deb12-cloud-amd64"));
        check("6.12.9", Some("linux-image-6.12.9+deb12-cloud-amd64"));
        check(NEWEST, Some("linux-image-7.3.4+deb13-cloud-amd64"));
        check("6.18", None);
        check("4.19", None);
    }

    #[test]
    fn each_prefix_has_its_suite() {
        for (prefix, suite) in [("5.10", "bullseye-security"), (NEWEST, "trixie-backports")] {
            assert_eq!(suite_of(prefix), suite);
        }
        assert_eq!(suite_of("6.18"), "trixie-backports");
    }
}
