//! A directory in memory, which never fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use cprvagt_spool::Files;
use cprvagt_spool::files::Listed;

/// A file's bytes, whatever it is called.
type Content = Rc<RefCell<Vec<u8>>>;

/// Clones see the same files.
#[derive(Clone, Default)]
pub struct Memory(Rc<RefCell<BTreeMap<String, Content>>>);

impl Memory {
    /// Puts a file there.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.borrow_mut().insert(name.to_owned(), Rc::new(RefCell::new(bytes)));
    }

    /// The same files again, with a life of their own.
    pub fn copy(&self) -> Self {
        let copy = Self::default();
        self.0.borrow().iter().for_each(|(name, content)| copy.put(name, content.borrow().clone()));
        copy
    }

    fn content(&self, name: &str) -> io::Result<Content> {
        self.0.borrow().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for Memory {
    type File = Content;

    fn lock(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let listed = |(name, content): (&String, &Content)| Listed {
            name: name.clone(),
            bytes: content.borrow().len() as u64,
        };
        Ok(self.0.borrow().iter().map(listed).collect())
    }

    fn read(&self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let content = self.content(name)?;
        let bytes = content.borrow();
        let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        Ok(bytes[from..].iter().copied().take(bytes_max).collect())
    }

    fn create(&self, name: &str) -> io::Result<Content> {
        self.put(name, Vec::new());
        self.content(name)
    }

    fn append(&self, file: &mut Content, bytes: &[u8]) -> io::Result<()> {
        file.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, _: &mut Content) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let content = self.content(from)?;
        let mut files = self.0.borrow_mut();
        files.remove(from);
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn truncate(&self, name: &str, bytes: u64) -> io::Result<()> {
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.content(name)?.borrow_mut().truncate(length);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }
}
