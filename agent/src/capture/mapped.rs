//! Files that running processes have mapped as code, read from `/proc`.
//!
//! *Not here*: mappings that are made from now on; the kernel tells those, see [`super::mappings`].

use std::{collections::HashSet, fs};

use super::mappings::{FileKey, Mapping};

/// Every file that a process has mapped as code now.
pub(super) fn mapped_files() -> Vec<Mapping> {
    let mut mappings = Vec::new();
    let mut known = HashSet::new();
    for pid in process_ids() {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/maps")) else { continue };
        for (file, path) in text.lines().filter_map(parse_mapping) {
            if known.insert(file) {
                mappings.push(Mapping { pid, file, path: path.to_owned() });
            }
        }
    }
    mappings
}

/// One line of `/proc/PID/maps`, if it is code from a file: addresses, rights, offset, device, inode,
/// path (proc_pid_maps(5)).
fn parse_mapping(line: &str) -> Option<(FileKey, &str)> {
    let mut parts = line.splitn(6, ' ').map(str::trim);
    let rights = parts.nth(1)?;
    let (major, minor) = parts.nth(1)?.split_once(':')?;
    let inode = parts.next()?.parse().ok()?;
    let path = parts.next()?;
    let file = FileKey {
        major: u32::from_str_radix(major, 16).ok()?,
        minor: u32::from_str_radix(minor, 16).ok()?,
        inode,
    };
    (rights.contains('x') && inode != 0 && path.starts_with('/')).then_some((file, path))
}

/// The processes that run now.
pub(super) fn process_ids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(u32, u32, u64, &str)>) {
        let found = parse_mapping(line).map(|(file, path)| (file.major, file.minor, file.inode, path));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn only_code_from_files_counts() {
        check(
            "7f12a000-7f12b000 r-xp 00002000 fe:01 1234                       /usr/lib/libssl.so.3",
            Some((0xfe, 1, 1234, "/usr/lib/libssl.so.3")),
        );
        check(
            "7f12a000-7f12b000 r-xp 00002000 08:02 9 /opt/a b/lib ssl.so",
            Some((8, 2, 9, "/opt/a b/lib ssl.so")),
        );
        check("7f12a000-7f12b000 rw-p 00002000 fe:01 1234 /usr/lib/libssl.so.3", None);
        check("7ffd1000-7ffd2000 r-xp 00000000 00:00 0    [vdso]", None);
        check("7f12a000-7f12b000 r-xp 00000000 00:00 0", None);
        check("", None);
        check("rubbish", None);
    }
}
