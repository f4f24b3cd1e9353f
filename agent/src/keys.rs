//! `cprvagt keys new`: makes a data controller's keys.
//!
//! *Invariants*: no file is overwritten, since numbers sealed to a key that is gone can never be read again.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::bundle;
use crate::cli::{Exit, Exits, KeysNew};
use crate::secret_file;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The name.
    #[error("--controller: {0}")]
    Name(&'static str),
    /// The system has no random numbers.
    #[error("the system gives no random bytes: {0}")]
    NoRandom(getrandom::Error),
    /// The file is there.
    #[error(
        "{}: it exists already. What was sealed with the old keys can be read with them alone: nothing was \
         overwritten. Choose another folder", .0.display()
    )]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{path}: {cause}", path = path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Nobody reads the answer.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Exits for KeysError {
    fn exit(&self) -> Exit {
        match self {
            Self::Name(_) | Self::Exists(_) | Self::Unwritable { .. } => Exit::Config,
            Self::NoRandom(_) => Exit::Unable,
            Self::Output(_) => Exit::Failure,
        }
    }
}

/// Makes the bundle and the identity, and says what each is for.
///
/// # Errors
/// The name cannot be one, a file exists, or the system refuses.
pub fn new(options: &KeysNew, out: &mut impl Write) -> Result<(), KeysError> {
    let name = &options.controller;
    bundle::check_name(name).map_err(KeysError::Name)?;
    let unwritable = |path: &PathBuf, cause: io::Error| match cause.kind() {
        io::ErrorKind::AlreadyExists => KeysError::Exists(path.clone()),
        _ => KeysError::Unwritable { path: path.clone(), cause },
    };
    std::fs::create_dir_all(&options.out).map_err(|cause| unwritable(&options.out, cause))?;
    let [bundle_path, identity_path] =
        ["bundle", "identity"].map(|kind| options.out.join(format!("{name}.{kind}")));
    if let Some(path) = [&bundle_path, &identity_path].into_iter().find(|path| path.exists()) {
        return Err(KeysError::Exists(path.clone()));
    }
    let (bundle, identity) = bundle::generate(name).map_err(KeysError::NoRandom)?;
    secret_file::create(&identity_path, &identity).map_err(|cause| unwritable(&identity_path, cause))?;
    secret_file::create(&bundle_path, &bundle.to_text()).map_err(|cause| unwritable(&bundle_path, cause))?;
    write!(
        out,
        "Keys of {name}, key id {}:\n\n  {}\n    For each host whose traffic {name} answers for: cprvagt enrol ... --bundle FILE.\n    \
         Carry it over a channel that you trust. It makes citizens countable; it cannot open a number.\n    \
         The collector must never get it.\n\n  {}\n    Stays with {name}, offline, with a backup. It alone opens the sealed numbers, so that the\n    \
         citizens can be told. Never on a host, never on the collector.\n",
        bundle.key_id,
        bundle_path.display(),
        identity_path.display(),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::bundle::Bundle;

    #[test]
    fn two_files_for_their_owner_alone_and_never_over_others() {
        let dir = tempfile::tempdir().unwrap();
        let options = KeysNew { controller: "Myndighed X".to_owned(), out: dir.path().join("keys") };
        let mut told = Vec::new();
        new(&options, &mut told).unwrap();
        let [bundle, identity] =
            ["bundle", "identity"].map(|it| options.out.join(format!("Myndighed X.{it}")));
        for path in [&bundle, &identity] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
            assert!(String::from_utf8_lossy(&told).contains(&*path.to_string_lossy()));
        }
        let before = fs::read(&identity).unwrap();
        let secret = Bundle::read(&bundle).unwrap().pseudonym_key;
        assert!(!String::from_utf8_lossy(&told).contains(&**secret), "the screen shows no key");
        for path in [&identity, &bundle] {
            assert!(matches!(new(&options, &mut vec![]), Err(KeysError::Exists(_))));
            fs::remove_file(path).unwrap();
            if path == &identity {
                assert!(matches!(new(&options, &mut vec![]), Err(KeysError::Exists(_))));
                assert!(!identity.exists(), "no identity without its bundle");
                fs::write(&identity, &before).unwrap();
            }
        }
        assert!(matches!(new(&options, &mut vec![]), Err(KeysError::Exists(_))), "identity alone");
        assert_eq!(fs::read(&identity).unwrap(), before);
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let options = KeysNew { controller: "../x".to_owned(), out: dir.path().to_owned() };
        assert!(matches!(new(&options, &mut vec![]), Err(KeysError::Name(_))));
    }
}
