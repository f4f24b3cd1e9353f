//! What is made once and used by every run: unpacked kernels, images, package lists.
//!
//! *Invariants*: an item lies in a folder named by a hash of what it is made from. It is made under another name
//! and renamed, so that it is whole or absent. Making goes on under a lock: two runs never make one item at once.
//!
//! *Limits*: an item that no run has used for [`UNUSED_DAYS_MAX`] days is removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// How long an item is kept that nobody uses.
const UNUSED_DAYS_MAX: u64 = 30;
/// Bytes of the hash in a name.
const HASH_BYTES: usize = 8;
/// What names of unfinished items begin with.
const UNFINISHED: &str = ".new-";

/// The cache, locked against other runs until it is dropped.
pub struct Cache {
    folder: PathBuf,
    _lock: File,
}

/// What an item is made from.
#[derive(Default)]
pub struct Recipe(Sha256);

impl Recipe {
    /// Adds one ingredient; its length counts too, so that no two lists of ingredients read the same.
    #[must_use]
    pub fn with(mut self, ingredient: impl AsRef<[u8]>) -> Self {
        let bytes = ingredient.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn hash(self) -> String {
        HEXLOWER.encode(&self.0.finalize()[..HASH_BYTES])
    }
}

impl Cache {
    /// Opens it in its place, waiting for another run that is making something.
    ///
    /// # Errors
    /// When there is no place for it, or it cannot be written.
    pub fn open() -> Result<Self> {
        Self::open_in(place()?)
    }

    fn open_in(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let lock = lock(&folder.join("lock"))?;
        let cache = Self { folder, _lock: lock };
        cache.sweep()?;
        Ok(cache)
    }

    /// A folder of its own for `name`, which changes and is not made from a recipe.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn state(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join("state").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    /// The item of that kind and recipe; `make` fills an empty folder when it is not there yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn item(
        &self,
        kind: &str,
        recipe: Recipe,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let item = self.folder.join(format!("{kind}-{}", recipe.hash()));
        if item.is_dir() {
            mark_used(&item)?;
            return Ok(item);
        }
        self.put(kind, item, make)
    }

    /// The same, made again even when it is there.
    ///
    /// # Errors
    /// When it cannot be made; what was there stays.
    pub fn renewed(
        &self,
        kind: &str,
        recipe: Recipe,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        self.put(kind, self.folder.join(format!("{kind}-{}", recipe.hash())), make)
    }

    fn put(&self, kind: &str, item: PathBuf, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let unfinished = self.folder.join(format!("{UNFINISHED}{kind}"));
        fs::create_dir(&unfinished).with_context(|| format!("making {}", unfinished.display()))?;
        make(&unfinished)?;
        if item.is_dir() {
            // A guest that runs from it keeps the files that it has open.
            fs::remove_dir_all(&item).with_context(|| format!("removing {}", item.display()))?;
        }
        fs::rename(&unfinished, &item).with_context(|| format!("naming {}", item.display()))?;
        Ok(item)
    }

    /// All items of that kind, the one used last first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn items(&self, kind: &str) -> Result<Vec<PathBuf>> {
        let is_kind = |name: &str| name.rsplit_once('-').is_some_and(|(prefix, _)| prefix == kind);
        let mut items = self.entries()?;
        items.retain(|(name, _, _)| is_kind(name));
        items.sort_by_key(|(_, _, used)| std::cmp::Reverse(*used));
        Ok(items.into_iter().map(|(_, path, _)| path).collect())
    }

    /// Removes what killed runs left and what nobody has used for long.
    fn sweep(&self) -> Result<()> {
        let oldest = SystemTime::now() - Duration::from_secs(UNUSED_DAYS_MAX * 24 * 3600);
        for (name, path, used) in self.entries()? {
            let is_item = name.contains('-');
            if name.starts_with(UNFINISHED) || (is_item && used < oldest) {
                fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Name, path and last use of each folder.
    fn entries(&self) -> Result<Vec<(String, PathBuf, SystemTime)>> {
        let mut entries = Vec::new();
        let reading = || format!("reading {}", self.folder.display());
        for entry in fs::read_dir(&self.folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let about = entry.metadata().with_context(reading)?;
            if about.is_dir() {
                let name = entry.file_name().to_string_lossy().into_owned();
                entries.push((name, entry.path(), about.modified().with_context(reading)?));
            }
        }
        Ok(entries)
    }
}

/// `CPRVAGT_VM_CACHE`, or below the user's folder for caches.
fn place() -> Result<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    folder("CPRVAGT_VM_CACHE")
        .or_else(|| Some(user()?.join("cprvagt/vm")))
        .context("vm: no place for images: set CPRVAGT_VM_CACHE to a folder")
}

/// Takes the lock in `file`, saying so when another run holds it. The lock ends with the returned file.
///
/// # Errors
/// When the file cannot be made.
pub fn lock(file: &Path) -> Result<File> {
    let locked = || format!("locking {}", file.display());
    let lock = File::create(file).with_context(locked)?;
    if lock.try_lock().is_err() {
        eprintln!("vm: waiting for another run, which holds {}", file.display());
        lock.lock().with_context(locked)?;
    }
    Ok(lock)
}

fn mark_used(item: &Path) -> Result<()> {
    let marked = File::open(item).and_then(|folder| folder.set_modified(SystemTime::now()));
    marked.with_context(|| format!("noting the use of {}", item.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(ingredients: &[&str]) -> Recipe {
        ingredients.iter().fold(Recipe::default(), |recipe, it| recipe.with(it))
    }

    #[test]
    fn an_item_is_made_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open_in(folder.path().join("cache")).unwrap();
        let write = |place: &Path| Ok(fs::write(place.join("content"), "one")?);
        let made = cache.item("image", recipe(&["a"]), write).unwrap();
        assert_eq!(fs::read_to_string(made.join("content")).unwrap(), "one");
        let again = cache.item("image", recipe(&["a"]), |_| panic!("it is there")).unwrap();
        assert_eq!(again, made);
        let other = cache.item("image", recipe(&["b"]), write).unwrap();
        assert_ne!(other, made);
        assert_eq!(cache.items("image").unwrap().len(), 2);
        let anew = |place: &Path| Ok(fs::write(place.join("content"), "two")?);
        assert_eq!(cache.renewed("image", recipe(&["a"]), anew).unwrap(), made);
        assert_eq!(fs::read_to_string(made.join("content")).unwrap(), "two");
        assert_eq!(cache.items("im").unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_failed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let fail = |place: &Path| -> Result<()> {
            fs::write(place.join("half"), "")?;
            anyhow::bail!("on purpose")
        };
        let cache = Cache::open_in(folder.path().to_owned()).unwrap();
        cache.item("image", recipe(&["a"]), fail).unwrap_err();
        drop(cache);
        let cache = Cache::open_in(folder.path().to_owned()).unwrap();
        let made = cache.item("image", recipe(&["a"]), |_| Ok(())).unwrap();
        assert!(!made.join("half").exists());
    }

    #[test]
    fn what_nobody_uses_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open_in(folder.path().to_owned()).unwrap();
        let old = cache.item("image", recipe(&["old"]), |_| Ok(())).unwrap();
        let kept = cache.item("image", recipe(&["kept"]), |_| Ok(())).unwrap();
        let days = Duration::from_secs((UNUSED_DAYS_MAX + 1) * 24 * 3600);
        File::open(&old).unwrap().set_modified(SystemTime::now() - days).unwrap();
        drop(cache);
        Cache::open_in(folder.path().to_owned()).unwrap();
        assert!(!old.exists() && kept.exists());
    }

    #[test]
    fn ingredients_do_not_run_together() {
        assert_ne!(recipe(&["ab", "c"]).hash(), recipe(&["a", "bc"]).hash());
        assert_eq!(recipe(&["ab", "c"]).hash(), recipe(&["ab", "c"]).hash());
    }
}
