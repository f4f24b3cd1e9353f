//! Which package of this host a program came with, by what dpkg keeps.
//!
//! All lists are read at once, when the first program is asked about, and again when packages have changed.
//!
//! *Invariants*: what cannot be read names no package. A name of a file is kept as a hash alone.
//! *Limits*: [`FILES_MAX`] files, [`LIST_BYTES_MAX`] bytes of a list and of the status; read again after
//! [`READ_EVERY`] at the earliest.
//! *Not here*: programs in containers, whose files are their image's.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Files of all packages that are remembered, at about 16 bytes each.
const FILES_MAX: usize = 1 << 20;
/// Most that is read of one list.
const LIST_BYTES_MAX: u64 = 32 << 20;
/// How soon the lists are read again.
const READ_EVERY: Duration = Duration::from_secs(60);

/// A package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// The packages of a host.
#[derive(Debug)]
pub struct Packages {
    /// Where dpkg keeps what it knows.
    dpkg: PathBuf,
    read: Option<Read>,
    hasher: RandomState,
    files: HashMap<u64, usize>,
    packages: Vec<Package>,
}

/// When the lists were read, and when they had changed.
#[derive(Clone, Copy, Debug)]
struct Read {
    at: Instant,
    changed: Option<SystemTime>,
}

impl Packages {
    /// The packages that dpkg keeps in `dpkg`.
    pub fn new(dpkg: &Path) -> Self {
        let (hasher, files) = (RandomState::new(), HashMap::new());
        Self { dpkg: dpkg.to_owned(), read: None, hasher, files, packages: Vec::new() }
    }

    /// The package that the file at `path` came with. A merged `/usr` may have moved it since.
    pub fn of(&mut self, path: &str, now: Instant) -> Option<&Package> {
        self.refresh(now);
        let find = |path: &str| self.files.get(&self.hasher.hash_one(path)).copied();
        let before_merge = || path.strip_prefix("/usr").and_then(find);
        self.packages.get(find(path).or_else(before_merge)?)
    }

    fn refresh(&mut self, now: Instant) {
        let is_recent = |read: Read| now.saturating_duration_since(read.at) < READ_EVERY;
        if self.read.is_some_and(is_recent) {
            return;
        }
        let changed = fs::metadata(self.dpkg.join("status")).and_then(|status| status.modified()).ok();
        if self.read.is_none_or(|read| read.changed != changed) {
            self.read_all();
        }
        self.read = Some(Read { at: now, changed });
    }

    fn read_all(&mut self) {
        self.files.clear();
        self.packages.clear();
        let versions = text(&self.dpkg.join("status")).map(|status| versions(&status)).unwrap_or_default();
        for entry in fs::read_dir(self.dpkg.join("info")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".list")) else { continue };
            // Packages of several architectures side by side have theirs in the name.
            let name = name.split(':').next().unwrap_or(name);
            if let Some(list) = text(&entry.path()) {
                let version = versions.get(name).cloned();
                self.add(Package { name: name.to_owned(), version }, &list);
            }
        }
    }

    fn add(&mut self, package: Package, list: &str) {
        let room = FILES_MAX.saturating_sub(self.files.len());
        let hashes = list.lines().take(room).map(|path| (self.hasher.hash_one(path), self.packages.len()));
        self.files.extend(hashes);
        self.packages.push(package);
    }
}

/// The version of each package in dpkg's status: paragraphs of `Name: value` lines.
fn versions(status: &str) -> HashMap<String, String> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let version = |paragraph| Some((field(paragraph, "Package:")?, field(paragraph, "Version:")?));
    status.split("\n\n").filter_map(version).collect()
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LIST_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("info")).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("info/nginx.list", "/.\n/usr\n/usr/sbin\n/usr/sbin/nginx\n");
        write("info/bash.list", "/.\n/bin/bash\n");
        write("info/libc6:amd64.list", "/lib/x/ld.so\n");
        write("info/gone.list", "/usr/bin/gone\n");
        write("info/nginx.md5sums", "/usr/bin/no-list\n");
        write(
            "status",
            "Package: nginx\nStatus: install ok installed\nVersion: 1.22.1-9\nDescription: x\n Version: 9\n\n\
             Package: bash\nVersion: 5.2-1\n\nPackage: libc6\nArchitecture: amd64\nVersion: 2.36-9\n",
        );
        dir
    }

    fn told(packages: &mut Packages, path: &str, now: Instant) -> Option<String> {
        let package = packages.of(path, now)?;
        Some(format!("{} {}", package.name, package.version.as_deref().unwrap_or("-")))
    }

    #[test]
    fn programs_have_their_package_and_its_version() {
        let dir = host();
        let (mut packages, now) = (Packages::new(dir.path()), Instant::now());
        let cases = [
            ("/usr/sbin/nginx", Some("nginx 1.22.1-9")),
            ("/bin/bash", Some("bash 5.2-1")),
            ("/usr/bin/bash", Some("bash 5.2-1")),
            ("/usr/lib/x/ld.so", Some("libc6 2.36-9")),
            ("/usr/bin/gone", Some("gone -")),
            ("/usr/bin/no-list", None),
            ("/sbin/nginx", None),
            ("/opt/own", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(told(&mut packages, path, now).as_deref(), expected, "{path}");
        }
        let mut none = Packages::new(Path::new("/nowhere"));
        assert_eq!(told(&mut none, "/usr/sbin/nginx", now), None);
    }

    #[test]
    fn changed_packages_are_read_again_after_a_while() {
        let dir = host();
        let (mut packages, now) = (Packages::new(dir.path()), Instant::now());
        assert_eq!(told(&mut packages, "/opt/new", now), None);
        fs::write(dir.path().join("info/new.list"), "/opt/new\n").unwrap();
        let status = File::options().append(true).open(dir.path().join("status")).unwrap();
        status.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(told(&mut packages, "/opt/new", now + READ_EVERY / 2), None, "not so soon");
        assert_eq!(told(&mut packages, "/opt/new", now + READ_EVERY).as_deref(), Some("new -"));
        fs::write(dir.path().join("info/more.list"), "/opt/more\n").unwrap();
        assert_eq!(
            told(&mut packages, "/opt/more", now + READ_EVERY * 2),
            None,
            "nothing says that it changed"
        );
    }
}
