//! Which files of TLS libraries this host has: mapped by its processes, or where the loader looks.
//!
//! *Limits*: [`CONF_DEPTH_MAX`] levels of loader configuration. A file seen from a container counts under
//! the path that the container uses.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Machine;
use crate::tls_files::SharedLibrary;

/// How deep `include` lines of `ld.so.conf` are followed.
const CONF_DEPTH_MAX: usize = 4;

/// Where the loader looks without configuration (ld.so(8)).
const DEFAULT_DIRS: [&str; 5] = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"];

/// A TLS library's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Library {
    /// Which library it is.
    pub(super) kind: SharedLibrary,
    path: PathBuf,
    processes: usize,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.processes {
            0 => Ok(()),
            1 => write!(f, " (in 1 process)"),
            count => write!(f, " (in {count} processes)"),
        }
    }
}

/// The TLS libraries of the host, by path.
pub(super) fn found(machine: &Machine) -> Vec<Library> {
    let mut by_path: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for maps in all_maps(machine) {
        for path in mapped_libraries(&maps) {
            *by_path.entry(path).or_default() += 1;
        }
    }
    for path in search_dirs(machine).iter().flat_map(|dir| libraries_in(machine, dir)) {
        by_path.entry(path).or_default();
    }
    let library =
        |(path, processes): (PathBuf, usize)| Some(Library { kind: kind_of(&path)?, path, processes });
    by_path.into_iter().filter_map(library).collect()
}

/// The library whose file has this path, by its name.
fn kind_of(path: &Path) -> Option<SharedLibrary> {
    SharedLibrary::of(path.to_str()?)
}

fn all_maps(machine: &Machine) -> impl Iterator<Item = String> + '_ {
    let entries = std::fs::read_dir(machine.path("/proc")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter_map(|pid| machine.text(&format!("/proc/{pid}/maps")))
}

/// The TLS libraries in a `/proc/PID/maps`, each once.
fn mapped_libraries(maps: &str) -> Vec<PathBuf> {
    let paths = maps.lines().filter_map(|line| line.split_once('/'));
    let mut paths: Vec<PathBuf> = paths
        .map(|(_, path)| PathBuf::from(format!("/{}", path.strip_suffix(" (deleted)").unwrap_or(path))))
        .filter(|path| kind_of(path).is_some())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The TLS libraries in `dir`, links followed: two names of one file are one.
fn libraries_in(machine: &Machine, dir: &Path) -> Vec<PathBuf> {
    let root = machine.path("/");
    let entries = std::fs::read_dir(machine.path(&dir.to_string_lossy())).into_iter().flatten().flatten();
    let real = entries.map(|entry| entry.path()).filter(|path| kind_of(path).is_some());
    let real = real.filter_map(|path| path.canonicalize().ok());
    real.map(|path| Path::new("/").join(path.strip_prefix(&root).unwrap_or(&path))).collect()
}

/// The directories where the loader looks: the usual ones, those of `ld.so.conf`, and the multiarch ones.
fn search_dirs(machine: &Machine) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = DEFAULT_DIRS.map(PathBuf::from).to_vec();
    configured(machine, "/etc/ld.so.conf", CONF_DEPTH_MAX, &mut dirs);
    dirs.sort();
    dirs.dedup();
    dirs
}

fn configured(machine: &Machine, conf: &str, depth: usize, dirs: &mut Vec<PathBuf>) {
    for line in machine.text(conf).unwrap_or_default().lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include ") {
            Some(pattern) if depth > 0 => {
                for file in matching(machine, Path::new(pattern.trim())) {
                    configured(machine, &file, depth - 1, dirs);
                }
            }
            None if line.starts_with('/') => dirs.push(line.into()),
            _ => {}
        }
    }
}

/// The files that an include pattern names; only its last part may have wildcards.
fn matching(machine: &Machine, pattern: &Path) -> Vec<String> {
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name()) else { return vec![] };
    let Ok(glob) = globset::Glob::new(&name.to_string_lossy()) else { return vec![] };
    let glob = glob.compile_matcher();
    let entries = std::fs::read_dir(machine.path(&dir.to_string_lossy())).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| glob.is_match(name));
    let mut files: Vec<String> = names.map(|name| dir.join(name).to_string_lossy().into_owned()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_files() {
        let maps = "\
55d0a-55d0b r--p 00000000 fe:01 1234   /usr/bin/curl
7f00a-7f00b r-xp 00000000 fe:01 77     /usr/lib/x86_64-linux-gnu/libssl.so.3
7f00b-7f00c r--p 00010000 fe:01 77     /usr/lib/x86_64-linux-gnu/libssl.so.3
7f01a-7f01b r-xp 00000000 fe:01 78     /opt/with space/libssl.so.1.1 (deleted)
7f00d-7f00e r-xp 00000000 fe:01 76     /usr/lib/libgnutls.so.30.34.3
7f00e-7f00f r-xp 00000000 fe:01 75     /usr/lib/libgnutls-dane.so.0
7f02a-7f02b r-xp 00000000 fe:01 79     /usr/lib/libssl3.so
7f03a-7f03b r-xp 00000000 fe:01 80     /srv/wheel.libs/libssl-81ffa89e.so.1.1
7f04a-7f04b rw-p 00000000 00:00 0      [heap]
";
        let expected = [
            "/opt/with space/libssl.so.1.1",
            "/srv/wheel.libs/libssl-81ffa89e.so.1.1",
            "/usr/lib/libgnutls.so.30.34.3",
            "/usr/lib/libssl3.so",
            "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        ];
        assert_eq!(mapped_libraries(maps), expected.map(PathBuf::from));
    }

    #[test]
    fn loader_configuration_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let conf_dir = dir.path().join("etc/ld.so.conf.d");
        std::fs::create_dir_all(&conf_dir).unwrap();
        std::fs::write(dir.path().join("etc/ld.so.conf"), "include /etc/ld.so.conf.d/*.conf\n").unwrap();
        std::fs::write(conf_dir.join("a.conf"), "# multiarch\n/usr/lib/x86_64-linux-gnu\n").unwrap();
        std::fs::write(conf_dir.join("b.conf"), "include /etc/ld.so.conf\n/opt/lib # ours\n").unwrap();
        std::fs::write(conf_dir.join("c.txt"), "/not/this\n").unwrap();
        let dirs = search_dirs(&Machine::at(dir.path()));
        for wanted in ["/lib", "/opt/lib", "/usr/lib/x86_64-linux-gnu"] {
            assert!(dirs.contains(&wanted.into()), "{wanted} in {dirs:?}");
        }
        assert!(!dirs.contains(&"/not/this".into()));
    }
}
