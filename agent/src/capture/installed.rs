//! Where TLS libraries and programs are installed, which are probed before a process maps them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::symbols::open_regular;
use crate::tls_files::SharedLibrary;

/// Where the loader finds libraries; those there are probed before a process maps them.
const LIBRARY_FOLDERS: [&str; 6] =
    ["/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64", "/usr/local/lib64"];
/// Where programs are; those that carry a TLS library are probed before they are started.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// Whether a file is where a loader looks, or a shell.
pub(super) fn is_in_a_usual_folder(path: &Path) -> bool {
    LIBRARY_FOLDERS.iter().chain(&PROGRAM_FOLDERS).any(|folder| path.starts_with(folder))
}

/// Files of TLS libraries in the loader's folders and one level below.
pub(super) fn installed_libraries() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in LIBRARY_FOLDERS.map(Path::new) {
        collect_libraries(folder, true, &mut found);
    }
    found
}

/// Programs large enough to carry a TLS library: the smallest static one has 300 KiB of it.
pub(super) fn installed_programs() -> impl Iterator<Item = PathBuf> {
    const CARRIER_BYTES_MIN: u64 = 512 << 10;
    let entries =
        PROGRAM_FOLDERS.into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() >= CARRIER_BYTES_MIN)
    })
}

fn collect_libraries(folder: &Path, descend: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let is_library = name.to_str().is_some_and(|name| SharedLibrary::of(name).is_some());
        if is_library && open_regular(&path).is_some() {
            found.push(path);
        } else if descend && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_libraries(&path, false, found);
        }
    }
}
