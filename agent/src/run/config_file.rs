//! Notices that the configuration file may have changed.
//!
//! The folder is watched, not the file: editors and tools put a new file in the place of the old one.
//!
//! *Invariants*: a file that is still being written is not noticed before it is closed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::Notify;

/// Something was written and closed, moved to or from a name, or removed.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);

/// A watched folder.
pub struct ConfigFile {
    noticed: Arc<Notify>,
}

impl ConfigFile {
    /// Watches the folder of the file at `path`, in a thread of its own until the process ends.
    ///
    /// # Errors
    /// The folder is not there, or the system has no more watches or threads.
    pub fn watch(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        inotify.add_watch(folder.unwrap_or(Path::new(".")), CHANGES)?;
        let noticed = Arc::new(Notify::new());
        let notify = Arc::clone(&noticed);
        thread::Builder::new().name("config".to_owned()).spawn(move || {
            // What the events say makes no difference: the text of the file says what changed.
            while let Ok(_) | Err(Errno::EINTR) = inotify.read_events() {
                notify.notify_one();
            }
        })?;
        Ok(Self { noticed })
    }

    /// Waits until something in the folder has changed since this was asked last.
    pub async fn changed(&self) {
        self.noticed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_happens_to_the_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("agent.toml"), dir.path().join("new"));
        fs::write(&path, "").unwrap();
        let file = ConfigFile::watch(&path).unwrap();
        let noticed = async || {
            let first = timeout(Duration::from_millis(500), file.changed()).await.is_ok();
            // One change may be several events.
            while timeout(Duration::from_millis(100), file.changed()).await.is_ok() {}
            first
        };
        assert!(!noticed().await, "nothing happened");
        fs::write(&path, "a").unwrap();
        assert!(noticed().await, "written");
        fs::write(&other, "b").unwrap();
        assert!(noticed().await);
        fs::rename(&other, &path).unwrap();
        assert!(noticed().await, "replaced");
        fs::remove_file(&path).unwrap();
        assert!(noticed().await, "removed");
        let open = fs::File::create(&path).unwrap();
        assert!(!noticed().await, "not closed yet");
        drop(open);
        assert!(noticed().await);
    }
}
