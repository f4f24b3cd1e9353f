//! A directory in memory, which never fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use cprvagt_spool::Files;
use cprvagt_spool::files::Listed;

/// Clones see the same files.
#[derive(Clone, Default)]
pub struct Memory(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl Memory {
    /// Puts a file there.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.borrow_mut().insert(name.to_owned(), bytes);
    }

    /// The same files again, with a life of their own.
    pub fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.0.borrow_mut().get_mut(name).map(change).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for Memory {
    type File = String;

    fn lock(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let listed =
            |(name, bytes): (&String, &Vec<u8>)| Listed { name: name.clone(), bytes: bytes.len() as u64 };
        Ok(self.0.borrow().iter().map(listed).collect())
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.with(name, |bytes| bytes.iter().copied().skip(offset as usize).take(bytes_max).collect())
    }

    fn create(&self, name: &str) -> io::Result<String> {
        self.put(name, Vec::new());
        Ok(name.to_owned())
    }

    fn append(&self, file: &mut String, bytes: &[u8]) -> io::Result<()> {
        self.with(file, |all| all.extend_from_slice(bytes))
    }

    fn sync(&self, _: &mut String) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.with(from, core::mem::take)?;
        self.remove(from)?;
        self.put(to, bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.with(name, |all| all.truncate(bytes as usize))
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }
}
