//! apt with a state of its own: other suites than this machine's, which stays as it is.
//!
//! *Limits*: lists are asked for again after [`LISTS_HOURS_MAX`] hours, or when told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::archive::Archive;
use super::cache::Cache;
use crate::shell;

/// How old the archive's lists may be.
const LISTS_HOURS_MAX: u64 = 24;

/// The packages of some suites.
pub struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Of these suites, with lists not older than a day; older ones when the archive cannot be reached.
    ///
    /// # Errors
    /// When the archive cannot be reached and was not before.
    pub fn of(cache: &Cache, archive: &Archive, suites: &[&str], update: bool) -> Result<Self> {
        let folder = cache.state(&suites.join("+"))?;
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let lines: String = suites.iter().map(|suite| archive.line(suite) + "\n").collect();
        fs::write(folder.join("sources.list"), lines)?;
        fs::write(folder.join("status"), "")?;
        let packages = Self { folder };
        packages.refresh(update)?;
        Ok(packages)
    }

    /// The names of all packages that begin with `start`.
    ///
    /// # Errors
    /// When apt fails.
    pub fn names(&self, start: &str) -> Result<Vec<String>> {
        let output =
            self.apt("apt-cache").args(["pkgnames", start]).output().context("starting apt-cache")?;
        ensure!(output.status.success(), "apt-cache failed ({})", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The newest version of that package.
    ///
    /// # Errors
    /// When there is none.
    pub fn version(&self, package: &str) -> Result<String> {
        let mut show = self.apt("apt-cache");
        let output = show.args(["show", "--no-all-versions", package]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
        Ok(version.with_context(|| format!("the archive has no package {package}"))?.to_owned())
    }

    /// Downloads these packages and unpacks them into `place`, which is not their installation.
    ///
    /// # Errors
    /// When the archive does not give them.
    pub fn unpack(&self, packages: &[String], place: &Path) -> Result<()> {
        let downloads = tempfile::tempdir_in(&self.folder)?;
        let mut apt = self.apt("apt-get");
        shell::run(apt.args(["--quiet", "download"]).args(packages).current_dir(downloads.path()))?;
        for file in fs::read_dir(downloads.path())? {
            shell::run(Command::new("dpkg-deb").arg("--extract").arg(file?.path()).arg(place))?;
        }
        Ok(())
    }

    /// Installs packages on this machine, as its own apt does but from these suites, `preferred` first.
    ///
    /// # Errors
    /// When apt fails.
    pub fn install(&self, packages: &[&str], preferred: &str) -> Result<()> {
        let mut apt = self.apt_on(Path::new("/var/lib/dpkg/status"), "apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.args(["install", "--quiet", "--yes", "--no-install-recommends", "--target-release", preferred]);
        shell::run(apt.args(packages))
    }

    fn refresh(&self, update: bool) -> Result<()> {
        let stamp = self.folder.join("refreshed");
        let age = stamp.metadata().ok().and_then(|about| about.modified().ok()?.elapsed().ok());
        if !update && age.is_some_and(|age| age < Duration::from_secs(LISTS_HOURS_MAX * 3600)) {
            return Ok(());
        }
        let refreshed = shell::run(self.apt("apt-get").args(["--quiet=2", "--error-on=any", "update"]));
        match refreshed {
            Err(error) if age.is_some() => {
                eprintln!("vm: the archive cannot be reached, its older lists are used: {error:#}");
                Ok(())
            }
            Err(error) => Err(error).context("vm: asking the Debian archive for its packages"),
            Ok(()) => fs::write(stamp, "").context("noting when the lists were refreshed"),
        }
    }

    fn apt(&self, program: &str) -> Command {
        self.apt_on(&self.folder.join("status"), program)
    }

    /// `status` says what is installed: nothing, for the packages of guests.
    fn apt_on(&self, status: &Path, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |key: &str, value: &Path| {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        };
        set("Dir::State::Lists", &self.folder.join("lists"));
        set("Dir::State::status", status);
        set("Dir::Cache", &self.folder.join("cache"));
        set("Dir::Etc::SourceList", &self.folder.join("sources.list"));
        for part in ["SourceParts", "Preferences", "PreferencesParts"] {
            set(&format!("Dir::Etc::{part}"), Path::new("/dev/null"));
        }
        command.args(["-o", "APT::Sandbox::User=root", "-o", "APT::Default-Release="]).env("LC_ALL", "C");
        command
    }
}
